"""Kernels that gather from, or add up at, run-time positions, against the NumPy evaluator."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.abi import Status
from specjit.codegen.kernels.spec import Access, Arg, PickSpec
from tests.codegen.kernel_runs import RENDER, both, garbage, run


def rows_spec(columns: int, gather: bool, wrap: bool = False, index: str = "i64") -> PickSpec:
    """Operands: index, source, target, number of positions, number of rows."""
    at = Access(0, index, (1, 0))  # type: ignore[arg-type]
    moving, plain = (0, 1), (columns, 1)
    source = Access(1, "f32", moving if gather else plain)
    target = Access(2, "f32", plain if gather else moving)
    return PickSpec((Arg(3), columns), at, source, target, columns, Arg(4), gather, wrap)


@pytest.mark.parametrize("columns", [1, 7, 16, 40])
@pytest.mark.parametrize("index", ["i64", "i32"])
def test_rows_are_gathered(library, columns, index):
    rng = np.random.default_rng(columns)
    table = rng.normal(size=(9, columns)).astype(np.float32)
    at = rng.integers(-9, 9, 12).astype(np.int64 if index == "i64" else np.int32)
    spec = rows_spec(columns, True, True, index)
    native, expected = both(library, spec, [at, table.ravel(), garbage(12 * columns, np.float32), 12, 9])
    np.testing.assert_array_equal(native[2], expected[2])
    np.testing.assert_array_equal(native[2].reshape(12, columns), table[at])


@pytest.mark.parametrize("columns", [1, 7, 16, 40])
def test_rows_add_up_in_order(library, columns):
    rng = np.random.default_rng(columns)
    at, source = rng.integers(0, 3, 50), rng.normal(size=50 * columns).astype(np.float32)
    target = rng.normal(size=3 * columns).astype(np.float32)
    native, expected = both(library, rows_spec(columns, False), [at, source, target, 50, 3])
    assert native[2].tobytes() == expected[2].tobytes()


@pytest.mark.parametrize(("position", "wrap"), [(3, False), (-1, False), (3, True), (-4, True)])
@pytest.mark.parametrize("gather", [True, False])
def test_a_position_outside_is_an_index_error(library, position, wrap, gather):
    at = np.array([0, position])
    source, target = np.ones(6, np.float32), np.ones(6, np.float32)
    spec = rows_spec(2, gather, wrap)
    native = [at, source, target, 2, 3]
    assert run(library, RENDER[PickSpec](spec), *native) == Status.INDEX
