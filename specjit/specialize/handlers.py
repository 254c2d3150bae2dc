"""The table of `py.*` handlers, and what happens to an op that needs none.

Enters: functions that are registered with `handles`. Leaves: `HANDLERS`, and `default`, to which they give back what
they do not recognize.
Invariant: an op that could raise or have an outside effect on its operands is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit.dtypes import DType
from specjit.ir.graph import Node, Value
from specjit.specialize.abstract import Abstract, Known

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer

Handler = Callable[["Specializer", list[Any], Node], Any]
HANDLERS: dict[str, Handler] = {}
# Constants that no later statement can change, so that reading them now is reading them then.
IMMUTABLE = (int, float, bool, complex, str, bytes, type(None), DType, slice, type(Ellipsis), range)


def handles(*names: str) -> Callable[[Handler], Handler]:
    def register(fn: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, fn))
        return fn

    return register


def is_tensor(a: Any) -> bool:
    return isinstance(a, Value) and a.type.is_tensor


def default(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    """Fold what is all known, otherwise emit the op as it stands."""
    op: Any = node.op
    plain = all(isinstance(a, Known) and isinstance(a.value, IMMUTABLE) for a in args)
    if op.traits.effect_free and (plain or (op.traits.pure and all(isinstance(a, Known) for a in args))):
        return spec.fold(op, args)
    return spec.tensor_op(op, args)
