"""Rows of arithmetic, elementwise math, comparisons, logic, casts, and their in-place variants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import bool_, float32, float64, int32, int64, uint8
from tests.opinfo import ALL, FLOATS, INTS, NUMBERS, Make, Sample, binary, row, silent, unary, wide, with_numbers


def each(fn: Any) -> Any:
    """A Python function of floats, elementwise, in float64."""

    def reference(x: np.ndarray, *rest: Any) -> np.ndarray:
        def one(v: float) -> float:
            try:
                return fn(v)
            except (OverflowError, ValueError):
                return math.nan

        return np.array([one(float(v)) for v in x.reshape(-1)], np.float64).reshape(x.shape)

    return reference


def guarded(fn: Any, at_zero: float = math.nan, overflow: float = math.inf) -> Any:
    """The C library's function with IEEE limits where Python raises."""

    def one(v: float) -> float:
        if math.isnan(v):
            return math.nan
        try:
            return fn(v)
        except OverflowError:
            return overflow
        except ValueError:
            return at_zero if v == 0 else math.nan if v != math.inf else math.inf

    return each(one)


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v)) if v > -700 else 0.0


row("exp", unary(), guarded(math.exp), dtypes=ALL)
row("exp2", unary(), guarded(lambda v: 2.0**v))
row("expm1", unary(), guarded(math.expm1))
row("log", unary(0.2, 5), guarded(math.log, -math.inf), dtypes=NUMBERS)
row("log2", unary(0.2, 5), guarded(math.log2, -math.inf))
row("log10", unary(0.2, 5), guarded(math.log10, -math.inf))
row("log1p", unary(-0.8, 5), guarded(lambda v: -math.inf if v == -1 else math.log1p(v)))
row("sqrt", unary(0.2, 5), guarded(math.sqrt), dtypes=NUMBERS)
row("rsqrt", unary(0.2, 5), guarded(lambda v: math.copysign(math.inf, v) if v == 0 else 1 / math.sqrt(v)))
row("reciprocal", unary(0.2, 5), guarded(lambda v: math.copysign(math.inf, v) if v == 0 else 1 / v))
row(
    "sigmoid",
    unary(),
    guarded(sigmoid),
    dtypes=ALL,
    errors=[(lambda: specjit.sigmoid([1.0]), TypeError, "must be Tensor, not list")],
)
row(
    "tanh",
    unary(),
    guarded(math.tanh),
    dtypes=ALL,
    errors=[
        (lambda: specjit.tanh(1.0), TypeError, "must be Tensor, not float"),
        (lambda: specjit.tanh(), TypeError, "input"),
    ],
)
row("sin", unary(special=False), each(math.sin), dtypes=NUMBERS, scale=2)
row("cos", unary(special=False), each(math.cos), dtypes=NUMBERS, scale=2)
row("tan", unary(-1.2, 1.2, special=False), each(math.tan), scale=4)
row("erf", unary(), guarded(math.erf), scale=4)

row(
    "neg",
    unary(),
    silent(lambda x: -x),
    dtypes=NUMBERS,
    exact=True,
    errors=[(lambda: -specjit.tensor([True]), RuntimeError, "bool")],
)
row("abs", unary(0.2, 3), silent(np.abs), dtypes=NUMBERS, exact=True)
row(
    "sign", unary(0.2, 3), silent(lambda x: np.where(x != x, 0, np.sign(x)).astype(x.dtype)), dtypes=NUMBERS, exact=True
)
row("square", unary(), silent(lambda x: x * x), dtypes=NUMBERS, exact=True)
row("floor", unary(0.1, 0.9), silent(lambda x: np.floor(x).astype(x.dtype)), dtypes=NUMBERS, exact=True)
row("ceil", unary(0.1, 0.9), silent(lambda x: np.ceil(x).astype(x.dtype)), dtypes=NUMBERS, exact=True)
row("trunc", unary(0.1, 0.9), silent(lambda x: np.trunc(x).astype(x.dtype)), dtypes=NUMBERS, exact=True)
row("rint", unary(0.1, 0.4), silent(lambda x: np.rint(x).astype(x.dtype)), dtypes=NUMBERS, exact=True)


