"""Two products in one kernel: the row of a turn, and a share of the rows that later turns read."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from specjit.codegen.kernels import duet, gemm
from specjit.codegen.kernels.reference import DTYPES
from specjit.codegen.kernels.spec import Access, Arg, DuetSpec, GemmSpec, Inst, Segment, Store
from specjit.codegen.vectors.lanes import lanes, panel_lanes, register_bytes
from tests.codegen.kernel_runs import both, garbage, run
from tests.codegen.test_gemm import panels, plain

SUM = Inst("apply", "f32", (0, 1), "{0} + {1}")


def numbers(seed: int, *shape: int, dtype: str = "f32") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(DTYPES[dtype])


def packed(matrix: np.ndarray, dtype: str = "f32") -> np.ndarray:
    """B(k, chunk, unit) as panels."""
    return panels(matrix, panel_lanes(dtype, matrix.shape[-1]))


class Pair:
    """A product of one row (chunks side by side, a bias) and one of many rows, with operands for a kernel of both.

    Operands: row, its weights, its bias, its result; rows, their weights, their bias, their result; how many rows; the
    turn; the rows of the first block. `backwards`: turns take the rows from the last one on.
    """

    def __init__(
        self, count: int, k: int, units: int, chunks: int, wide: int, depth: int, dtype: str = "f32",
        backwards: bool = False, known: bool = False, first: int = duet.BLOCK,
    ):  # fmt: skip
        self.count, self.wide, self.dtype = count, wide, dtype
        body: list[Inst] = []
        stores = []
        for g in range(chunks):
            bias = Inst("load", dtype, access=Access(2, dtype, (0, 1), g * units))
            body += [Inst("acc", dtype, operand=g), bias, replace(SUM, dtype=dtype, args=(3 * g, 3 * g + 1))]
            stores.append(Store(Access(3, dtype, (0, 1), g * units), 3 * g + 2))
        step = GemmSpec(dtype, (), 1, units, chunks, k, Access(0, dtype, (0, 1)), 1, (), tuple(body), tuple(stores))
        down, last = (-1, count - 1) if backwards else (1, 0)
        rows = GemmSpec(
            dtype, (), count if known else Arg(8), wide, 1, depth,
            Access(4, dtype, (down * depth, 1), last * depth), 5, (),
            (
                Inst("acc", dtype, operand=0),
                Inst("load", dtype, access=Access(6, dtype, (0, 1))),
                replace(SUM, dtype=dtype),
            ),
            (Store(Access(7, dtype, (down * wide, 1), last * wide), 2),),
        )  # fmt: skip
        self.spec = DuetSpec(step, rows, Arg(9), Arg(10), duet.BLOCK)
        self.operands = [
            numbers(1, k, dtype=dtype), packed(numbers(2, k, chunks, units, dtype=dtype), dtype),
            numbers(3, chunks * units, dtype=dtype), garbage(chunks * units, DTYPES[dtype]),
            numbers(4, count * depth, dtype=dtype), packed(numbers(5, depth, 1, wide, dtype=dtype), dtype),
            numbers(6, wide, dtype=dtype), garbage(count * wide, DTYPES[dtype]), count, 0, first,
        ]  # fmt: skip

    def alone(self, library: object, spec: GemmSpec, *, rows: int) -> list:
        """The operands after the kernel of one of the products."""
        operands = [x.copy() if isinstance(x, np.ndarray) else x for x in self.operands]
        operands[8] = rows
        assert run(library, gemm.render(spec), *operands) == 0
        return operands


@hypothesis_settings(max_examples=25)
@given(st.integers(0, 10**9))
def test_one_turn(library, seed):
    """Any turn, against the reference: the row, and of the next block its share and nothing else."""
    pick = random.Random(seed).choice
    dtype = pick(["f32", "f32", "f64"])
    pair = Pair(
        pick([1, 8, 9, 15, 16, 17, 40]), pick([1, 3, 64, 130]), pick([16, 33, 48, 128]), pick([1, 3, 4]),
        pick([16, 17, 100, 128, 300]), pick([1, 5, 64, 131, 300]), dtype, pick([False, True]), pick([False, True]),
        pick(range(duet.LEAST_FIRST, duet.LEAST_FIRST + duet.BLOCK)),
    )  # fmt: skip
    if panel_lanes(dtype, pair.spec.step.units) != panel_lanes(dtype, pair.wide):
        return
    pair.operands[9] = pick(range(pair.count))
    native, expected = both(library, pair.spec, pair.operands)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == "f32" else {"rtol": 1e-12, "atol": 1e-12}
    for got, want in zip(native, expected):
        if isinstance(got, np.ndarray):
            np.testing.assert_allclose(got, want, **close)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("count", "k", "units", "chunks", "wide", "depth", "dtype"),
    [
        (100, 128, 128, 4, 512, 128, "f32"),
        (29, 128, 128, 3, 384, 100, "f32"),  # shares of one and of two panels
        (17, 96, 160, 1, 48, 300, "f32"),  # fewer panels than turns, sums in two blocks
        (41, 70, 64, 4, 136, 515, "f32"),  # a last panel that is cut, more pieces than the row has tiles for
        (33, 128, 64, 4, 256, 128, "f64"),
    ],
)
def test_the_bits_are_those_of_two_kernels(library, backwards, count, k, units, chunks, wide, depth, dtype):
    first = (count - duet.LEAST_FIRST) % duet.BLOCK + duet.LEAST_FIRST
    pair = Pair(count, k, units, chunks, wide, depth, dtype, backwards, first=first)
    result = pair.alone(library, pair.spec.rows, rows=first)[7]
    source = duet.render(pair.spec)
    row = pair.alone(library, pair.spec.step, rows=0)[3]
    for turn in range(count):
        place = result.reshape(count, wide)[count - 1 - turn if backwards else turn]
        assert not np.isnan(place).any(), "a turn's row is there when the turn starts"
        out = garbage(chunks * units, DTYPES[dtype])
        operands = [*pair.operands[:3], out, *pair.operands[4:7], result, count, turn, first]
        assert run(library, source, *operands) == 0
        assert out.tobytes() == row.tobytes()
    whole = pair.alone(library, pair.spec.rows, rows=count)[7]
    assert result.tobytes() == whole.tobytes()
    a = pair.operands[4].reshape(count, depth).astype(np.float64)
    b = numbers(5, depth, wide, dtype=dtype).astype(np.float64)
    close = {"rtol": 1e-4, "atol": 2e-4} if dtype == "f32" else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(result.reshape(count, wide), a @ b + pair.operands[6], **close)


def test_turns_without_rows_ahead_read_and_write_none(library):
    """In the last block, and when there is only one, the other product's memory is left alone."""
    pair = Pair(11, 32, 64, 4, 64, 32)
    source = duet.render(pair.spec)
    for count, turn, first in ((1, 0, 1), (8, 7, 8), (9, 3, 9), (11, 3, 3), (11, 10, 3)):
        nowhere = [0, 0, 0, 0]
        out = garbage(256, np.float32)
        assert run(library, source, *pair.operands[:3], out, *nowhere, count, turn, first) == 0
        assert not np.isnan(out).any()


