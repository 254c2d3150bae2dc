"""Matrix-product and packing kernels against the NumPy evaluator: all sizes from none to many, any layout, fused
epilogues.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from specjit.codegen.kernels import gemm, pack, tiling
from specjit.codegen.kernels.reference import DTYPES
from specjit.codegen.kernels.spec import Access, Arg, Extent, GemmSpec, Inst, PackSpec, Segment, Store
from specjit.codegen.vectors.lanes import panel_lanes, register_bytes
from tests.codegen.kernel_runs import both, garbage, run

ROWS = [1, 1, 2, 3, 5, 7, 12, 13, 40, 130]
UNITS = [1, 2, 3, 8, 15, 16, 17, 33, 48, 80]
DEPTHS = [0, 1, 2, 3, 5, 16, 31, 130, 300, 1100]
CHUNKS = [1, 1, 1, 2, 3, 4, 4, 5, 9]


def panels(matrix: np.ndarray, lanes: int) -> np.ndarray:
    """B(..., k, chunk, unit) as panels, written independently of the kernel."""
    *outer, k, chunks, units = matrix.shape
    count = -(-units // lanes)
    out = np.zeros((*outer, count, k, chunks, lanes), matrix.dtype)
    for u in range(units):
        out[..., u // lanes, :, :, u % lanes] = matrix[..., u]
    return out.ravel()


class Maker:
    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.operands: list = []

    def operand(self, value: object) -> int:
        self.operands.append(value)
        return len(self.operands) - 1

    def maybe_symbolic(self, value: int, chance: float = 0.25) -> Extent:
        return Arg(self.operand(value)) if self.rng.random() < chance else value

    def normal(self, count: int, dtype: str) -> np.ndarray:
        return self.numbers.normal(size=count).astype(DTYPES[dtype])

    def window(self, shape: tuple[int, ...], dtype: str, values: str, broadcast: bool = False) -> Access:
        """A new array of that shape, perhaps transposed or padded."""
        order = list(range(len(shape)))
        if self.rng.random() < 0.3:
            self.rng.shuffle(order)
        strides, step = [0] * len(shape), 1
        for d in reversed(order):
            if broadcast and self.rng.random() < 0.4:
                continue
            strides[d] = step
            step = step * max(shape[d], 1) + (self.rng.randrange(3) if self.rng.random() < 0.3 else 0)
        make = self.normal(step + 4, dtype) if values == "normal" else garbage(step + 4, DTYPES[dtype])
        return Access(self.operand(make), dtype, tuple(strides), self.rng.choice([0, 3]))


def product(seed: int) -> tuple[GemmSpec, list]:
    make = Maker(seed)
    pick = make.rng.choice
    dtype = pick(["f32", "f32", "f64"])
    outer = tuple(pick([1, 2, 3]) for _ in range(pick([0, 0, 0, 1, 2])))
    rows, units, k, chunks = pick(ROWS), pick(UNITS), pick(DEPTHS), pick(CHUNKS)
    if rows * units * k * chunks > 4_000_000:
        k = 31
    units_spec = make.maybe_symbolic(units, 0.15)
    lanes = panel_lanes(dtype, units_spec if isinstance(units_spec, int) else None)
    depths = [k, *(pick([0, 1, 5, 16, 70, 300]) for _ in range(pick([0, 0, 1, 2])))]
    segments = [segment(make, dtype, outer, rows, depth, chunks, units, lanes) for depth in depths]
    domain = (*outer, rows, units)
    body: list[Inst] = []
    stores: list[Store] = []
    for g in range(chunks):
        body.append(Inst("acc", dtype, operand=g))
        value = len(body) - 1
        for _ in range(pick([0, 1, 2]) if chunks < 6 else 0):
            body.append(Inst("load", dtype, access=make.window(domain, dtype, "normal", broadcast=True)))
            text = pick(["{0} + {1}", "{0} * {1}", "{1} - {0}", "vecmath.tanh({0}) * {1}"])
            body.append(Inst("apply", dtype, args=(value, len(body) - 1), text=text))
            value = len(body) - 1
        stores.append(Store(make.window(domain, dtype, "garbage"), value))
    if make.rng.random() < 0.2:
        body.append(Inst("index", "i64", dim=make.rng.randrange(len(domain))))
        stores.append(Store(make.window(domain, "i64", "garbage"), len(body) - 1))
    spec = GemmSpec(
        dtype,
        tuple(make.maybe_symbolic(n) for n in outer),
        make.maybe_symbolic(rows),
        units_spec,
        chunks,
        segments[0].k,
        segments[0].a,
        segments[0].b,
        segments[0].b_strides,
        tuple(body),
        tuple(stores),
        tuple(segments[1:]),
    )
    return spec, make.operands


def segment(
    make: Maker, dtype: str, outer: tuple[int, ...], rows: int, k: int, chunks: int, units: int, lanes: int
) -> Segment:
    """One product of the sum, on new operands."""
    a = make.window((*outer, rows, k), dtype, "normal")
    shared = [make.rng.random() < 0.5 for _ in outer]
    matrix = make.numbers.normal(size=(*(1 if s else n for s, n in zip(shared, outer)), k, chunks, units))
    packed = panels(matrix.astype(DTYPES[dtype]), lanes)
    size = packed.size // int(np.prod([1 if s else n for s, n in zip(shared, outer)], dtype=int))
    b = make.operand(np.concatenate([packed, np.full(3, np.nan, packed.dtype)]))
    strides, step = [0] * len(outer), size
    for d in reversed(range(len(outer))):
        if not shared[d]:
            strides[d], step = step, step * outer[d]
    return Segment(a, b, tuple(strides), make.maybe_symbolic(k))


@hypothesis_settings(max_examples=30)
@given(st.integers(0, 10**9))
def test_products(library, seed):
    spec, operands = product(seed)
    native, expected = both(library, spec, operands)
    tolerance = 2e-5 if spec.dtype == "f32" else 1e-13
    for s in spec.stores:
        got, want = native[s.access.base], expected[s.access.base]
        scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
        np.testing.assert_allclose(got, want, rtol=50 * tolerance, atol=5 * tolerance * scale, err_msg=str(spec))


def packing(seed: int) -> tuple[PackSpec, list]:
    make = Maker(seed)
    pick = make.rng.choice
    dtype = pick(["f32", "f64"])
    outer = tuple(pick([1, 2, 3]) for _ in range(pick([0, 0, 1, 2])))
    units, k, chunks = pick(UNITS), pick(DEPTHS[:-1]), pick(CHUNKS)
    source = make.window((*outer, k, chunks, units), dtype, "normal", broadcast=True)
    sizes = [make.maybe_symbolic(n) for n in (*outer, k)]
    spec = PackSpec(dtype, tuple(sizes[:-1]), make.maybe_symbolic(units, 0.2), chunks, sizes[-1], source, -1)
    known = {i: v for i, v in enumerate(make.operands) if isinstance(v, int)}
    count = pack.panel_elements(spec, known) * int(np.prod(outer, dtype=int))
    return replace(spec, dst=make.operand(garbage(count, DTYPES[dtype]))), make.operands


@hypothesis_settings(max_examples=15)
@given(st.integers(0, 10**9))
def test_packing(library, seed):
    spec, operands = packing(seed)
    native, expected = both(library, spec, operands)
    assert (native[spec.dst] == expected[spec.dst]).all(), spec
    number = lambda e: operands[e.index] if isinstance(e, Arg) else e  # noqa: E731
    at = np.indices([number(e) for e in (*spec.outer, spec.k, spec.chunks, spec.units)])
    picked = sum((i * s for i, s in zip(at, spec.src.strides)), np.zeros(at.shape[1:], np.int64)) + spec.src.offset
    assert (native[spec.dst] == panels(operands[spec.src.base][picked], pack.lanes_for(spec))).all()


def plain(rows: Extent, k: Extent, units: int, dtype: str = "f32") -> GemmSpec:
    """C = A @ B with contiguous A and C; operands a, b, c and then what the Args name."""
    k_stride = k if isinstance(k, int) else Arg(k.index)
    out = Access(2, dtype, (units, 1))
    body, stores = (Inst("acc", dtype, operand=0),), (Store(out, 0),)
    return GemmSpec(dtype, (), rows, units, 1, k, Access(0, dtype, (k_stride, 1)), 1, (), body, stores)


@pytest.mark.parametrize("rows", [1, 3, 12])
def test_long_products_are_as_accurate_as_blas(library, rows):
    """max(2 x BLAS's error, 4 eps sum|a b|), on sums of one sign and of both."""
    k, units = 60_000, 16
    rng = np.random.default_rng(1)
    for low in (0.0, -1.0):
        a = rng.uniform(low, 1, (rows, k)).astype(np.float32)
        b = rng.uniform(low, 1, (k, units)).astype(np.float32)
        out = garbage(rows * units, np.float32)
        packed = panels(b.reshape(k, 1, units), panel_lanes("f32", units))
        assert run(library, gemm.render(plain(rows, Arg(3), units)), a, packed, out, k) == 0
        exact = a.astype(np.float64) @ b.astype(np.float64)
        size = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
        error = np.abs(out.reshape(rows, units) - exact)
        blas = np.abs(a @ b - exact)
        assert (error <= np.maximum(2 * blas.max(), 4 * np.finfo(np.float32).eps * size)).all()
        assert error.max() <= max(2 * blas.max(), 4 * np.finfo(np.float32).eps * np.abs(exact).max())


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("k", [0, 1, 1000, 1024, 5000])
def test_long_sums_of_side_by_side_rows(library, known, k):
    """A transposed left operand of more than a block of rows goes in pieces of k, and the sums wait in the result's
    place.
    """
    units = 230
    height = tiling.choose(plain(Arg(4), Arg(3), units)).row_block + 34
    spec = replace(plain(height if known else Arg(4), Arg(3), units), a=Access(0, "f32", (1, height)))
    assert tiling.choose(spec).long_block
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(k, height)).astype(np.float32), rng.normal(size=(k, units)).astype(np.float32)
    out = garbage(height * units, np.float32)
    packed = panels(b.reshape(k, 1, units), panel_lanes("f32", units))
    assert run(library, gemm.render(spec), a, packed, out, k, height) == 0
    exact = a.T.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(out.reshape(height, units), exact, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 7, 9, 11, 96, 97, 100, 130])
