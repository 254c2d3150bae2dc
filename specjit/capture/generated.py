"""The constructors of dataclasses, which have no source: what they do is known from the fields.

Enters: a dataclass, abstract arguments, and the object that is being made. Leaves: its attributes set, in the order of
the fields, and `__post_init__` read like any method.
Invariant: factories and `__post_init__` run when and as often as in Python.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from specjit.capture.frame import SIMPLE, Frame
from specjit.capture.values import Abstract, Known, const

MADE = "<string>"  # the file of methods that dataclasses and namedtuple generate


def is_generated(cls: Any) -> bool:
    """Whether the class's constructor is one that `dataclass` wrote."""
    code = getattr(cls.__init__, "__code__", None)
    return dataclasses.is_dataclass(cls) and code is not None and code.co_filename == MADE


def arguments_of(cls: Any, args: list[Abstract], kwargs: dict[str, Abstract]) -> dict[str, Abstract] | None:
    """The arguments by parameter; None for a call that does not fit."""
    try:
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
    except TypeError:
        return None
    return dict(list(bound.arguments.items())[1:])


def fill(f: Frame, cls: Any, made: Known, given: dict[str, Abstract]) -> None:
    """What the generated constructor does to the object `made`."""
    from specjit.capture.attributes import attribute
    from specjit.capture.calls import call

    passed: list[Abstract] = []  # on to __post_init__
    for field in cls.__dataclass_fields__.values():
        kind = field._field_type.name
        if kind == "_FIELD_CLASSVAR":
            continue
        value = given[field.name] if field.name in given else _default(f, field)
        if kind == "_FIELD_INITVAR":
            assert value is not None
            passed.append(value)
        elif value is not None:
            _set(f, made, field.name, value, cls.__dataclass_params__.frozen)
    if hasattr(cls, "__post_init__"):
        call(f, attribute(f, made, "__post_init__"), passed, {})


def _default(f: Frame, field: Any) -> Abstract | None:
    """The value of a field that no argument gives; None where the constructor leaves it alone."""
    from specjit.capture.calls import call

    if field.default_factory is not dataclasses.MISSING:
        return call(f, Known(field.default_factory), [], {})
    if field.default is dataclasses.MISSING or not field.init:
        return None
    return const(field.default) if isinstance(field.default, SIMPLE) else Known(field.default)


def _set(f: Frame, made: Known, name: str, value: Abstract, frozen: bool) -> None:
    from specjit.capture.assignments import set_attribute, store_attribute

    if frozen:
        store_attribute(f, made, name, value, by_object=True)
    else:
        set_attribute(f, made, name, value)
