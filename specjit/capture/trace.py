"""Capture from a run: every op call that a function makes is recorded, in order.

Enters: a function or module and example inputs. Leaves: `Traced`, a callable: the recorded graph as generated Python,
under guards.
Invariant: no decision is erased silently. The sizes, dtypes and Python values of the inputs are guards; a tensor that
became a Python number is a guard inside the graph. Where a guard fails the original function runs (an error under
`strict`). What else the run saw (parameters by path, other tensors, numbers) is a constant and listed in `constants`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

from specjit import config
from specjit.capture.errors import CaptureError
from specjit.capture.trace_check import as_before, calls_python, compare, compare_graphs, copies, has_effects
from specjit.ir.graph import Graph, Location, Value
from specjit.ir.guard import Guard
from specjit.ir.types import Type
from specjit.nn.module import Module
from specjit.ops.control import GuardFailed
from specjit.ops.records import call
from specjit.ops.records.registry import Op, get
from specjit.ops.records.results import NAMED
from specjit.tensor import state
from specjit.tensor.random import get_rng_state
from specjit.tensor.tensor import Tensor, type_of_tensor


class Recorder:
    """Receives the op calls of one run (`tensor.state.recording`) and appends them to a graph."""

    def __init__(self, name: str, root: Module | None) -> None:
        self.graph = Graph(name)
        self.block = self.graph.block
        self.values: dict[int, Value] = {}
        self.alive: list[Any] = []  # ids stay unique while their objects live
        self.constants: list[tuple[str, Any]] = []
        self.root = root
        self.paths = {id(t): path for path, t in _named_tensors(root)} if root is not None else {}
        self.self_value = self.block.param(Type.instance(type(root).__qualname__), "self") if root is not None else None
        self.dirty = False  # something has been written or drawn: the run cannot start again from here

    def define(self, tensor: Tensor, value: Value) -> None:
        self.values[id(tensor)] = value
        self.alive.append(tensor)

    # recording

    def call(self, op: Op, args: Sequence[Any]) -> Any:
        """One op call: run it, append it, and guard what leaves the graph as a Python number."""
        with state.recording(None):
            found = call.dispatch(op, args)
        node = self.block.append(op, [self.value(a) for a in args], self.types(op, found), loc=_place())
        results = found if isinstance(found, list | tuple) and len(node.results) == len(found) else [found]
        for result, value in zip(results, node.results):
            if isinstance(result, Tensor):
                self.define(result, value)
        self.dirty |= bool(op.traits.writes or op.traits.random)
        if len(node.results) == 1 and isinstance(found, bool | int | float) and not node.results[0].is_const:
            self.guard(node.results[0], found)
        return found

    def call_function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of a scripted function: one node, so that its control flow stays."""
        with state.recording(None):
            found = function(*args, **kwargs)
        values = [Value.constant(function), Value.constant(tuple(kwargs) or None)]
        values += [self.value(a) for a in (*args, *kwargs.values())]
        node = self.block.append(get("py.call"), values, [Type("any")], loc=_place())
        self.dirty |= has_effects(function.graph)
        self.result(node.result, found)
        return found

    def result(self, value: Value, found: Any) -> None:
        """What `found`, the result of a call, holds: its tensors are values from now on, its numbers decisions."""
        if isinstance(found, Tensor):
            value.type = type_of_tensor(found)
            self.define(found, value)
        elif isinstance(found, list | tuple | dict):
            for key in found if isinstance(found, dict) else range(len(found)):
                item = self.block.append(
                    get("py.getitem"), [value, Value.constant(key)], [Type("any")], loc=_place()
                ).result
                self.result(item, found[key])
        elif isinstance(found, bool | int | float | complex | str):
            self.guard(value, found)

    def guard(self, value: Value, seen: Any) -> None:
        place = _place()
        if self.dirty:
            raise CaptureError(
                "unsupported",
                "a tensor becomes a Python number after an in-place write or a random draw",
                location=place,
                hint="use specjit.jit.script or specjit.optimize, which keep the decision",
            )
        self.block.append(get("py.guard"), [value, Value.constant(seen)], [], loc=place)

    def types(self, op: Op, found: Any) -> list[Type]:
        if isinstance(found, Tensor):
            return [type_of_tensor(found)]
        if isinstance(found, list | tuple) and all(isinstance(t, Tensor) for t in found) and op.returns:
            return [type_of_tensor(t) for t in found]
        return (
            []
            if found is None
            else [Type(type(found).__name__) if isinstance(found, bool | int | float) else Type("any")]
        )

    def value(self, x: Any) -> Value:
        """An argument as a value of the graph."""
        if isinstance(x, Tensor):
            return self.tensor(x)
        if isinstance(x, list | tuple) and any(isinstance(i, Tensor) for i in x):
            items = [self.value(i) for i in x]
            if isinstance(x, list):
                made = Type.list(Type("any"))
                return self.block.append(get("py.list"), items, [made], loc=_place()).result
            return self.block.append(
                get("py.tuple"), items, [Type.tuple(*(i.type for i in items))], loc=_place()
            ).result
        # A list as it is now: the program may change it later.
        return Value.constant(list(x) if type(x) is list else x)

    def tensor(self, x: Tensor) -> Value:
        if id(x) not in self.values:
            path = self.paths.get(id(x))
            if path is not None and self.self_value is not None:
                self.constants.append((path, "parameter or buffer"))
                self.define(x, self.attribute(path, type_of_tensor(x)))
            else:
                self.constants.append((f"tensor {list(x.shape)}", x))
                self.define(x, Value.constant(x, type_of_tensor(x)))
        return self.values[id(x)]

    def attribute(self, path: str, t: Type) -> Value:
        assert self.self_value is not None
        value = self.self_value
        for name in path.split("."):
            kind = t if path.endswith(name) else Type("any")
            node = self.block.append(
                get("py.getattr"), [value, Value.constant(name)], [kind], loc=_place(), hints=[name]
            )
            value = node.result
        value.type = t
        return value

    def output(self, x: Any) -> Value:
        if isinstance(x, Tensor):
            return self.tensor(x)
        if isinstance(x, list | tuple) and type(x) in (list, tuple, *NAMED):
            items = [self.output(i) for i in x]
            if isinstance(x, NAMED):
                called = [Value.constant(type(x)), Value.constant(None), *items]
                return self.block.append(get("py.call"), called, [Type("any")]).result
            name = "py.list" if isinstance(x, list) else "py.tuple"
            t = Type.list(Type("any")) if isinstance(x, list) else Type.tuple(*(i.type for i in items))
            return self.block.append(get(name), items, [t]).result
        if type(x) is dict:
            pairs = [v for k, i in x.items() for v in (Value.constant(k), self.output(i))]
            return self.block.append(get("py.dict"), pairs, [Type("dict", (Type("any"), Type("any")))]).result
        return Value.constant(x)


