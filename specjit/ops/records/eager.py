"""Building blocks of eager functions: NumPy with PyTorch's promotion, dims arguments and result dtypes.

Enters: ndarrays and plain Python values, as the schema says. Leaves: fresh arrays (views only from view ops).
Invariant: what a builder returns is silent about floating-point exceptions (`quiet`), and its fast case adds one
comparison to NumPy's call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.dtypes import TITLES, DType, get_default_dtype
from specjit.ops.records.quiet import quiet
from specjit.tensor.promotion import common

ndarray = np.ndarray


class Inline:
    """`fn` may be called instead of the eager function on arrays of one dtype (`floats`: float32 or float64 only;
    `bools`: bool too), with a number for one of them (`numbers`), and with alpha 1."""

    __slots__ = ("bools", "floats", "fn", "numbers")

    def __init__(self, fn: Callable[..., Any], floats: bool, bools: bool, numbers: bool) -> None:
        self.fn = fn
        self.floats = floats
        self.bools = bools
        self.numbers = numbers


def inlined(
    eager: Callable[..., Any], fn: Any, floats: bool = False, *, bools: bool = True, numbers: bool = True
) -> Callable[..., Any]:
    """`eager`, marked with the ufunc that may stand for it."""
    if isinstance(fn, np.ufunc):
        eager.inline = Inline(fn, floats, bools, numbers)  # type: ignore[attr-defined]
    return eager


def default_float() -> np.dtype:
    return get_default_dtype().numpy


def as_float(x: np.ndarray) -> np.ndarray:
    return x if x.dtype.kind == "f" else x.astype(default_float())


def unary_float(fn: Callable[..., Any]) -> Callable[[np.ndarray], Any]:
    """A floating-point function; ints and bools are converted first."""

    def eager(x: np.ndarray) -> Any:
        if x.dtype.kind == "f":
            return fn(x)
        return fn(x.astype(default_float()))

    return inlined(quiet(eager), fn, floats=True)


def binary(fn: Callable[..., Any], floating: bool = False, exact_scalar: bool = False) -> Callable[[Any, Any], Any]:
    """A pointwise function of two operands. `floating`: ints are converted to floats first (true division).

    exact_scalar: a number beside a float16 tensor (or a 0-d tensor after it) is not rounded to float16 first: PyTorch
    does so in mul and div, but not in add, sub, pow or comparisons.
    """

    def eager(a: Any, b: Any) -> Any:
        if type(a) is ndarray and type(b) is ndarray and a.dtype is b.dtype and not (floating and a.dtype.kind != "f"):
            return fn(a, b)
        if (type(b) is float or type(b) is int) and a.dtype.kind == "f":
            if exact_scalar and a.dtype.itemsize == 2:
                return fn(a.astype(np.float32), np.float32(b)).astype(np.float16)
            return fn(a, b)
        first, second = a, b
        a, b = common(a, b)
        if exact_scalar and a.dtype.char == "e" and (type(first) is not ndarray or (a.ndim and not b.ndim)):
            return fn(np.asarray(first, np.float32), np.asarray(second, np.float32)).astype(np.float16)
        if floating and a.dtype.kind != "f":
            wide = default_float()  # a number need not fit the tensor's dtype: uint8 / -2
            return fn(np.asarray(first).astype(wide), np.asarray(second).astype(wide))
        return fn(a, b)

    return inlined(quiet(eager), fn, floating)


def half_as_float(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` for float16 too, as PyTorch computes it on the CPU: in float32, with one rounding at the end. For functions
    of several NumPy calls; a single ufunc does that by itself. float32 arrays that come back are results."""

    @functools.wraps(fn, assigned=("__name__", "__doc__"), updated=())
    def eager(x: np.ndarray, *rest: Any) -> Any:
        if x.dtype.kind != "f" or x.dtype.itemsize != 2:
            return fn(x, *rest)
        found = fn(*[_widened(a) for a in (x, *rest)])
        return tuple(map(_narrowed, found)) if isinstance(found, tuple) else _narrowed(found)

    return eager