def test_sums_that_are_the_result_are_stored_in_place(library, rows, dtype):
    """Tiles that reach past the last row write nothing outside the result; known and unknown numbers of rows."""
    k, units = 37, 256
    rng = np.random.default_rng(rows)
    a, b = (rng.normal(size=size).astype(DTYPES[dtype]) for size in ((rows, k), (k, units)))
    packed = panels(b.reshape(k, 1, units), panel_lanes(dtype, units))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    for extent in (rows, Arg(3)):
        spec = plain(extent, k, units, dtype)
        assert tiling.choose(spec).final
        native, _ = both(library, spec, [a.ravel(), packed, garbage(rows * units, DTYPES[dtype]), rows])
        close = {"rtol": 1e-5, "atol": 1e-5} if dtype == "f32" else {"rtol": 1e-13, "atol": 1e-13}
        np.testing.assert_allclose(native[2].reshape(rows, units), exact, **close)


def test_products_over_outer_loops_are_stored_in_place(library):
    """Offsets, padded rows, and an outer dimension that is stored inside the rows."""
    outer, rows, k, units = 3, 7, 20, 128
    place = Access(2, "f32", (units + 8, outer * (units + 8), 1), 5)
    spec = replace(
        plain(rows, k, units),
        outer=(outer,),
        a=Access(0, "f32", (rows * k, k, 1)),
        b_strides=(0,),
        stores=(Store(place, 0),),
    )
    assert tiling.choose(spec).final
    rng = np.random.default_rng(4)
    a, b = (rng.normal(size=size).astype(np.float32) for size in ((outer, rows, k), (k, units)))
    out = garbage(5 + rows * outer * (units + 8), np.float32)
    packed = panels(b.reshape(k, 1, units), panel_lanes("f32", units))
    native, _ = both(library, spec, [a.ravel(), packed, out])
    got = native[2][5:].reshape(rows, outer, units + 8)
    np.testing.assert_allclose(got[..., :units], (a @ b).transpose(1, 0, 2), rtol=1e-5, atol=1e-5)
    assert np.isnan(got[..., units:]).all() and np.isnan(native[2][:5]).all()


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("units", [1, 17, 120, 200, 333])
def test_one_row_in_either_direction(library, dtype, units):
    """Panels of a product larger than the first-level cache are taken from either end: the same bits from two
    neighbouring places of the row, with whole and cut tiles.
    """
    k = 200
    rng = np.random.default_rng(units)
    rows, b = (rng.normal(size=size).astype(DTYPES[dtype]) for size in ((1, k), (k, units)))
    rows = np.tile(rows, (2, 1))
    packed = panels(b.reshape(k, 1, units), panel_lanes(dtype, units))
    results = []
    for row in rows:
        out = garbage(units, DTYPES[dtype])
        assert run(library, gemm.render(plain(1, k, units, dtype)), row, packed, out) == 0
        results.append(out)
    assert results[0].tobytes() == results[1].tobytes()
    exact = rows[0].astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(results[0], exact, rtol=0, atol=1e-4 if dtype == "f32" else 1e-12)


