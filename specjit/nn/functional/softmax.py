"""Softmax, its relatives, and random choices by it.

Enters: logits. Leaves: probabilities, or their logarithms, of the same shape.
"""

from __future__ import annotations

from specjit.dtypes import DType
from specjit.ops import creation, draws, gather, pointwise, reduce
from specjit.ops import softmax as ops
from specjit.tensor.tensor import Tensor


def _implicit_dim(ndim: int) -> int:
    """The dim where none is given: PyTorch's old rule."""
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """exp(x) as shares of its sum along `dim`."""
    return ops.softmax(input, _implicit_dim(input.ndim) if dim is None else dim, dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """softmax(-x)."""
    return softmax(-input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """log(softmax(x))."""
    return ops.log_softmax(input, _implicit_dim(input.ndim) if dim is None else dim, dtype=dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A random point of the simplex near a corner that is drawn with the probabilities softmax(logits).

    tau: the lower, the nearer. hard: the corner itself, with the gradients of the point. eps: unused, as in PyTorch.
    """
    if not logits.dtype.is_floating_point:
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point but "
            f"you specified {logits.dtype.name}"
        )
    # -log(-log(u)) has Gumbel's distribution; u = 0 gives -inf: that corner is not drawn.
    noise = -pointwise.log(-pointwise.log(draws.rand_like(logits)))
    soft = ops.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    at = reduce.argmax(soft, dim, True)
    corner = gather.scatter_add(creation.zeros_like(soft), dim, at, creation.ones_like(soft))
    return corner - soft.detach() + soft
