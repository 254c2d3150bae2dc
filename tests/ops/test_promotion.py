"""Type promotion: PyTorch's table, and how tensors with dims, 0-d tensors and Python numbers rank.

The table is PyTorch's documented one (`torch.promote_types`) for the dtypes that exist here;
`bench/compare_torch.py` compares all of this with PyTorch itself.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import specjit
from specjit.dtypes import ALL, DType
from specjit.tensor.promotion import can_cast, promote_types, result_type

NAMES = "bool uint8 int8 int16 int32 int64 float16 float32 float64".split()
TABLE = """
bool     bool     uint8    int8     int16    int32    int64    float16  float32  float64
uint8    uint8    uint8    int16    int16    int32    int64    float16  float32  float64
int8     int8     int16    int8     int16    int32    int64    float16  float32  float64
int16    int16    int16    int16    int16    int32    int64    float16  float32  float64
int32    int32    int32    int32    int32    int32    int64    float16  float32  float64
int64    int64    int64    int64    int64    int64    int64    float16  float32  float64
float16  float16  float16  float16  float16  float16  float16  float16  float32  float64
float32  float32  float32  float32  float32  float32  float32  float32  float32  float64
float64  float64  float64  float64  float64  float64  float64  float64  float64  float64
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


def dtype(name: str) -> DType:
    return next(d for d in ALL if d.name == name)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_promote_types(row):
    first, *wanted = row
    for name, want in zip(NAMES, wanted, strict=True):
        assert promote_types(dtype(first), dtype(name)) is dtype(want)
        assert promote_types(dtype(name), dtype(first)) is dtype(want)


def rank(x: object) -> int:
    """0: a tensor with dims, 1: a 0-d tensor, 2: a Python number."""
    return 2 if isinstance(x, (bool, int, float)) else int(x.ndim == 0)


def own(x: object) -> DType:
    table = {bool: "bool", int: "int64", float: "float32"}
    return dtype(table[type(x)]) if type(x) in table else x.dtype


def expected(a: object, b: object) -> DType:
    """Of operands of different rank, the lower-ranked one only counts where its category is higher."""
    if rank(a) == rank(b):
        return promote_types(own(a), own(b))
    strong, weak = (a, b) if rank(a) < rank(b) else (b, a)
    return own(weak) if own(weak).category > own(strong).category else own(strong)


OPERANDS = [specjit.ones(s, dtype=d) for d in ALL for s in ((2,), ())] + [True, 2, 2.5]


def test_result_type_of_everything_with_everything():
    for a, b in itertools.product(OPERANDS, OPERANDS):
        assert result_type(a, b) is expected(a, b), (a, b)


@pytest.mark.parametrize("op", ["mul", "eq", "div"])
def test_operators_compute_in_the_result_type(op):
    for a, b in itertools.product(OPERANDS, OPERANDS):
        if rank(a) == 2 and (rank(b) == 2 or op == "eq"):
            continue
        found = getattr(specjit, op)(a, b).dtype
        common = expected(a, b)
        floats = common if common.is_floating_point else specjit.float32
        assert found is {"mul": common, "eq": specjit.bool, "div": floats}[op]


def test_can_cast_never_goes_down_a_category():
    for a, b in itertools.product(ALL, ALL):
        assert can_cast(a, b) == (a.category <= b.category)


def test_integers_wrap_around():
    for d in ALL:
        if d.category == 1:
            bits = 8 * d.itemsize
            top = 2 ** (bits - d.is_signed) - 1
            x = specjit.tensor([top], dtype=d)
            low = -(2 ** (bits - 1)) if d.is_signed else 0
            assert (x + 1).tolist() == [low]
            assert (x + x).tolist() == [-2 if d.is_signed else top - 1]
            assert (specjit.tensor([low], dtype=d) - 1).tolist() == [top]
            assert specjit.tensor([top, 1], dtype=d).sum().dtype is specjit.int64


def test_numbers_beside_float16():
    """mul and div take them in float32, add and sub round them to float16 first: so PyTorch computes on the CPU."""
    values = np.linspace(-3, 3, 199).astype(np.float16)
    x, wide = specjit.from_numpy(values.copy()), values.astype(np.float32)
    tenth, rounded = np.float32(0.1), np.float32(np.float16(0.1))
    wanted = {"mul": wide * tenth, "div": wide / tenth, "add": wide + rounded, "sub": wide - rounded}
    for name, want in wanted.items():
        for found in (getattr(specjit, name)(x, 0.1), getattr(x.clone(), name + "_")(0.1)):
            np.testing.assert_array_equal(found.numpy(), want.astype(np.float16))
    zero_d = specjit.tensor(0.1, dtype=specjit.float64)
    np.testing.assert_array_equal((x * zero_d).numpy(), wanted["mul"].astype(np.float16))
    np.testing.assert_array_equal((zero_d * x).numpy(), (wide * rounded).astype(np.float16))
    np.testing.assert_array_equal((0.1 * x).numpy(), wanted["mul"].astype(np.float16))
    found = specjit.add(x, x, alpha=0.1).numpy()
    np.testing.assert_array_equal(found, (wide + wide * rounded).astype(np.float16))