def _widened(a: Any) -> Any:
    return a.astype(np.float32) if type(a) is ndarray and a.dtype.kind == "f" and a.dtype.itemsize == 2 else a


def _narrowed(a: Any) -> Any:
    return a.astype(np.float16) if getattr(a, "dtype", None) == np.float32 else a


def not_implemented(name: str, dtype: Any) -> NotImplementedError:
    """The error of a dtype that a function does not take, in PyTorch's words: `"lgamma_cpu" not implemented for
    'Bool'`. dtype: a `DType` or NumPy's."""
    return NotImplementedError(f"\"{name}\" not implemented for '{TITLES[dtype.name]}'")


def needs_float(name: str, dtype: Any) -> None:
    """Refuse ints and bools where PyTorch's reductions do. dtype: a `DType`, NumPy's, or None (unknown)."""
    if dtype is not None and not (dtype.is_floating_point if isinstance(dtype, DType) else dtype.kind == "f"):
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {TITLES[dtype.name]}"
        )


def axes(dim: Any) -> Any:
    """A `dim: int[]?` argument for NumPy."""
    if dim is None or type(dim) is int:
        return dim
    return tuple(dim) or None


def reduce_axes(x: np.ndarray, dim: Any) -> Any:
    """The same for a possibly 0-d array, where dims 0 and -1 are allowed."""
    found = axes(dim)
    if x.ndim or found is None:
        return found
    for d in (found,) if type(found) is int else found:
        if d not in (0, -1):
            raise IndexError(f"Dimension out of range (expected to be in range of [-1, 0], but got {d})")
    return None


def one_axis(x: np.ndarray, dim: int) -> tuple[np.ndarray, int]:
    """(array of at least one dim, valid axis) for ops along a single dim, which treat 0-d as one element."""
    bound = max(x.ndim, 1)
    if not -bound <= dim < bound:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")
    return (x if x.ndim else x.reshape(1)), dim % bound


def all_axes(x: np.ndarray, dim: Any) -> tuple[int, ...]:
    """A `dim: int[]?` argument as the non-negative axes of `x`; None or empty means all. PyTorch's errors."""
    if dim is None or (type(dim) is not int and not len(dim)):
        return tuple(range(x.ndim))
    found = tuple(one_axis(x, d)[1] for d in ((dim,) if type(dim) is int else dim))
    if len(set(found)) < len(found):
        raise RuntimeError(
            f"dim {next(d for d in found if found.count(d) > 1)} appears multiple times in the list of dims"
        )
    return found if x.ndim else ()


def along(fn: Callable[..., Any]) -> Callable[..., Any]:
    """An eager function `(input, dim, ...)` whose results have the shape of the input, from `fn(x, axis, ...)`, which
    sees at least one dim and a valid axis: scans, softmax, sort."""

    def eager(x: np.ndarray, dim: int, *rest: Any) -> Any:
        whole, axis = one_axis(x, dim)
        found = fn(whole, axis, *rest)
        if x.ndim:
            return found
        return tuple(f.reshape(()) for f in found) if isinstance(found, tuple) else found.reshape(())

    return quiet(eager)


def picked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """An eager function `(input, dim, keepdim, ...)` that reduces one dim, from `fn(x, axis, ...)`, whose results keep
    that dim with size 1: argmax, median, kthvalue."""

    def eager(x: np.ndarray, dim: int, keepdim: bool, *rest: Any) -> Any:
        whole, axis = one_axis(x, dim)
        found = fn(whole, axis, *rest)
        shape = (*whole.shape[:axis], *((1,) if keepdim else ()), *whole.shape[axis + 1 :]) if x.ndim else ()
        return tuple(f.reshape(shape) for f in found) if isinstance(found, tuple) else found.reshape(shape)

    return quiet(eager)


def writable(target: np.ndarray) -> np.ndarray:
    """The target of an in-place write; an error if elements share memory, as those of an expanded tensor do."""
    if not target.flags.c_contiguous and any(s == 0 and n > 1 for s, n in zip(target.strides, target.shape)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    return target
