"""The recorder of `jit.trace`: every op call of a run becomes a node.

Enters: op calls, calls of scripted functions, and what Python reads of tensors (`tensor.state.recording`). Leaves: a
graph, and the constants that are baked into it.
Invariant: what Python learns of a tensor's data (numbers, sizes that depend on data, strides, text) is a guard in the
graph at that place; what cannot be repeated raises `CaptureError`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from specjit.capture.errors import CaptureError
from specjit.capture.trace_check import has_effects
from specjit.dtypes import DType
from specjit.ir.graph import Block, Graph, Location, Node, Value
from specjit.ir.structure import WITH
from specjit.ir.types import ANY, Type
from specjit.nn.module import Module
from specjit.ops.records import call
from specjit.ops.records.registry import Op, get
from specjit.tensor import state
from specjit.tensor.tensor import Tensor, type_of_tensor


class Recorder:
    """Receives the op calls of one run and appends them to a graph."""

    def __init__(self, name: str, root: Module | None) -> None:
        self.graph = Graph(name)
        self.block = self.graph.block
        self.values: dict[int, Value] = {}  # of tensors and of the input containers, by id
        self.alive: list[Any] = []  # ids stay unique while their objects live
        self.constants: list[tuple[str, Any]] = []
        self.root = root
        self.paths = {id(t): path for path, t in named_tensors(root)} if root is not None else {}
        self.self_value = self.block.param(Type.instance(type(root).__qualname__), "self") if root is not None else None
        self.grad = state.is_grad_enabled()
        self.modes: dict[Node, bool] = {}  # nodes that ran in another grad mode than the function began with
        self.own: set[int] = set()  # memory that the run itself has made, by the id of its owner
        self.dirty = False  # something outside has been written or drawn: the run cannot start again from here

    def define(self, x: Any, value: Value) -> None:
        self.values[id(x)] = value
        self.alive.append(x)

    def append(self, op: Op, args: Sequence[Value], types: Sequence[Type], **more: Any) -> Node:
        node = self.block.append(op, args, types, loc=place(), **more)
        if state.is_grad_enabled() != self.grad:
            self.modes[node] = state.is_grad_enabled()
        return node

    def python(self, name: str, *args: Any) -> Value:
        """An operation of Python on a value of the graph and constants."""
        given = [a if isinstance(a, Value) else Value.constant(a) for a in args]
        return self.append(get(name), given, [ANY]).result

    # recording

    def call(self, op: Op, args: Sequence[Any]) -> Any:
        """One op call: run it, append it, and guard what leaves the graph as a Python number."""
        with state.recording(None):
            found = call.dispatch(op, args)
        node = self.append(op, [self.value(a) for a in args], self.types(op, found))
        results = found if isinstance(found, list | tuple) and len(node.results) == len(found) else [found]
        for result, value in zip(results, node.results):
            if isinstance(result, Tensor):
                self.define(result, value)
        self._note_memory(op, args, results)
        for result, value in zip(results, node.results):
            if isinstance(result, Tensor) and not op.traits.writes and _depends_on_data(op, args):
                self.guard(self.python("py.getattr", value, "shape"), result.shape)
        if len(node.results) == 1 and isinstance(found, bool | int | float) and not node.results[0].is_const:
            self.guard(node.results[0], found)
        return found

    def _note_memory(self, op: Op, args: Sequence[Any], results: Sequence[Any]) -> None:
        """Which memory the run has made itself; a write to other memory cannot be taken back."""
        if op.traits.writes:
            self.dirty |= any(_owner(args[k]) not in self.own for k in op.traits.writes)
        elif op.traits.view_of is None:
            given = {_owner(t) for a in args for t in (a if isinstance(a, list | tuple) else [a]) if _has_memory(t)}
            self.own |= {_owner(t) for t in results if _has_memory(t)} - given
        self.dirty |= bool(op.traits.random)

    def call_function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of a scripted function: one node, so that its control flow stays."""
        with state.recording(None):
            found = function(*args, **kwargs)
        values = [Value.constant(function), Value.constant(tuple(kwargs) or None)]
        values += [self.value(a) for a in (*args, *kwargs.values())]
        node = self.append(get("py.call"), values, [ANY])
        graph = getattr(function, "graph", None)
        self.dirty |= graph is None or has_effects(graph)
        self.result(node.result, found)
        return found

    def result(self, value: Value, found: Any) -> None:
        """What `found`, the result of a call, holds: its tensors are values from now on, its numbers decisions."""
        if isinstance(found, Tensor):
            value.type = type_of_tensor(found)
            self.define(found, value)
        elif isinstance(found, list | tuple | dict):
            for key in found if isinstance(found, dict) else range(len(found)):
                self.result(self.python("py.getitem", value, key), found[key])
        elif isinstance(found, bool | int | float | complex | str):
            self.guard(value, found)

    def reads(self, x: Tensor, name: str, seen: Any, *args: Any) -> None:
        """Python has read something of a tensor otherwise than by an op (`tolist`, `stride`): a decision."""
        with state.recording(None):
            self.guard(self.python("py.method", self.value(x), name, None, *args), seen)

    def refuse(self, what: str, hint: str) -> None:
        """Something happens that a graph of ops cannot repeat."""
        raise CaptureError("unsupported", what, location=place(), hint=hint)

    def guard(self, value: Value, seen: Any) -> None:
        where = place()
        if self.dirty:
            raise CaptureError(
                "unsupported",
                "a tensor becomes a Python number after an in-place write or a random draw",
                location=where,
                hint="use specjit.jit.script or specjit.optimize, which keep the decision",
            )
        told = "" if where is None else f"{where.file}:{where.line}"
        self.append(get("py.guard"), [value, Value.constant(seen), Value.constant(told)], [])

    def types(self, op: Op, found: Any) -> list[Type]:
        if isinstance(found, Tensor):
            return [type_of_tensor(found)]
        if isinstance(found, list | tuple) and all(isinstance(t, Tensor) for t in found) and op.returns:
            return [type_of_tensor(t) for t in found]
        if found is None:
            return []
        return [Type(type(found).__name__) if isinstance(found, bool | int | float) else ANY]

    # values

    def value(self, x: Any) -> Value:
        """An argument as a value of the graph."""
        if isinstance(x, Tensor):
            return self.tensor(x)
        if isinstance(x, list | tuple) and any(isinstance(i, Tensor) for i in x):
            return self.sequence(x, [self.value(i) for i in x])
        # A list as it is now: the program may change it later.
        return Value.constant(list(x) if type(x) is list else x)

    def sequence(self, x: list[Any] | tuple[Any, ...], items: list[Value]) -> Value:
        if isinstance(x, list):
            return self.append(get("py.list"), items, [Type.list(ANY)]).result
        return self.append(get("py.tuple"), items, [Type.tuple(*(i.type for i in items))]).result

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
            node = self.append(get("py.getattr"), [value, Value.constant(name)], [ANY], hints=[name])
            value = node.result
        value.type = t
        return value

    # the result

    def finish(self, out: Any) -> None:
        self.block.outputs = [self.output(out, {})]
        if self.modes:
            self.block.nodes = _by_mode(self.block, self.modes)

    def output(self, x: Any, made: dict[int, Value]) -> Value:
        """The result, built anew in each call: what is one object in it stays one; arguments are themselves."""
        if isinstance(x, Tensor):
            return self.tensor(x)
        known = made.get(id(x)) or self.values.get(id(x))
        if known is not None:
            return known
        if type(x) in (list, tuple) or _is_named(x):
            items = [self.output(i, made) for i in x]
            if _is_named(x):
                value = self.python("py.call", type(x), None, *items)
            else:
                value = self.sequence(x, items)
        elif type(x) is dict:
            pairs = [v for k, i in x.items() for v in (Value.constant(k), self.output(i, made))]
            value = self.append(get("py.dict"), pairs, [Type("dict", (ANY, ANY))]).result
        elif _is_fixed(x):
            return Value.constant(x)
        else:
            raise CaptureError(
                "unsupported",
                f"the function returns {_article(type(x).__name__)}, which a trace would make only once",
                location=place() or self.origin,
                hint="return tensors, numbers, strings, and lists, tuples and dicts of them, or use "
                "specjit.jit.script or specjit.optimize",
            )
        if not isinstance(x, tuple):
            made[id(x)] = value
        return value

    origin: Location | None = None  # where the function stands


