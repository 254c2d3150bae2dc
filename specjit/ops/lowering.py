"""How an operator may become part of a native region: plain data that the scheduler reads.

Enters: what `defop(..., lower=...)` says. Leaves: one of the classes below as `Op.lower`; None means an extern call.
Invariant: a lowering never changes the meaning that `eager` gives; it only says how a kernel may compute it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Compute = Literal["result", "inputs"]
ReduceKind = Literal["sum", "max", "min", "prod", "any", "all", "argmax", "argmin"]


@dataclass(frozen=True)
class Pointwise:
    """Elementwise over the broadcast shape. `text` is kernel vocabulary; `{i}` is argument i of the op (tensor or
    scalar).

    compute="result": every tensor or scalar argument is cast to the result's dtype first. compute="inputs": to the
    promoted
    dtype of the inputs, and the text's value has the result's dtype (comparisons give bool).
    A `where`-like condition argument keeps its own dtype: `keep` names the arguments that are not cast.
    """

    text: str
    compute: Compute = "result"
    keep: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reduction:
    """Combines over the dimensions in parameter `dim` (int, list or None for all), with `keepdim`; input cast to the
    result's
    dtype first (not for any/all/argmax/argmin)."""

    kind: ReduceKind


@dataclass(frozen=True)
class Composite:
    """`fn(*args)`, in specjit ops and in schema order, is the same computation; run on Tracers before scheduling."""

    fn: Callable[..., Any]


Draw = Callable[[Any, Any], Any]  # draw(size, dtype): uniform numbers in [0, 1) from a range of their own


@dataclass(frozen=True)
class Drawn:
    """Random numbers: `fn(draw, *args)`, in specjit ops and in schema order, is the same computation, bit for bit, if
    `draw` takes them from the generator. The parameters named in `constant` must be known when it is compiled."""

    fn: Callable[..., Any]
    constant: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contraction:
    """A matrix product; `kind` is "matmul" (NumPy's rules for 1-d operands and batch broadcasting)."""

    kind: Literal["matmul"]


@dataclass(frozen=True)
class Viewing:
    """No work at all: `fn(ref, *args)` gives the `ViewRef` (or a list of them) of the result. `args` are the
    arguments after the
    viewed one as `infer` sees them: constants, or `Type.int(dim)`. None: with these arguments it is not a view."""

    fn: Callable[..., Any]


@dataclass(frozen=True)
class Creation:
    """Fresh storage filled without reading tensors: "full" (the `fill_value` or 0/1 of zeros/ones), "arange" or
    "empty"."""

    kind: str


@dataclass(frozen=True)
class Special:
    """The scheduler has a rule of its own under this name (cat, stack, index_select, embedding, ...)."""

    name: str


Lowering = Pointwise | Reduction | Composite | Drawn | Contraction | Viewing | Creation | Special


def pointwise(text: str, *, compute: Compute = "result", keep: tuple[int, ...] = ()) -> Pointwise:
    return Pointwise(text, compute, keep)


def reduction(kind: ReduceKind) -> Reduction:
    return Reduction(kind)


def composite(fn: Callable[..., Any]) -> Composite:
    return Composite(fn)


def drawn(fn: Callable[..., Any], *, constant: tuple[str, ...] = ()) -> Drawn:
    return Drawn(fn, constant)


def contraction(kind: Literal["matmul"]) -> Contraction:
    return Contraction(kind)


def viewing(fn: Callable[..., Any]) -> Viewing:
    return Viewing(fn)


def creation(kind: str) -> Creation:
    return Creation(kind)


def special(name: str) -> Special:
    return Special(name)
