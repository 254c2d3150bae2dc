"""Rows of trigonometric and special functions, of sign and float format, of three tensors, and of shifts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

import specjit
from specjit.dtypes import bool_, float32, float64, int32, int64
from tests.opinfo import (
    ALL,
    FLOATS,
    INTS,
    NUMBERS,
    Make,
    Sample,
    binary,
    row,
    silent,
    unary,
    wide,
    with_numbers,
)

# trigonometry

row("asin", unary(-0.9, 0.9), wide(np.arcsin), dtypes=ALL, scale=2)
row("acos", unary(-0.9, 0.9), wide(np.arccos), dtypes=ALL, scale=2)
row("atan", unary(), wide(np.arctan), dtypes=ALL, scale=2)
row("sinh", unary(), wide(np.sinh), dtypes=ALL, scale=2)
row("cosh", unary(), wide(np.cosh), dtypes=ALL, scale=2)
row("asinh", unary(), wide(np.arcsinh), dtypes=ALL, scale=4)
row("acosh", unary(1.2, 5), wide(np.arccosh), dtypes=ALL, scale=2)
row("atanh", unary(-0.9, 0.9), wide(np.arctanh), dtypes=ALL, scale=2)
row(
    "atan2",
    binary(0.2, 3),
    wide(np.arctan2),
    dtypes=ALL,
    scale=2,
    errors=[(lambda: specjit.atan2(specjit.ones(2), 1.0), TypeError, "must be Tensor")],
)
row(
    "hypot",
    binary(0.2, 3),
    wide(np.hypot),
    scale=2,
    errors=[(lambda: specjit.hypot(specjit.tensor([1]), specjit.tensor([1])), NotImplementedError, "hypot_cpu")],
)


def sinc(x: np.ndarray) -> np.ndarray:
    # The product rounds as the dtype of the row does: at large x it decides the result.
    angle = (x * math.pi if x.dtype == np.float64 else np.float32(math.pi) * x.astype(np.float32)).astype(np.float64)
    return np.where(angle == 0, 1, np.sin(angle) / angle)


row("sinc", unary(0.2, 2), silent(sinc), dtypes=(*FLOATS, int64), scale=4)

# special functions

row("erfc", unary(), wide(special.erfc), dtypes=ALL, scale=8)
row("erfinv", unary(-0.95, 0.95), wide(special.erfinv), dtypes=ALL, scale=8)
row("lgamma", unary(0.2, 6), wide(lambda x: np.where(np.isinf(x), np.inf, special.gammaln(x))), dtypes=ALL, scale=8)


def psi(x: np.ndarray) -> np.ndarray:
    return np.where(x == 0, -np.copysign(np.inf, x), np.where((x < 0) & (x == np.floor(x)), np.nan, special.digamma(x)))


row("digamma", unary(0.2, 6), wide(psi), dtypes=ALL, scale=16)


def polygamma_samples(make: Make) -> Iterator[Sample]:
    for n in (1, 2, 3) if not make.requires_grad else (1, 2):
        yield (n, make(3, 4, low=0.3, high=4)), {}
        yield (n, make(low=0.3, high=12)), {}
    yield (1, make(0)), {}
    yield (0, make(4, 3, low=0.3, high=3, layout="T")), {}
    if make.plain:
        yield (1, make(3, low=-3.8, high=-3.2)), {}
        yield (2, make(3, low=-3.8, high=-3.2)), {}
        yield (1, specjit.tensor([0.0, -0.0, math.inf, math.nan], dtype=make.dtype)), {}


row(
    "polygamma",
    polygamma_samples,
    lambda n, x: special.digamma(x.astype(np.float64)) if not n else derivative_of_digamma(n, x.astype(np.float64)),
    dtypes=(float32, float64, int64),
    scale=64,
    errors=[(lambda: specjit.polygamma(-1, specjit.ones(2)), RuntimeError, "does not support negative n")],
)


def derivative_of_digamma(n: int, x: np.ndarray) -> np.ndarray:
    """By the reflection formula for negative x, where SciPy has no zeta function."""
    if n > 2 or (x > 0).all() or not x.size:
        return special.polygamma(n, x)
    angle = np.pi * x
    reflected = [
        lambda: np.pi**2 / np.sin(angle) ** 2 - special.polygamma(1, 1 - x),
        lambda: special.polygamma(2, 1 - x) - 2 * np.pi**3 * np.cos(angle) / np.sin(angle) ** 3,
    ]
    with np.errstate(all="ignore"):
        return np.where(
            np.isnan(x), x, np.where(x > 0, special.polygamma(n, x), np.where(x == 0, np.inf, reflected[n - 1]()))
        )


row(
    "Tensor.polygamma",
    lambda make: iter([((make(3, low=0.3, high=4), n), {}) for n in (1, 2)] + [((make(low=1, high=4), 1), {})]),
    lambda x, n: special.polygamma(n, x.astype(np.float64)),
    dtypes=(float32, float64),
    scale=64,
)


def logit_samples(make: Make) -> Iterator[Sample]:
    yield from unary(0.1, 0.9)(make)
    for eps in (0.01, 0.3, 0.0):
        yield (make(3, 4, low=0.1, high=0.9), eps), {}
    yield (make(low=0.1, high=0.9),), {"eps": 1e-3}
    if make.plain:
        yield (make.special(), 0.1), {}


def logit(x: np.ndarray, eps: float | None = None) -> np.ndarray:
    kind = x.dtype.type if x.dtype.kind == "f" else np.float32
    if eps is not None:
        low, high = float(kind(eps)), float(np.float32(1) - np.float32(eps) if kind is not np.float64 else 1 - eps)
        x = np.where(x < low, low, np.where(x > high, high, x.astype(np.float64)))
    x = x.astype(np.float64)
    return np.log(x / (1 - x))


row("logit", logit_samples, silent(logit), dtypes=ALL, scale=4)
row("xlogy", with_numbers(binary(0.2, 3), (2, 0.5)), wide(special.xlogy), dtypes=ALL, scale=4)
row(
    "logaddexp",
    binary(),
    wide(np.logaddexp),
    scale=2,
    errors=[
        (lambda: specjit.logaddexp(specjit.tensor([1]), specjit.tensor([1])), NotImplementedError, "logaddexp_cpu")
    ],
)
row("logaddexp2", binary(), wide(np.logaddexp2), scale=2)

# sign and format


def same_dtype(fn: Any) -> Any:
    return silent(lambda x, *rest: fn(x, *rest).astype(x.dtype))


row("sgn", unary(0.2, 3), same_dtype(lambda x: np.where(x != x, 0, np.sign(x))), dtypes=NUMBERS, exact=True)
row(
    "positive",
    unary(),
    lambda x: x,
    dtypes=NUMBERS,
    exact=True,
    view=True,
    errors=[(lambda: +specjit.tensor([True]), RuntimeError, "on a bool tensor is not supported")],
)
row("signbit", unary(), lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0, dtypes=ALL, grad=False, exact=True)


def copysign_samples(make: Make) -> Iterator[Sample]:
    yield from with_numbers(binary(0.2, 3), (2, -0.5), False)(make)
    yield (make(3, 4, low=0.2, high=3), make(3, 4, low=-3, high=-0.2)), {}


row(
    "copysign",
    copysign_samples,
    silent(lambda a, b: np.copysign(a.astype(np.float32), b) if a.dtype.kind in "iub" else np.copysign(a, b)),
    dtypes=ALL,
    exact=True,
)


def heaviside_samples(make: Make) -> Iterator[Sample]:
    for args, _ in binary(-1, 1)(make):
        yield args, {}
    yield (make(3, 4, low=0, high=0), make(4)), {}


row(
    "heaviside",
    heaviside_samples,
    silent(lambda x, v: np.where(x == 0, v, (x > 0).astype(v.dtype))),
    dtypes=ALL,
    grad=False,
    exact=True,
    errors=[
        (lambda: specjit.heaviside(specjit.ones(2), specjit.tensor([1, 2])), RuntimeError, "different dtypes"),
    ],
)
row("isposinf", unary(), lambda x: x == np.inf, dtypes=ALL, grad=False, exact=True)
row("isneginf", unary(), lambda x: x == -np.inf, dtypes=ALL, grad=False, exact=True)


def nan_to_num_samples(make: Make) -> Iterator[Sample]:
    yield from unary()(make)
    for named in ({"nan": 1.5}, {"posinf": 3.0, "neginf": -4.0}, {"nan": -1.0, "posinf": 1.0, "neginf": 0.0}):
        yield (make.special() if make.plain else make(3, 4),), named
    yield (make(3), 1.0, 2.0, 3.0), {}


row(
    "nan_to_num",
    nan_to_num_samples,
    lambda x, nan=0.0, posinf=None, neginf=None: np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf),
    dtypes=ALL,
    exact=True,
)
row(
    "frac",
    unary(0.1, 0.9),
    silent(lambda x: x - np.trunc(x)),
    exact=True,
    errors=[
        (lambda: specjit.frac(specjit.tensor([1])), NotImplementedError, "\"frac_cpu\" not implemented for 'Long'")
    ],
)
row(
    "nextafter",
    binary(),
    silent(np.nextafter),
    grad=False,
    exact=True,
    errors=[
        (lambda: specjit.nextafter(specjit.tensor([1]), specjit.tensor([2])), NotImplementedError, "nextafter_cpu")
    ],
)
row(
    "ldexp",
    binary(-2, 2),
    silent(lambda a, b: a * 2.0 ** b.astype(np.float64)),
    dtypes=(*FLOATS, int32, int64),
    scale=4,
)

# operations of IEEE 754

row(
    "fmod",
    with_numbers(binary(0.1, 0.9, 1, 2), (2,), False),
    silent(np.fmod),
    dtypes=NUMBERS,
    exact=True,
    errors=[
        (lambda: specjit.fmod(specjit.tensor([1]), specjit.tensor([0])), RuntimeError, "ZeroDivisionError"),
        (lambda: specjit.fmod(specjit.tensor([True]), specjit.tensor([True])), NotImplementedError, "fmod_cpu"),
    ],
)
row("fmax", binary(), silent(np.fmax), dtypes=ALL, exact=True)
row("fmin", binary(), silent(np.fmin), dtypes=ALL, exact=True)


def float_power_samples(make: Make) -> Iterator[Sample]:
    yield from with_numbers(binary(0.3, 3, 0.3, 2), (2, 0.5))(make)


row(
    "float_power",
    float_power_samples,
    silent(lambda a, b: np.power(np.asarray(a, np.float64), np.asarray(b, np.float64))),
    dtypes=NUMBERS,
    scale=4,
)


def rounded_samples(make: Make) -> Iterator[Sample]:
    for mode in (None, "trunc", "floor"):
        for args, _ in with_numbers(binary(low2=1, high2=3), (2, 0.5))(make):
            yield args, {"rounding_mode": mode}
    if make.dtype not in (*FLOATS, bool_) and make.dtype.is_signed:
        for mode in ("trunc", "floor"):
            yield (make.extremes(), make(7, low=-3, high=-1)), {"rounding_mode": mode}


def rounded_reference(a: Any, b: Any, rounding_mode: Any) -> Any:
    if rounding_mode is None:
        return np.true_divide(a, b)
    if rounding_mode == "floor":
        return np.floor_divide(a, b)
    kind = np.result_type(a, b)
    if kind.kind == "f":
        return np.trunc(np.true_divide(a, b, dtype=kind))
    a, b = np.broadcast_arrays(np.asarray(a, kind), np.asarray(b, kind))
    whole = [int(abs(int(x)) // abs(int(y))) * (1 if (x < 0) == (y < 0) else -1) for x, y in zip(a.flat, b.flat)]
    limits = np.iinfo(kind)
    span = int(limits.max) - int(limits.min) + 1
    return np.array([(w - int(limits.min)) % span + int(limits.min) for w in whole], kind).reshape(a.shape)


row(
    "divide",
    rounded_samples,
    silent(rounded_reference),
    dtypes=NUMBERS,
    torch=lambda torch: torch.div,
    errors=[
        (lambda: specjit.div(specjit.ones(2), 2, rounding_mode="up"), RuntimeError, "rounding_mode to be one of None"),
        (lambda: specjit.div(specjit.ones(2), 2, rounding_mode=1), TypeError, "rounding_mode"),
        (lambda: specjit.tensor([1]).div_(2), RuntimeError, "result type Float can't be cast"),
        (
            lambda: specjit.div(specjit.tensor([1]), specjit.tensor([0]), rounding_mode="trunc"),
            RuntimeError,
            "ZeroDivisionError",
        ),
    ],
)


def trunc_divide_samples(make: Make) -> Iterator[Sample]:
    for args, named in rounded_samples(make):
        if named["rounding_mode"] == "trunc":
            yield args, {}


row(
    "trunc_divide",
    trunc_divide_samples,
    silent(lambda a, b: rounded_reference(a, b, "trunc")),
    dtypes=NUMBERS,
    torch=lambda torch: lambda a, b: torch.div(a, b, rounding_mode="trunc"),
)


def close_samples(make: Make) -> Iterator[Sample]:
    x = make(3, 4)
    yield (x, x.clone()), {}
    yield (x, make(3, 4)), {}
    yield (make(3, 1), make(4)), {}
    yield (make(0), make(1)), {}
    yield (make(), make()), {"rtol": 0.5, "atol": 0.5}
    if make.plain:
        s = make.special()
        yield (s.unsqueeze(1), s.unsqueeze(0)), {}
        yield (s.unsqueeze(1), s.unsqueeze(0)), {"equal_nan": True, "rtol": 0.1}
        yield (x, x * 1.01), {"rtol": 0.1, "atol": 0.0}


def close_reference(
    x: np.ndarray, y: np.ndarray, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> np.ndarray:
    return np.isclose(x.astype(np.float64), y.astype(np.float64), rtol, atol, equal_nan)


row(
    "isclose",
    close_samples,
    silent(close_reference),
    dtypes=ALL,
    grad=False,
    errors=[
        (lambda: specjit.isclose(specjit.ones(2), specjit.ones(2), rtol=-1.0), RuntimeError, "rtol must be"),
        (lambda: specjit.isclose(specjit.ones(2), specjit.ones(2), atol=-1.0), RuntimeError, "atol must be"),
        (lambda: specjit.isclose(specjit.ones(2), specjit.tensor([1, 2])), RuntimeError, "Float did not match Long"),
    ],
)

# three tensors


def three(low: float = -3, high: float = 3) -> Any:
    def sample(make: Make) -> Iterator[Sample]:
        for shapes in (((3, 4),) * 3, ((), (), ()), ((2, 3, 4), (4,), (3, 1)), ((0, 2), (2,), ()), ((1,), (3,), (3,))):
            a, b, c = (make(*s, low=low, high=high) for s in shapes)
            yield (a, b, c), {}
        yield (make(4, 3, layout="T"), make(4, 3, low=low, high=high), make(3, low=low, high=high)), {}
        for value in (2, -1) if not make.dtype.is_floating_point else (2, -0.5):
            yield (make(3, 4), make(3, 4), make(3, 4, low=1, high=3)), {"value": value}

    return sample


row(
    "addcmul",
    three(),
    silent(lambda x, a, b, value=1: x + np.asarray(value).astype(x.dtype) * a * b),
    dtypes=NUMBERS,
    scale=4,
    errors=[
        (lambda: specjit.addcmul(specjit.ones(2), specjit.ones(2), 1.0), TypeError, "tensor2"),
        (
            lambda: specjit.addcmul(*[specjit.tensor([True])] * 3),
            NotImplementedError,
            "\"addcmul_cpu_out\" not implemented for 'Bool'",
        ),
    ],
)
row(
    "addcdiv",
    three(0.5, 3),
    silent(lambda x, a, b, value=1: x + value * a / b),
    scale=4,
    errors=[(lambda: specjit.addcdiv(*[specjit.tensor([1])] * 3), RuntimeError, "Integer division with addcdiv")],
)


def lerp_samples(make: Make) -> Iterator[Sample]:
    for shapes in (((3, 4),) * 3, ((), (), ()), ((2, 3, 4), (4,), (3, 1)), ((0, 2), (2,), ()), ((1,), (3,), (3,))):
        a, b = (make(*s) for s in shapes[:2])
        yield (a, b, make(*shapes[2], low=0.05, high=0.95)), {}
    for weight in (0.3, 0.7, 1, 0.0, -0.5):
        yield (make(3, 4), make(4), weight), {}
    if make.plain:
        yield (make.special(), make(12), 0.25), {}


row(
    "lerp",
    lerp_samples,
    wide(lambda a, b, w: np.where(np.abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w))),
    scale=4,
    errors=[
        (
            lambda: specjit.lerp(specjit.ones(2), specjit.ones(2, dtype=float64), 0.5),
            RuntimeError,
            "expected dtype float for `end` but got dtype double",
        ),
        (
            lambda: specjit.lerp(specjit.tensor([1]), specjit.tensor([2]), 0.5),
            NotImplementedError,
            "lerp_kernel_scalar",
        ),
        (lambda: specjit.lerp(specjit.ones(2), specjit.ones(2), "a"), TypeError, "weight"),
    ],
)

# shifts


def shift_samples(make: Make) -> Iterator[Sample]:
    yield from with_numbers(binary(0, 100, 0, 7), (3,))(make)
    if make.dtype in INTS:
        yield (make.extremes(), make(7, low=0, high=100)), {}
        if make.dtype.is_signed:
            yield (make.extremes(), make(7, low=-3, high=-1)), {}


def shift(left: bool) -> Any:
    def reference(a: Any, b: Any) -> np.ndarray:
        kind = next(x.dtype for x in (a, b) if isinstance(x, np.ndarray))
        a, b = np.broadcast_arrays(np.asarray(a, kind), np.asarray(b, kind))
        limits = np.iinfo(kind)
        bits = limits.bits

        def one(x: int, n: int) -> int:
            if not 0 <= n < bits:
                return 0 if left or x >= 0 else -1
            moved = x << n if left else x >> n
            return (moved - int(limits.min)) % (1 << bits) + int(limits.min)

        return np.array([one(int(x), int(n)) for x, n in zip(a.flat, b.flat)], kind).reshape(a.shape)

    return reference


for name, left in {"bitwise_left_shift": True, "bitwise_right_shift": False}.items():
    row(
        name,
        shift_samples,
        shift(left),
        dtypes=INTS,
        grad=False,
        exact=True,
        errors=[
            (
                lambda name=name: getattr(specjit, name)(specjit.ones(2), specjit.ones(2)),
                NotImplementedError,
                "shift_cpu",
            ),
        ],
    )
