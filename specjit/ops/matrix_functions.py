"""What functions of matrices share: the errors that types show, and records of one matrix.

Enters: float32 or float64 matrices, alone or in batches (the last two dims). Leaves: records in `specjit.linalg`.
Invariant: what is wrong with a matrix by its type is said by `eager` and `infer` alike; a matrix that has no result
raises `LinAlgError`, which says which one of a batch it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.dtypes import TITLES
from specjit.ir.types import Type
from specjit.ops.records.eager import not_implemented
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop


class LinAlgError(RuntimeError):
    """A matrix has no such decomposition, or no inverse."""


def check_matrix(name: str, dtype: Any, dims: Any, kernel: str | None, square: bool) -> None:
    """The errors that types show. dtype: a `DType`, NumPy's, or None; kernel: PyTorch's function that lacks float16
    (None: it refuses that otherwise)."""
    if dims is not None and len(dims) < 2:
        raise RuntimeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions.")
    if square and dims is not None:
        n, m = dims[-2:]
        if isinstance(n, int) and isinstance(m, int) and n != m:
            raise RuntimeError(f"linalg.{name}: A must be batches of square matrices, but they are {n} by {m} matrices")
    if dtype is None:
        return
    if dtype.name not in ("float16", "float32", "float64"):
        title = TITLES[dtype.name]
        if name == "eigh":
            raise not_implemented(f"linalg_{name}_cpu", dtype)
        raise RuntimeError(f"linalg.{name}: Expected a floating point or complex tensor as input. Got {title}")
    if dtype.name == "float16":
        if kernel is None:
            raise RuntimeError(f"linalg.{name}: Low precision dtypes not supported. Got Half")
        raise not_implemented(kernel, dtype)


def matrix_function(
    signature: str,
    run: Callable[..., Any],
    result: Callable[..., Any],
    vjp: Any,
    *,
    kernel: str | None,
    square: bool,
    doc: str,
    name: str = "",
    **options: Any,
) -> Any:
    """A function of one matrix. run: on arrays; result(dtype, batch dims, rows, columns, *rest): its type or types.
    name: what its errors call it."""
    name = name or signature[: signature.index("(")].removeprefix("linalg.")

    def eager(x: np.ndarray, *rest: Any) -> Any:
        check_matrix(name, x.dtype, x.shape, kernel, square)
        return run(x, *rest)

    def rule(x: Type, *rest: Any) -> Any:
        check_matrix(name, x.dtype, x.dims, kernel, square)
        if x.dims is None:
            return result(x.dtype, None, None, None, *rest)
        return result(x.dtype, x.dims[:-2], x.dims[-2], x.dims[-1], *rest)

    return defop(signature, eager=quiet(eager), infer=rule, vjp=vjp, doc=doc, **options)


def matrices(dtype: Any, batch: Any, *sizes: Any) -> Type:
    return Type.tensor(dtype, None if batch is None else (*batch, *sizes))


def least(n: Any, m: Any) -> Any:
    return min(n, m) if isinstance(n, int) and isinstance(m, int) else n if n == m else None


def first_failure(fn: Callable[[np.ndarray], Any], x: np.ndarray) -> str:
    """Which matrix of a batch it was."""
    if x.ndim == 2:
        return ""
    for i, matrix in enumerate(x.reshape(-1, *x.shape[-2:])):
        try:
            fn(matrix)
        except np.linalg.LinAlgError:
            return f"(Batch element {i}): "
    return ""
