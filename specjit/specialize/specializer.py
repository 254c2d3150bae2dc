"""The abstract interpreter that turns a generic graph into a typed one.

Enters: a generic graph, and an abstract value per graph input (`specialize.leaves` makes them from a profile).
Leaves: a typed block in `self.block`, plus the guards on everything that was read as a constant.
Invariant: every tensor op that is emitted carries the result types of its own `infer`; whatever is not understood is
emitted unchanged (it then runs as Python between native regions), or the whole graph is `Refused` with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specjit.ir.graph import Block, Graph, Location, Node, Value
from specjit.ir.structure import EXCEPTIONAL, IF, LOOP, WITH
from specjit.ir.types import ANY, Type
from specjit.ops.pyinfer import as_type, known
from specjit.ops.records import registry
from specjit.specialize import control, handlers, indexing, lists, loops, operators, python_ops
from specjit.specialize.abstract import (
    Abstract,
    Known,
    Mapping,
    Obj,
    Refused,
    Rows,
    Seq,
    constant,
    each_value,
    substitute,
)
from specjit.specialize.liveness import Liveness
from specjit.specialize.origins import Origins
from specjit.specialize.sizes import Sizes

HANDLER_MODULES = (operators, python_ops)  # importing them, and what they import, fills handlers.HANDLERS


class Specializer:
    """Walks one generic graph. `attribute(obj, path, name)` resolves attribute reads (leaves for tensors, guards for
    the rest); `read_global(kind, name)` resolves `py.global` and `py.closure`."""

    def __init__(
        self,
        attribute: Callable[[Any, str, str], Abstract],
        read_global: Callable[[Node, list[Any]], Abstract],
    ) -> None:
        self.attribute = attribute
        self.read_global = read_global
        self.block = Block()
        self.env: dict[Any, Any] = {}  # by generic value; what attributes were set to, by (object, name)
        self.paths: dict[int, str] = {}
        self.scopes: list[
            tuple[str, dict[int, tuple[Seq, list[Value | Rows]]]]
        ] = []  # open blocks: kind, rows appended to outer lists
        self.roots: dict[Value, Value] = {}  # the storage a view shares, by value
        self.partial: set[Value] = set()  # results of branches, of variables that not all of these give a value
        self.held: set[Value] = set()  # roots of rows that an open loop has copied into a buffer
        self.copied: set[Value] = set()  # roots of rows that a finished loop has copied into a stack
        self.loc: Location | None = None
        self.hints: list[str] = []
        self.set_attributes: dict[tuple[int, str], bool] = {}  # whether it is known what they were set to: see `env`
        self.touched = False  # unknown code has run: what it may have set is not what it was
        self.numbers: set[Value] = set()  # the int arguments whose value is not known
        self.bounds: dict[Value, int] = {}  # the least values of those for which the typed graph means the same
        self.nonempty: set[Any] = set()  # sizes that must be at least 1 for the typed graph to mean the same
        self.origins = Origins(self.root)
        self.sizes = Sizes(self)
        self.grad = True  # whether gradients are recorded at this point of the program

    # -- walking ------------------------------------------------------------------------------------------------------

    def run(self, graph: Graph, inputs: list[Abstract]) -> list[Abstract]:
        """Interpret the graph on these inputs; the outputs' abstract values."""
        self.liveness = Liveness(graph)
        self.paths = graph.attrs.get("paths", {})  # of objects that stand in the graph
        self.sizes.enter(inputs)
        self.env.update(zip(graph.inputs, inputs, strict=True))
        self.walk(graph.block)
        return [self.get(o) for o in graph.outputs]

    def walk(self, block: Block) -> None:
        for node in block.nodes:
            self.loc = node.loc
            self.hints = [r.hint for r in node.results]
            self.visit(node)

    def visit(self, node: Node) -> None:
        if node.op is IF:
            control.branch(self, node)
        elif node.op is LOOP:
            loops.loop(self, node)
        elif node.op is WITH:
            control.grad_mode(self, node)
        elif node.op in EXCEPTIONAL:
            raise Refused("code that handles exceptions", node.loc)
        else:
            args = [self.get(a) for a in node.args]
            handler = handlers.HANDLERS.get(node.op.name)
            result = handler(self, args, node) if handler else self.tensor_op(node.op, args)
            if len(node.results) == 1:
                self.env[node.results[0]] = result[0] if isinstance(result, list) else result
            elif node.results:
                items: Any = result.items if isinstance(result, Seq) else result
                self.env.update(zip(node.results, items, strict=True))

    def get(self, v: Value) -> Abstract:
        if not v.is_const:
            return self.env[v]
        path = self.paths.get(id(v.const))
        return constant(v.const) if path is None else Obj(v.const, path)

    @property
    def depth(self) -> int:
        return len(self.scopes)

    # -- emitting -----------------------------------------------------------------------------------------------------

    def call(self, name: str, *args: Any) -> Abstract:
        """Emit the op called `name` with abstract (or plain Python) arguments, defaults filled in."""
        op = registry.get(name)
        given = [a if isinstance(a, (Known, Value, Seq, Obj, Mapping)) else constant(a) for a in args]
        rest = [constant(p.default) for p in op.params[len(given) :]]
        return self.tensor_op(op, given + rest)

    def fold(self, op: Any, args: list[Any]) -> Abstract:
        """The constant that `op` gives for constants."""
        try:
            return self.made(op.eager(*(a.value for a in args)))
        except Exception as error:  # the program's own error: it must rise at run time, at the user's line
            raise Refused(f"{op.name} raises {type(error).__name__}: {error}", self.loc) from error

    def made(self, value: Any) -> Abstract:
        """What the program computes from constants alone: a list or dict is another object in every call."""
        if type(value) in (list, tuple):
            return Seq(type(value).__name__, [self.made(v) for v in value], self.depth)
        if type(value) is dict:
            return Mapping({k: self.made(v) for k, v in value.items()}, self.depth)
        if isinstance(value, (set, bytearray)):
            raise Refused(f"a {type(value).__name__} is made", self.loc)
        return constant(value)

    def tensor_op(self, op: Any, args: list[Any]) -> Abstract:
        """Infer, emit, and wrap the results of an operator record."""
        self.origins.note(op, args, self.loc)
        special = indexing.SPECIAL.get(op.name)
        if special:
            out = special(self, op, args)
            if out is not None:
                return out
        if op.traits.pure and op.name.startswith("py.") and all(isinstance(a, Known) for a in args):
            return self.fold(op, args)
        seen = [self.infer_view(a) for a in args]
        try:
            types = op.infer(*seen)
        except Refused:
            raise
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise Refused(f"{op.name}: {error}", self.loc) from error
        except AttributeError as error:
            single = [(p.name, s) for p, s in zip(op.params, seen) if p.type.is_tensor and not p.type.many]
            wrong = next((name for name, s in single if not isinstance(s, Type)), "")
            if not wrong:
                raise
            raise Refused(f"{op.name}: {wrong!r} is no tensor", self.loc) from error
        if isinstance(types, list) and not op.several and any(_holds(s, types) for s in seen):
            # One of the operands, or an item of one, comes back: it stays the object that it is.
            for a, s in zip(args, seen, strict=True):
                if s is types:
                    return a
            raise Refused(f"{op.name} gives a list that it finds in another one", self.loc)
        self.nonempty.update(op.assumed(seen, types))
        return self.emit(op, args, types)

    def emit(self, op: Any, args: list[Any], types: Any) -> Abstract:
        exact = op.name.startswith("py.")
        values = [self.materialize(a, exact) for a in args]
        many = op.several and not isinstance(types, Type)  # how many, a size may say that is not known
        if not many and op.traits.effect_free and not op.traits.reads:
            constants = _known_of(types, self.depth)
            if constants is not None:
                return constants
        listed = [as_type(t) for t in (types if many else [types])]
        t = op.traits
        if not self.grad and not (t.writes or t.itself or t.reads or t.io):  # what is computed here requires none
            listed = [t.with_(requires_grad=False) if t.is_tensor else t for t in listed]
        out = self.block.append(op, values, listed, loc=self.loc, hints=self.hints)
        if op.traits.view_of is not None:
            root = self.root(values[op.traits.view_of])
            self.roots.update(dict.fromkeys(out.results, root))
        for written in op.traits.writes:
            self.written(values[written], out.results[0] if out.results else None)
        if many:
            return Seq("tuple", list(out.results), self.depth)
        return out.results[0] if listed else Known(None)

    def extern(self, op: Any, args: list[Any], types: list[Type]) -> list[Value]:
        """Emit an op as it stands, with materialized arguments; it will run as Python."""
        self.origins.note(op, args, self.loc)
        self.escape(args)
        return self.block.append(
            op, [self.materialize(a, True) for a in args], types, loc=self.loc, hints=self.hints
        ).results

    @property
    def outside_state(self) -> tuple[bool, int]:
        """How much of what was read from outside may be something else by now."""
        return self.touched, len(self.set_attributes)

    def infer_view(self, a: Any) -> Any:
        """How `infer` sees an argument: types for run-time values, Python objects for constants, lists for
        sequences."""
        if isinstance(a, Known):
            return a.value
        if isinstance(a, Value):
            return a.const if a.is_const else a.type
        if isinstance(a, Seq):
            if not a.plain:
                return Type.list(_row_type(a))
            items = [self.infer_view(i) for i in a.items]
            return tuple(items) if a.is_tuple else items
        return ANY

    def materialize(self, a: Any, exact: bool = False) -> Value:
        """A run-time value for an abstract one; containers become `py.tuple`, `py.list`, `py.dict` nodes. `exact`: for
        Python code, which can tell a `Size` from a tuple."""
        if isinstance(a, Value):
            return a
        if isinstance(a, Known):
            return Value.constant(a.value)
        if isinstance(a, Obj):
            return Value.constant(a.value, ANY)
        if isinstance(a, Mapping):
            pairs = [x for k, v in a.items.items() for x in (Value.constant(k), self.materialize(v, exact))]
            return self.block.append(registry.get("py.dict"), pairs, [Type("dict", (ANY, ANY))], loc=self.loc).result
        if isinstance(a, Rows):
            raise Refused("rows of a loop used one by one", self.loc)
        if a.kind == "list" and not a.plain:
            return lists.materialize(self, a)
        items = [self.materialize(i, exact) for i in a.items]
        if all(i.is_const for i in items) and not a.foreign:
            plain = [i.const for i in items]
            made = Value.constant(tuple(plain) if a.is_tuple else plain)
            return made if a.kind != "Size" or not exact else self.as_size(made)
        types = [i.type for i in items]
        whole = Type.tuple(*types) if a.is_tuple else Type.list(types[0] if len(set(types)) == 1 else ANY)
        kind = "tuple" if a.is_tuple else a.kind
        made = self.block.append(registry.get(f"py.{kind}"), items, [whole], loc=self.loc).result
        return made if a.kind != "Size" or not exact else self.as_size(made)

    def as_size(self, items: Value) -> Value:
        return self.block.append(registry.get("py.to_size"), [items], [Type.instance("Size")], loc=self.loc).result

    # -- effects ------------------------------------------------------------------------------------------------------

    def root(self, v: Value) -> Value:
        return self.roots.get(v, v)

    def written(self, target: Value, after: Value | None) -> None:
        """`target` was written in place and is now called `after`: every name that shares its storage gets a new name
        too, so that reads before and after the write stay different values."""
        root = self.root(target)
        if root in self.copied:
            raise Refused("a tensor that a list of rows holds is written in place", self.loc)
        renewed: dict[Value, Value] = {}

        def visit(v: Value) -> None:
            if self.root(v) is root and v not in renewed and not v.is_const:
                if v is target and after is not None and after.type.is_tensor:
                    renewed[v] = after
                else:
                    token = after if after is not None else target
                    renewed[v] = self.block.append(
                        registry.get("py.renew"), [v, token], [v.type], hints=[v.hint]
                    ).result

        for a in list(self.env.values()):
            each_value(a, visit)
        visit(target)
        self.roots.update(dict.fromkeys(renewed.values(), root))
        done: set[int] = set()
        for key, a in self.env.items():
            self.env[key] = substitute(a, renewed, done)

    def escape(self, args: list[Any]) -> None:
        """A container handed to unknown code may change there: what we know of it would be a guess."""
        for a in args:
            if isinstance(a, (Seq, Mapping)) and not (isinstance(a, Seq) and a.is_tuple):
                raise Refused("a list or dict is passed to code that cannot be seen into", self.loc)


def _known_of(t: Any, depth: int) -> Abstract | None:
    """The constant a result type stands for, if it stands for one."""
    if isinstance(t, (list, tuple)):
        kind = "list" if isinstance(t, list) else "tuple"
        return Seq(kind, [constant(v) for v in t], depth) if known(t) else None
    if not isinstance(t, Type):
        return Known(t)
    if t.kind == "int" and isinstance(t.dim, int):
        return Known(t.dim)
    if t.kind == "none":
        return Known(None)
    return None


def _holds(a: Any, wanted: list[Any]) -> bool:
    """Whether the list is `a`, or in it."""
    return a is wanted or (isinstance(a, list | tuple) and any(_holds(x, wanted) for x in a))


def _row_type(a: Seq) -> Type:
    rows = [i for i in a.items if isinstance(i, Rows)]
    t = rows[0].stacked.type
    return t.with_(dims=None if t.dims is None else t.dims[1:])