def _is_named(x: Any) -> bool:
    return isinstance(x, tuple) and hasattr(type(x), "_fields")


def _is_fixed(x: Any) -> bool:
    """Whether an object may be handed out in every call: nobody can change it."""
    if isinstance(x, tuple | frozenset):
        return all(map(_is_fixed, x))
    plain = isinstance(x, bool | int | float | complex | str | bytes | type(None) | type(...) | slice | range | DType)
    return plain or isinstance(x, type) or callable(x) or _compares_by_value(type(x))


def _compares_by_value(kind: type) -> bool:
    found: Any = kind.__hash__
    return found is not None and found is not object.__hash__


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def _owner(x: Tensor) -> int:
    """The object that holds the memory of a tensor."""
    data = x._data
    while isinstance(data.base, np.ndarray):
        data = data.base
    return id(data if data.base is None else data.base)


def _has_memory(x: Any) -> bool:
    return isinstance(x, Tensor) and x._data is not None


def _depends_on_data(op: Op, args: Sequence[Any]) -> bool:
    """Whether the shape of the result depends on what the arguments hold (`nonzero`, a mask as index)."""
    found = op.infer(*[call._types(a) for a in call.checked(op, args)])
    types = found if isinstance(found, list | tuple) else [found]
    return any(isinstance(t, Type) and t.is_tensor and (t.dims is None or None in t.dims) for t in types)


