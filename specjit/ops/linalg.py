"""Matrix products.

Enters: floating-point or integer tensors of one dtype. Leaves: products by NumPy's matmul rules, computed by its BLAS.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.ir.types import Type
from specjit.ops import infer
from specjit.ops.composites import Number, composite_function
from specjit.ops.grads import sum_to
from specjit.ops.lowering import contraction
from specjit.ops.quiet import quiet
from specjit.ops.registry import defop
from specjit.tensor.tensor import Tensor


def _matmul(a: np.ndarray, b: np.ndarray) -> Any:
    if a.dtype is not b.dtype and a.dtype != b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}")
    if a.dtype.kind == "b":
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Bool'")
    if a.dtype.itemsize == 2 and a.dtype.kind == "f":
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    return np.matmul(a, b)


def _matmul_vjp(g: Any, _y: Any, a: Any, b: Any) -> Any:
    """1-d operands become matrices with a dim of 1; a batch that was broadcast is summed."""

    def left() -> Any:
        if b.ndim == 1:
            rows = g.unsqueeze(-1) if a.ndim > 1 else g
            return sum_to(rows * b, a)
        if a.ndim == 1:
            return sum_to((g.unsqueeze(-2) @ b.transpose(-1, -2)).squeeze(-2), a)
        return sum_to(g @ b.transpose(-1, -2), a)

    def right() -> Any:
        if a.ndim == 1:
            if b.ndim == 1:
                return g * a
            return sum_to(a.unsqueeze(-1) * g.unsqueeze(-2), b)
        if b.ndim == 1:
            return sum_to((a.transpose(-1, -2) @ g.unsqueeze(-1)).squeeze(-1), b)
        if b.ndim == 2 and a.ndim > 2:
            # One large product instead of a batch of small ones and a sum.
            return a.reshape(-1, a.shape[-1]).t() @ g.reshape(-1, g.shape[-1])
        return sum_to(a.transpose(-1, -2) @ g, b)

    return left, right


matmul = defop(
    "matmul(input, other) -> Tensor",
    eager=quiet(_matmul),
    infer=infer.matmul,
    vjp=_matmul_vjp,
    lower=contraction("matmul"),
    reads=((1,), (0,)),
    doc="NumPy's matmul: matrices in the last two dims, batch dims broadcast, 1-d operands are vectors.",
)


def _fixed_rank(name: str, rank: int, doc: str) -> Any:
    def check(a: int, b: int) -> None:
        if a != rank or b != rank:
            wrong = "self" if a != rank else "mat2"
            raise RuntimeError(f"{wrong} must be a {'matrix' if rank == 2 else '3D tensor'}")

    def eager(a: np.ndarray, b: np.ndarray) -> Any:
        check(a.ndim, b.ndim)
        if rank == 3 and a.shape[0] != b.shape[0]:
            raise RuntimeError(f"batch sizes differ: {a.shape[0]} and {b.shape[0]}")
        return _matmul(a, b)

    def rule(a: Type, b: Type) -> Type:
        if a.dims is not None and b.dims is not None:
            check(len(a.dims), len(b.dims))
            if rank == 3 and isinstance(a.dims[0], int) and isinstance(b.dims[0], int) and a.dims[0] != b.dims[0]:
                raise RuntimeError(f"batch sizes differ: {a.dims[0]} and {b.dims[0]}")
        return infer.matmul(a, b)

    return defop(
        f"{name}(input, mat2) -> Tensor",
        eager=quiet(eager),
        infer=rule,
        vjp=_matmul_vjp,
        lower=contraction("matmul"),
        reads=((1,), (0,)),
        doc=doc,
    )


mm = _fixed_rank("mm", 2, "The product of two matrices.")
bmm = _fixed_rank("bmm", 3, "Products of two stacks of matrices, (b, n, m) and (b, m, p).")


@composite_function
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Matrix times vector."""
    return matmul(input, vec)


@composite_function
def dot(input: Tensor, other: Tensor) -> Tensor:
    """The inner product of two 1-d tensors."""
    if input.ndim != 1 or other.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {other.ndim}D tensors")
    return matmul(input, other)


@composite_function
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two 1-d tensors."""
    return input.unsqueeze(1) * vec2


@composite_function
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)."""
    product = mm(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    return product + (input if beta == 1 else input * beta)
