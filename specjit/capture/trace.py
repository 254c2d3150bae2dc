"""Capture from a run: every op call that a function makes is recorded, in order.

Enters: a function or module and example inputs. Leaves: `Traced`, a callable: the recorded graph as generated Python,
under guards.
Invariant: no decision is erased silently. The sizes, dtypes and Python values of the inputs are guards; a tensor that
became a Python number is a guard inside the graph. Where a guard fails the original function runs (an error under
`strict`). What else the run saw (parameters by path, other tensors, numbers) is a constant and listed in `constants`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from specjit import config
from specjit.capture import trace_facts as facts_of
from specjit.capture.errors import CaptureError
from specjit.capture.trace_check import as_before, calls_python, compare, compare_graphs, copies
from specjit.capture.trace_facts import Fact, Held, ModuleFact, Read
from specjit.capture.trace_recorder import Recorder, named_tensors
from specjit.ir.graph import Graph, Location, Value
from specjit.ir.types import ANY
from specjit.nn.module import Module
from specjit.ops.control import GuardFailed
from specjit.ops.records.registry import get
from specjit.tensor import state
from specjit.tensor.random import get_rng_state
from specjit.tensor.tensor import Tensor, type_of_tensor

WAY_OUT = (
    "trace again with inputs like these, leave strict=True out (the function itself runs then), or use "
    "specjit.jit.script, which keeps decisions"
)


class Traced:
    """A traced function. graph, source, guards, constants describe it; calling it runs the graph while the guards
    hold."""

    def __init__(self, original: Callable[..., Any], recorder: Recorder, facts: list[Fact], strict: bool) -> None:
        self.original = original
        self.graph = recorder.graph
        self.constants = recorder.constants
        self.guards = [f.guard for f in facts]
        self.strict = strict
        self.misses = 0
        self.calls = 0
        self.events: Callable[..., list[Any]] = lambda kind=None: []
        self.on_miss: Callable[[str, str], None] = lambda message, origin: None  # hears of calls that run `original`
        self._facts = facts
        self._root = recorder.root
        self._origin = recorder.origin
        self._run: Callable[..., Any] | None = None
        self.code = ""

    def link(self, run: Callable[..., Any], code: str) -> None:
        self._run, self.code = run, code

    def __getattr__(self, name: str) -> Any:
        root = self.__dict__.get("_root")
        if root is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return getattr(root, name)

    def explain(self) -> str:
        """What the trace relies on and what is baked into it, one line each."""
        nodes = list(self.graph.walk())
        lines = [
            f"trace of {self.graph.name}: {len(nodes)} nodes, {self.calls} calls, {self.misses} ran the function itself"
        ]
        lines += [f"  guard     {g}" for g in self.guards]
        lines += [
            f"  guard     line {n.loc.line if n.loc else '?'}: {_decided(n.args[0])} is {n.args[1].const!r}"
            for n in nodes
            if n.op.name == "py.guard"
        ]
        lines += [f"  constant  {name}" for name, _ in self.constants]
        if self._root is not None:
            lines += [f"  constant  {p} = {v!r}" for p, v in facts_of.plain_attributes(self._root).items()]
        return "\n".join(lines)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if kwargs:
            args = self._positional(args, kwargs)
        failed = next((f for f in self._facts if not f.holds(args)), None)
        if failed is None and self._run is not None:
            try:
                return self._run(*args) if self._root is None else self._run(self._root, *args)
            except GuardFailed as error:
                missed, place = f"a tensor's value: {error}", _location(error.place)
            return self._miss(missed, place, args)  # behind the handler: what the original raises has no context
        if failed is None:
            return self._miss("no code", None, args)
        return self._miss(failed.guard.missed(failed.actual(args)), self._origin, args)

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        target = self.original.forward if isinstance(self.original, Module) else self.original
        bound = inspect.signature(target).bind(*args, **kwargs)
        if bound.kwargs:
            raise TypeError(f"a trace takes positional arguments, got {', '.join(bound.kwargs)} by keyword only")
        return bound.args

    def _miss(self, reason: str, place: Location | None, args: tuple[Any, ...]) -> Any:
        self.misses += 1
        if self.strict:
            raise CaptureError("guard", f"the trace does not cover this call: {reason}", location=place, hint=WAY_OUT)
        self.on_miss(reason, "" if place is None else str(place))
        return self.original(*args)


def _decided(value: Value) -> str:
    """What a guard in the graph is about, in words."""
    node = value.node
    if node is not None and node.op.name == "py.getattr":
        return "a size that depends on data"
    if node is not None and node.op.name == "py.method":
        return f"{node.args[1].const}() of a tensor"
    return "a tensor's value"


def _location(origin: str) -> Location | None:
    """`file:line` as a place."""
    file, _, line = origin.rpartition(":")
    return Location(file, int(line), 0) if file and line.isdigit() else None


class _Inputs:
    """Defines the tensors of the arguments, and states everything about them that the run may have looked at."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.origin = "" if recorder.origin is None else str(recorder.origin)
        self.facts: list[Fact] = [facts_of.grad_mode(self.origin)]
        self.met: dict[int, tuple[str, Read]] = {}

    def add(self, name: str, x: Any, at: Read, value: Value) -> None:
        self.facts.append(facts_of.type_fact(name, x, at, self.origin))
        inside = type(x) in (list, tuple, dict)
        if isinstance(x, Tensor) or (inside and not isinstance(x, tuple)):
            if id(x) in self.met:
                other, at_other = self.met[id(x)]
                self.facts.append(facts_of.same_object(name, other, at, at_other, self.origin))
                return
            self.met[id(x)] = name, at
        if isinstance(x, Tensor):
            self._tensor(name, x, at, value)
        elif inside:
            self._container(name, x, at, value)
        elif not isinstance(x, Module):
            self.facts.append(facts_of.value_fact(name, x, at, self.origin))

    def _tensor(self, name: str, x: Tensor, at: Read, value: Value) -> None:
        path = self.recorder.paths.get(id(x))
        if path is not None:
            raise CaptureError(
                "unsupported",
                f"{name} is self.{path} itself, so that a trace cannot tell which of them is meant",
                location=self.recorder.origin,
                hint=f"pass a copy: {name}.clone()",
            )
        self.facts += facts_of.tensor_facts(name, x, at, self.origin)
        value.type = type_of_tensor(x)
        self.recorder.define(x, value)

    def _container(self, name: str, x: Any, at: Read, value: Value) -> None:
        self.facts.append(facts_of.container_fact(name, x, at, self.origin))
        if not isinstance(x, tuple):
            self.recorder.define(x, value)
        for key in x if isinstance(x, dict) else range(len(x)):
            item = self.recorder.block.append(
                get("py.getitem"), [value, Value.constant(key)], [ANY], hints=[f"{name}_{key}"]
            )
            self.add(f"{name}[{key!r}]", x[key], facts_of.item_of(at, key), item.result)


