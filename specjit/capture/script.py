"""Capture from source: a Python function becomes one generic graph.

Enters: a function (or a module and its forward) and one example per parameter. Leaves: `Captured`.
Invariant: examples are used for their Python structure only (types, lengths of tuples, modules and their members); no
dtype, size or number of an example is in the graph. What the graph relies on is in `guards`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

from specjit.capture import (
    assignments,
    builtins,
    calls,
    comprehensions,
    contexts,
    displays,
    elements,
    expressions,
    handlers,
    inline,
    loops,
    operators,
    patterns,
    reflection,
    statements,
)
from specjit.capture.attributes import describe, is_operator
from specjit.capture.errors import CaptureError, Unsupported, to_capture_error
from specjit.capture.frame import SIMPLE, Frame, Restart, Session
from specjit.capture.guards import Checks
from specjit.capture.iteration import NeedsConstant
from specjit.capture.merge import DEAD, RETURN_VALUE
from specjit.capture.pycalls import Keywords
from specjit.capture.source import parameter_nodes, signature_names, source_of
from specjit.capture.values import Abstract, Known, TupleOf, Value, const, type_for
from specjit.ir.graph import Block, Graph, Location, uses
from specjit.ir.guard import Guard
from specjit.ir.types import Type
from specjit.nn.module import Module
from specjit.tensor.tensor import Tensor

MAX_RESTARTS = 30
SELF = "__self__"  # the object, where the function takes it as the first of its `*args`
KNOWN_INPUTS = (types.FunctionType, types.BuiltinFunctionType, type, types.ModuleType)
_WAY_OUT = (
    "move it into a function marked @specjit.jit.ignore, or use specjit.optimize without strict=True, which runs such "
    "lines in Python"
)
OnEvent = Callable[..., None]


class Captured:
    """A captured function: the generic graph and what it relies on.

    graph          one input per parameter (`self` first for a module), one output
    guards         the capture guards, as data
    checks         the same, compiled: `globals` (every call), `structure` (only when `tensor.state.module_epoch` has
                   moved), `all`; each takes the inputs and returns a bool
    opaque         (location, reason) of everything that runs in Python
    """

    def __init__(self, graph: Graph, session: Session, params: list[str], function: types.FunctionType) -> None:
        self.graph = graph
        self.function = function
        self.params = params
        self.guards: list[Guard] = session.facts.guards
        self.checks: Checks = session.facts.compile(params)
        self.opaque = session.opaque

    def check(self, *args: Any) -> Guard | None:
        """The first capture guard that does not hold for these inputs; None if all hold."""
        broken = self.checks.failing(*args)
        return None if broken is None else broken[0]


def capture(
    fn: Any,
    example_inputs: Mapping[str, Any],
    *,
    root: Any = None,
    strict: bool = False,
    scripting: bool = False,
    on_event: OnEvent | None = None,
) -> Captured:
    """Capture `fn`, a function or method; `root` is the module whose forward it is, which is then the first input.

    Raises CaptureError where the function has no source, or where what cannot be compiled cannot run as one statement
    in Python either (always, under `strict`).
    """
    if isinstance(fn, types.MethodType):
        root = fn.__self__ if root is None else root
        fn = fn.__func__
    if not isinstance(fn, types.FunctionType):
        raise CaptureError("source", f"{getattr(fn, '__qualname__', type(fn).__qualname__)} is not a Python function")
    source = source_of(fn)
    params = signature_names(source.node)
    examples = dict(example_inputs)
    if root is not None:
        if source.node.args.vararg is not None and params[0] == source.node.args.vararg.arg:
            params.insert(0, SELF)
        examples.setdefault(params[0], root)
    missing = [p for p in params if p not in examples]
    if missing:
        raise CaptureError("signature", f"{fn.__qualname__}: no example for {', '.join(missing)}")
    written: dict[tuple[int, str], Type] = {}
    held: dict[Any, Type] = {}
    celled: set[Any] = set()
    rebound: set[str] = set()
    changed: set[int] = set()
    for _ in range(MAX_RESTARTS):
        session = Session(strict, fn, written, held, celled, rebound, scripting, changed=changed)
        try:
            block = _run(session, fn, source, params, examples, root)
        except Restart:
            continue
        except (Unsupported, NeedsConstant) as error:
            if session.unsettled:
                continue  # with better types it may be supported
            raise to_capture_error(error, _WAY_OUT) from None
        except RecursionError:
            raise CaptureError("limit", f"{fn.__qualname__} is nested too deeply to capture") from None
        if not session.unsettled:
            break
    else:
        raise CaptureError("limit", f"{fn.__qualname__}: the types of lists and attributes do not settle")
    graph = Graph(_graph_name(fn, root), block)
    graph.attrs["function"] = fn
    graph.attrs["paths"] = session.paths
    graph.attrs["place"] = Location(source.file, source.node.lineno)
    graph.attrs["places"] = {
        name: Location(source.file, node.lineno) for name, node in parameter_nodes(source.node).items()
    }
    if on_event is not None:
        for location, reason in session.opaque:
            on_event(
                "OPAQUE",
                f"{reason}: runs in Python",
                location=location,
                reason=reason,
            )
    return Captured(graph, session, params, fn)


def _graph_name(fn: types.FunctionType, root: Any) -> str:
    return type(root).__name__ if root is not None and fn.__name__ == "forward" else fn.__name__.strip("<>")


def _run(
    session: Session,
    fn: types.FunctionType,
    source: Any,
    params: list[str],
    examples: Mapping[str, Any],
    root: Any,
) -> Block:
    frame = Frame(session, source, fn, {})
    places = parameter_nodes(source.node)
    for name in params:
        frame.at = places.get(name, source.node)
        frame.env[name] = _input(frame, name, examples[name])
    if SELF in params:
        frame.env[params[1]] = TupleOf((frame.env[SELF], *_items(frame, params[1], examples[params[1]])))
    named = source.node.args.kwarg
    if named is not None and inline.only_passed_on(source.node, named.arg):
        frame.at = places[named.arg]
        frame.env[named.arg] = _known_by_name(frame, named.arg, examples[named.arg])
    frame.at = source.node
    session.active.append((fn.__code__, root if isinstance(root, Module) else None))
    bound = frame.env[params[0]] if root is not None else None
    if isinstance(bound, Known):
        calls.guard_root(frame, bound, fn)
    frame.open_cells()
    statements.run(frame, frame.body)
    block = session.block
    result: Abstract = const(None) if DEAD in frame.env else frame.env.get(RETURN_VALUE, const(None))
    before = len(block.nodes)
    session.finished = True
    block.outputs = [frame.value(result)]
    _drop_helpers(block)
    for node in block.nodes[before:]:
        node.loc = None  # the tuple that is returned belongs to every return statement
    return block


def _drop_helpers(block: Block) -> None:
    """Remove what was computed about control flow and is not asked for."""
    used = uses(block)
    for inner in [block, *(b for node in block.walk() for b in node.blocks)]:
        inner.nodes = [n for n in inner.nodes if "_helper" not in n.attrs or n.results[0] in used]


def _input(f: Frame, name: str, example: Any) -> Abstract:
    """An input, typed by the Python structure of its example."""
    value = f.session.block.param(Type("any"), name)
    facts = f.session.facts
    if isinstance(example, KNOWN_INPUTS) or is_operator(example):
        facts.add("arguments", name, "identity", example, f.origin(), name)
        return Known(example)
    if type(example) in (list, dict, set):
        value.type = _container_type(f, name, name, example)
        if type(example) is list:
            value.type = elements.start(f.session, value, ("input", name), value.type.args[0])
        facts.add("arguments", name, "type", type(example), f.origin(), name)
        return value
    found = describe(f, example, "arguments", name, name, lambda: value)
    if type(example) is tuple:
        value.type = Type.tuple(*(_item_type(f, f"{name}[{i}]", item) for i, item in enumerate(example)))
    if example is None:
        value.type = Type("none")
    return found


def _items(f: Frame, name: str, example: tuple[Any, ...]) -> list[Abstract]:
    """The items of the captured function's `*name`."""
    given = f.env[name]
    if isinstance(given, TupleOf):
        return list(given.items)
    items: list[Abstract] = []
    for i, item in enumerate(example):
        value = f.emit("py.getitem", given, i)
        value.type = type_for(item)
        items.append(value)
    return items


