"""Specialization of one captured graph to one set of assumptions.

Enters: the generic graph and `profile.Assumptions` (made from real calls), plus the root object the graph reads
attributes of. Leaves: `Specialized`: a typed graph over flat leaves, where each leaf comes from, the structure of the
result, and the guards. Invariant: parameters are leaves guarded by identity, never by value; numbers, strings and
other attributes that were read are guarded by value; sizes are constants or symbols as assumed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from typing import Any

from specjit.ir.graph import Graph, Node, Value
from specjit.ir.guard import Guard
from specjit.ir.types import Type
from specjit.ops.results import CLASSES
from specjit.profile.lattice import Assumptions
from specjit.profile.signature import ById, NumberFact, Signature, Structure, TensorFact, sources, tensor_fact
from specjit.specialize.abstract import Abstract, Known, Mapping, Obj, Refused, Rows, Seq
from specjit.specialize.specializer import Specializer, _constant
from specjit.tensor import Tensor

PLAIN = (bool, int, float, complex, str, bytes, type(None))


@dataclass(eq=False)
class Leaf:
    """One input of the typed graph. `source` is a Python expression over the call's arguments; `fact` what is assumed
    of it; `fixed` the very object for a parameter, buffer or global tensor (guarded by identity), None for an
    argument."""

    source: str
    value: Value
    fact: TensorFact | NumberFact
    argument: int | None = None
    fixed: Any = None

    @property
    def is_tensor(self) -> bool:
        return isinstance(self.fact, TensorFact)


@dataclass(eq=False)
class AttributeRead:
    """An attribute that was read while specializing and must still be the same object (or an equal plain constant)."""

    owner: Any
    name: str
    expected: Any
    path: str

    def holds(self) -> bool:
        now = read_attribute(self.owner, self.name)
        return now is self.expected or (type(now) in PLAIN and _same(now, self.expected))


@dataclass(eq=False)
class GlobalRead:
    """A data global or closure cell that was read as a constant; checked at every call. `namespace` is the dict it
    lives in (globals), or None for a closure cell."""

    source: str
    cell: Any
    namespace: MappingType[str, Any] | None
    name: str
    expected: Any

    def current(self) -> Any:
        return self.cell.cell_contents if self.namespace is None else self.namespace[self.name]

    def holds(self) -> bool:
        try:
            now = self.current()
        except (KeyError, ValueError):
            return False
        return now is self.expected or (type(now) in PLAIN and _same(now, self.expected))


@dataclass(eq=False)
class Specialized:
    """The result: see the module docstring. `result` is the output structure with indices into `graph.outputs` as
    leaves."""

    graph: Graph
    leaves: list[Leaf]
    result: Any
    guards: list[Guard]
    attributes: list[AttributeRead] = field(default_factory=list)
    globals: list[GlobalRead] = field(default_factory=list)


def specialize(graph: Graph, assume: Assumptions, root: Any = None) -> Specialized:
    """Type `graph` under `assume`. `root` is the module whose method was captured (the graph's first input), or None.
    Raises Refused with a reason and a place when the graph cannot be typed."""
    return _Run(graph, assume, root).result()


class _Run:
    def __init__(self, graph: Graph, assume: Assumptions, root: Any) -> None:
        self.graph, self.assume, self.root = graph, assume, root
        self.spec = Specializer(self.attribute, self.read_global)
        self.leaves: list[Leaf] = []
        self.fixed: dict[int, Leaf] = {}
        self.attributes: dict[tuple[int, str], tuple[AttributeRead, Abstract]] = {}
        self.globals: dict[tuple[int, str], tuple[GlobalRead, Abstract]] = {}

    def result(self) -> Specialized:
        signature = self.assume.signature
        self._sources = iter(sources(signature))
        self._next = 0
        inputs: list[Abstract] = [Obj(self.root, "self")] if self.root is not None else []
        inputs += [self.argument(s, name) for s, name in zip(signature.structures, signature.names, strict=True)]
        self.spec.grad = signature.grad_mode
        outputs = self.spec.run(self.graph, inputs)
        typed = Graph(self.graph.name, self.spec.block)
        typed.block.params = [leaf.value for leaf in self.leaves]
        shape = self.structure(outputs[0] if len(outputs) == 1 else Seq("tuple", outputs), typed)
        typed.attrs["nonempty"] = set(self.spec.nonempty)
        typed.attrs["params"] = {leaf.value for leaf in self.leaves if leaf.fixed is not None}
        return Specialized(
            typed,
            self.leaves,
            shape,
            list(dict.fromkeys([*_argument_guards(signature, self.assume), *self.other_guards()])),
            [read for read, _ in self.attributes.values()],
            [read for read, _ in self.globals.values()],
        )

    # -- inputs -------------------------------------------------------------------------------------------------------

    def argument(self, s: Structure, at: str) -> Abstract:
        if s.kind in ("tensor", "int", "float"):
            index = self._next
            self._next += 1
            return self.leaf(index, next(self._sources))
        if s.kind == "const":
            return Known(s.payload)
        if s.kind == "object":
            assert isinstance(s.payload, ById)
            return Obj(s.payload.value, at)
        children = [self.argument(c, f"{at}[{i}]") for i, c in enumerate(s.children)]
        if s.kind == "dict":
            return Mapping(dict(zip(s.payload, children, strict=True)), foreign=at)
        return Seq(s.kind, list(children), foreign=at if s.kind == "list" else "")

    def leaf(self, index: int, source: str) -> Abstract:
        fact = self.assume.signature.facts[index]
        if isinstance(fact, NumberFact):
            known = self.assume.numbers[index]
            if known is not None:
                return Known(known)
            value = Value(Type.int() if fact.cls is int else Type("float"), None, _hint(source))
        else:
            t = Type.tensor(fact.dtype, self.assume.dims(index), fact.device, fact.requires_grad)
            value = Value(t, None, _hint(source))
        self.leaves.append(Leaf(source, value, fact, argument=index))
        return value

    # -- reads --------------------------------------------------------------------------------------------------------

    def attribute(self, owner: Any, path: str, name: str) -> Abstract:
        key = (id(owner), name)
        if key not in self.attributes:
            found = read_attribute(owner, name)
            source = f"{path}.{name}" if not name.isdigit() else f"{path}[{name}]"
            if found is MISSING:
                raise Refused(f"{source} is computed (a property or __getattr__)", self.spec.loc)
            self.attributes[key] = (AttributeRead(owner, name, found, source), self.known_object(found, source))
        return self.attributes[key][1]

    def read_global(self, node: Node, args: list[Any]) -> Abstract:
        """`py.global(name, function)` or `py.closure(name, function)`: the present value, guarded."""
        name, function = args[0].value, args[1].value
        cell = None
        if node.op.name == "py.closure":
            cell = function.__closure__[function.__code__.co_freevars.index(name)]
        key = (id(function.__globals__) if cell is None else id(cell), name)
        if key not in self.globals:
            kind = "globals()" if cell is None else "closure"
            read = GlobalRead(f"{kind}[{name!r}]", cell, function.__globals__ if cell is None else None, name, None)
            try:
                read.expected = read.current()
            except (KeyError, ValueError) as error:
                raise Refused(f"{read.source} is not bound", self.spec.loc) from error
            self.globals[key] = (read, self.known_object(read.expected, read.source))
        return self.globals[key][1]

    def known_object(self, found: Any, source: str) -> Abstract:
        if isinstance(found, Tensor):
            if id(found) not in self.fixed:
                fact = tensor_fact(found)
                t = Type.tensor(fact.dtype, fact.dims, fact.device, fact.requires_grad)
                leaf = Leaf(source, Value(t, None, _hint(source)), fact, fixed=found)
                self.fixed[id(found)] = leaf
                self.leaves.append(leaf)
            return self.fixed[id(found)].value
        if type(found) is tuple and all(type(v) in PLAIN for v in found):
            return _constant(found)
        if type(found) in PLAIN:
            return Known(found)
        if type(found) in (list, dict, set):
            raise Refused(f"{source} is a container that can change without a guard seeing it", self.spec.loc)
        return Obj(found, source)

    def other_guards(self) -> list[Guard]:
        out = []
        for leaf in self.fixed.values():
            fact = leaf.fact
            assert isinstance(fact, TensorFact)
            out.append(Guard(leaf.source, "identity", f"{fact.cls.__name__} {fact.dtype!r} {list(fact.dims)}"))
        for read, _ in self.attributes.values():
            if not isinstance(read.expected, Tensor):
                kind = "value" if type(read.expected) in (*PLAIN, tuple) else "identity"
                out.append(Guard(read.path, kind, read.expected if kind == "value" else type(read.expected).__name__))
        for g, _ in self.globals.values():
            kind = "value" if type(g.expected) in (*PLAIN, tuple) else "identity"
            out.append(Guard(g.source, kind, g.expected if kind == "value" else type(g.expected).__name__))
        return out

    # -- outputs ------------------------------------------------------------------------------------------------------

    def structure(self, a: Any, typed: Graph) -> Any:
        """The output structure: ("leaf", index), ("const", value), ("tuple" | "list", [...]), ("named", class, [...]),
        ("dict", keys, [...])."""
        if isinstance(a, Known):
            return ("const", a.value)
        if isinstance(a, Obj):
            return ("const", a.value)
        if isinstance(a, Seq) and a.kind == "slice":
            raise Refused("a slice with run-time bounds is returned")
        if isinstance(a, Seq) and a.foreign:
            raise Refused(f"{a.foreign}, a list of the caller, is returned")
        if isinstance(a, Seq) and a.plain:
            items = [self.structure(i, typed) for i in a.items]
            return ("named", CLASSES[a.names], items) if a.names else (a.kind, items)
        if isinstance(a, Mapping):
            if a.foreign:
                raise Refused(f"{a.foreign}, a dict of the caller, is returned")
            return ("dict", list(a.items), [self.structure(i, typed) for i in a.items.values()])
        value = self.spec.materialize(a) if isinstance(a, (Seq, Rows)) else a
        typed.block.outputs.append(value)
        return ("leaf", len(typed.block.outputs) - 1)


class _Missing:
    """What `read_attribute` gives for an attribute that is not plain data."""


MISSING = _Missing()


def read_attribute(owner: Any, name: str) -> Any:
    """An attribute as stored: module registries, instance dict, class attributes and functions; MISSING for computed
    ones."""
    for registry in ("_parameters", "_buffers", "_modules"):
        held = owner.__dict__.get(registry) if hasattr(owner, "__dict__") else None
        if held is not None and name in held:
            return held[name]
    found = inspect.getattr_static(owner, name, MISSING)
    if isinstance(found, (property, classmethod)) or (hasattr(type(found), "__get__") and not callable(found)):
        return MISSING
    return found


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or a != a) and repr(a) == repr(b)


def _hint(source: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in source.removeprefix("self.")).strip("_") or "x"


def _argument_guards(signature: Signature, assume: Assumptions) -> list[Guard]:
    out = [Guard("grad mode", "value", signature.grad_mode)]
    for name, s in zip(signature.names, signature.structures, strict=True):
        out += _structure_guards(s, name)
    for i, (source, fact) in enumerate(zip(sources(signature), signature.facts, strict=True)):
        if isinstance(fact, NumberFact):
            if assume.numbers[i] is not None:
                out.append(Guard(source, "value", assume.numbers[i]))
            continue
        out.append(Guard(source, "class", fact.cls))
        out.append(Guard(source, "dtype", fact.dtype))
        out.append(Guard(source, "rank", len(fact.dims)))
        out += [Guard(f"{source}.shape[{d}]", "size", size) for d, size in enumerate(assume.dims(i))]
        layout = assume.strides.get(i, "contiguous")
        out.append(Guard(source, "strides", "any" if layout is None else layout))
        out.append(Guard(source, "device", fact.device))
        out.append(Guard(source, "requires_grad", fact.requires_grad))
    return out


def _structure_guards(s: Structure, at: str) -> list[Guard]:
    if s.kind == "tensor":
        return []
    if s.kind in ("int", "float"):
        return [Guard(at, "type", int if s.kind == "int" else float)]
    if s.kind == "const":
        return [Guard(at, "value", s.payload)]
    if s.kind == "object":
        return [Guard(at, "identity", type(s.payload.value).__name__)]
    if s.kind == "dict":
        inner = [g for k, c in zip(s.payload, s.children, strict=True) for g in _structure_guards(c, f"{at}[{k!r}]")]
        return [Guard(at, "keys", list(s.payload)), *inner]
    kind = tuple if s.kind == "tuple" else list
    inner = [g for i, c in enumerate(s.children) for g in _structure_guards(c, f"{at}[{i}]")]
    return [Guard(at, "type", kind), Guard(f"len({at})", "value", len(s.children)), *inner]