def record(fn: Callable[..., Any], inputs: Sequence[Any], strict: bool) -> tuple[Traced, Any]:
    """Run `fn` once under a recorder."""
    root = _owner(fn)
    name = type(fn).__name__ if isinstance(fn, Module) else getattr(fn, "__name__", "traced").strip("<>")
    recorder = Recorder(name, root)
    names = _parameter_names(fn, len(inputs))
    values = [recorder.block.param(ANY, n) for n in names]
    recorder.origin = _defined_at(fn)
    given = _Inputs(recorder)
    for k, (n, x, v) in enumerate(zip(names, inputs, values)):
        given.add(n, x, itemgetter(k), v)
    if root is not None:
        given.facts.append(ModuleFact(root, given.origin))
    held = Held(dict(zip(names, inputs)), root)
    grad = state.is_grad_enabled()
    with config.looking(), state.recording(recorder):
        out = fn(*inputs)
    held.check(recorder.origin)
    if state.is_grad_enabled() != grad:
        recorder.refuse("the function leaves another grad mode behind", "use `with no_grad():`")
    recorder.finish(out)
    return Traced(fn, recorder, given.facts, strict), out


def _defined_at(fn: Any) -> Location | None:
    code = getattr(fn.forward if isinstance(fn, Module) else fn, "__code__", None)
    return None if code is None else Location(code.co_filename, code.co_firstlineno)


def _parameter_names(fn: Any, count: int) -> list[str]:
    target = fn.forward if isinstance(fn, Module) else fn
    try:
        names = [
            p.name
            for p in inspect.signature(target).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    return names[:count] + [f"argument{k}" for k in range(len(names), count)]


def trace(
    fn: Callable[..., Any],
    example_inputs: Any,
    *,
    strict: bool = False,
    check_trace: bool = True,
    check_inputs: Sequence[Any] = (),
    check_tolerance: float = 1e-5,
    compile: Callable[[Graph], tuple[Callable[..., Any], str]],
) -> Traced:
    """Record `fn(*example_inputs)`. check_trace: run it again, compare the recorded calls one by one and the results
    of the generated code within `check_tolerance`, also for `check_inputs`; TracingCheckError names the first
    difference and its line. All runs see the same inputs, random numbers and values of what they write."""
    inputs = _tuple(example_inputs)
    held = [] if not check_trace else [t for _, t in named_tensors(owner)] if (owner := _owner(fn)) else []
    before = [t.detach().clone() for t in held]
    again, once_more = copies(inputs), copies(inputs)
    seed = get_rng_state()
    traced, out = record(fn, inputs, strict)
    traced.link(*compile(traced.graph))
    if not check_trace or calls_python(traced.graph):
        return traced
    result = copies((out,))
    with as_before(held, before, seed):
        second, _ = record(fn, again, strict)
    compare_graphs(traced.graph, second.graph)
    with as_before(held, before, seed):
        compare("result", result[0], traced(*once_more), check_tolerance, traced._origin)
    for k, given in enumerate(map(_tuple, check_inputs)):
        here = get_rng_state()
        now = [t.detach().clone() for t in held]
        with as_before(held, now, here):
            expected = copies((fn(*copies(given)),))
        with as_before(held, now, here):
            compare(f"check_inputs[{k}]: result", expected[0], traced(*copies(given)), check_tolerance, traced._origin)
    return traced


def _tuple(inputs: Any) -> tuple[Any, ...]:
    return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)


def _owner(fn: Any) -> Module | None:
    found = getattr(fn, "__self__", fn)
    return found if isinstance(found, Module) else None
