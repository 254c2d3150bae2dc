"""Helpers of gradient rules, in specjit ops and methods only, so that they run on tensors and on tracers.

Enters: gradients, and operands or stand-ins with their shape and dtype. Leaves: gradients of the operands' own shape
and dtype.
Invariant: a Python number has no gradient (None).
"""

from __future__ import annotations

from typing import Any


def is_tensor(x: Any) -> bool:
    """A tensor, a tracer or a stand-in; not a number."""
    return hasattr(x, "shape")


def cast_like(g: Any, like: Any) -> Any:
    return g if g.dtype is like.dtype else g.to(like.dtype)


def sum_to(g: Any, like: Any) -> Any:
    """The gradient of `like` where `like` was broadcast to the shape of `g`: summed over what was stretched."""
    if g is None or not is_tensor(like):
        return None
    have, want = tuple(g.shape), tuple(like.shape)
    if have != want:
        lead = len(have) - len(want)
        stretched = [d for d in range(len(have)) if d < lead or want[d - lead] != have[d]]
        keep = any(d >= lead for d in stretched)
        if stretched:
            g = g.sum(stretched, keep)
        if lead and keep:
            g = g.reshape(want)
    return cast_like(g, like)


def unreduce(g: Any, like: Any, dim: Any, keepdim: bool) -> Any:
    """A reduction's gradient with the reduced dims back as size 1 (for a reduction over `dim`; None means all)."""
    if keepdim or not like.ndim:
        return g
    given = range(like.ndim) if dim is None else dim if isinstance(dim, (list, tuple)) else [dim]
    dims = sorted(d % like.ndim for d in given) or list(range(like.ndim))
    for d in dims:
        g = g.unsqueeze(d)
    return g


def count(like: Any, dim: Any) -> Any:
    """How many elements a reduction over `dim` combines."""
    if dim is None or (isinstance(dim, (list, tuple)) and not dim):
        dims: Any = range(like.ndim)
    else:
        dims = dim if isinstance(dim, (list, tuple)) else [dim]
    total: Any = 1
    for d in dims:
        total = total * (like.shape[d] if like.ndim else 1)
    return total