def round_samples(make: Make) -> Iterator[Sample]:
    yield from unary(0.1, 0.4)(make)
    if not make.requires_grad and make.dtype.is_floating_point:
        yield (make(3, 4),), {"decimals": 2}
        yield (make(3, 4, low=-300, high=300),), {"decimals": -2}


row(
    "round",
    round_samples,
    silent(lambda x, decimals=0: np.round(x.astype(np.float32) if x.dtype == np.float16 else x, decimals)),
    dtypes=NUMBERS,
    errors=[
        (lambda: specjit.round(specjit.tensor([True])), NotImplementedError, "round_vml_cpu"),
        (lambda: specjit.round(specjit.tensor([11]), decimals=-1), NotImplementedError, "round_cpu"),
    ],
)

row("add", with_numbers(binary()), silent(lambda a, b, alpha=1: np.add(a, b)), dtypes=ALL, exact=True)
row(
    "sub",
    with_numbers(binary(), (2, 0.5)),
    silent(lambda a, b, alpha=1: np.subtract(a, b)),
    dtypes=NUMBERS,
    exact=True,
    errors=[(lambda: specjit.ones(2) - specjit.ones(3), RuntimeError, "must match the size of tensor b")],
)
row("mul", with_numbers(binary()), silent(np.multiply), dtypes=ALL, exact=True)
row("div", with_numbers(binary(low2=0.5, high2=3), (2, 0.5)), silent(np.true_divide), dtypes=NUMBERS)
row(
    "floor_divide",
    with_numbers(binary(low2=1, high2=3), (2,)),
    silent(np.floor_divide),
    dtypes=NUMBERS,
    exact=True,
    errors=[(lambda: specjit.tensor([1]) // specjit.tensor([0]), RuntimeError, "ZeroDivisionError")],
)
row("remainder", with_numbers(binary(0.1, 0.9, 1, 2), (2,)), silent(np.remainder), dtypes=NUMBERS, exact=True)


def pow_samples(make: Make) -> Iterator[Sample]:
    yield from binary(0.3, 3, 0, 2)(make)
    for n in (2, 3, 0.5, 1, -1, 2.5, 0):
        if make.dtype.is_floating_point or (isinstance(n, int) and n >= 0):
            yield (make(3, 4, low=0.3, high=3), n), {}
    yield (2, make(3, low=0, high=3)), {}


row(
    "pow",
    pow_samples,
    silent(lambda a, b: np.power(a, b)),
    dtypes=(*FLOATS, int32, int64),
    scale=4,
    errors=[(lambda: specjit.tensor([2]) ** -1, RuntimeError, "negative integer powers")],
)
row("maximum", binary(), silent(np.maximum), dtypes=ALL, exact=True)
row("minimum", binary(), silent(np.minimum), dtypes=ALL, exact=True)


def clamp_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), -1, 1), {}
    yield (make(3, 4),), {"min": 0}
    yield (make(),), {"max": 0}
    yield (make(), 1, 2), {}
    yield (make(0), -1, 1), {}
    yield (make(3, 4), make(4, low=-2, high=-1), make(3, 1, low=1, high=2)), {}
    if make.plain:
        yield (make.special(), -1.0, 1.0), {}


row(
    "clamp",
    clamp_samples,
    silent(lambda x, min=None, max=None: np.clip(x, min, max).astype(x.dtype)),
    dtypes=(*FLOATS, int32, int64),
    exact=True,
    errors=[(lambda: specjit.ones(2).clamp(), RuntimeError, "must not be None")],
)


