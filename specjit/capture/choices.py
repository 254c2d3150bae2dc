"""A function or module that control flow chooses: `act = relu if fast else gelu`, then `act(x)`.

Enters: two known things that a branch gives. Leaves: `Choice`; what is done with it stands in an `if`, once for each.
Invariant: a choice is between things that can be named anew wherever it is used: functions, and modules that a module
holds, which stay for the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from specjit.capture.values import Abstract, Choice, Known, Local, Value
from specjit.nn.module import Module

if TYPE_CHECKING:
    from specjit.capture.frame import Frame


def choice(cond: Value | None, a: Abstract, b: Abstract) -> Choice | None:
    """The choice between what two branches give; None for anything else than two functions or modules."""
    if cond is None or not isinstance(a, Known | Local | Choice) or not isinstance(b, Known | Local | Choice):
        return None
    if not (_can_be_named(a) and _can_be_named(b)) or (
        isinstance(a, Known) and isinstance(b, Known) and a.obj is b.obj
    ):
        return None
    return Choice(cond, a, b)


def _can_be_named(a: Known | Local | Choice) -> bool:
    if isinstance(a, Choice):
        return True
    if isinstance(a, Local):
        return not (a.defaults or any(a.kw_defaults))
    if a.value is None or a.value.is_const:
        return callable(a.obj)
    return isinstance(a.obj, Module) and _is_path(a.value)


def _is_path(value: Value) -> bool:
    """Whether a value is `self.a.b` for a parameter `self`."""
    node = value.node
    return node is None or (node.op.name == "py.getattr" and _is_path(node.args[0]))


def decided(f: Frame, chosen: Choice, use: Callable[[Known | Local], Abstract]) -> Abstract:
    """What `use` gives for the one that is chosen."""
    from specjit.capture import merge

    def one(a: Known | Local | Choice) -> Abstract:
        return decided(f, a, use) if isinstance(a, Choice) else use(_named_anew(f, a))

    return merge.either(f, chosen.cond, lambda: one(chosen.then), lambda: one(chosen.other))


def _named_anew(f: Frame, a: Known | Local) -> Known | Local:
    if isinstance(a, Local) or a.value is None or a.value.is_const:
        return a
    return Known(a.obj, _read_again(f, a.value), a.source)


def _read_again(f: Frame, value: Value) -> Value:
    node = value.node
    return value if node is None else f.emit("py.getattr", _read_again(f, node.args[0]), node.args[1])
