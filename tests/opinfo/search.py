"""Rows of searches in sorted data, distinct elements, histograms and quantiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import float64
from tests.opinfo import ALL, FLOATS, INTS, NUMBERS, WIDE, Make, Sample, row, silent

# sorted data


def ascending(make: Make, *shape: int) -> Any:
    return make.wrap(np.sort(make(*shape).detach().numpy(), -1))


def search_samples(make: Make) -> Iterator[Sample]:
    for right in (False, True):
        yield (ascending(make, 6), make(3, 4)), {"right": right}
        yield (ascending(make, 2, 3, 5), make(2, 3, 4)), {"right": right}
        yield (specjit.tensor([0, 1, 1, 2], dtype=make.dtype), make.ints(5, high=3).to(make.dtype)), {"right": right}
        yield (ascending(make, 6), 1), {"right": right}
    yield (ascending(make, 6), make(2)), {"side": "right", "out_int32": True}
    yield (ascending(make, 6), make()), {"side": "left"}
    yield (ascending(make, 0), make(2)), {}
    yield (ascending(make, 2, 0), make(2, 3)), {}
    yield (ascending(make, 3), make(0)), {}
    yield (specjit.tensor([2, 0, 1], dtype=make.dtype), make(4)), {"sorter": specjit.tensor([1, 2, 0])}
    if make.plain:
        yield (ascending(make, 4), specjit.tensor([np.nan, np.inf, -np.inf], dtype=make.dtype)), {}


def search_reference(
    rows: np.ndarray,
    values: Any,
    out_int32: bool = False,
    right: bool = False,
    side: Any = None,
    sorter: Any = None,
) -> np.ndarray:
    right = right or side == "right"
    rows = rows if sorter is None else np.take_along_axis(rows, sorter, -1)
    values = np.asarray(values)
    out = np.zeros(values.shape, np.int32 if out_int32 else np.int64)
    for p in np.ndindex(*values.shape):
        row = rows if rows.ndim == 1 else rows[p[:-1]]
        v = values[p]
        out[p] = len(row) if v != v else sum(bool(a <= v if right else a < v) for a in row)
    return out


A = specjit.tensor([1.0, 2.0, 3.0])
row(
    "searchsorted",
    search_samples,
    search_reference,
    dtypes=NUMBERS,
    grad=False,
    exact=True,
    errors=[
        (lambda: specjit.searchsorted(A, 2, side="x"), RuntimeError, "'left' or 'right'"),
        (lambda: specjit.searchsorted(A, 2, side="left", right=True), RuntimeError, "opposites"),
        (lambda: specjit.searchsorted(specjit.ones(2, 3), specjit.ones(3, 1)), RuntimeError, "first N-1 dimensions"),
        (lambda: specjit.searchsorted(specjit.ones(2, 3), 2.0), RuntimeError, "scalar only"),
        (lambda: specjit.searchsorted(A, A, sorter=specjit.tensor([0, 1])), RuntimeError, "same size"),
        (lambda: specjit.searchsorted(A, A, sorter=A), RuntimeError, "long dtype"),
        (lambda: specjit.searchsorted(specjit.tensor(1.0), A), RuntimeError, "positive dimension"),
        (lambda: specjit.searchsorted(A > 1, A > 1), NotImplementedError, "'Bool'"),
    ],
)
row(
    "search_sorted",
    lambda make: (((*a, False, b["right"]), {}) for a, b in _searches(make)),
    lambda rows, values, out_int32, right: search_reference(rows, values, out_int32, right),
    dtypes=NUMBERS,
    grad=False,
    exact=True,
    compared=False,
)


def _searches(make: Make) -> list[Sample]:
    return [(a, b) for a, b in search_samples(make) if set(b) == {"right"} and not isinstance(a[1], int)]


def bucketize_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), ascending(make, 5)), {}
    yield (make(3, 4), ascending(make, 5)), {"right": True, "out_int32": True}
    yield (make(), ascending(make, 3)), {}
    yield (1, ascending(make, 3)), {}
    yield (make(2), ascending(make, 0)), {}
    yield (make(4, 3, layout="T"), ascending(make, 5)), {}


row(
    "bucketize",
    bucketize_samples,
    lambda x, at, **named: search_reference(at, x, **named),
    dtypes=NUMBERS,
    grad=False,
    exact=True,
    errors=[(lambda: specjit.bucketize(A, specjit.ones(2, 2)), RuntimeError, "must be 1 dimension")],
)

# distinct elements


def unique_samples(make: Make) -> Iterator[Sample]:
    for inverse, counts in ((False, False), (True, False), (False, True), (True, True)):
        named = {"return_inverse": inverse, "return_counts": counts}
        yield (small(make, 3, 5),), named
        yield (small(make, 6, 2),), {**named, "dim": 0}
    yield (small(make, 2, 6, 2),), {"dim": 1, "return_counts": True}
    yield (small(make, 2, 9),), {"dim": -1, "return_inverse": True}
    yield (make(),), {"return_inverse": True, "return_counts": True}
    yield (make(0),), {"return_inverse": True, "return_counts": True}
    yield (make(0, 2),), {"dim": 0}
    if make.plain:
        yield (specjit.tensor([np.nan, 1.0, np.nan, 1.0], dtype=make.dtype),), {"return_counts": True}


def small(make: Make, *shape: int) -> Any:
    return make.wrap(make.rng.integers(0, 2, shape).astype(make.dtype.numpy))


def distinct(consecutive: bool) -> Any:
    def reference(
        x: np.ndarray, return_inverse: bool = False, return_counts: bool = False, dim: Any = None, sorted: Any = True
    ) -> Any:
        slices = list(x.reshape(-1, 1)) if dim is None else [s.reshape(-1) for s in np.moveaxis(x, dim, 0)]
        order = list(range(len(slices)))
        if not consecutive:
            order.sort(key=lambda i: [(v != v, v) for v in slices[i].tolist()])
        inverse, firsts, counts = [0] * len(slices), [], []
        for k, i in enumerate(order):
            if k and (slices[i] == slices[order[k - 1]]).all():
                counts[-1] += 1
            else:
                firsts.append(i)
                counts.append(1)
            inverse[i] = len(firsts) - 1
        values = x.reshape(-1).take(firsts) if dim is None else x.take(firsts, dim)
        at = np.array(inverse, np.int64)
        parts = [values.astype(x.dtype)]
        parts += [at.reshape(x.shape) if dim is None else at] if return_inverse else []
        parts += [np.array(counts, np.int64)] if return_counts else []
        return tuple(parts) if len(parts) > 1 else parts[0]

    return reference


def orders(make: Make) -> Iterator[Sample]:
    yield from unique_samples(make)
    yield (small(make, 4), False), {}


EMPTY = [
    (lambda: specjit.unique(specjit.ones(0, 2), dim=1), RuntimeError, "0 sized dimensions"),
    (lambda: specjit.unique(specjit.tensor(1.0), dim=0), IndexError, "no dimensions"),
    (lambda: specjit.unique(specjit.ones(2), dim=1), IndexError, "out of range"),
]
row(
    "unique",
    orders,
    lambda x, sorted=True, **named: distinct(False)(x, **named),
    dtypes=ALL,
    grad=False,
    exact=True,
    errors=EMPTY,
)
row("unique_consecutive", unique_samples, distinct(True), dtypes=ALL, grad=False, exact=True)
for _name, _consecutive in (("unique_op", False), ("unique_consecutive_op", True)):
    row(
        _name,
        lambda make: iter([((small(make, 3, 5), None), {}), ((small(make, 7, 2), 0), {}), ((make(), None), {})]),
        lambda x, dim, c=_consecutive: distinct(c)(x, True, True, dim),
        dtypes=NUMBERS,
        grad=False,
        exact=True,
        compared=False,
    )

# histograms


def bincount_samples(make: Make) -> Iterator[Sample]:
    x = make.ints(9, high=5).to(make.dtype)
    yield (x,), {}
    yield (x, None, 8), {}
    yield (x,), {"minlength": 2}
    yield (x, specjit.from_numpy(make.rng.uniform(0, 1, 9))), {}
    yield (x, specjit.from_numpy(make.rng.uniform(0, 1, 9).astype(np.float32)), 7), {}
    yield (x, make.ints(9, high=3)), {}
    yield (make(0),), {"minlength": 3}


def bincount_reference(x: np.ndarray, weights: Any = None, minlength: int = 0) -> np.ndarray:
    n = max(minlength, int(x.max()) + 1 if x.size else 0)
    out = np.zeros(n, np.int64 if weights is None else np.float32 if weights.dtype == np.float32 else np.float64)
    for k, i in enumerate(x):
        out[i] += 1 if weights is None else weights[k]
    return out


row(
    "bincount",
    bincount_samples,
    bincount_reference,
    dtypes=INTS,
    grad=False,
    errors=[
        (lambda: specjit.bincount(specjit.tensor([-1])), RuntimeError, "1-d non-negative"),
        (lambda: specjit.bincount(specjit.tensor([[1]])), RuntimeError, "1-d non-negative"),
        (lambda: specjit.bincount(specjit.tensor([1]), minlength=-1), RuntimeError, "minlength"),
        (lambda: specjit.bincount(specjit.tensor([1]), A), RuntimeError, "same length"),
        (lambda: specjit.bincount(A), NotImplementedError, "'Float'"),
    ],
)


def each_samples(weighted: bool) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for (x, *rest), named in bincount_samples(make):
            if x.numel() and not named and (rest != [] and rest[0] is not None) == weighted:
                yield (x, *(rest[:1] if weighted else []), 3), {}

    return sample


for _name, _weighted in (("count_each", False), ("sum_each", True)):
    row(
        _name,
        each_samples(_weighted),
        (lambda x, w, n: bincount_reference(x, w, n)) if _weighted else lambda x, n: bincount_reference(x, None, n),
        dtypes=INTS,
        grad=False,
        compared=False,
    )


def histc_samples(make: Make) -> Iterator[Sample]:
    yield (make(50, low=0, high=4), 4, 0, 4), {}
    yield (make(5, 10),), {"bins": 7}
    yield (make(20, low=0, high=4),), {"bins": 5, "min": 1, "max": 3}
    yield (specjit.tensor([1, 1], dtype=make.dtype), 4), {}
    yield (make(0), 3), {}
    if make.plain:
        yield (specjit.tensor([0.0, 1.0, 2.0, 3.0, 4.0, np.nan, np.inf], dtype=make.dtype), 4, 0, 4), {}


def histc_reference(x: np.ndarray, bins: int = 100, min: Any = 0, max: Any = 0) -> np.ndarray:
    flat = x.reshape(-1).astype(np.float64)
    low, high = (flat.min(), flat.max()) if min == max and flat.size else (min, max)
    if low == high:
        low, high = low - 1, high + 1
    out = np.zeros(bins, x.dtype)
    for v in flat:
        if low <= v <= high:
            out[bins - 1 if v == high else int((v - low) / (high - low) * bins)] += 1
    return out


row(
    "histc",
    histc_samples,
    histc_reference,
    dtypes=FLOATS,
    grad=False,
    exact=True,
    errors=[
        (lambda: specjit.histc(A, 0), RuntimeError, "bins must be > 0"),
        (lambda: specjit.histc(A, 2, 3, 1), RuntimeError, "larger than min"),
        (lambda: specjit.histc(specjit.tensor([1.0, np.inf])), RuntimeError, "not finite"),
        (lambda: specjit.histc(specjit.tensor([1])), NotImplementedError, "'Long'"),
    ],
)

# quantiles


def quantile_samples(make: Make) -> Iterator[Sample]:
    for how in ("linear", "lower", "higher", "midpoint", "nearest"):
        yield (make(2, 3, 4), 0.3, 1), {"interpolation": how}
    for q in (0.0, 0.5, 1.0, specjit.tensor([0.1, 0.75], dtype=make.dtype), specjit.tensor(0.23, dtype=make.dtype)):
        yield (make(2, 3, 4), q), {}
        yield (make(2, 3, 4), q, -1), {}
        yield (make(2, 3, 4), q, 0, True), {}
        yield (make(2, 3), q), {"keepdim": True}
        yield (make(), q), {}
        yield (make(), q, 0), {"keepdim": True}
    yield (make(4, 3, layout="T"), 0.4, 1), {}
    if make.plain:
        yield (specjit.tensor([[1.0, np.nan, 2.0], [0.0, 5.0, -np.inf]], dtype=make.dtype), 0.5, 1), {}
        yield (specjit.tensor([[1.0, np.nan, 2.0], [np.nan, np.nan, np.nan]], dtype=make.dtype), 0.5, 1), {}


def quantile_reference(skip: bool) -> Any:
    def one(values: np.ndarray, q: float, how: str) -> float:
        if skip:
            values = values[~np.isnan(values)]
        if not values.size or np.isnan(values).any():
            return np.nan
        ranked = np.sort(values)
        at = q * (len(ranked) - 1)
        low, high = int(np.floor(at)), int(np.ceil(at))
        if how in ("lower", "higher", "nearest"):
            return ranked[{"lower": low, "higher": high, "nearest": int(np.round(at))}[how]]
        weight = (at - low) if how == "linear" else 0.5 * (high > low)
        return ranked[low] if weight == 0 else ranked[low] + (ranked[high] - ranked[low]) * weight

    def reference(
        x: np.ndarray, q: Any, dim: Any = None, keepdim: bool = False, interpolation: str = "linear"
    ) -> np.ndarray:
        wide = x.astype(np.float64)
        points = np.atleast_1d(np.asarray(q, np.float64))
        flat = wide.reshape(-1) if dim is None or not x.ndim else np.moveaxis(wide, dim, -1)
        out = np.array([[one(flat[p], v, interpolation) for p in np.ndindex(*flat.shape[:-1])] for v in points])
        out = out.reshape(len(points), *flat.shape[:-1])
        if keepdim and x.ndim:
            out = out.reshape(-1, *(1,) * x.ndim) if dim is None else np.expand_dims(out, dim if dim < 0 else dim + 1)
        return out if np.ndim(q) else out[0]

    return silent(reference)


ON_QUANTILES = [
    (lambda: specjit.quantile(A, 1.5), RuntimeError, r"in the range \[0, 1\] but got 1.5"),
    (lambda: specjit.quantile(A, 0.5, interpolation="x"), RuntimeError, "must be one of linear"),
    (lambda: specjit.quantile(A, specjit.tensor(0.5, dtype=float64)), RuntimeError, "same dtype"),
    (lambda: specjit.quantile(A, specjit.ones(1, 1)), RuntimeError, "scalar or 1D"),
    (lambda: specjit.quantile(specjit.ones(0), 0.5), RuntimeError, "non-empty"),
    (lambda: specjit.quantile(specjit.tensor([1]), 0.5), RuntimeError, "float or double"),
    (lambda: specjit.quantile(A, 0.5, 1), IndexError, "out of range"),
]
row("quantile", quantile_samples, quantile_reference(False), dtypes=WIDE, scale=4, errors=ON_QUANTILES)
row("nanquantile", quantile_samples, quantile_reference(True), dtypes=WIDE, scale=4)
