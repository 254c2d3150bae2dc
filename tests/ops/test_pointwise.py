"""Pointwise functions beside their rows: second names, operators, writes in place, fronts, limits of special
functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

import specjit
from specjit.dtypes import float16, float32, float64, int64
from specjit.ops import gamma
from specjit.ops.aliases import ALIASES


@pytest.mark.parametrize(("name", "of"), [pair.split("=") for pair in ALIASES.split()])
def test_second_names(name, of):
    assert getattr(specjit, name) is getattr(specjit, of)
    assert getattr(specjit.Tensor, name, None) is getattr(specjit.Tensor, of, None)
    assert getattr(specjit.Tensor, name + "_", None) is getattr(specjit.Tensor, of + "_", None)


# operators


def test_shift_operators():
    x = specjit.tensor([1, 2, -3])
    assert (x << 2).tolist() == [4, 8, -12]
    assert (x >> 1).tolist() == [0, 1, -2]
    assert (2 << specjit.tensor([1, 3])).tolist() == [4, 16]
    assert (64 >> specjit.tensor([1, 3])).tolist() == [32, 8]
    y = x
    y <<= 1
    y >>= specjit.tensor([0, 1, 0])
    assert y is x
    assert x.tolist() == [2, 2, -6]
    with pytest.raises(TypeError):
        x << "a"


def test_plus_is_the_tensor_itself():
    x = specjit.tensor([1.0], requires_grad=True)
    assert +x is x


def shifted(x, y):
    return ((x << 2) ^ (3 << y)) + (+x >> 1)


@pytest.mark.parametrize("road", ["script", "trace", "optimize"])
def test_operators_in_captured_programs(road):
    x, y = specjit.tensor([1, 2, -3]), specjit.tensor([0, 1, 5])
    want = shifted(x, y).tolist()
    if road == "optimize":
        fast = specjit.optimize(shifted, warmup=1, background=False)
        assert all(fast(x, y).tolist() == want for _ in range(3))
        assert "stays in Python" not in str(fast.explain())
        fast.close()
    elif road == "trace":
        assert specjit.jit.trace(shifted, (x, y))(x, y).tolist() == want
    else:
        assert specjit.jit.script(shifted)(x, y).tolist() == want


# division


def test_div_is_divide_in_place_too():
    assert specjit.div is specjit.divide is specjit.true_divide
    x = specjit.tensor([7.0, -7.0])
    assert x.div_(2, rounding_mode="floor") is x
    assert x.tolist() == [3.0, -4.0]
    whole = specjit.tensor([7, -7])
    assert whole.div_(2, rounding_mode="trunc").tolist() == [3, -3]
    assert (7 / specjit.tensor([2.0])).tolist() == specjit.div(7, specjit.tensor([2.0])).tolist()


def test_rounded_division_has_gradient_zero():
    x = specjit.tensor([7.5, -7.5], requires_grad=True)
    for mode in ("trunc", "floor"):
        (grad,) = specjit.autograd.grad(specjit.div(x, 2, rounding_mode=mode).sum(), x)
        assert grad.tolist() == [0, 0]


# powers


@pytest.mark.parametrize(
    ("base", "exponent", "want"),
    [
        ([2, 1, -1, 0], [-1, -5, -3, -1], [0, 1, -1, 0]),
        ([2, -1, 3], [3, -2, 0], [8, 1, 1]),
    ],
)
def test_integer_powers_of_negative_exponents(base, exponent, want):
    assert (specjit.tensor(base) ** specjit.tensor(exponent)).tolist() == want


def test_powers_of_bools():
    x = specjit.tensor([True, False])
    assert (x**True).dtype is specjit.bool
    assert (x**2).dtype is int64
    with pytest.raises(NotImplementedError, match="\"pow\" not implemented for 'Bool'"):
        x**x
    with pytest.raises(NotImplementedError, match="\"pow\" not implemented for 'Bool'"):
        True**x
    with pytest.raises(RuntimeError, match="without overflow"):
        specjit.tensor([3], dtype=specjit.int8) ** 300


def test_float_power_in_place_takes_float64_only():
    x = specjit.tensor([2.0, 3.0], dtype=float64)
    assert x.float_power_(2) is x
    assert x.tolist() == [4.0, 9.0]
    with pytest.raises(RuntimeError, match="Double"):
        specjit.ones(2).float_power_(2)


# fronts


def test_where_of_a_condition_alone_gives_indices():
    rows, columns = specjit.where(specjit.tensor([[0, 1], [1, 0]]))
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [1, 0]
    with pytest.raises(TypeError):
        specjit.where(specjit.tensor([True]), specjit.ones(1))


def test_clamp_takes_bounds_of_one_kind():
    x = specjit.tensor([1.0, 2.0])
    with pytest.raises(TypeError):
        x.clamp(0, x)
    with pytest.raises(NotImplementedError, match="clamp_cpu"):
        specjit.tensor([True]).clamp(specjit.tensor([True]), specjit.tensor([True]))
    assert x.clamp(5, 1).tolist() == [1.0, 1.0]


def test_subtraction_and_alpha_refuse_bools():
    x, mask = specjit.tensor([1, 2]), specjit.tensor([True, False])
    for a, b in ((mask, mask), (mask, True), (x, mask), (x, True)):
        with pytest.raises(RuntimeError, match="Subtraction, the `-` operator"):
            a - b
    with pytest.raises(RuntimeError, match="Boolean alpha"):
        specjit.add(x, x, alpha=True)
    with pytest.raises(RuntimeError, match="must not be a floating point number"):
        specjit.add(x, x, alpha=1.5)


def test_writes_whose_result_is_bool():
    x = specjit.tensor([1.0, 2.0, 0.0])
    assert x.clone().gt_(1).tolist() == [0.0, 1.0, 0.0]
    assert x.clone().logical_not_().dtype is float32
    assert x.clone().eq_(specjit.tensor([1.0, 1.0, 0.0])).tolist() == [1.0, 0.0, 1.0]


# special functions in float64


def values(name: str, x: np.ndarray) -> np.ndarray:
    return getattr(specjit, name)(specjit.from_numpy(x)).numpy()


def relative(found: np.ndarray, want: np.ndarray) -> float:
    kept = np.isfinite(want) & (np.abs(want) > 1e-300)
    return float(np.max(np.abs(found[kept] - want[kept]) / np.abs(want[kept])))


def test_error_functions_are_accurate_in_the_tails():
    x = np.concatenate([np.linspace(-8, 26, 5001), np.logspace(-300, 0, 301)])
    assert relative(values("erf", x), np.array([math.erf(v) for v in x])) < 2e-15
    assert relative(values("erfc", x), np.array([math.erfc(v) for v in x])) < 2e-15
    p = np.concatenate([np.linspace(-1, 1, 5001)[1:-1], 1 - np.logspace(-15, -1, 101), np.logspace(-300, -1, 101)])
    assert relative(values("erfinv", p), special.erfinv(p)) < 3e-15
    assert values("erfc", np.array([np.inf, -np.inf, 30.0])).tolist() == [0, 2, 0]
    assert values("erfinv", np.array([1.0, -1.0])).tolist() == [np.inf, -np.inf]
    assert np.isnan(values("erfinv", np.array([1.5, np.nan]))).all()


def test_gamma_functions_are_accurate_near_zeros_and_poles():
    x = np.concatenate([np.logspace(-300, 300, 601), np.linspace(0.01, 30, 3001)])
    found, want = values("lgamma", x), special.gammaln(x)
    assert np.max(np.abs(found - want) / np.maximum(1, np.abs(want))) < 4e-15
    # lgamma(2 + z) = (1 - Euler's constant) z + ... : relative to itself, where the logarithm of a product has nothing
    z = np.array([-1e-12, 1e-12, 1e-9])
    assert relative(values("lgamma", 2 + z), (1 - gamma.EULER) * ((2 + z) - 2)) < 1e-8
    below = np.array([-0.5, -3.7, -20.25, -19.999999745])
    # An independent value by the recurrence from positive arguments.
    up = np.ceil(-below).astype(int) + 1
    steps = [sum(1 / (v + k) for k in range(n)) for v, n in zip(below, up)]
    assert relative(values("digamma", below), special.digamma(below + up) - steps) < 1e-9
    assert np.isnan(values("digamma", np.array([-1.0, -np.inf]))).all()
    assert values("digamma", np.array([0.0, -0.0])).tolist() == [-np.inf, np.inf]
    assert values("lgamma", np.array([0.0, -3.0, np.inf, -np.inf])).tolist() == [np.inf] * 4


def test_half_is_rounded_once():
    x = specjit.tensor([0.1, 1.3, 2.7], dtype=float16)
    for name in ("sinc", "logit", "frac", "lgamma", "erfc"):
        wide = getattr(specjit, name)(x.float())
        np.testing.assert_array_equal(getattr(specjit, name)(x).numpy(), wide.half().numpy())
    end = specjit.tensor([5.1, 300.0, -4.2], dtype=float16)
    np.testing.assert_array_equal(x.lerp(end, 0.3).numpy(), x.float().lerp(end.float(), 0.3).half().numpy())


@pytest.mark.parametrize("number", [-2, 300, 2**40, 0.5, True])
def test_a_number_that_does_not_fit_an_integer_dtype_divides_as_it_is(number):
    data = np.array([0, 3, 200], np.uint8)
    x = specjit.tensor(data)
    np.testing.assert_array_equal((x / number).numpy(), data.astype(np.float32) / np.float32(number))
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal((number / x).numpy(), np.float32(number) / data.astype(np.float32))
