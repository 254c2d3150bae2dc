"""`numerics="fast"`: a product and the sum that takes it round once; "exact" never does."""

from __future__ import annotations

import ctypes
from fractions import Fraction

import numpy as np
import pytest

from specjit.codegen.abi import BUDGET, Status
from specjit.codegen.machine.native import machine
from specjit.codegen.schedule.interp import interpret
from specjit.codegen.vectors.registers import has_fma
from tests.codegen.plans import check, f32, graph_of, plan_of, run_graph
from tests.codegen.region_texts import lstm

RNG = np.random.default_rng(5)
X, Y, Z = RNG.standard_normal((3, 64, 7))


def function(*lines: str, dtype: str = "f64") -> str:
    inputs = ", ".join(f"%{n}: {dtype}[B,7]" for n in "xyz")
    return f"graph @f({inputs}) -> {dtype}[B,7] {{\n" + "\n".join(lines) + "\n  return %r\n}"


FUSED = {
    "sum": (["%p: f64[B,7] = mul(%x, %y)", "%r: f64[B,7] = add(%p, %z)"], lambda x, y, z: x * y + z),
    "sum, product last": (["%p: f64[B,7] = mul(%x, %y)", "%r: f64[B,7] = add(%z, %p)"], lambda x, y, z: z + x * y),
    "difference": (["%p: f64[B,7] = mul(%x, %y)", "%r: f64[B,7] = sub(%p, %z)"], lambda x, y, z: x * y - z),
    "from": (["%p: f64[B,7] = mul(%x, %y)", "%r: f64[B,7] = sub(%z, %p)"], lambda x, y, z: z - x * y),
    "square": (["%p: f64[B,7] = square(%x)", "%r: f64[B,7] = add(%p, %z)"], lambda x, y, z: x * x + z),
    "alpha": (["%r: f64[B,7] = add(%x, %y, alpha=0.1)"], lambda x, y, z: x + Fraction(0.1) * y),
    "minus alpha": (["%r: f64[B,7] = sub(%x, %y, alpha=0.1)"], lambda x, y, z: x - Fraction(0.1) * y),
    "a constant": (
        ["%p: f64[B,7] = mul(%x, 0.1)", "%r: f64[B,7] = add(%p, %z)"],
        lambda x, y, z: x * Fraction(0.1) + z,
    ),
}
APART = {
    "the product is used twice": (
        ["%p: f64[B,7] = mul(%x, %y)", "%s: f64[B,7] = add(%p, %z)", "%r: f64[B,7] = div(%s, %p)"],
        lambda x, y, z: (x * y + z) / (x * y),
    ),
    "a product of a sum": (
        ["%p: f64[B,7] = add(%x, %y)", "%r: f64[B,7] = mul(%p, %z)"],
        lambda x, y, z: (x + y) * z,
    ),
}


def sources(text: str, numerics: str) -> str:
    return "\n".join(plan_of(text, numerics=numerics).kernels)


def once(fn, *arrays):
    """`fn` in exact arithmetic, rounded once."""
    return np.vectorize(lambda *v: float(fn(*map(Fraction, v))))(*arrays)


@pytest.fixture(scope="module")
def native(library):
    loaded = machine(library)
    enter = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(loaded.address)

    def run(plan, frame):
        code = plan.code(library.get_many([*zip(plan.kernels, plan.hints)]))
        frame[BUDGET] = 1 << 40
        assert loaded.address, "the machine is unloaded with its last reference"
        return Status(enter(code.words.ctypes.data, frame.ctypes.data))

    return run


@pytest.mark.parametrize("name", FUSED)
def test_fast_rounds_once_and_exact_twice(name, native):
    lines, fn = FUSED[name]
    text = function(*lines)
    assert "simd.fma(" not in sources(text, "exact")
    (exact,) = interpret(plan_of(text), (X, Y, Z), native)
    np.testing.assert_array_equal(exact, run_graph(graph_of(text), X, Y, Z)[0])
    (fast,) = interpret(plan_of(text, numerics="fast"), (X, Y, Z), native)
    wanted = once(fn, X, Y, Z)
    assert "simd.fma(" in sources(text, "fast")
    np.testing.assert_array_equal(fast, wanted if has_fma() else exact)
    assert (exact != wanted).any(), "the inputs must tell the two apart"


@pytest.mark.parametrize("name", APART)
def test_what_stays_apart(name):
    lines, _ = APART[name]
    assert sources(function(*lines), "fast") == sources(function(*lines), "exact")


def test_integers_are_left_alone():
    text = function("%p: i64[B,7] = mul(%x, %y)", "%r: i64[B,7] = add(%p, %z)", dtype="i64")
    assert sources(text, "fast") == sources(text, "exact")


def test_a_product_in_another_dtype_is_left_alone():
    text = """graph @f(%x: f32[B,7], %z: f64[B,7]) -> f64[B,7] {
      %p: f32[B,7] = mul(%x, %x)
      %r: f64[B,7] = add(%p, %z)
      return %r
    }"""
    assert sources(text, "fast") == sources(text, "exact")


def test_the_epilogue_of_a_product_is_contracted():
    t, b, i, h = 3, 2, 5, 8
    args = (f32(RNG, t, b, i), f32(RNG, b, h), f32(RNG, b, h), t)
    weights = (f32(RNG, 4 * h, i), f32(RNG, 4 * h, h), f32(RNG, 4 * h), f32(RNG, 4 * h))
    params = ("wi", "wh", "bi", "bh")
    check(lstm(i, h), *args, *weights, params=params)
    plan = plan_of(lstm(i, h), params=params, numerics="fast")
    assert "simd.fma(" in "\n".join(plan.kernels)
    found = interpret(plan, (*args, *weights))
    for mine, theirs in zip(found, run_graph(graph_of(lstm(i, h)), *args, *weights), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=3e-5, atol=3e-6)
