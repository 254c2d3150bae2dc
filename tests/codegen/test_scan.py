"""Running sums: NumPy's cumsum to the bit, whatever the layout."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.kernels.spec import Access, Arg, ScanSpec
from tests.codegen.kernel_runs import both, garbage, same_bits
from tests.codegen.plans import check, f32

DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i8": np.int8}
RNG = np.random.default_rng(3)


def values(dtype: str, count: int) -> np.ndarray:
    if dtype[0] == "i":
        return RNG.integers(-100, 100, count).astype(DTYPES[dtype])
    out = RNG.standard_normal(count).astype(DTYPES[dtype])
    out[: min(count, 4)] = [-0.0, np.inf, np.nan, 1e30][: min(count, 4)]
    return RNG.permutation(out)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_all_dims(library, dtype, axis) -> None:
    """Sizes read at run time; the vectors' tail and the empty cases included."""
    for domain in ((2, 3, 5), (3, 1, 16), (1, 4, 33), (4, 2, 1), (0, 2, 3), (2, 0, 3), (2, 3, 0)):
        count = int(np.prod(domain))
        strides = (Arg(4), Arg(3), 1)
        extents = (Arg(2), Arg(5), Arg(6))
        spec = ScanSpec(extents, axis, Access(0, dtype, strides), Access(1, dtype, strides))
        given = values(dtype, count)
        numbers = [domain[0], domain[2], domain[1] * domain[2], domain[1], domain[2]]
        native, expected = both(library, spec, [given.copy(), garbage(count, DTYPES[dtype]), *numbers])
        assert same_bits(native[1], expected[1])
        with np.errstate(all="ignore"):
            wanted = np.cumsum(given.reshape(domain), axis, dtype=DTYPES[dtype])
        assert same_bits(native[1].reshape(domain), wanted)


def test_layouts_and_casts() -> None:
    text = """
    graph @g(%x: f32[T,B,1], %i: i8[3,4]) -> (f32[T,B,1], f32[B,T,1], i64[3,4], f32[T,B,1], f32[]) {
      %a: f32[T,B,1] = cumsum(%x, 0)
      %t: f32[B,T,1] = permute(%x, [1, 0, 2])
      %b: f32[B,T,1] = cumsum(%t, -2)
      %c: i64[3,4] = cumsum(%i, 1)
      %f: f32[T,B,1] = flip(%a, [0])
      %d: f32[T,B,1] = cumsum(%f, 2)
      %s: f32[] = sum(%x)
      %e: f32[] = cumsum(%s, 0)
      return %a, %b, %c, %d, %e
    }"""
    for t, b in ((5, 3), (1, 1), (0, 2), (2, 0), (40, 17)):
        check(text, f32(RNG, t, b, 1), RNG.integers(-100, 100, (3, 4)).astype(np.int8))
