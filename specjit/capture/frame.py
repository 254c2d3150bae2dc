"""One capture (`Session`) and one function activation in it (`Frame`): where nodes are appended and what names mean.

Enters: function sources and abstract arguments. Leaves: nodes in `session.block`, facts, events.
Invariant: `session.mark`/`rollback` undo everything that lowering a statement did, so an attempt can be abandoned; the
handlers registered with `lowers` are the only code that interprets syntax.
"""

from __future__ import annotations

import ast
import contextlib
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from specjit.capture import elements, rebinding, stores
from specjit.capture.errors import Place, Unsupported
from specjit.capture.guards import Facts
from specjit.capture.scope import Liveness, declared, local_names, rebound
from specjit.capture.source import FunctionSource
from specjit.capture.stores import Store
from specjit.capture.values import (
    ITERATORS,
    Abstract,
    Cell,
    Choice,
    Iteration,
    Known,
    Local,
    Method,
    Ran,
    Shape,
    TupleOf,
    Unbound,
    Value,
    const,
    constant_of,
    widen,
)
from specjit.ir.constants import UNBOUND
from specjit.ir.graph import Block, Location, Node, OpLike
from specjit.ir.types import ANY, TENSOR, Type, type_of
from specjit.ops.pyinfer import SIZE
from specjit.ops.records.registry import get
from specjit.ops.records.results import CLASSES

MAX_DEPTH = 40  # of inlined calls
MAX_NODES = 200_000  # unrolling and inlining stop here

HANDLERS: dict[type, Callable[[Frame, Any], Any]] = {}
SIMPLE = (bool, int, float, complex, str, bytes, type(None))


def lowers(*kinds: type) -> Callable[[Any], Any]:
    """Register the handler `(frame, node) -> result` of syntax nodes."""

    def register(handler: Any) -> Any:
        HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return register


class Restart(Exception):
    """Something was found that has to be known from the start: capture begins anew."""


@dataclass
class Session:
    """What one capture has produced so far."""

    strict: bool
    root: types.FunctionType
    written: dict[tuple[int, str], Type]  # types of attributes that the program sets: of all turns and paths
    elements: dict[Any, Type]  # element types of lists by origin: of all turns and paths
    celled: set[tuple[ast.AST, str]]  # (function, variable): variables that functions share which outlive their call
    rebound: set[str] = field(default_factory=set)  # names of attributes that the program binds: see `rebinding`
    scripting: bool = False
    block: Block = field(default_factory=Block)
    facts: Facts = field(default_factory=Facts)
    opaque: list[tuple[Location, str]] = field(default_factory=list)
    active: list[tuple[Any, Any]] = field(default_factory=list)  # open calls: code, and the module it is a method of
    emitted: int = 0
    touched: bool = False  # an opaque node ran: plain attributes may have changed
    finished: bool = False  # nothing but the result is built any more
    unsettled: bool = False  # `written` has grown: capture again
    unrollable: int = 0  # open loops over ranges that could be unrolled
    sunk: int = 0
    making: list[str] = field(default_factory=list)  # variables whose functions are being made
    trying: int = 0  # blocks around that something watches for exceptions
    handling: list[Value | None] = field(default_factory=list)  # what the handlers around have caught; None: unknown
    origins: dict[Value, frozenset[Any]] = field(default_factory=dict)  # where the lists come from
    changed: set[int] = field(default_factory=set)  # containers from outside that the program changes: see `stores`
    stores: dict[Value, Store] = field(default_factory=dict)  # reads of containers from outside
    relied: set[int] = field(default_factory=set)  # those of which the members are known
    iterated: list[int] = field(default_factory=list)  # those that a loop goes through, one after another
    paths: dict[int, str] = field(default_factory=dict)  # how guards name the objects that stand in the graph
    looked_up: set[str] = field(default_factory=set)  # names of members that were found at capture
    shared: set[Value] = field(default_factory=set)  # objects that code other than this may hold
    used: set[Value] = field(default_factory=set)  # lists that are an argument of some node already
    examples: dict[Value, Any] = field(default_factory=dict)  # attribute reads: (example, group, source, fetch)

    def __post_init__(self) -> None:
        self.top = self.block

    def mark(self) -> tuple[Block, int, int, int, bool]:
        return self.block, len(self.block.nodes), self.facts.mark(), len(self.opaque), self.touched

    def rollback(self, mark: tuple[Block, int, int, int, bool]) -> None:
        self.block, nodes, facts, opaque, self.touched = mark
        del self.block.nodes[nodes:]
        del self.opaque[opaque:]
        self.facts.rollback(facts)


