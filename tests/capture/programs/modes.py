"""The ways in which a program of the table can run, all called as the program is.

Enters: a `Program`. Leaves: callables for `observe.run`, which play the program's cases one after another.
Invariant: nothing here decides what is right: that is what plain Python does, `observe.run(program.make(), case)`.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterable
from typing import Any, Dict, List, Set, Tuple, Union  # noqa: UP035 (types built from values)

import specjit
from specjit import jit
from specjit.capture.script import Captured, capture
from tests.capture.programs.table import Case, Program


def captured(program: Program, case: Case, **options: Any) -> Captured:
    """The capture of a program for the arguments of a case."""
    examples = program.examples(copy.deepcopy(case))
    if program.is_module:
        model = program.make()
        return capture(program.fn.forward, {"self": model, **examples}, root=model, **options)
    return capture(program.fn, examples, **options)


def generic(program: Program) -> Callable[..., Any]:
    """Captured, and run as the generic path; the caller holds `stance("generic")`."""
    return specjit.optimize(program.make(), background=False)


def specialized(program: Program) -> Callable[..., Any]:
    """Specialized as soon as something can be."""
    return specjit.optimize(program.make(), warmup=1, background=False)


def scripted(program: Program) -> Callable[..., Any]:
    """Scripted. Parameters without a type of their own get the one that all cases fit."""
    model = program.make()
    method = type(model).forward if program.is_module else model
    if not method.__annotations__:
        method = _typed(method, [program.examples(case) for case in program.cases])
        model = method if not program.is_module else _with_forward(model, method)
    return jit.script(model)


def traced(program: Program, case: Case) -> Callable[..., Any]:
    """Traced with the arguments of `case`."""
    return jit.trace(program.make(), copy.deepcopy(case))


def _typed(fn: types.FunctionType, examples: list[dict[str, Any]]) -> types.FunctionType:
    """The function with annotations for these arguments."""
    made = types.FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    made.__dict__.update(fn.__dict__)
    made.__kwdefaults__, made.__qualname__, made.__module__ = fn.__kwdefaults__, fn.__qualname__, fn.__module__
    for name in examples[0]:
        made.__annotations__[name] = hint_of(example[name] for example in examples)
    return made


def _with_forward(model: Any, forward: types.FunctionType) -> Any:
    model.__class__ = type(type(model).__name__, (type(model),), {"forward": forward})
    return model


def hint_of(values: Iterable[Any]) -> Any:
    """The type of all these values, as an annotation."""
    found = list(dict.fromkeys(map(_hint, values)))
    return Union[tuple(found)] if found else Any


def _hint(x: Any) -> Any:
    if x is None:
        return None
    if isinstance(x, specjit.Tensor):
        return specjit.Tensor
    if type(x) is list:
        return List[hint_of(x)]  # noqa: UP006
    if type(x) is set:
        return Set[hint_of(x)]  # noqa: UP006
    if type(x) is dict:
        return Dict[hint_of(x), hint_of(x.values())]  # noqa: UP006
    if type(x) is tuple:
        return Tuple[tuple(hint_of([i]) for i in x)] if x else Tuple[()]  # noqa: UP006
    if isinstance(x, types.FunctionType | types.BuiltinFunctionType):
        return Callable
    return type(x)


__all__ = ["captured", "generic", "scripted", "specialized", "traced"]
