"""Sizes 0 and 1 where a variant holds for any size: shapes, values, errors and shared memory are plain Python's."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit.ir.dims import least_for_one, symbol

T, B = symbol("T"), symbol("B")


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (0, None),
        (3, {}),
        (T, {"T": 1}),
        (T + 1, {}),
        (T - 1, {"T": 2}),
        (T * 2 - 3, {"T": 2}),
        (T * 2 - 4, {"T": 3}),
        (T * B, {"B": 1, "T": 1}),
        (T + B - 1, {"B": 1, "T": 1}),
        (T + B - 2, None),
        (T - B, None),
        (T * T - 4, None),
    ],
    ids=repr,
)
def test_lower_bounds_under_which_a_size_is_at_least_1(size, wanted):
    assert least_for_one(size) == wanted


def pairs(x):
    out = []
    for i in range(x.shape[0] - 1):
        out.append(x[i] * 2.0 + x[i + 1])
    return specjit.stack(out)


def rows(x):
    out = []
    for i in range(x.shape[0]):
        out.append(x[i] * 2.0)
    return specjit.cat(out)


def table(x):
    lines = []
    for i in range(x.shape[0]):
        cells = []
        for j in range(x.shape[1] - 2):
            cells.append(x[i, j] * x[i, j + 2])
        lines.append(specjit.stack(cells))
    return specjit.stack(lines)


def largest(x):
    return x[1:].amax(0)


def shares(x):
    return specjit.softmax(x[1:], 0)


def flat(x):
    return x.transpose(0, 1).reshape(-1)


def packed(x):
    y = x.transpose(0, 1).contiguous()
    y.mul_(2.0)
    return x + 1.0, y


def squeezed(x):
    return x.squeeze(0)


def squeezed_and_used(x):
    return x.squeeze(0) * 2.0 + 1.0


def tail(x):
    return x[1:] * 2.0 + 1.0


def last(x):
    return x[-1:] * 2.0 + 1.0


def counted(x):
    return specjit.zeros(x.shape[0] - 1, 2) + x.shape[0] * 2.0


def outcome(fn, x):
    """Result shapes and values, which of them share memory with the argument, the argument afterwards; or the error."""
    try:
        out = fn(x)
    except (RuntimeError, IndexError, ValueError) as error:
        return type(error), str(error)
    outs = out if isinstance(out, tuple) else (out,)
    shown = [(tuple(o.shape), np.shares_memory(o.numpy(), x.numpy()), o.numpy().tolist()) for o in outs]
    return shown, x.numpy().tolist()


@pytest.mark.parametrize(
    "fn", [pairs, rows, table, largest, shares, flat, packed, squeezed, squeezed_and_used, tail, last]
)
@pytest.mark.parametrize("columns", [3, 4])
def test_small_sizes_after_larger_ones(fn, columns):
    program = specjit.optimize(fn, background=False)
    with specjit.no_grad():
        for size in (4, 5, 6, 5):
            program(specjit.randn(size, columns))
        assert program.specializations
        for size in (1, 0, 2):
            x = specjit.randn(size, columns)
            assert outcome(program, x.clone()) == outcome(fn, x), size


def test_a_size_below_0_is_the_error_of_eager() -> None:
    program = specjit.optimize(counted, warmup=1, background=False)
    for n in (3, 4, 5, 1):
        np.testing.assert_array_equal(program(specjit.ones(n)).numpy(), np.full((n - 1, 2), n * 2.0, np.float32))
    with pytest.raises(RuntimeError, match="negative dimension"):
        counted(specjit.ones(0))
    with pytest.raises(RuntimeError, match="negative dimension"):
        program(specjit.ones(0))


def test_a_size_divided_by_itself_is_no_constant() -> None:
    program = specjit.optimize(lambda x: x * (x.shape[0] // x.shape[0]), warmup=1, background=False)
    for n in (3, 4, 5):
        np.testing.assert_array_equal(program(specjit.ones(n)).numpy(), np.ones(n))
    with pytest.raises(ZeroDivisionError):
        program(specjit.ones(0))
