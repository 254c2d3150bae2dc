"""Tensor ops that need knowledge of Python containers: indexing, stack and cat.

Enters: abstract arguments of `getitem`, `stack`, `cat`. Leaves: `select`, `slice`, `unsqueeze` chains for basic
indexing (views), or None where the op should be emitted as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit.ir.graph import Value
from specjit.specialize import lists
from specjit.specialize.abstract import Abstract, Known, Refused, Seq

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer


def getitem(spec: Specializer, op: Any, args: list[Any]) -> Abstract | None:
    """`x[index]` with integers, slices, None and ... as a chain of views; None if an index is a tensor or a list."""
    x, index = args
    if not isinstance(x, Value) or x.type.dims is None:
        return None
    parts = list(index.items) if isinstance(index, Seq) and index.is_tuple else [index]
    if not all(_basic(p) for p in parts):
        return None
    used = sum(1 for p in parts if not (isinstance(p, Known) and (p.value is None or p.value is Ellipsis)))
    missing = len(x.type.dims) - used
    if missing < 0:
        raise Refused(f"too many indices for a tensor of dimension {len(x.type.dims)}", spec.loc)
    dots = [k for k, p in enumerate(parts) if isinstance(p, Known) and p.value is Ellipsis]
    at = dots[0] if dots else len(parts)
    fill = [Known(slice(None))] * missing
    parts = parts[:at] + fill + parts[at + (1 if dots else 0) :]
    dim = 0
    out: Any = x
    for p in parts:
        if isinstance(p, Known) and p.value is None:
            out = spec.call("unsqueeze", out, dim)
            dim += 1
        elif _is_slice(p):
            start, stop, step = _bounds(p)
            if not all(isinstance(b, Known) and b.value is None for b in (start, stop, step)):
                out = spec.call("slice", out, dim, start, stop, Known(1) if _none(step) else step)
            dim += 1
        else:
            out = spec.call("select", out, dim, p)
    if out is x:
        return spec.call("alias", x)
    return out


def _basic(p: Any) -> bool:
    if isinstance(p, Known):
        return p.value is None or p.value is Ellipsis or type(p.value) in (int, slice)
    if isinstance(p, Value):
        return p.type.kind == "int"
    return isinstance(p, Seq) and p.kind == "slice"


def _is_slice(p: Any) -> bool:
    return (isinstance(p, Known) and isinstance(p.value, slice)) or (isinstance(p, Seq) and p.kind == "slice")


def _bounds(p: Any) -> tuple[Any, Any, Any]:
    if isinstance(p, Known):
        return Known(p.value.start), Known(p.value.stop), Known(p.value.step)
    start, stop, step = p.items
    return start, stop, step


def _none(a: Any) -> bool:
    return isinstance(a, Known) and a.value is None


def _join(new_axis: bool) -> Callable[[Specializer, Any, list[Any]], Abstract | None]:
    def rule(spec: Specializer, op: Any, args: list[Any]) -> Abstract | None:
        seq, dim = args[0], args[1]
        if not isinstance(seq, Seq):
            return None
        lists.check_readable(spec, seq)
        if seq.plain:
            return None
        if not isinstance(dim, Known):
            raise Refused("the dimension to join along is a run-time number", spec.loc)
        return lists.join(spec, seq, dim.value, new_axis)

    return rule


SPECIAL: dict[str, Callable[[Specializer, Any, list[Any]], Abstract | None]] = {
    "getitem": getitem,
    "stack": _join(new_axis=True),
    "cat": _join(new_axis=False),
}