def _known_by_name(f: Frame, name: str, example: dict[str, Any]) -> Keywords:
    """The captured function's `**name`, which it only passes on: values under the names that the example has."""
    f.session.facts.add("arguments", f"tuple({name})", "value", tuple(example), f.origin(), f"tuple({name})")
    named: dict[str, Abstract] = {}
    for key, item in example.items():
        value = f.emit("py.getitem", f.env[name], key)
        value.type = _item_type(f, f"{name}[{key!r}]", item)
        named[key] = value
    return Keywords(named)


def _item_type(f: Frame, source: str, item: Any) -> Type:
    """The type of a member of an argument, with a guard on it."""
    facts = f.session.facts
    facts.add("arguments", source, "type", type(item), f.origin(), source)
    if type(item) is tuple:
        facts.add("arguments", source, "length", len(item), f.origin(), source)
        return Type.tuple(*(_item_type(f, f"{source}[{i}]", x) for i, x in enumerate(item)))
    if type(item) in (list, dict, set):
        return elements.shallow(_container_type(f, source, source, item))
    return type_for(item)


def _container_type(f: Frame, source: str, fetch: str, example: Any) -> Type:
    """A list or dict argument: its element type if all are tensors or numbers of one type, guarded as a whole."""
    if type(example) is list and example:
        kind = type(example[0])
        if all(type(x) is kind for x in example) and (kind in SIMPLE or issubclass(kind, Tensor)):
            f.session.facts.add("arguments", source, "items", kind, f.origin(), fetch)
            return Type.list(type_for(example[0]))
    return (
        type_for(example)
        if not example
        else Type(type(example).__name__, tuple(Type("any") for _ in type_for(example).args))
    )


HANDLER_MODULES = (
    assignments,
    builtins,
    calls,
    comprehensions,
    contexts,
    displays,
    expressions,
    handlers,
    loops,
    operators,
    patterns,
    reflection,
    statements,
)  # imported for what they register

__all__ = ["Captured", "Value", "capture"]
