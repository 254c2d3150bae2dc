"""How an operator may become part of a native region: plain data that the scheduler reads.

Enters: what `defop(..., lower=...)` says. Leaves: one of the classes below as `Op.lower`; None means an extern call.
Invariant: a lowering never changes the meaning that `eager` gives; it only says how a kernel may compute it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

Compute = Literal["result", "inputs"]
ReduceKind = Literal["sum", "max", "min", "prod", "any", "all", "argmax", "argmin"]


class _Lowering:
    """Compared and printed by what it says. (Dataclasses would make up a tenth of the package's import.)"""

    __slots__: tuple[str, ...] = ()

    def _said(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, _Lowering) and self._said() == other._said()

    def __hash__(self) -> int:
        return hash((type(self), self._said()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._said()))})"


class Pointwise(_Lowering):
    """Elementwise over the broadcast shape. `text` is kernel vocabulary; `{i}` is argument i of the op (tensor or
    scalar).

    compute="result": every tensor or scalar argument is cast to the result's dtype first. compute="inputs": to the
    promoted
    dtype of the inputs, and the text's value has the result's dtype (comparisons give bool).
    A `where`-like condition argument keeps its own dtype: `keep` names the arguments that are not cast.
    """

    __slots__: tuple[str, ...] = ("compute", "keep", "text")

    def __init__(self, text: str, compute: Compute = "result", keep: tuple[int, ...] = ()) -> None:
        self.text = text
        self.compute: Compute = compute
        self.keep = keep


class Reduction(_Lowering):
    """Combines over the dimensions in parameter `dim` (int, list or None for all), with `keepdim`; input cast to the
    result's
    dtype first (not for any/all/argmax/argmin)."""

    __slots__: tuple[str, ...] = ("kind",)

    def __init__(self, kind: ReduceKind) -> None:
        self.kind: ReduceKind = kind


class Composite(_Lowering):
    """`fn(*args)`, in specjit ops and in schema order, is the same computation; run on Tracers before scheduling.
    `whole`: the op's own gradient is better than that of `fn`, so it is differentiated before it is replaced."""

    __slots__: tuple[str, ...] = ("fn", "whole")

    def __init__(self, fn: Callable[..., Any], whole: bool = False) -> None:
        self.fn = fn
        self.whole = whole


Draw = Callable[[Any, Any], Any]  # draw(size, dtype): uniform numbers in [0, 1) from a range of their own


class Drawn(_Lowering):
    """Random numbers: `fn(draw, *args)`, in specjit ops and in schema order, is the same computation, bit for bit, if
    `draw` takes them from the generator. The parameters named in `constant` must be known when it is compiled."""

    __slots__ = ("constant", "fn")

    def __init__(self, fn: Callable[..., Any], constant: tuple[str, ...] = ()) -> None:
        self.fn = fn
        self.constant = constant


class Contraction(_Lowering):
    """A matrix product; `kind` is "matmul" (NumPy's rules for 1-d operands and batch broadcasting)."""

    __slots__: tuple[str, ...] = ("kind",)

    def __init__(self, kind: Literal["matmul"]) -> None:
        self.kind: Literal["matmul"] = kind


class Viewing(_Lowering):
    """No work at all: `fn(ref, *args)` gives the `ViewRef` (or a list of them) of the result. `args` are the
    arguments after the
    viewed one as `infer` sees them: constants, or `Type.int(dim)`. None: with these arguments it is not a view."""

    __slots__: tuple[str, ...] = ("fn",)

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn


class Creation(_Lowering):
    """Fresh storage filled without reading tensors: "full" (the `fill_value` or 0/1 of zeros/ones), "arange" or
    "empty"."""

    __slots__: tuple[str, ...] = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Special(_Lowering):
    """The scheduler has a rule of its own under this name (cat, stack, index_select, embedding, ...)."""

    __slots__: tuple[str, ...] = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


Lowering = Pointwise | Reduction | Composite | Drawn | Contraction | Viewing | Creation | Special


def pointwise(text: str, *, compute: Compute = "result", keep: tuple[int, ...] = ()) -> Pointwise:
    return Pointwise(text, compute, keep)


def reduction(kind: ReduceKind) -> Reduction:
    return Reduction(kind)


def composite(fn: Callable[..., Any], *, whole: bool = False) -> Composite:
    return Composite(fn, whole)


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
