"""Kernels that draw: Philox in registers against Python integers and against the eager generator, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.kernels import draw
from specjit.codegen.kernels.spec import Arg, DrawSpec
from specjit.tensor import random
from tests.codegen import plans
from tests.codegen.kernel_runs import both, garbage, run, same_bits

DTYPES = {"f32": np.float32, "f64": np.float64}
# A carry out of the low half of the counter lies inside a draw; keys and counters use their high halves.
STARTS = [(0, 0), (0x123456789ABCDEF0, (1 << 32) - 3), (2**64 - 1, (1 << 61) + 5)]


def signed(seed: int) -> int:
    return seed - (1 << 64) if seed >> 63 else seed


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("seed", "first"), STARTS)
def test_numbers_are_those_of_python_integers(library, dtype, seed, first) -> None:
    for count in (0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 100):
        spec = DrawSpec(dtype, Arg(1), 0, Arg(2), Arg(3))
        native, expected = both(library, spec, [garbage(count, DTYPES[dtype]), count, signed(seed), first])
        assert same_bits(native[0], expected[0]), (count, native[0], expected[0])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_numbers_are_those_of_the_eager_generator(library, dtype) -> None:
    """Sizes known when the kernel is made, and long enough for many turns."""
    for seed, first in STARTS:
        for count in (64, 1000, 4097):
            out = garbage(count, DTYPES[dtype])
            run(library, draw.render(DrawSpec(dtype, count, 0, Arg(1), Arg(2))), out, signed(seed), first)
            generator = random.Generator().manual_seed(seed)
            generator.offset = 4 * first
            assert same_bits(out, random.uniform(generator, (count,), np.dtype(DTYPES[dtype])))


def test_a_plan_draws_in_a_loop_and_behind_a_branch() -> None:
    """The block number is any number of the program: a constant, carried by a loop, moved on in a branch."""
    text = """
    graph @g(%x: f32[T,B,3], %seed: int, %block: int) -> (f32[T,B,3], int, f64[B]) {
      %T: int<T> = size(%x, 0)
      %B: int<B> = size(%x, 1)
      %n: int = py.mul(%B, 3)
      %m: int = py.add(%n, 3)
      %step: int = py.floordiv(%m, 4)
      %shape: list[int] = py.list(%B, 3)
      %row_of: list[int] = py.list(%B)
      %end: int, %rows: f32[T,B,3] = loop %T, True, (%i: int, %at: int = %block) {
        %row: f32[B,3] = uniform(%shape, %seed, %at, f32)
        %next: int = py.add(%at, %step)
        yield True, %next, %row
      }
      %low: bool = py.lt(%block, 5)
      %last: int = if %low {
        yield %end
      } else {
        %far: int = py.add(%end, 1000)
        yield %far
      }
      %y: f64[B] = uniform(%row_of, %seed, %last, f64)
      return %rows, %last, %y
    }
    """
    for block in (0, 1 << 33):
        for t, b in ((3, 5), (1, 1), (0, 2), (2, 0)):
            plans.check(text, np.zeros((t, b, 3), np.float32), -5, block, rtol=0, atol=0)