# -- when


def sizes(step: tuple[int, int, int] = (128, 128, 4), rows: tuple[int, int] = (128, 512)) -> tuple[GemmSpec, GemmSpec]:
    """A step of (k, units, chunks) and a product over rows of (k, units)."""
    k, units, chunks = step
    body = tuple(Inst("acc", "f32", operand=g) for g in range(chunks))
    one = replace(plain(1, k, units), chunks=chunks, body=body, stores=(Store(Access(2, "f32", (0, 1)), 0),))
    return one, plain(Arg(3), *rows)


needs_registers = pytest.mark.skipif(register_bytes() < 64, reason="too few registers here")


@needs_registers
@pytest.mark.parametrize(
    ("step", "rows"),
    [
        ((128, 128, 4), (128, 512)),  # LSTM
        ((128, 128, 3), (128, 384)),  # GRU
        ((128, 512, 1), (64, 512)),
        ((64, 64, 4), (300, 256)),
        ((256, 256, 4), (512, 1024)),
    ],
)
def test_what_runs_together(step, rows):
    assert duet.refusal(*sizes(step, rows)) == ""


@needs_registers
def test_what_does_not():
    step, rows = sizes()
    second = Segment(Access(4, "f32", (64, 1)), 5, (), 64)
    for one, many, why in (
        (replace(step, rows=2), rows, "more than one row"),
        (replace(step, rows=Arg(3)), rows, "more than one row"),
        (step, replace(rows, more=(second,)), "no single product"),
        (step, replace(rows, chunks=2, units=128), "no single product"),
        (step, replace(rows, dtype="f64"), "of the dtype"),
        (step, replace(rows, k=Arg(4)), "only at run time"),
        (step, replace(rows, rows=duet.BLOCK), "its rows are few"),
        (sizes((32, 64, 4))[0], rows, "first-level cache"),
        (step, sizes(rows=(63, 512))[1], "too little work"),
        (sizes((64, 64, 4))[0], sizes(rows=(40, 256))[1], "too little work"),
        (step, replace(rows, units=lanes("f32") // 2), "registers"),
    ):
        assert why in duet.refusal(one, many), (one, many)


def test_small_registers_do_not_hold_both(monkeypatch):
    for bytes_of_one in (16, 32):
        monkeypatch.setattr(duet, "register_bytes", lambda have=bytes_of_one: have)
        assert "registers" in duet.refusal(*sizes())