def where_samples(make: Make) -> Iterator[Sample]:
    yield (make.mask(3, 4), make(3, 4), make(3, 4)), {}
    yield (make.mask(3, 1), make(4), make()), {}
    yield (make.mask(), make(2, 3), make(3)), {}
    yield (make.mask(0, 2), make(2), make(1, 2)), {}
    yield (make.mask(3, 4), make(3, 4), 0), {}
    yield (make.mask(3, 4), 1, make(4)), {}
    if make.dtype is float32:  # the default, which numbers alone have
        yield (make.mask(3, 4), -1.0, 0.0), {}
        yield (make.mask(3, 4), 1, 0.5), {}


row(
    "where",
    where_samples,
    lambda c, a, b: np.where(c, *(np.float32(v) if isinstance(v, float) else v for v in (a, b))),
    dtypes=NUMBERS,
    exact=True,
    errors=[(lambda: specjit.where(specjit.ones(2), specjit.ones(2), 0.0), RuntimeError, "boolean tensor")],
)


def masked_fill_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4), make.mask(3, 4), 2), {}
    yield (make(3, 4), make.mask(4), make()), {}
    yield (make(4), make.mask(3, 4), 0), {}
    yield (make(), make.mask(), 1), {}
    yield (make(0), make.mask(0), 1), {}
    yield (make(4, 3, layout="T"), make.mask(3), True), {}
    if make.plain:
        yield (make.special(), make.mask(12), float("nan")), {}
    if not make.requires_grad and make.dtype is not specjit.bool:
        yield (make(3), make.mask(3), 1.5), {}


MASKED = specjit.tensor([True, False])
row(
    "masked_fill",
    masked_fill_samples,
    lambda x, m, v: np.where(m, np.asarray(v).astype(x.dtype), x),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(2).masked_fill(specjit.ones(2), 1), RuntimeError, "boolean masks"),
        (lambda: specjit.ones(2).masked_fill(MASKED, specjit.ones(1)), RuntimeError, "0-dimensional value"),
        (lambda: specjit.tensor([1, 2], dtype=uint8).masked_fill(MASKED, 300), RuntimeError, "without overflow"),
        (lambda: specjit.ones(2).int().masked_fill(MASKED, float("inf")), RuntimeError, "without overflow"),
        (lambda: specjit.ones(3).masked_fill(MASKED, 1), RuntimeError, "must match"),
    ],
)

for name, fn in {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}.items():
    row(name, with_numbers(binary(), both_sides=False), silent(fn), dtypes=ALL, grad=False, exact=True)
for name, fn in {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor}.items():
    row(name, binary(-1, 1), silent(fn), dtypes=ALL, grad=False, exact=True)
for name, fn in {"logical_not": np.logical_not, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite}.items():
    row(name, unary(-1, 1), silent(fn), dtypes=ALL, grad=False, exact=True)
