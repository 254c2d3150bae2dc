"""Elementwise work in the shape of what it reads: what fuses because of it, what cannot, and the same elements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specjit.codegen.kernels.spec import GemmSpec
from specjit.codegen.schedule.items import Map
from specjit.codegen.schedule.model import Home, Scalar, Source, Storage, View
from specjit.codegen.schedule.redimension import over
from specjit.ir.dims import symbol
from specjit.ir.viewref import ViewRef
from tests.codegen.plans import calls, check, f32

RNG = np.random.default_rng(17)


def product_then(rest: str, result: str = "f32[N,8,6,5]", more: str = "") -> str:
    """A product of each sample, seen as an image of 6 x 5, and what follows."""
    return f"""graph @f(%w: f32[8,12], %x: f32[N,12,30], %b: f32[8,1,1], %r: f32[N,8,6,5]{more}) -> {result} {{
      %p: f32[N,8,30] = matmul(%w, %x)
      %n: int = size(%p, 0)
      %l: tuple[int<N>, int<8>, int<6>, int<5>] = py.tuple(%n, 8, 6, 5)
      %y: f32[N,8,6,5] = reshape(%p, %l)
      {rest}
    }}"""


def given_arrays() -> list[np.ndarray]:
    return [f32(RNG, 8, 12), f32(RNG, 3, 12, 30), f32(RNG, 8, 1, 1), f32(RNG, 3, 8, 6, 5)]


@pytest.mark.parametrize(
    "rest",
    [
        "%a: f32[N,8,6,5] = add(%y, %b)\n %z: f32[N,8,6,5] = relu(%a)\n return %z",
        "%a: f32[N,8,6,5] = add(%y, %b)\n %c: f32[N,8,6,5] = add(%a, %r)\n %z: f32[N,8,6,5] = relu(%c)\n return %z",
        "%z: f32[N,8,6,5] = tanh(%y)\n return %z",
    ],
    ids=["bias of a channel", "another image", "the product alone"],
)
def test_an_epilogue_behind_a_reshape(rest):
    plan = check(product_then(rest), *given_arrays(), params=("w", "b"))
    (gemm,) = [s for s in plan.specs if isinstance(s, GemmSpec)]
    assert len(gemm.body) > 1
    assert len(calls(plan)) == 2, "the panels and the product"
    assert [(o.whole, [str(d) for d in o.dims]) for o in plan.outputs] == [(True, ["N", "8", "6", "5"])]
    assert not [n for n in plan.notes if n.kind == "NOT_FUSED"]


@pytest.mark.parametrize(
    ("rest", "more", "arrays"),
    [
        (
            "%v: f32[N,8,6,5] = permute(%s, [0, 1, 3, 2])\n %z: f32[N,8,6,5] = add(%y, %v)\n return %z",
            ", %s: f32[N,8,5,6]",
            [f32(RNG, 3, 8, 5, 6)],
        ),
        ("%z: f32[N,8,6,5] = add(%y, %s)\n return %z", ", %s: f32[6,1]", [f32(RNG, 6, 1)]),
    ],
    ids=["a turned image", "a number per row of the image"],
)
def test_what_has_no_such_shape_stays_apart_and_says_so(rest, more, arrays):
    plan = check(product_then(rest, more=more), *given_arrays(), *arrays, params=("w", "b"))
    assert len(calls(plan)) == 3
    (note,) = [n for n in plan.notes if n.kind == "NOT_FUSED"]
    assert "add starts a kernel of its own" in note.text


def test_into_one_part_of_a_join():
    """Rows of the image in a larger one: the place is strided, but an image of it is one piece."""
    rest = """%l2: list[f32[N,8,?,5]] = py.list(%y, %r)
      %z: f32[N,8,12,5] = cat(%l2, 2)
      return %z"""
    plan = check(product_then(rest, "f32[N,8,12,5]"), *given_arrays(), params=("w", "b"))
    assert len(calls(plan)) == 3, "the panels, the product into its part, and the other part"


# -- elements ----------------------------------------------------------------------------------------------------------


@st.composite
def maps(draw) -> tuple[Map, tuple[int, ...]]:
    dims = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4)))
    cut = draw(st.lists(st.booleans(), min_size=len(dims) - 1, max_size=len(dims) - 1))
    merged = [dims[0]]
    for d, apart in zip(dims[1:], cut):
        if apart:
            merged.append(d)
        else:
            merged[-1] *= d
    operands: list[View | Scalar | int] = []
    for _ in range(draw(st.integers(1, 3))):
        source = Source("f32", (1000,), home=Home(Storage("input", "f32", 1000)))
        strides = tuple(draw(st.sampled_from([0, 1, 2, 5, 12, 24])) for _ in dims)
        chosen = ViewRef(dims, strides, 3) if draw(st.booleans()) else ViewRef.contiguous(dims, 7)
        operands.append(View(source, chosen))
    out = Source("f32", dims)
    item = Map(out=out, text="", operands=operands, casts=["f32"] * len(operands), compute="f32")
    return item, tuple(merged)


def elements(ref: ViewRef) -> list[int]:
    """Where a view's elements lie, in row-major order."""
    memory = np.arange(1000)
    view = np.lib.stride_tricks.as_strided(memory[ref.offset :], ref.sizes, [8 * s for s in ref.strides])  # type: ignore[misc]
    return view.ravel().tolist()


@given(maps())
@settings(max_examples=200, deadline=None)
def test_the_elements_stay(made):
    item, dims = made
    shape = over(item, dims)
    if dims == item.out.dims:
        assert shape is None
    elif shape is not None:
        assert shape.dims == dims
        for before, after in zip(item.operands, shape.operands, strict=True):
            assert elements(before.ref) == elements(after.ref)  # type: ignore[union-attr]


def test_a_strided_place_is_kept_or_refused():
    n = symbol("N")
    source = Source("f32", (n, 2, 3, 4), home=Home(Storage("input", "f32", n * 24)))
    out = Source("f32", source.dims)
    item = Map(out=out, text="", operands=[source.whole()], casts=["f32"], compute="f32")
    place = Storage("temp", "f32", n * 100)
    out.want = Home(place, 5, (50, 20, 4, 1))
    shape = over(item, (n, 2, 12))
    assert shape is not None
    assert shape.want == Home(place, 5, (50, 20, 1))
    out.want = Home(place, 5, (50, 20, 6, 1))
    assert over(item, (n, 2, 12)) is None
    out.want = None
    item.operands.append(2)
    assert over(item, (n, 2, 12)) is None, "the third dim's own number is wanted"
