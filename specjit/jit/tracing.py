"""`trace` and `trace_module`: callables made from a run.

Enters: functions or modules with example inputs. Leaves: `Traced` (see `capture.trace`) with generated code and events.
Invariant: a call that the trace does not cover runs the traced function itself, with a GUARD_MISS event, or raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from specjit.capture.trace import Traced
from specjit.capture.trace import trace as _trace
from specjit.codegen.generic.python import generate
from specjit.ir.graph import Graph
from specjit.nn.module import Module
from specjit.runtime.events import EventKind, EventLog


def trace(
    func: Callable[..., Any],
    example_inputs: Any,
    *,
    strict: bool = False,
    check_trace: bool = True,
    check_inputs: Sequence[Any] | None = None,
    check_tolerance: float = 1e-5,
) -> Traced:
    """Record one run of `func(*example_inputs)` and return a callable that repeats it.

    Every decision the run took on its inputs is guarded (sizes, dtypes, numbers, and tensors that became Python
    numbers); a call outside the guards runs `func` itself, with a GUARD_MISS event, or raises `Error` under `strict`.
    Scripted functions that it calls stay calls, with their control flow.
    check_trace runs the function again, on copies of the inputs and of all that the run wrote, and raises
    `TracingCheckError` at the first op that differs; check_inputs (argument tuples) are compared with the function too,
    within `check_tolerance`.
    """
    traced = _trace(
        func,
        example_inputs,
        strict=strict,
        check_trace=check_trace,
        check_inputs=check_inputs or (),
        check_tolerance=check_tolerance,
        compile=_compiled,
    )
    log = EventLog(traced.graph.name)

    def on_miss(message: str, origin: str) -> None:
        log.emit(
            EventKind.GUARD_MISS, message, location=origin, then="ran the traced function itself", call=traced.calls
        )

    traced.on_miss, traced.events, traced.calls, traced.misses = on_miss, log.of, 0, 0
    return traced


def _compiled(graph: Graph) -> tuple[Callable[..., Any], str]:
    code = generate(graph, name=graph.name)
    return code.fn, code.source


class TracedModule:
    """A module with traced methods; everything else is the module's own."""

    __specjit_trace__ = True

    def __init__(self, module: Module, methods: dict[str, Traced]) -> None:
        self._module, self._methods = module, methods

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forward = self._methods.get("forward")
        return self._module(*args, **kwargs) if forward is None else forward(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("_module", "_methods"):
            raise AttributeError(name)
        return self._methods[name] if name in self._methods else getattr(self._module, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._module!r}, methods={sorted(self._methods)})"


def trace_module(
    mod: Module,
    inputs: Mapping[str, Any],
    *,
    strict: bool = False,
    check_trace: bool = True,
    check_inputs: Sequence[Mapping[str, Any]] | None = None,
    check_tolerance: float = 1e-5,
) -> TracedModule:
    """Trace several methods of a module: `inputs` gives the example arguments of each by name, `check_inputs` is a list
    of such dicts. The options are those of `trace`."""
    if not isinstance(mod, Module):
        raise AttributeError(f"expected a Module as the first argument but got {type(mod).__name__}")
    if not isinstance(inputs, Mapping):
        raise AttributeError("expected a dictionary of (method_name, input) pairs")
    methods = {}
    for name, example in inputs.items():
        checks = [given[name] for given in check_inputs or () if name in given]
        methods[name] = trace(
            mod if name == "forward" else getattr(mod, name),
            example,
            strict=strict,
            check_trace=check_trace,
            check_inputs=checks,
            check_tolerance=check_tolerance,
        )
    return TracedModule(mod, methods)
