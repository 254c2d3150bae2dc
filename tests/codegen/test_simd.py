"""The SIMD vocabulary against NumPy, lane by lane and to the bit, on ordinary and special values of every element
type.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from specjit.codegen.kernels.reference import DTYPES
from specjit.codegen.vectors.lanes import ITEMSIZE, lanes
from tests.codegen.kernel_runs import garbage, run, same_bits

FLOATS, INTS = ("f32", "f64"), ("i64", "i32", "i16", "i8", "u8")

BINARY = {
    "a + b": np.add,
    "a - b": np.subtract,
    "a * b": np.multiply,
    "a // b": np.floor_divide,
    "a % b": np.remainder,
    "simd.minimum(a, b)": np.minimum,
    "simd.maximum(a, b)": np.maximum,
    "-a": lambda a, b: -a,
    "vecmath.abs(a)": lambda a, b: np.abs(a),
    "vecmath.sign(a)": lambda a, b: np.sign(a),
    "simd.select(a < b, a, b)": lambda a, b: np.where(a < b, a, b),
}
FLOAT_ONLY = {
    "a / b": np.divide,
    "simd.fmod(a, b)": np.fmod,
    "simd.copysign(a, b)": np.copysign,
    "vecmath.sqrt(a)": lambda a, b: np.sqrt(a),
    "vecmath.floor(a)": lambda a, b: np.floor(a),
    "vecmath.ceil(a)": lambda a, b: np.ceil(a),
    "vecmath.trunc(a)": lambda a, b: np.trunc(a),
    "vecmath.round(a)": lambda a, b: np.rint(a),
    "vecmath.reciprocal(a)": lambda a, b: 1 / a,
}
INT_ONLY = {
    "a & b": np.bitwise_and,
    "a | b": np.bitwise_or,
    "a ^ b": np.bitwise_xor,
    "~a": lambda a, b: ~a,
    "a << b": np.left_shift,
    "a >> b": np.right_shift,
}
MASKS = {
    "a < b": np.less,
    "a <= b": np.less_equal,
    "a > b": np.greater,
    "a >= b": np.greater_equal,
    "a == b": np.equal,
    "a != b": np.not_equal,
    "simd.isnan(a)": lambda a, b: np.isnan(a),
    "simd.isinf(a)": lambda a, b: np.isinf(a),
    "simd.isfinite(a)": lambda a, b: np.isfinite(a),
    "(a < b) | ~(a == b)": lambda a, b: (a < b) | ~(a == b),
    "(a < b) & (a == b) ^ (a > b)": lambda a, b: (a < b) & (a == b) ^ (a > b),
}


def sample(dtype: str, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of special values, then random ones."""
    rng = np.random.default_rng(7)
    kind = DTYPES[dtype]
    if dtype in FLOATS:
        info = np.finfo(kind)
        special = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny]
        special += [info.smallest_subnormal, -info.smallest_subnormal, 5 * info.smallest_subnormal, 1 / 3, 1e10, 7.25]
        random = [rng.normal(size=count) * 10.0 ** rng.uniform(-30, 30, count) for _ in range(2)]
        random[1][::3] = random[0][::3] / rng.integers(1, 50, count)[::3]
    elif dtype == "bool":
        special, random = [0, 1], [rng.integers(0, 2, count) for _ in range(2)]
    else:
        info = np.iinfo(kind)
        special = [
            0,
            1,
            2,
            3,
            7,
            info.max,
            info.min,
            info.max - 1,
            8 * info.bits // 8,
            *([] if dtype == "u8" else [-1, -2, -7]),
        ]
        random = [rng.integers(info.min, info.max, count, kind), rng.integers(max(info.min, -9), 9, count).astype(kind)]
    pairs = np.array(list(itertools.product(special, special)), dtype=kind)
    with np.errstate(over="ignore"):
        return tuple(np.concatenate([pairs[:, i], random[i].astype(kind)]) for i in range(2))


def kernel_text(dtype: str, expressions: list[str], result: str) -> str:
    """out[j] = expression j of arrays a and b, for all elements, tails masked."""
    n, item = lanes(dtype), ITEMSIZE[dtype]
    lines = [
        f'T, R = simd.vector("{dtype}", {n}), simd.vector("{result}", {n})',
        "def kernel(frame, ops):",
        "    n, x, y, out = frame[ops[0]], frame[ops[1]], frame[ops[2]], frame[ops[3]]",
        f"    for i in range(0, n, {n}):",
        "        m = simd.first(T, n - i)",
        f"        a = simd.load_masked(T, x + i * {item}, m)",
        f"        b = simd.load_masked(T, y + i * {item}, m)",
    ]
    for j, expression in enumerate(expressions):
        lines.append(f"        simd.store_masked({expression}, out + ({j} * n + i) * {ITEMSIZE[result]}, m)")
    return "\n".join([*lines, "    return 0", ""])


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
def test_arithmetic_is_numpys(library, dtype):
    table = {**BINARY, **(FLOAT_ONLY if dtype in FLOATS else INT_ONLY)}
    a, b = sample(dtype)
    out = garbage(len(table) * a.size + 8, a.dtype)
    assert run(library, kernel_text(dtype, list(table), dtype), a.size, a, b, out) == 0
    assert same_bits(out[-8:], garbage(8, a.dtype))
    for j, (text, function) in enumerate(table.items()):
        got = out[j * a.size : (j + 1) * a.size]
        with np.errstate(all="ignore"):
            want = function(a, b)
        wrong = ~np.array([same_bits(got[i : i + 1], want[i : i + 1]) for i in range(a.size)])
        i = int(wrong.argmax())
        assert not wrong.any(), f"{text} of {a[i]!r}, {b[i]!r}: {got[i]!r}, NumPy says {want[i]!r}"


