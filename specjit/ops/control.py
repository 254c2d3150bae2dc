"""Records that capture needs around control flow: names without a value, sharpened types, the iterator protocol.

Enters: values whose type or presence control flow left open. Leaves: the same values under a better type, or Python's
own error.
Invariant: `py.refine` and `py.bound` are the identity on every value they let pass.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from typing import Any

from specjit.ir.constants import same
from specjit.ir.traits import IO, PURE, READS, Traits
from specjit.ir.types import ANY, BOOL, Type, type_of
from specjit.ops import pyinfer as rule
from specjit.ops.python import defpy
from specjit.tensor.tensor import Size


def bound(value: Any, name: str, has: bool, free: bool = False) -> Any:
    if not has and free:
        raise NameError(
            f"cannot access free variable {name!r} where it is not associated with a value in enclosing scope"
        )
    if not has:
        raise UnboundLocalError(f"cannot access local variable {name!r} where it is not associated with a value")
    return value


def _same(value: Any, name: Any, has: Any, free: Any = False) -> Any:
    return value if isinstance(value, Type) else ANY if type(value).__name__ == "Unbound" else value


defpy(
    "bound(value: any, name: str, has: bool, free: bool = False) -> any",
    bound,
    _same,
    Traits(view_of=0, itself=True, io=True),
    doc="A local variable that some path leaves without a value: `value` if it `has` one, else UnboundLocalError. On "
    "the paths that leave it without one, `value` is the constant UNBOUND. free: it belongs to an enclosing function.",
)


def _refine(value: Any, type: Any) -> Any:
    return value


def _refined(value: Any, type: Any) -> Any:
    from specjit.ir.text import parse_type

    if not isinstance(value, Type) or value.kind not in ("any", "optional"):
        return value
    return value.args[0] if value.kind == "optional" else parse_type(type)


defpy(
    "refine(value: any, type: str) -> any",
    _refine,
    _refined,
    Traits(view_of=0, itself=True),
    doc="The same value, known to have this type from here on (a test has decided it).",
)

defpy("iter(obj: any) -> any", iter, rule.unknown, READS)


def _tuple_type(obj: Any) -> Any:
    if isinstance(obj, list | tuple):
        return Type.tuple(*(v if isinstance(v, Type) else type_of(v) for v in obj))
    return obj if isinstance(obj, Type) and obj.kind == "tuple" else ANY


defpy("to_tuple(obj: any) -> any", tuple, _tuple_type, READS, doc="`tuple(obj)` of a builtin container.")
defpy(
    "to_size(items: any) -> any",
    Size,
    lambda items: rule.SIZE,
    PURE,
    doc="The sizes as `x.shape` gives them.",
)


def _spread(items: Any) -> list[Any]:
    return [*items]


def _spread_dict(mapping: Any) -> dict[Any, Any]:
    return {**mapping}


defpy("spread(items: any) -> any", _spread, rule.iterated, READS, doc="`[*items]`.")
defpy("spread_dict(mapping: any) -> any", _spread_dict, rule.mapped, READS, doc="`{**mapping}`.")


def is_sequence_class(cls: type) -> bool:
    """Whether sequence patterns look into objects of this class."""
    return issubclass(cls, Sequence) and not issubclass(cls, str | bytes | bytearray)


def asked_by_class(kind: Any) -> bool:
    """Whether `isinstance(x, kind)` asks for the class of `x` and nothing else of it."""
    return isinstance(kind, type) and type(kind).__instancecheck__ in (
        type.__instancecheck__,
        ABCMeta.__instancecheck__,
    )


def _is_sequence(x: Any) -> bool:
    return is_sequence_class(type(x))


def _sequence_type(x: Any) -> Any:
    t = rule.as_type(x)
    if t.kind in ("list", "tuple"):
        return True
    return BOOL if t.kind in ("any", "optional", "class") else False


defpy("is_sequence(x: any) -> bool", _is_sequence, _sequence_type, doc="Whether sequence patterns look into `x`.")
_MISSING = object()


def next_item(iterator: Any) -> tuple[bool, Any]:
    item = next(iterator, _MISSING)
    return (False, None) if item is _MISSING else (True, item)


defpy(
    "next(iterator: any) -> (bool, any)",
    next_item,
    lambda iterator: (BOOL, ANY),
    IO,
    doc="(True, the next item), or (False, None) at the end.",
)


def _unpack_star(obj: Any, before: int, after: int) -> tuple[Any, ...]:
    items = list(obj)
    if len(items) < before + after:
        raise ValueError(f"not enough values to unpack (expected at least {before + after}, got {len(items)})")
    stop = len(items) - after
    return (*items[:before], items[before:stop], *items[stop:])


defpy(
    "unpack_star(obj: any, before: int, after: int) -> any[]",
    _unpack_star,
    rule.unpacked_star,
    Traits(view_of=0, reads=True),
    doc="`a, *b, c = obj`: `before` items, the list of those between, `after` items.",
)


class GuardFailed(Exception):
    """A tensor's value is not what it was when the program was traced; the caller runs the original. `place` is
    file:line of the decision."""

    def __init__(self, message: str, place: str) -> None:
        super().__init__(message)
        self.place = place


def check_guard(value: Any, seen: Any, place: str = "") -> None:
    if value is not seen and not same(value, seen):
        raise GuardFailed(f"expected {seen!r}, got {value!r}", place)


defpy(
    "guard(value: any, seen: any, place: str = '') -> None",
    check_guard,
    rule.nothing,
    IO,
    doc="Of a trace: the program has decided on this value at `place`, and went on with it as a constant.",
)


def _nonempty(stacked: Any) -> Any:
    if not stacked.shape[0]:
        raise RuntimeError("stack expects a non-empty TensorList")
    return stacked


defpy(
    "nonempty(stacked: any) -> any",
    _nonempty,
    lambda stacked: stacked,
    Traits(view_of=0, reads=True),
    doc="The rows that a loop appended to a list, of which there must be one at least.",
)


def _room(enough: bool) -> None:
    if not enough:
        raise RuntimeError("a loop has made all the turns that there was room for, and is not done")


defpy(
    "room(enough: bool) -> None",
    _room,
    rule.nothing,
    IO,
    doc="Of a forward block: its `while` loop ended before it ran out of room for what backward keeps of its turns.",
)
