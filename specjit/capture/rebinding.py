"""What a program binds anew while it runs: attributes that hide what their object's class has, members of classes and
modules.

Enters: names of attributes as the program sets or deletes them, and every lookup that is decided at capture. Leaves:
whether such a lookup has to happen at run time.
Invariant: a lookup that is decided at capture finds what it would find at run time, because no code of the program, and
none that runs in Python before it, can have bound the name on that object since the guards were checked. The structure
of modules, classes and globals is expected to stay while one call runs code that cannot be seen; only what the program
itself says it binds is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.capture.values import Known
from specjit.nn.module import Module

if TYPE_CHECKING:
    from specjit.capture.frame import Frame
    from specjit.ir.graph import Node

ANYTHING = "*"  # the program holds an object's `__dict__`, or a name that it sets is known only at run time
_OWNERS = frozenset(("py.getattr", "py.setattr", "py.delattr"))  # what they do to an attribute does not let it out


def rebinds(f: Frame, name: str) -> None:
    """The program may bind or delete the attribute `name` of some object whose class, or which itself, has it."""
    session = f.session
    if name in session.rebound:
        return
    session.rebound.add(name)
    if session.looked_up if name == ANYTHING else name in session.looked_up:
        session.unsettled = True


def stays(f: Frame, name: str) -> bool:
    """Whether `name`, as a member of a class, is what it was when the call began."""
    f.session.looked_up.add(name)
    return name not in f.session.rebound


def is_unhidden(f: Frame, owner: Known, name: str) -> bool:
    """Whether the instance `owner` certainly has no attribute that hides what its class has under `name`. (A guard says
    that it had none when the call began.)"""
    if not stays(f, name) or ANYTHING in f.session.rebound:
        return False
    if not f.session.touched or isinstance(owner.obj, Module) or not hasattr(owner.obj, "__dict__"):
        return True
    return not owner.source and owner.value not in f.session.shared


def shares(f: Frame, node: Node) -> None:
    """Note the objects that a node lets out: code that runs in Python may then change them."""
    seen = node.args[1:] if node.op.name in _OWNERS else node.args
    f.session.shared.update(a for a in seen if a.type.kind == "class")


def hides(cls: type, raw: Any) -> bool:
    """Whether an attribute of an instance of `cls` would hide `raw`, which the class has under its name."""
    return hasattr(type(raw), "__get__") and not hasattr(type(raw), "__set__")