def _named_tensors(root: Module) -> Any:
    for path, module in root.named_modules():
        for table in ("_parameters", "_buffers"):
            for name, t in module.__dict__[table].items():
                if t is not None:
                    yield f"{path}.{name}" if path else name, t


def _place() -> Location | None:
    """The innermost line of the program outside this package."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        inside = name == "specjit" or name.startswith("specjit.") or frame.f_code.co_filename.startswith("<specjit")
        if not inside:
            return Location(frame.f_code.co_filename, frame.f_lineno, 0, frame.f_code.co_qualname)
        frame = frame.f_back  # type: ignore[assignment]
    return None


class Traced:
    """A traced function. graph, source, guards, constants describe it; calling it runs the graph while the guards
    hold."""

    def __init__(self, original: Callable[..., Any], recorder: Recorder, facts: list[_Fact], strict: bool) -> None:
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
        nodes = sum(1 for _ in self.graph.walk())
        lines = [
            f"trace of {self.graph.name}: {nodes} nodes, {self.calls} calls, {self.misses} ran the function itself"
        ]
        lines += [f"  guard     {g}" for g in self.guards]
        lines += [
            f"  guard     line {n.loc.line if n.loc else '?'}: a tensor's value is {n.args[1].const!r}"
            for n in self.graph.walk()
            if n.op.name == "py.guard"
        ]
        lines += [f"  constant  {name}" for name, _ in self.constants]
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
                return self._miss(f"a tensor's value: {error}", "", args)
        if failed is None:
            return self._miss("no code", "", args)
        return self._miss(failed.guard.missed(failed.actual(args)), failed.guard.origin, args)

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        target = self.original.forward if isinstance(self.original, Module) else self.original
        bound = inspect.signature(target).bind(*args, **kwargs)
        if bound.kwargs:
            raise TypeError(f"a trace takes positional arguments, got {', '.join(bound.kwargs)} by keyword only")
        return bound.args

    def _miss(self, reason: str, origin: str, args: tuple[Any, ...]) -> Any:
        self.misses += 1
        if self.strict:
            where = f" ({origin})" if origin else ""
            raise CaptureError("guard", f"the trace does not cover this call: {reason}{where}")
        self.on_miss(reason, origin)
        return self.original(*args)


class _Fact:
    """One guard on an input: `path` is the argument's position and the indices into it."""

    def __init__(self, guard: Guard, path: tuple[Any, ...]) -> None:
        self.guard, self.path = guard, path

    def actual(self, args: Sequence[Any]) -> Any:
        """What the guard is about, in a call with these arguments."""
        try:
            x: Any = args
            for step in self.path:
                x = x[step]
            return _aspect(x, self.guard.kind)
        except (IndexError, KeyError, TypeError, AttributeError) as error:
            return _Absent(error)

    def holds(self, args: Sequence[Any]) -> bool:
        return bool(self.actual(args) == self.guard.expected)