for name, fn in {"bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor}.items():
    row(
        name,
        with_numbers(binary(0, 100), (3,)),
        fn,
        dtypes=(*INTS, bool_),
        grad=False,
        exact=True,
        errors=[
            (
                lambda name=name: getattr(specjit, name)(specjit.ones(2), specjit.ones(2)),
                NotImplementedError,
                "not implemented",
            )
        ],
    )
row("bitwise_not", unary(0, 100), np.invert, dtypes=(*INTS, bool_), grad=False, exact=True)

row("clone", unary(), lambda x: x, dtypes=ALL, exact=True)
row("alias", unary(), lambda x: x, dtypes=ALL, exact=True)
row("detach", unary(), lambda x: x, dtypes=ALL, exact=True, grad=False)


def cast_samples(make: Make) -> Iterator[Sample]:
    for to in (float32, float64, int64, bool_) if not make.requires_grad else (float64,):
        for shape in ((), (0,), (3, 4)):
            yield (make(*shape), to), {}


row("cast", cast_samples, lambda x, dtype: x.astype(dtype.numpy), dtypes=ALL, exact=True)
row(
    "to_dtype",
    cast_samples,
    lambda x, dtype: x.astype(dtype.numpy),
    dtypes=ALL,
    exact=True,
)


row("widen", unary(), lambda x: x.astype(np.float32) if x.dtype == np.float16 else x, dtypes=ALL, exact=True)


def item_samples(make: Make) -> Iterator[Sample]:
    yield (make(),), {}
    yield (make(1, 1),), {}


row(
    "item",
    item_samples,
    lambda x: x.item(),
    dtypes=ALL,
    grad=False,
    exact=True,
    errors=[(lambda: specjit.ones(2).item(), RuntimeError, "cannot be converted to Scalar")],
)


# in place: what the functional op gives, in the argument's storage


def owned(sample: Any, keep: Any = lambda make, args: True) -> Any:
    """Samples whose first argument may be written: fresh, and of the result's shape."""

    def inner(make: Make) -> Iterator[Sample]:
        for args, kwargs in sample(make):
            first = args[0]
            if not isinstance(first, specjit.Tensor):
                continue
            shape = np.broadcast_shapes(*(a.shape for a in args if isinstance(a, specjit.Tensor)))
            if tuple(first.shape) == shape and keep(make, args):
                yield (first.clone(), *args[1:]), kwargs

    return inner


def inplace(name: str, sample: Any, reference: Any, **options: Any) -> None:
    row(name + "_", owned(sample), reference, **{"exact": True, **options})


same_category = lambda fn: lambda a, b, **_: fn(a, b).astype(a.dtype)  # noqa: E731
inplace("add", with_numbers(binary(), (2,), False), silent(same_category(np.add)), dtypes=NUMBERS)
inplace("sub", with_numbers(binary(), (2,), False), silent(same_category(np.subtract)), dtypes=NUMBERS)
inplace("mul", with_numbers(binary(), (2,), False), silent(same_category(np.multiply)), dtypes=NUMBERS)
inplace("div", with_numbers(binary(low2=0.5, high2=3), (2,), False), silent(np.true_divide))
inplace("pow", binary(0.3, 3, 0.2, 2), wide(np.power), exact=False, scale=4)
inplace("clamp", clamp_samples, silent(lambda x, min=None, max=None: np.clip(x, min, max).astype(x.dtype)))
inplace("masked_fill", masked_fill_samples, lambda x, m, v: np.where(m, np.asarray(v, x.dtype), x))
inplace("exp", unary(), guarded(math.exp), exact=False)
inplace("sqrt", unary(0.2, 5), guarded(math.sqrt), exact=False)
inplace("neg", unary(), silent(lambda x: -x))
inplace("abs", unary(0.2, 3), silent(np.abs))
inplace("sigmoid", unary(), guarded(sigmoid), exact=False)
inplace("tanh", unary(), guarded(math.tanh), exact=False)
inplace("floor", unary(0.1, 0.9), silent(np.floor))
inplace("ceil", unary(0.1, 0.9), silent(np.ceil))
inplace("round", unary(0.1, 0.4), silent(np.rint))


def fill_samples(make: Make) -> Iterator[Sample]:
    for shape in ((), (0,), (3, 4)):
        yield (make(*shape).clone(), 2), {}
    yield (make(3, 4).clone(), make()), {}


row(
    "fill_",
    fill_samples,
    lambda x, v: np.full_like(x, v),
    dtypes=ALL,
    exact=True,
    errors=[
        (lambda: specjit.ones(2, dtype=uint8).fill_(300), RuntimeError, "type uint8_t without overflow"),
        (lambda: specjit.ones(2).fill_(specjit.ones(2)), RuntimeError, "0-dimension value tensor"),
    ],
)
row("zero_", owned(unary()), np.zeros_like, dtypes=ALL, exact=True)


def copy_samples(make: Make) -> Iterator[Sample]:
    yield (make(3, 4).clone(), make(3, 4)), {}
    yield (make(3, 4).clone(), make(4)), {}
    yield (make(3, 4).clone(), make(4, 3, layout="T").t()), {}
    yield (make().clone(), make()), {}


row(
    "copy_",
    copy_samples,
    lambda x, src: np.broadcast_to(src, x.shape),
    dtypes=ALL,
    exact=True,
    errors=[(lambda: specjit.ones(2).copy_(specjit.ones(3)), RuntimeError, "must match")],
)