def test_panels_that_stay_in_cache_between_turns():
    """One row and B between the two levels of cache: narrow tiles. Otherwise as wide as for any product."""
    lane = register_bytes()
    k = tiling.L1_BYTES // 2 // lane  # of which one panel is half the first level

    def width(rows: Extent, k: int, panel_count: int) -> int:
        return tiling.choose(plain(rows, k, panel_count * panel_lanes("f32", None))).panels

    assert width(1, k, 8) == 1
    assert width(1, k // 2, 16) == 2
    assert width(1, k // 4, 32) == 4  # a tile of four is small enough
    assert width(1, k, 2) == 2  # the first level holds all
    assert width(1, k, 64) == 4  # more than the second level
    assert width(1, 2 * k, 8) == 4  # even one panel is too large
    assert width(2, k, 8) == width(Arg(3), k, 8) == 4


def test_what_needs_an_epilogue_is_not_stored_in_place():
    spec = plain(Arg(3), 64, 256)
    assert tiling.choose(spec).final
    doubled = (*spec.body, Inst("apply", "f32", args=(0, 0), text="{0} + {1}"))
    column = Access(2, "f32", (1, 100))
    second = Segment(Access(4, "f32", (64, 1)), 5, (), 64)
    for other in (
        replace(spec, body=doubled, stores=(Store(spec.stores[0].access, 1),)),
        replace(spec, stores=(Store(column, 0),)),
        replace(spec, stores=spec.stores * 2),
        replace(spec, units=250),
        replace(spec, units=Arg(4)),
        replace(spec, k=5000),
        replace(spec, k=Arg(4)),
        replace(spec, more=(second,)),
        replace(spec, units=128, chunks=2),
    ):
        assert not tiling.choose(other).final, other


@pytest.mark.parametrize("units", [16, 33, 48, 130])
def test_rows_do_not_depend_on_their_neighbours(library, units):
    """A row computed with others gives the same bits at any place, however many they are."""
    k = 70
    rng = np.random.default_rng(2)
    row = rng.normal(size=k).astype(np.float32)
    b = panels(rng.normal(size=(k, 1, units)).astype(np.float32), panel_lanes("f32", units))
    results = []
    for count in (2, 3, 5, 7, 13, 24, 25, 30, 97):
        out = garbage(count * units, np.float32)
        assert run(library, gemm.render(plain(Arg(3), k, units)), np.tile(row, count), b, out, count) == 0
        results.append(out.reshape(count, units))
    assert len({r.tobytes() for result in results for r in result}) == 1


def test_nan_and_infinity_pass_through_a_product(library):
    a = np.array([[1, np.inf, 0], [np.nan, 0, 1], [0, 0, 2]], np.float32)
    b = np.array([[1, 2], [3, 0], [np.inf, 1]], np.float32)
    out = garbage(6, np.float32)
    packed = panels(b.reshape(3, 1, 2), panel_lanes("f32", 2))
    assert run(library, gemm.render(plain(3, 3, 2)), a, packed, out) == 0
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(out.reshape(3, 2), a @ b)


def test_panel_elements_counts_whole_panels():
    spec = PackSpec("f32", (), 17, 3, 5, Access(0, "f32", (0, 0, 0)), 1)
    lanes = panel_lanes("f32", 17)
    assert pack.panel_elements(spec) == -(-17 // lanes) * lanes * 5 * 3
    symbolic = PackSpec("f32", (), 17, 3, Arg(2), Access(0, "f32", (0, 0, 0)), 1)
    assert pack.panel_elements(symbolic, {2: 5}) == pack.panel_elements(spec)
    with pytest.raises(ValueError, match="sizes"):
        pack.panel_elements(symbolic)
