"""Products with windows of memory, as convolutions have them, against the NumPy evaluator."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.kernels import window
from specjit.codegen.kernels.spec import Access, Arg, Inst, Store, WindowSpec
from tests.codegen.kernel_runs import both, garbage


def convolution(
    dtype: str,
    samples: int,
    channels: int,
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    rows: int,
    dilation: int = 1,
    symbolic: bool = False,
) -> tuple[WindowSpec, list]:
    """A convolution of (samples, channels, *sizes) with `rows` kernels, with bias and relu."""
    rng = np.random.default_rng(0)
    out = [n - dilation * (k - 1) for n, k in zip(sizes, kernel)]
    k, units, plane = channels * int(np.prod(kernel)), int(np.prod(out)), int(np.prod(sizes))
    each = {"f32": np.float32, "f64": np.float64}[dtype]
    step = [int(np.prod(sizes[d + 1 :])) for d in range(len(sizes))]
    operands = [
        rng.standard_normal(samples * channels * plane).astype(each),
        rng.standard_normal(rows * k).astype(each),
        rng.standard_normal(rows).astype(each),
        garbage(samples * rows * units, each),
        samples,
        channels * plane,
    ]
    outer, stride = (Arg(4), Arg(5)) if symbolic else (samples, channels * plane)
    depths = [(channels, plane), *zip(kernel, (s * dilation for s in step))]
    lines = list(zip(out[:-1], step[:-1]))
    body = (
        Inst("acc", dtype, operand=0),
        Inst("load", dtype, access=Access(2, dtype, (0, 1, 0))),
        Inst("apply", dtype, (0, 1), "{0} + {1}"),
        Inst("const", dtype, value=0.0),
        Inst("apply", dtype, (2, 3), "simd.maximum({0}, {1})"),
    )
    spec = WindowSpec(
        dtype,
        (outer,),
        rows,
        tuple(n for n, _ in depths),
        tuple(n for n, _ in lines),
        out[-1],
        Access(1, dtype, (0, k, 1)),
        Access(0, dtype, (stride, *(s for _, s in depths), *(s for _, s in lines), 1)),
        body,
        (Store(Access(3, dtype, (rows * units, units, 1)), 4),),
    )
    return spec, operands


@pytest.mark.parametrize(
    ("dtype", "case"),
    [
        ("f32", {"samples": 2, "channels": 3, "sizes": (10, 18), "kernel": (3, 3), "rows": 16}),
        ("f32", {"samples": 1, "channels": 40, "sizes": (7, 30), "kernel": (3, 3), "rows": 13}),
        ("f32", {"samples": 2, "channels": 2, "sizes": (9, 9), "kernel": (2, 2), "rows": 5, "dilation": 1}),
        ("f32", {"samples": 3, "channels": 1, "sizes": (40,), "kernel": (5,), "rows": 1, "symbolic": True}),
        ("f32", {"samples": 1, "channels": 2, "sizes": (5, 6, 17), "kernel": (2, 3, 2), "rows": 150}),
        ("f32", {"samples": 0, "channels": 2, "sizes": (5, 17), "kernel": (2, 2), "rows": 4, "symbolic": True}),
        ("f64", {"samples": 2, "channels": 4, "sizes": (8, 12), "kernel": (3, 5), "rows": 7, "dilation": 2}),
    ],
)
def test_convolutions(library, dtype, case):
    spec, operands = convolution(dtype, **case)
    native, expected = both(library, spec, operands)
    np.testing.assert_allclose(native[3], expected[3], rtol=1e-4 if dtype == "f32" else 1e-12, atol=1e-5)


def test_short_runs_are_better_packed():
    assert not window.refusal("f32", (16, 3, 3), (14,), 14)
    assert "short" in window.refusal("f32", (16, 3, 3), (3,), 3)
    assert "many" in window.refusal("f32", (2000, 3, 3), (14,), 14)