class _Absent:
    """Stands for what a call does not have; equal to nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __repr__(self) -> str:
        return f"nothing ({type(self.error).__name__})"


def _aspect(x: Any, kind: str) -> Any:
    if kind == "type":
        return type(x)
    if kind == "value":
        return x
    if kind == "length":
        return len(x)
    return getattr(x, kind) if kind != "shape" else tuple(x.shape)


def _input(
    recorder: Recorder, name: str, x: Any, path: tuple[Any, ...], facts: list[_Fact], value: Value, origin: str
) -> None:
    """Define the tensors of an argument, and guard everything about it that the run may have looked at. `origin` is
    where the function is defined."""

    def guard(kind: str) -> None:
        facts.append(_Fact(Guard(name, kind, _aspect(x, kind), origin), path))

    guard("type")
    if isinstance(x, Tensor):
        for kind in ("shape", "dtype", "requires_grad"):
            guard(kind)
        value.type = type_of_tensor(x)
        recorder.define(x, value)
    elif type(x) in (list, tuple, dict):
        guard("length")
        keys = list(x) if isinstance(x, dict) else list(range(len(x)))
        for key in keys:
            node = recorder.block.append(
                get("py.getitem"), [value, Value.constant(key)], [Type("any")], hints=[f"{name}_{key}"]
            )
            _input(recorder, f"{name}[{key!r}]", x[key], (*path, key), facts, node.result, origin)
    elif not isinstance(x, Module):
        guard("value")


def record(fn: Callable[..., Any], inputs: Sequence[Any], strict: bool) -> tuple[Traced, Any]:
    """Run `fn` once under a recorder."""
    owner = getattr(fn, "__self__", fn)
    root = owner if isinstance(owner, Module) else None
    name = type(fn).__name__ if isinstance(fn, Module) else getattr(fn, "__name__", "traced").strip("<>")
    recorder = Recorder(name, root)
    facts: list[_Fact] = []
    names = _parameter_names(fn, len(inputs))
    values = [recorder.block.param(Type("any"), n) for n in names]
    code = getattr(fn.forward if isinstance(fn, Module) else fn, "__code__", None)
    origin = "" if code is None else str(Location(code.co_filename, code.co_firstlineno))
    for k, (n, x, v) in enumerate(zip(names, inputs, values)):
        _input(recorder, n, x, (k,), facts, v, origin)
    with config.looking(), state.recording(recorder):
        out = fn(*inputs)
    recorder.block.outputs = [recorder.output(out)]
    return Traced(fn, recorder, facts, strict), out


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
    held = [] if not check_trace else [t for _, t in _named_tensors(owner)] if (owner := _owner(fn)) else []
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
        compare("result", result[0], traced(*once_more), check_tolerance)
    for k, given in enumerate(map(_tuple, check_inputs)):
        here = get_rng_state()
        now = [t.detach().clone() for t in held]
        with as_before(held, now, here):
            expected = copies((fn(*copies(given)),))
        with as_before(held, now, here):
            compare(f"check_inputs[{k}]: result", expected[0], traced(*copies(given)), check_tolerance)
    return traced


def _tuple(inputs: Any) -> tuple[Any, ...]:
    return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)


def _owner(fn: Any) -> Module | None:
    found = getattr(fn, "__self__", fn)
    return found if isinstance(found, Module) else None
