"""Ints beyond the 64 bits of a word: they stay in Python, native code runs beside them, and no call raises for them."""

from __future__ import annotations

from typing import Any

import pytest

import specjit
from specjit import nn

BEYOND = [2**63, 2**64, -(2**63) - 1, -(2**64)]
WITHIN = [2**63 - 1, -(2**63)]
LIMIT = 0


def carried(x: Any, n: int) -> Any:
    i = 0
    while i < x.shape[0]:
        x = x * 2 + 1
        n = n + i
        i = i + 1
    return x, n


def replaced(x: Any, n: int) -> Any:
    for i in range(x.shape[0]):
        x = x * 2 + 1
        n = i
    return x, n


def chosen(x: Any, n: int) -> Any:
    if x.sum() > 0:
        return x * 2 + 1, n
    return x * 3 - 1, 0


def scaled(x: Any, n: int) -> Any:
    return (x * n + 1).tanh()


def bounded(x: Any, n: int) -> Any:
    """Numbers that kernels take as operands are computed as exactly as those that the machine keeps."""
    return x.clamp(-n, n + 1) * 2 + x


def bounded_by_a_choice(x: Any, n: int) -> Any:
    return (x.clamp(-n if n > 0 else n, abs(n)) + 1).tanh()


def listed(x: Any, n: int) -> Any:
    numbers = [n, 1, 2]
    for i in range(3):
        x = x * 2 + 1
        n = numbers[i]
    return x, n


def limited(x: Any, n: int) -> Any:
    found = n
    for _ in range(x.shape[0]):
        x = x * 2 + 1
        found = LIMIT
    return x, found, x.sum() < LIMIT


def grown(x: Any, n: int) -> Any:
    """What is computed from constants outgrows a word, though each of them fits."""
    m = x.shape[0] * 2**62 * 4
    for _ in range(x.shape[0]):
        x = x * 2 + 1
        m = m + 1
    return x, m + n


def closed_over(limit: int) -> Any:
    def program(x: Any, n: int) -> Any:
        for _ in range(x.shape[0]):
            x = x * 2 + 1
            n = limit
        return x, n

    return program


class Held(nn.Module):
    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Any, n: int) -> Any:
        for _ in range(x.shape[0]):
            x = x * 2 + 1
            n = self.limit
        return x, n


def same(fn: Any, calls: list[int], **options: Any) -> Any:
    """The program, after calls with these ints that do what Python does."""
    program = specjit.optimize(fn, warmup=1, background=False, **options)
    for n in calls:
        for _ in range(2):
            x = specjit.tensor([1.0, 2.0, 3.0])
            assert repr(program(x, n)) == repr(fn(x, n))
    failed = program.events("SPECIALIZE_FAILED")
    assert not failed, failed[0].message
    return program


@pytest.mark.parametrize("dynamic", ["auto", True])
@pytest.mark.parametrize("big", BEYOND + WITHIN)
@pytest.mark.parametrize("fn", [carried, replaced, chosen, scaled, bounded, bounded_by_a_choice, listed, grown])
def test_arguments(fn, big, dynamic) -> None:
    same(fn, [big], dynamic=dynamic)
    same(fn, [1, 2, 3, big, 1, -big], dynamic=dynamic)


@pytest.mark.parametrize("dynamic", ["auto", True])
@pytest.mark.parametrize("big", BEYOND + WITHIN)
def test_what_a_program_reads(big, dynamic, monkeypatch) -> None:
    """A closure, a module's attribute, a global."""
    monkeypatch.setattr(f"{__name__}.LIMIT", big)
    for fn in (closed_over(big), Held(big), limited):
        same(fn, [1, 2], dynamic=dynamic)


@pytest.mark.parametrize(
    ("big", "native"), [(2**63 - 1, True), (-(2**63), True), (2**63, False), (-(2**63) - 1, False)]
)
def test_only_what_needs_the_word_stays_in_python(big, native) -> None:
    """A loop that carries the int is native as long as it fits."""
    program = same(closed_over(big), [1], dynamic=True)
    told = [e.message for e in program.events("NOT_FUSED")]
    assert any("beyond 64 bits" in text for text in told) is not native, told


def test_the_rest_of_the_program_stays_native() -> None:
    program = same(chosen_later, [2**64])
    assert program.events("SPECIALIZE_READY")[0].facts["regions"] == 1


def chosen_later(x: Any, n: int) -> Any:
    return (x * 2 + 1).tanh(), n + 1