def _by_mode(block: Block, modes: dict[Node, bool]) -> list[Node]:
    """The nodes of a block, with those that ran in another grad mode inside `with` nodes."""
    out: list[Node] = []
    for mode, group in itertools.groupby(block.nodes, modes.get):
        nodes = list(group)
        if mode is None:
            out += nodes
            continue
        results = [r for n in nodes for r in n.results]
        inner = Block()
        inner.nodes, inner.outputs = nodes, results
        made = Node(WITH, [], [r.type for r in results], blocks=[inner], attrs={"grad": mode}, loc=nodes[0].loc)
        out.append(made)
        _use_instead(block, nodes, dict(zip(results, made.results)))
    return out


def _use_instead(block: Block, inside: list[Node], mapping: dict[Value, Value]) -> None:
    """Everything outside the nodes `inside` uses the results of their `with` node."""
    held = set(map(id, inside))
    for node in block.nodes:
        if id(node) not in held:
            node.args = [mapping.get(a, a) for a in node.args]
    block.outputs = [mapping.get(o, o) for o in block.outputs]


def named_tensors(root: Module) -> Iterator[tuple[str, Tensor]]:
    for path, module in root.named_modules():
        for table in ("_parameters", "_buffers"):
            for name, t in module.__dict__[table].items():
                if t is not None:
                    yield f"{path}.{name}" if path else name, t


def place() -> Location | None:
    """The innermost line of the program outside this package."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        inside = name == "specjit" or name.startswith("specjit.") or frame.f_code.co_filename.startswith("<specjit")
        if not inside:
            return Location(frame.f_code.co_filename, frame.f_lineno, 0, frame.f_code.co_qualname)
        frame = frame.f_back  # type: ignore[assignment]
    return None


__all__ = ["Recorder", "named_tensors", "place"]
