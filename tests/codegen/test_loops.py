"""Loop kernels against the NumPy evaluator: any domain, strides, dtypes and sizes, in place, reduced once and again."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from specjit.codegen.kernels import loops
from specjit.codegen.kernels.reference import DTYPES
from specjit.codegen.kernels.spec import Access, Arg, Extent, Inst, LoopSpec, Store
from tests.codegen.kernel_runs import both, garbage, run, same_bits

EXTENTS = [0, 1, 2, 3, 4, 7, 15, 16, 17, 33, 64, 70]


def load(base: int, strides: tuple, dtype: str = "f32", offset: Extent = 0) -> Inst:
    return Inst("load", dtype, access=Access(base, dtype, strides, offset))


def apply(text: str, *args: int, dtype: str = "f32") -> Inst:
    return Inst("apply", dtype, args=args, text=text)


def reduce(kind: str, arg: int, dtype: str = "f32") -> Inst:
    return Inst("reduce", dtype, args=(arg,), text=kind)


def store(base: int, strides: tuple, value: int, dtype: str = "f32", offset: Extent = 0) -> Store:
    return Store(Access(base, dtype, strides, offset), value)


class Maker:
    """Makes a random spec together with its operands."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.operands: list = []
        self.body: list[Inst] = []

    def operand(self, value: object) -> int:
        self.operands.append(value)
        return len(self.operands) - 1

    def values(self, count: int, dtype: str) -> np.ndarray:
        kind = DTYPES[dtype]
        if dtype in ("f32", "f64"):
            x = self.numbers.normal(size=count).astype(kind)
            if count and self.rng.random() < 0.3:
                x[self.numbers.integers(0, count, 1 + count // 9)] = self.rng.choice([np.nan, np.inf, -np.inf, -0.0])
            return x
        if dtype == "bool":
            return self.numbers.integers(0, 2, count).astype(kind)
        return self.numbers.integers(0 if dtype == "u8" else -50, 50, count).astype(kind)

    def extent(self, value: int) -> Extent:
        """The number itself, or an operand that holds it."""
        return Arg(self.operand(value)) if self.rng.random() < 0.3 else value

    def layout(self, shape: tuple[int, ...], written: bool) -> tuple[list[int], int, int]:
        """Strides, offset and element count of an array of that shape: permuted, padded, or broadcast if only read."""
        order = list(range(len(shape)))
        if self.rng.random() < 0.4:
            self.rng.shuffle(order)
        strides, step = [0] * len(shape), 1
        if self.rng.random() < 0.25:
            step = self.rng.choice([2, 3])
        for d in reversed(order):
            if not written and self.rng.random() < 0.2:
                continue
            strides[d] = step
            step *= max(shape[d], 1)
            if self.rng.random() < 0.2:
                step += self.rng.randrange(4)
        offset = self.rng.choice([0, 0, 5])
        count = offset + step + 1
        for d, size in enumerate(shape):
            if size and self.rng.random() < 0.1:  # walked backwards
                offset += (size - 1) * strides[d]
                strides[d] = -strides[d]
        return strides, offset, count

    def access(self, shape: tuple[int, ...], dtype: str, keep: int | None = None) -> Access:
        """A window on a new array: read whole, or (with `keep`) written along the first `keep` dimensions only."""
        written = keep is not None
        inner = shape[:keep] if written else shape
        strides, offset, count = self.layout(inner, written)
        base = self.operand(garbage(count, DTYPES[dtype]) if written else self.values(count, dtype))
        strides += [0] * (len(shape) - len(strides))
        return Access(base, dtype, tuple(self.extent(s) if s > 1 else s for s in strides), offset)

    def add(self, inst: Inst) -> int:
        self.body.append(inst)
        return len(self.body) - 1

    def pick(self, dtype: str) -> int:
        return self.rng.choice([i for i, inst in enumerate(self.body) if inst.dtype == dtype])

    def step(self, dtype: str, exact: bool) -> None:
        """One more instruction on values of `dtype`."""
        a, b = self.pick(dtype), self.pick(dtype)
        table = ["{0} + {1}", "{0} - {1}", "{0} * {1}", "maximum({0}, 0)", "select({0} < {1}, {1}, {0})"]
        if dtype in ("f32", "f64"):
            table += ["-{0}", "abs({0})", "{0} / {1}", "1 / sqrt({0})", "simd.minimum({0}, {1})"]
            if not exact:
                table += ["tanh({0})", "sigmoid({0})", "vecmath.exp(-abs({0}))"]
        else:
            table += ["{0} & {1}", "{0} ^ {1}", "~{0}", "{0} // {1}", "{0} % {1}"]
        self.add(apply(self.rng.choice(table), a, b, dtype=dtype))

    def sources(self, shape: tuple[int, ...], dtype: str) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.add(Inst("load", dtype, access=self.access(shape, dtype)))
        extra = self.rng.random()
        if extra < 0.25:
            number = self.numbers.normal() if dtype[0] == "f" else int(self.numbers.integers(1, 9))
            self.add(Inst("scalar", dtype, operand=self.operand(float(number) if dtype[0] == "f" else number)))
        elif extra < 0.5:
            self.add(Inst("const", dtype, value=self.rng.choice([0, 1, 2, 7])))
        elif extra < 0.7 and shape:
            self.add(Inst("index", dtype, dim=self.rng.randrange(len(shape))))


def pointwise(seed: int) -> tuple[LoopSpec, list, bool]:
    make = Maker(seed)
    shape = tuple(make.rng.choice(EXTENTS) for _ in range(make.rng.randint(0, 3)))
    dtype = make.rng.choice(["f32", "f32", "f64", "i64", "i32", "u8"])
    exact = make.rng.random() < 0.7
    make.sources(shape, dtype)
    for _ in range(make.rng.randint(1, 5)):
        make.step(dtype, exact)
    value = len(make.body) - 1
    other = make.rng.choice(["f32", "f64", "i32", "bool", dtype])
    stores = [Store(make.access(shape, dtype, len(shape)), value)]
    if other != dtype and exact and not (dtype[0] == "f" and other == "i32"):
        cast = make.add(Inst("cast", other, args=(value,)))
        stores.append(Store(make.access(shape, other, len(shape)), cast))
    if make.rng.random() < 0.3 and shape:  # in place: what is stored is loaded at the same point
        access = stores[0].access
        make.operands[access.base] = make.values(make.operands[access.base].size, dtype)
        old = make.add(Inst("load", dtype, access=access))
        total = make.add(apply("{0} + {1}", old, value, dtype=dtype))
        stores[0] = Store(access, total)
    domain = tuple(make.extent(n) for n in shape)
    return LoopSpec(domain, tuple(make.body), tuple(stores)), make.operands, exact


@hypothesis_settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_pointwise(library, seed):
    spec, operands, exact = pointwise(seed)
    native, expected = both(library, spec, operands)
    for s in spec.stores:
        got, want = native[s.access.base], expected[s.access.base]
        if exact:
            assert same_bits(got, want), (spec, got, want)
        else:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def reduction(seed: int) -> tuple[LoopSpec, list, bool]:
    make = Maker(seed)
    rank = make.rng.randint(1, 3)
    reduced = make.rng.randint(1, rank)
    shape = tuple(make.rng.choice(EXTENTS[1:]) for _ in range(rank))
    outer = rank - reduced
    dtype = make.rng.choice(["f32", "f32", "f64", "i64", "i32"])
    make.sources(shape, dtype)
    kinds = ["sum", "max", "min", "argmax", "argmin"]
    if dtype[0] == "f" and not any(i.kind == "index" for i in make.body):  # whose product overflows in some orders
        kinds.append("prod")
    for _ in range(make.rng.randint(0, 2)):
        make.step(dtype, exact=True)
    if dtype[0] == "f" and make.rng.random() < 0.3:
        make.add(apply("vecmath.exp(-vecmath.abs({0}))", len(make.body) - 1, dtype=dtype))
    value = len(make.body) - 1
    stores, exact = [], not any("vecmath.exp" in i.text for i in make.body)
    for _ in range(make.rng.randint(1, 3)):
        kind = make.rng.choice(kinds)
        out = "i64" if kind.startswith("arg") else dtype
        result = make.add(reduce(kind, value, out))
        exact &= kind not in ("sum", "prod") or dtype[0] == "i"
        stores.append(Store(make.access(shape, out, outer), result))
        if make.rng.random() < 0.5 and not kind.startswith("arg"):
            # an element-wise use of the result, reduced again or stored
            centred = make.add(apply("{0} - {1}", value, result, dtype=dtype))
            if make.rng.random() < 0.5:
                square = make.add(apply("{0} * {0}", centred, dtype=dtype))
                total = make.add(reduce("sum", square, dtype))
                exact &= dtype[0] == "i"
                stores.append(Store(make.access(shape, dtype, outer), total))
            else:
                stores.append(Store(make.access(shape, dtype, rank), centred))
    if make.rng.random() < 0.3:
        test = make.add(apply("{0} < {1}", value, value, dtype="bool"))
        kind = make.rng.choice(["any", "all"])
        stores.append(Store(make.access(shape, "bool", outer), make.add(reduce(kind, test, "bool"))))
    domain = tuple(make.extent(n) for n in shape)
    return LoopSpec(domain, tuple(make.body), tuple(stores), reduced), make.operands, exact


@hypothesis_settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_reductions(library, seed):
    spec, operands, exact = reduction(seed)
    native, expected = both(library, spec, operands)
    for s in spec.stores:
        got, want = native[s.access.base], expected[s.access.base]
        if exact and not any(i.text in ("max", "min") for i in spec.body):
            assert same_bits(got, want), (spec, got, want)
        elif got.dtype.kind == "f":  # which zero a maximum of zeros is, and sums, depend on the order
            finite = want[np.isfinite(want)]
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-4 * max(1.0, np.abs(finite).max(initial=0.0)))
        elif got.dtype == np.int64 and not exact:
            pass
        else:
            assert (got == want).all(), spec


def row_sum(extent: Extent, stride: Extent = 1) -> LoopSpec:
    return LoopSpec((extent,), (load(0, (stride,)), reduce("sum", 0)), (store(1, (0,), 1),), 1)


@pytest.mark.parametrize("n", [1, 100, 5_000, 1_000_003])
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_long_sums_are_as_accurate_as_numpys(library, n, low):
    """max(2 x the error of NumPy's pairwise sum, 4 eps sum|a|), and in fact far below the second."""
    x = np.random.default_rng(n).uniform(low, 1, n).astype(np.float32)
    out = garbage(1, np.float32)
    assert run(library, loops.render(row_sum(Arg(2))), x, out, n) == 0
    exact = x.astype(np.longdouble).sum()
    error = abs(out[0] - exact)
    assert error <= max(2 * abs(x.sum() - exact), 2 * np.finfo(np.float32).eps * np.abs(x).sum())


@pytest.mark.parametrize("rows", [70_000])
def test_long_column_sums_are_accurate(library, rows):
    x = np.random.default_rng(1).uniform(0, 1, (rows, 40)).astype(np.float32)
    spec = LoopSpec((40, Arg(2)), (load(0, (1, 40)), reduce("sum", 0)), (store(1, (1, 0), 1),), 1)
    out = garbage(40, np.float32)
    assert run(library, loops.render(spec), x, out, rows) == 0
    exact = x.astype(np.float64).sum(0)
    assert (np.abs(out - exact) <= 2 * np.finfo(np.float32).eps * exact).all()


def test_sums_keep_infinities(library):
    source = loops.render(row_sum(Arg(2)))
    for special in (np.inf, -np.inf, np.nan):
        x = np.ones(10_000, np.float32)
        x[[3, 9_000]] = special
        out = garbage(1, np.float32)
        assert run(library, source, x, out, x.size) == 0
        assert same_bits(out, x.sum(keepdims=True))


def test_one_kernel_serves_every_size(library):
    """Extents and strides from the frame: the same code for all of them, empty ones included."""
    body = (load(0, (Arg(4), 1)), load(1, (0, 1)), apply("vecmath.exp({0}) + {1}", 0, 1), reduce("max", 2))
    stores = (store(2, (Arg(4), 1), 2), store(3, (1, 0), 3))
    spec = LoopSpec((Arg(5), Arg(6)), body, stores, 1)
    source = loops.render(spec)
    rng = np.random.default_rng(0)
    for rows, columns in [(0, 5), (1, 1), (3, 16), (5, 17), (2, 100), (40, 3)]:
        x, b = rng.normal(size=(rows, columns)).astype(np.float32), rng.normal(size=columns).astype(np.float32)
        y, best = garbage(rows * columns + 1, np.float32), garbage(rows + 1, np.float32)
        assert run(library, source, x, b, y, best, columns, rows, columns) == 0
        want = np.exp(x.astype(np.float64)) + b
        np.testing.assert_allclose(y[:-1].reshape(rows, columns), want, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(best[:-1], want.max(1) if rows else [], rtol=1e-6, atol=1e-6)
        assert np.isnan([y[-1], best[-1]]).all()


def test_empty_reductions_have_their_neutral_element(library):
    x, sums, products, anything = (garbage(4, t) for t in (np.float32, np.float32, np.float32, bool))
    body = (load(0, (Arg(4), 1)), reduce("sum", 0), reduce("prod", 0), apply("{0} < {0}", 0, dtype="bool"))
    body += (reduce("any", 3, "bool"),)
    stores = (store(1, (1, 0), 1), store(2, (1, 0), 2), store(3, (1, 0), 4, "bool"))
    assert run(library, loops.render(LoopSpec((4, Arg(4)), body, stores, 1)), x, sums, products, anything, 0) == 0
    assert (sums == 0).all()
    assert (products == 1).all()
    assert not anything.any()


def test_first_index_wins_ties_and_nan_wins_all(library):
    body = (load(0, (37, 1)), reduce("argmax", 0, "i64"), reduce("argmin", 0, "i64"))
    stores = (store(1, (1, 0), 1, "i64"), store(2, (1, 0), 2, "i64"))
    source = loops.render(LoopSpec((50, 37), body, stores, 1))
    rng = np.random.default_rng(4)
    x = rng.integers(-2, 3, (50, 37)).astype(np.float32)
    x[10:20][rng.random((10, 37)) < 0.1] = np.nan
    x[20] = -np.inf
    x[21] = np.inf
    x[22] = np.nan
    top, bottom = garbage(50, np.int64), garbage(50, np.int64)
    assert run(library, source, x, top, bottom) == 0
    assert (top == x.argmax(1)).all()
    assert (bottom == x.argmin(1)).all()


def softmax(columns: int) -> LoopSpec:
    body = (
        load(0, (columns, 1)),
        reduce("max", 0),
        apply("vecmath.exp({0} - {1})", 0, 1),
        reduce("sum", 2),
        apply("{0} / {1}", 2, 3),
    )
    return LoopSpec((Arg(2), columns), body, (store(1, (columns, 1), 4),), 1)


@pytest.mark.parametrize("columns", [3, 100, 1000])
def test_softmax_in_one_kernel(library, columns):
    x = np.random.default_rng(columns).normal(size=(9, columns)).astype(np.float32) * 20
    out = garbage(x.size, np.float32)
    assert run(library, loops.render(softmax(columns)), x, out, 9) == 0
    wide = np.exp((x - x.max(1, keepdims=True)).astype(np.float64))
    np.testing.assert_allclose(out.reshape(x.shape), wide / wide.sum(1, keepdims=True), rtol=2e-6, atol=1e-38)


def test_layer_norm_in_place(library):
    n = 77
    body = (
        load(0, (n, 1)),
        reduce("sum", 0),
        Inst("const", "f32", value=float(n)),
        apply("{0} / {1}", 1, 2),
        apply("{0} - {1}", 0, 3),
        apply("{0} * {0}", 4),
        reduce("sum", 5),
        Inst("const", "f32", value=1e-5),
        apply("{0} / vecmath.sqrt({1} / {2} + {3})", 4, 6, 2, 7),
        load(1, (0, 1)),
        load(2, (0, 1)),
        apply("{0} * {1} + {2}", 8, 9, 10),
    )
    spec = LoopSpec((5, n), body, (store(0, (n, 1), 11),), 1)
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s).astype(np.float32) for s in ((5, n), n, n))
    native, _ = both(library, spec, [x.ravel(), w, b])
    wide = x.astype(np.float64)
    want = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5) * w + b
    np.testing.assert_allclose(native[0].reshape(x.shape), want, rtol=1e-5, atol=1e-6)


def test_text_is_readable_and_says_what_it_computes():
    text = loops.render(softmax(100))
    assert text.startswith("# Fused loops over (n2, 100), the last 1 reduced.\n")
    assert "#   v1 = max of v0\n" in text
    assert "def kernel(frame, ops):" in text
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) < 120
