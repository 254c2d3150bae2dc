"""Matrix products.

Enters: tensors of one dtype. Leaves: products by NumPy's matmul rules, computed by its BLAS; sums with them (`addmm`
and its kin).
Invariant: a product of bools is refused, as PyTorch refuses it, unless nothing is multiplied.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjit.dtypes import TITLES, bool_
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.records.composites import Number, composite_function
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.grads import sum_to
from specjit.ops.records.lowering import contraction
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop
from specjit.tensor.tensor import Tensor


def _matmul(a: np.ndarray, b: np.ndarray) -> Any:
    kind = a.dtype.kind
    if a.dtype is not b.dtype and a.dtype != b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}")
    if kind == "b":
        return _of_bools(a, b)
    if a.dtype.itemsize == 2 and kind == "f":
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    return np.matmul(a, b)


def _of_bools(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = np.matmul(a, b)
    if (out.size and a.shape[-1]) or a.ndim == b.ndim == 1:
        raise not_implemented(_kernel(a.ndim, b.ndim), bool_)
    return out


def _kernel(left: int, right: int) -> str:
    """PyTorch's function for a product of operands of these ranks."""
    if right == 1:
        return "dot" if left == 1 else "addmv_impl_cpu"
    return "addmm_impl_cpu_" if right == 2 else "bmm"


def _rule(a: Type, b: Type) -> Type:
    found = infer.matmul(a, b)
    sizes = (*found.dims, a.dims[-1]) if found.dims is not None and a.dims else (0,)
    if found.dtype is bool_ and all(isinstance(n, int) and n for n in sizes):
        raise not_implemented(_kernel(len(a.dims or ()), len(b.dims or ())), bool_)
    return found


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
    infer=_rule,
    vjp=_matmul_vjp,
    lower=contraction("matmul"),
    reads=((1,), (0,)),
    doc="NumPy's matmul: matrices in the last two dims, batch dims broadcast, 1-d operands are vectors.",
)


def _fixed_rank(name: str, rank: int, doc: str) -> Any:
    names = ("self", "mat2") if rank == 2 else ("batch1", "batch2")

    def check(a: int, b: int) -> None:
        if a != rank or b != rank:
            wrong = names[0] if a != rank else names[1]
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
        return _rule(a, b)

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
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    return matmul(input, vec)


@composite_function
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two 1-d tensors."""
    _check_vectors(input.ndim, tensor.ndim)
    return matmul(input, tensor)


@composite_function
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot` (all numbers here are real)."""
    _check_vectors(input.ndim, other.ndim)
    return matmul(input, other)


def _check_vectors(a: int, b: int) -> None:
    if a != 1 or b != 1:
        raise RuntimeError(f"1D tensors expected, but got {a}D and {b}D tensors")


@composite_function
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two 1-d tensors."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(f"outer: Expected 1-D arguments, but got {input.ndim}-D and {vec2.ndim}-D")
    return input.unsqueeze(1) * vec2


@composite_function
def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """`outer` under its BLAS name."""
    return outer(input, vec2)


@composite_function(inplace=True)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2); with beta 0, `input` is not looked at."""
    return _plus(input, mm(mat1, mat2), beta, alpha)


@composite_function(inplace=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec); with beta 0, `input` is not looked at."""
    if mat.ndim != 2 or vec.ndim != 1 or input.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input.ndim}, {mat.ndim}, {vec.ndim}")
    return _plus(input, matmul(mat, vec), beta, alpha)


@composite_function(inplace=True)
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta * input + alpha * (the sum of the products of two stacks of matrices)."""
    _check_stacks(batch1.shape, batch2.shape)
    # The sum over the stack and that of each product are one: a single product of wide matrices.
    wide = batch1.transpose(0, 1).flatten(1)
    return _plus(input, mm(wide, batch2.flatten(0, 1)), beta, alpha)


@composite_function(inplace=True)
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta * input + alpha * bmm(batch1, batch2); with beta 0, `input` is not looked at."""
    return _plus(input, bmm(batch1, batch2), beta, alpha)


@composite_function(inplace=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2); with beta 0, `input` is not looked at."""
    return _plus(input, outer(vec1, vec2), beta, alpha)


def _plus(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """beta * input + alpha * product, of the product's shape. Beside ints, numbers lose their fractions."""
    if input.dtype is not product.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {TITLES[input.dtype.name]} and "
            f"{TITLES[product.dtype.name]}"
        )
    whole = input.expand(product.shape)
    if not product.dtype.is_floating_point:
        alpha, beta = (int(alpha), int(beta)) if product.dtype is not bool_ else (bool(alpha), bool(beta))
    scaled = product if alpha == 1 else product * alpha
    if beta == 0:
        return scaled
    return scaled + (whole if beta == 1 else whole * beta)


def _check_stacks(a: Any, b: Any) -> None:
    if len(a) != 3 or len(b) != 3:
        raise RuntimeError(f"batch{1 if len(a) != 3 else 2} must be a 3D tensor")
    if a[0] != b[0] or a[2] != b[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but got: "
            f"[{b[0]}, {b[1]}]."
        )
