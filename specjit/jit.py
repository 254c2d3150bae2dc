"""`specjit.jit`: compile from source (`script`), from a run (`trace`), and the marks that go with them.

Enters: functions and modules. Leaves: callables with the same meaning, or an `Error` that says where and why not.
Invariant: names and meanings follow `torch.jit` where they exist here.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from specjit.capture.errors import CaptureError
from specjit.capture.marks import annotate, export, ignore, is_scripting, is_tracing, unused
from specjit.capture.script import capture
from specjit.capture.trace import Traced, TracingCheckError
from specjit.capture.trace import trace as _trace
from specjit.codegen.python import generate
from specjit.ir.graph import Graph
from specjit.nn.module import Module
from specjit.tensor.tensor import Tensor, wrap

Error = CaptureError

__all__ = [
    "Error",
    "TracingCheckError",
    "annotate",
    "export",
    "ignore",
    "is_scripting",
    "is_tracing",
    "script",
    "trace",
    "unused",
]


def script(obj: Any) -> Any:
    """Compile a function or module from its source, strictly: what cannot be compiled raises `Error` here.

    Parameter types come from annotations; a parameter without one is a Tensor. The result is a `specjit.Program`.
    """
    from specjit.runtime.optimize import optimize

    fn = type(obj).forward if isinstance(obj, Module) else obj
    if not isinstance(fn, types.FunctionType):
        raise Error("source", f"script takes a Python function or a Module, got {type(obj).__name__}")
    examples = _examples(fn, skip_self=isinstance(obj, Module))
    if examples is not None:
        capture(fn, examples, root=obj if isinstance(obj, Module) else None, strict=True, scripting=True)
    return optimize(obj, strict=True)


def trace(
    func: Callable[..., Any],
    example_inputs: Any,
    *,
    strict: bool = False,
    check_trace: bool = True,
    check_tolerance: float = 1e-5,
) -> Traced:
    """Record one run of `func(*example_inputs)` and return a callable that repeats it.

    Every decision the run took on its inputs is guarded (sizes, dtypes, numbers, and tensors that became Python
    numbers); a call outside the guards runs `func` itself, with a GUARD_MISS event, or raises `Error` under `strict`.
    check_trace runs the function again and raises `TracingCheckError` at the first op that differs.
    """
    from specjit.runtime.events import EventKind, EventLog

    def compiled(graph: Graph) -> tuple[Callable[..., Any], str]:
        code = generate(graph, name=graph.name)
        return code.fn, code.source

    traced = _trace(
        func, example_inputs, strict=strict, check_trace=check_trace, check_tolerance=check_tolerance, compile=compiled
    )
    log = EventLog(traced.graph.name)

    def on_miss(message: str, origin: str) -> None:
        log.emit(
            EventKind.GUARD_MISS, message, location=origin, then="ran the traced function itself", call=traced.calls
        )

    traced.on_miss, traced.events, traced.calls = on_miss, log.of, 0
    return traced


def _examples(fn: types.FunctionType, skip_self: bool) -> dict[str, Any] | None:
    """One value per parameter of the annotated type; None where an annotation leaves the structure open."""
    try:
        hints = typing.get_type_hints(fn)
    except (NameError, TypeError):
        return None
    out: dict[str, Any] = {}
    for k, p in enumerate(inspect.signature(fn).parameters.values()):
        if k == 0 and skip_self:
            continue
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            return None
        ok, example = _example(hints.get(p.name, Tensor))
        if not ok:
            return None
        out[p.name] = example
    return out


def _example(hint: Any) -> tuple[bool, Any]:
    if hint in (int, float, bool, str):
        return True, hint()
    if hint is None or hint is type(None):
        return True, None
    if hint is Tensor:
        import numpy as np

        return True, wrap(np.zeros((), np.float32))
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is list and len(args) == 1:
        ok, item = _example(args[0])
        return ok, [item]
    if origin is tuple and args and args[-1] is not Ellipsis:
        items = [_example(a) for a in args]
        return all(ok for ok, _ in items), tuple(x for _, x in items)
    return False, None