class Frame:
    """A function being read: `env` maps its variables (and, under names no program can use, pending exits) to abstract
    values."""

    def __init__(
        self,
        session: Session,
        source: FunctionSource,
        function: types.FunctionType,
        env: dict[str, Abstract],
        *,
        parent: Frame | None = None,
        caller: Frame | None = None,
    ) -> None:
        self.session = session
        self.source = source
        self.function = function
        self.env = env
        self.parent = parent
        self.at: ast.AST = source.node
        self.first = session.block  # where the function begins
        self.body = [*source.body, _implicit_return(source)]
        self.locals = local_names(source.node)
        self.inside: set[str] = set()  # targets of the comprehension being read, where that is a scope of its own
        self.shadowed: set[str] = set()  # targets of the comprehensions being read
        self.globals = declared(source.node, ast.Global)
        self.live = Liveness(source.node, self.body)
        self.watched: list[dict[str, Value]] = []  # cells of variables that handlers around may need, by name
        self.own = is_own(function)
        self.via: tuple[Location, ...] = () if caller is None else (*caller.via, caller.location())

    # places

    def location(self, node: ast.AST | None = None) -> Location:
        node = node or self.at
        line = getattr(node, "lineno", self.source.node.lineno)
        caller = self.via[-1] if self.via else None
        return Location(self.source.file, line, getattr(node, "col_offset", 0), self.source.name, caller)

    def origin(self) -> str:
        """The user's place as guards show it."""
        return str(self.location().user)

    def unsupported(self, what: str, node: ast.AST | None = None, hint: str = "") -> Unsupported:
        error = Unsupported(what, node or self.at, hint)
        error.own = self.own
        self.place(error)
        return error

    def place(self, error: Unsupported) -> None:
        """Say where `error` happened, unless that is known."""
        if error.place is None:
            node = error.node or self.at
            single = getattr(node, "end_lineno", None) == getattr(node, "lineno", 0)
            width = node.end_col_offset - node.col_offset if single else 1  # type: ignore[attr-defined]
            error.place = Place(self.location(node), width)

    @contextlib.contextmanager
    def block(self) -> Iterator[Block]:
        """Append to a fresh block, with a copy of the variables."""
        saved_block, saved_env = self.session.block, self.env
        self.session.block, self.env = Block(), dict(saved_env)
        try:
            yield self.session.block
        finally:
            self.session.block, self.env = saved_block, saved_env

    def stored(self, name: str) -> None:
        """A variable was bound or deleted: the handlers around see it."""
        for cells in self.watched:
            if name in cells and name not in self.shadowed:
                self.emit("py.store", cells[name], self.env.get(name, UNBOUND))

    def open_cells(self) -> None:
        """Variables that nested functions assign, or see change, live in cells from the start."""
        seen = {name for function, name in self.session.celled if function is self.source.node}
        for name in sorted(rebound(self.source.node) | seen):
            self.env[name] = Cell(self.emit("py.cell", self.env.get(name, UNBOUND), hint=f"{name}_cell"))

    # syntax

    def expr(self, node: ast.expr) -> Abstract:
        handler = HANDLERS.get(type(node))
        saved, self.at = self.at, node
        try:
            if handler is None:
                raise self.unsupported(f"{type(node).__name__} expressions")
            return handler(self, node)
        except Unsupported as error:
            self.place(error)
            raise
        finally:
            self.at = saved

    # nodes

    def emit_node(self, op: OpLike, args: Sequence[Value], hints: Sequence[str] = ()) -> tuple[Node, bool]:
        """Append `op(*args)`; also whether its results are the items of a list or tuple."""
        self.session.emitted += 1
        if self.session.emitted > MAX_NODES:
            raise self.unsupported("a program this large (unrolled loops and inlined calls)")
        found, several = self.infer(op, args)
        self.session.used.update(a for a in args if a.type.kind == "list")
        node = Node(op, args, found, loc=self.location(), hints=hints)
        self.session.block.nodes.append(node)
        elements.made(self, node, self.at)
        elements.used(self, node)
        rebinding.shares(self, node)
        stores.changes(self, node)
        return node, several

    def infer(self, op: OpLike, args: Sequence[Value]) -> tuple[list[Type], bool]:
        try:
            inferred = op.infer(*map(self.view, args))
        except (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError, ArithmeticError):
            # The op will raise the same at run time, at the user's line; until then nothing is known.
            return [ANY] * max(len(getattr(op, "returns", (1,))), 1), False
        returns: tuple[str, ...] = getattr(op, "returns", ())
        several = isinstance(inferred, list | tuple) and (len(returns) > 1 or any(r.endswith("[]") for r in returns))
        items = list(inferred) if several else [inferred]
        return [generic(t) if isinstance(t, Type) else type_of(t) for t in items], several

    def emit(self, name: str, *args: Abstract | Any, hint: str = "", type: Type | None = None) -> Value:
        """Append the op called `name`; its one result. Constants are folded where Python's own answer is already known.

        `type` is what capture knows of the result where the op's own rule knows nothing.
        """
        values = [self.value(a) if isinstance(a, Abstract) else const(a) for a in args]
        op = get(name)
        if not (op.traits.writes or op.traits.io or op.traits.random) and all(map(_foldable, values)):
            answer = self.answer(op, values)
            if isinstance(answer, Value):
                return answer
        node, _ = self.emit_node(op, values, (hint,))
        if not node.results:
            return const(None)
        result = node.results[0]
        if type is not None and result.type == ANY:
            result.type = type
        return result

    def view(self, v: Value) -> Any:
        """What an op's type rule sees of an argument: constants, and lists and tuples made here, are themselves.

        A list that anything has used before may have changed since it was made."""
        if v.is_const:
            return v.const
        node = v.node
        if node is not None and node.op.name == "py.tuple":
            return tuple(map(self.view, node.args))
        if (
            node is not None
            and node.op.name == "py.list"
            and v not in self.session.used
            and node in self.session.block.nodes[-8:]
        ):
            return list(map(self.view, node.args))
        return v.type

    def answer(self, op: OpLike, values: Sequence[Value]) -> Value | None:
        """The constant that `op` yields, if its rule knows it."""
        try:
            answer = op.infer(*map(self.view, values))
        except (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError, ArithmeticError):
            return None
        if isinstance(answer, SIMPLE) and not (isinstance(answer, str | bytes) and len(answer) > 1000):
            return const(answer)
        return None

    # abstract values

    def value(self, a: Abstract) -> Value:
        """`a` as an IR value: what was only known so far is built here."""
        if isinstance(a, Value):
            return a
        known, constant = constant_of(a)
        if known:
            return const(constant)
        if isinstance(a, Known):
            return a.value if a.value is not None else const(a.obj)
        if isinstance(a, TupleOf):
            if a.names:
                return self.emit("py.call", Known(CLASSES[a.names]), None, *a.items)
            return self.emit("py.tuple", *a.items)
        if isinstance(a, Shape):
            return self.emit("py.getattr", a.tensor, "shape", type=SIZE)
        if isinstance(a, Ran):
            return a.header if a.header.type.kind == "bool" else self.emit("py.gt", a.header, 0)
        if isinstance(a, Unbound):
            return const(UNBOUND)
        if isinstance(a, Method):
            return self.emit("py.getattr", a.owner, a.name)
        if isinstance(a, Iteration):
            if a.kind == "range":
                return self.emit("py.range", *a.parts)
            if a.kind == "slice":
                return self.emit("py.getitem", *a.parts[:2])
            if a.kind in ("keys", "values", "items"):
                return self.emit("py.method", a.parts[0], a.kind, None)
            if a.kind == "map":
                return self.mapped(a)
            function = {"enumerate": enumerate, "zip": zip, "reversed": reversed}[a.kind]
            return self.emit("py.call", Known(function), None, *a.parts)
        if isinstance(a, Cell):
            return self.emit("py.load", a.cell)
        if isinstance(a, Choice):
            from specjit.capture.choices import decided

            return self.value(decided(self, a, self.value))
        assert isinstance(a, Local)
        from specjit.capture.closures import function_value

        return function_value(self, a)

    def held(self, a: Abstract) -> Abstract:
        """`a` as something that is kept: an iterator, which whoever comes second finds used up, is an object then."""
        return self.value(a) if isinstance(a, Iteration) and a.kind in ITERATORS else a

    def mapped(self, a: Iteration) -> Value:
        """A map object: Python calls the function, whenever somebody asks for an item."""
        from specjit.capture.opaque import note

        function = a.parts[0].obj if isinstance(a.parts[0], Known) and a.parts[0].value is None else None
        if not isinstance(function, types.BuiltinFunctionType | type) and not isinstance(a.parts[0], Local):
            self.session.touched = True
            note(self, "a function that map calls")
        return self.emit("py.call", Known(map), None, *a.parts)

    def lookup(self, name: str) -> Abstract | None:
        """A variable of this function or of the captured functions around it; None if the name is not theirs."""
        home = self.home(name)
        return None if home is None else home.env.get(name, UNBOUND)

    def home(self, name: str) -> Frame | None:
        """The function whose variable `name` is: this one or one around it."""
        frame: Frame | None = self
        while frame is not None and name not in frame.locals:
            frame = frame.parent
        return frame


def is_own(fn: Any) -> bool:
    """Whether the function or class is one of this package, which does to the program what it is documented to do."""
    return (getattr(fn, "__module__", None) or "").split(".")[0] == "specjit"


def generic(t: Type) -> Type:
    """The type without dtypes and sizes, which a generic graph never relies on."""
    if t.is_tensor:
        return TENSOR
    t = t.with_(args=tuple(map(generic, t.args))) if t.args else t
    return widen(t) if t.kind in ("list", "dict", "set") else t


def _foldable(v: Value) -> bool:
    """Constants whose operations run no user code, and values of which only the type is asked."""
    return (
        not v.is_const
        or isinstance(v.const, SIMPLE)
        or (isinstance(v.const, tuple) and all(isinstance(x, SIMPLE) for x in v.const))
    )


def _implicit_return(source: FunctionSource) -> ast.stmt:
    last = source.body[-1]
    out = ast.copy_location(ast.Return(ast.copy_location(ast.Constant(None), last)), last)
    out.lineno = out.value.lineno = last.end_lineno or last.lineno  # type: ignore[union-attr]
    return out
