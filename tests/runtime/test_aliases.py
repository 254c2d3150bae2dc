"""Writes in place, aliases and lists under `optimize`: what Python does, on every road.

Small programs, each run plainly and optimized, on trip counts that were profiled and on others; results, exceptions,
what the arguments hold afterwards and which results share memory are compared.
"""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from tests.runtime.models import LSTM, arguments


def names_of_one_tensor(x, n):
    s = x * 0
    y = s
    v = s[0]
    for _ in range(n):
        s += x
    return s, y, v * 1, v


def appended_then_written(x, n):
    outs = []
    s = x * 0
    for _ in range(n):
        s = s + x
        outs.append(s)
        s += 1
    return specjit.stack(outs), s


def carried_view(x, n):
    buf = specjit.zeros(4, 4)
    s = buf[0]
    for i in range(n):
        s += x[0]
        s = buf[i % 4]
    return buf, s


def rows_of_a_buffer(x, n):
    buf = specjit.zeros(6, 4)
    for i in range(n):
        buf[i] = x[0] * i
    return buf + 1


def swapped(x, n):
    a = x * 1
    b = x * 2
    for _ in range(n):
        a += 1
        a, b = b, a
    return a, b


def written_in_a_branch(x, n):
    a = x * 1
    if n > 2:
        a += 1
    else:
        a -= 1
    b = a
    b *= 2
    return a, b


def argument_written_in_a_loop(x, n):
    x += 1
    y = x * 2
    for _ in range(n):
        x *= 2
        y = y + x
    return y


def written_after_the_loop(x, n):
    h = x * 0
    outs = []
    for _ in range(n):
        h = h + x
        outs.append(h)
    h.add_(1)
    return specjit.stack(outs), h


def accumulated(x, n):
    total = 0
    s = x * 0
    k = 0
    for i in range(n):
        k += i
        s += x * k
        total = total + k
    parts = [s]
    parts += [x, x + 1]
    mask = (s > 0) & (x < 1)
    return specjit.cat(parts, 0), total, specjit.where(mask, s, x)


PROGRAMS = [
    names_of_one_tensor,
    appended_then_written,
    carried_view,
    rows_of_a_buffer,
    swapped,
    written_in_a_branch,
    argument_written_in_a_loop,
    written_after_the_loop,
    accumulated,
]


def run(call, x, n):
    try:
        out = call(x, n)
    except RuntimeError as error:
        return (str(error),)
    return out if isinstance(out, tuple) else (out,)


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_same_as_python(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for n in (4, 4, 4, 2, 2, 2, 0, 0, 5, 5):
        data = np.random.default_rng(n).standard_normal((3, 4)).astype(np.float32)
        mine, theirs = specjit.tensor(data), specjit.tensor(data)
        got, expected = run(program, mine, n), run(function, theirs, n)
        assert len(got) == len(expected)
        for a, b in zip(got, expected):
            if isinstance(b, specjit.Tensor):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, atol=1e-6)
            else:
                assert a == b
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
        tensors = [k for k, b in enumerate(expected) if isinstance(b, specjit.Tensor)]
        for i in tensors:
            for j in tensors:
                shared = np.shares_memory(expected[i].numpy(), expected[j].numpy())
                assert np.shares_memory(got[i].numpy(), got[j].numpy()) == shared, (i, j)


def test_an_accumulator_is_native() -> None:
    """`s += x` on a tensor of one's own is a new value, so the loop is one region."""
    program = specjit.optimize(accumulated, warmup=1, background=False)
    x = specjit.tensor(np.ones((3, 4), np.float32))
    for _ in range(3):
        program(x, 3)
    (variant,) = program.specializations
    assert len(variant.regions) == 1
    assert variant.python_nodes == 0


def test_a_sequence_of_no_steps_raises_as_eager_does() -> None:
    model = LSTM(5, 8)
    args = arguments(4, 3, 5, 8)
    program = specjit.optimize(model, warmup=1, background=False)
    with specjit.no_grad():
        for _ in range(3):
            program(*args)
        for call in (model, program):
            with pytest.raises(RuntimeError, match="non-empty"):
                call(specjit.zeros(0, 3, 5), args[1])
    assert "size at least" in program.events("GUARD_MISS")[-1].message


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("join", [specjit.cat, specjit.stack])
def test_rows_that_a_loop_made_are_joined_in_c_order(join, dim) -> None:
    def attended(x):
        outs = []
        for t in range(x.shape[0]):
            outs.append(x[t].tanh().unsqueeze(1))
        return join(outs, dim)

    program = specjit.optimize(attended, warmup=1, background=False)
    for steps in (3, 3, 4):
        x = specjit.tensor(np.random.default_rng(steps).standard_normal((steps, 2, 5)).astype(np.float32))
        found, expected = program(x), attended(x)
        assert found.stride() == expected.stride()
        np.testing.assert_allclose(found.view(-1).numpy(), expected.view(-1).numpy(), rtol=1e-6)
    assert program.stats()["fast"]
