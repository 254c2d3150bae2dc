"""Element types and vector widths: the little about SIMD that the renderers and the scheduler must know.

Enters: a dtype name of `kernels.spec` and the CPU's features (the comma-separated text of `target.host().features`;
the host's by default). Leaves: lane counts. Invariant: never imports numba or llvmlite by itself, and every lane
count is a power of two, so that a panel packed by one kernel is read by another with the same count.
"""

from __future__ import annotations

import functools

ITEMSIZE = {"f32": 4, "f64": 8, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "u8": 1, "bool": 1}
FLOATS = ("f32", "f64")
MAX_LANES = 32  # beyond this, byte kernels gain nothing and masks get slow to build


@functools.cache
def host_features() -> str:
    from specjit.codegen import target  # imports llvmlite, which only compiling and loading may do

    return target.host().features


def register_bytes(features: str | None = None) -> int:
    """Bytes of the widest vector register worth using."""
    have = set((host_features() if features is None else features).split(","))
    return 64 if "+avx512f" in have else 32 if "+avx" in have else 16


def lanes(dtype: str, features: str | None = None) -> int:
    """Elements of `dtype` in one vector register (16 for f32 with AVX-512)."""
    return min(register_bytes(features) // ITEMSIZE[dtype], MAX_LANES)


def panel_lanes(dtype: str, units: int | None, features: str | None = None) -> int:
    """Lanes of a packed GEMM panel: a register's, or fewer for a product with few units. `units` is None when not
    known.
    """
    full = lanes(dtype, features)
    if units is None:
        return full
    few = 1
    while few < min(units, full):
        few *= 2
    return few


def as_units(units: object) -> int | None:
    """The unit count when it is baked, None when it is read at run time."""
    return units if isinstance(units, int) else None
