"""Builtins that ask for attributes by name, or set them: `hasattr`, `getattr`, `setattr`, `delattr`, `vars`.

Enters: calls of them by identity. Leaves: nodes or known values.
Invariant: an attribute that is set under a name known only at run time may be any attribute of any object
(`rebinding.ANYTHING`).
"""

from __future__ import annotations

import types

from specjit.capture.attributes import GETTERS, MISSING, attribute, class_lookup, instance_data, is_registered
from specjit.capture.builtins import builtin, quiet_call
from specjit.capture.frame import Frame
from specjit.capture.rebinding import ANYTHING, rebinds
from specjit.capture.values import NONE_VALUE, Abstract, Known, Value, const, constant_of
from specjit.ir.types import ANY
from specjit.tensor import Tensor

METHODS_OF_A_CLASS = (types.FunctionType, classmethod, staticmethod, types.MethodDescriptorType)


@builtin(hasattr)
def _hasattr(f: Frame, owner: Abstract, name: Abstract, /) -> Abstract:
    ok, attr = constant_of(name)
    if ok and isinstance(attr, str):
        if isinstance(owner, Known):
            raw = class_lookup(type(owner.obj), attr)
            if raw is not MISSING and (isinstance(raw, METHODS_OF_A_CLASS) or not hasattr(type(raw), "__get__")):
                return const(True)
            # The program, or what it calls, may delete it.
            stays = is_registered(owner.obj, attr) or not f.session.touched
            stays &= f.session.written.get((id(owner.obj), attr)) != ANY
            if raw is MISSING and stays and instance_data(owner.obj, attr) is not MISSING:
                attribute(f, owner, attr)  # notes the guard
                return const(True)
        if isinstance(owner, Value) and owner.type.is_tensor and hasattr(Tensor, attr):
            return const(True)
    return quiet_call(hasattr, f, owner, name)


@builtin(getattr)
def _getattr(f: Frame, owner: Abstract, name: Abstract, default: Abstract | None = None, /) -> Abstract | None:
    ok, attr = constant_of(name)
    if ok and isinstance(attr, str):
        if default is None:
            return attribute(f, owner, attr)
        if isinstance(owner, Known):
            present = _hasattr(f, owner, name)
            if isinstance(present, Value) and present.is_const:
                return attribute(f, owner, attr)
    if isinstance(owner, Known) and default is None and not ok and f.session.unrollable:
        from specjit.capture.iteration import NeedsConstant

        raise NeedsConstant("an attribute whose name is known only at run time")
    return None


@builtin(setattr)
def _setattr(f: Frame, owner: Abstract, name: Abstract, value: Abstract, /) -> Abstract | None:
    from specjit.capture.assignments import set_attribute

    ok, attr = constant_of(name)
    if not ok or not isinstance(attr, str):
        rebinds(f, ANYTHING)
        return None
    set_attribute(f, owner, attr, value)
    return NONE_VALUE


@builtin(object.__setattr__)
def _store(f: Frame, owner: Abstract, name: Abstract, value: Abstract, /) -> Abstract | None:
    from specjit.capture.assignments import store_attribute

    ok, attr = constant_of(name)
    if not ok or not isinstance(attr, str):
        rebinds(f, ANYTHING)
        return None
    raw = class_lookup(type(owner.obj), attr) if isinstance(owner, Known) and owner.value is not None else None
    if raw is None or (hasattr(type(raw), "__set__") and not isinstance(raw, GETTERS)):
        rebinds(f, attr)
        return None
    store_attribute(f, owner, attr, value, by_object=True)
    return NONE_VALUE


@builtin(vars)
def _vars(f: Frame, owner: Abstract, /) -> Abstract:
    return attribute(f, owner, "__dict__")


@builtin(delattr)
def _delattr(f: Frame, owner: Abstract, name: Abstract, /) -> Abstract | None:
    from specjit.capture.assignments import delete_attribute

    ok, attr = constant_of(name)
    if not ok or not isinstance(attr, str):
        rebinds(f, ANYTHING)
        return None
    delete_attribute(f, owner, attr)
    return NONE_VALUE