@pytest.mark.parametrize("dtype", [*FLOATS, "i32", "u8", "bool"])
def test_comparisons_are_numpys(library, dtype):
    table = MASKS if dtype in FLOATS else {k: v for k, v in MASKS.items() if "simd" not in k}
    a, b = sample(dtype)
    out = garbage(len(table) * a.size, np.uint8)
    assert run(library, kernel_text(dtype, list(table), "bool"), a.size, a, b, out) == 0
    for j, (text, function) in enumerate(table.items()):
        assert (out[j * a.size : (j + 1) * a.size] == function(a, b).view(np.uint8)).all(), text


@pytest.mark.parametrize("dtype", ["f32", "f64", "i64", "i32", "i8", "u8", "bool"])
def test_casts_are_numpys(library, dtype):
    a, _ = sample(dtype)
    if dtype in FLOATS:
        edges = [s * (2.0**k + d) for s in (1, -1) for k in (7, 8, 15, 16, 31, 32, 63) for d in (-1, -0.5, 0, 0.5, 1)]
        a = np.concatenate([a, np.array(edges, a.dtype)])
    targets = ["f32", "f64", "i64", "i32", "i16", "i8", "u8", "bool"]
    n = 8
    lines = [f'{t.upper()} = simd.vector("{t}", {n})' for t in targets]
    lines += ["def kernel(frame, ops):", "    n, x = frame[ops[0]], frame[ops[1]]"]
    lines += [f"    for i in range(0, n, {n}):", "        m = simd.first(F32, n - i)"]
    lines += [f"        a = simd.load_masked({dtype.upper()}, x + i * {ITEMSIZE[dtype]}, m)"]
    for j, t in enumerate(targets):
        at = f"frame[ops[{j + 2}]] + i * {ITEMSIZE[t]}"
        lines.append(f"        simd.store_masked(simd.cast({t.upper()}, a), {at}, m)")
    outs = [garbage(a.size, DTYPES[t]) for t in targets]
    assert run(library, "\n".join([*lines, "    return 0", ""]), a.size, a, *outs) == 0
    for t, out in zip(targets, outs):
        with np.errstate(all="ignore"):
            want = a.astype(DTYPES[t])
        if dtype in FLOATS and t in ("i16", "i8", "u8"):
            # C leaves these open outside the target's range, and NumPy's answer depends on its lanes
            inside = np.abs(a) < 2.0**31
            out, want = out[inside], a[inside].astype(np.int32).astype(DTYPES[t])
        if not same_bits(out, want):
            i = int((out != want).argmax())
            raise AssertionError(f"{dtype} {a[i]!r} to {t}: {out[i]!r}, NumPy says {want[i]!r}")


def test_folds_combine_every_lane(library):
    n = lanes("f32")
    names = ["sum", "prod", "max", "min"]
    text = "\n".join(
        [
            f'F, I = simd.vector("f32", {n}), simd.vector("i64", {n})',
            "def kernel(frame, ops):",
            "    x, out, at = frame[ops[0]], frame[ops[1]], frame[ops[2]]",
            "    a = simd.load(F, x)",
            *(f"    simd.store(simd.fold_{k}(a), out + {j * n * 4})" for j, k in enumerate(names)),
            "    k = simd.iota(I, 100, 3)",
            "    simd.store(simd.fold_argmax(a, k), at)",
            f"    simd.store(simd.fold_argmin(a, k), at + {n * 8})",
            "    return 0",
            "",
        ]
    )
    rng = np.random.default_rng(3)
    for trial in range(40):
        x = rng.integers(-3, 4, n).astype(np.float32)
        if trial % 3 == 1:
            x[rng.integers(n)] = np.nan
        out, at = garbage(4 * n, np.float32).reshape(4, n), garbage(2 * n, np.int64).reshape(2, n)
        assert run(library, text, x, out, at) == 0
        for row, name in zip(out, names):
            assert same_bits(np.abs(row), np.full(n, abs(getattr(np, name)(x)), np.float32)), name
        assert (at[0] == 100 + 3 * np.argmax(x)).all()
        assert (at[1] == 100 + 3 * np.argmin(x)).all()


def test_strided_access_touches_only_its_lanes(library):
    text = "\n".join(
        [
            'F = simd.vector("f32", 8)',
            "def kernel(frame, ops):",
            "    n, x, out = frame[ops[0]], frame[ops[1]], frame[ops[2]]",
            "    m = simd.first(F, n)",
            "    simd.scatter(simd.gather(F, x, 12, m), out, 20, m)",
            "    return 0",
            "",
        ]
    )
    for n in range(9):
        x, out = np.arange(3 * 8, dtype=np.float32), garbage(5 * 8, np.float32)
        assert run(library, text, n, x, out) == 0
        want = garbage(5 * 8, np.float32)
        want[: 5 * n : 5] = x[: 3 * n : 3]
        assert same_bits(out, want)
