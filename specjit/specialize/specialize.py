"""Specialization of one captured graph to one set of assumptions.

Enters: the generic graph and `profile.Assumptions` (made from real calls), plus the root object the graph reads
attributes of. Leaves: `Specialized`: a typed graph over flat leaves, where each leaf comes from, the structure of the
result, and the guards. Invariant: parameters are leaves guarded by identity, never by value; numbers, strings and
other attributes that were read are guarded by value; sizes are constants or symbols as assumed.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from typing import Any

from specjit.ir.constants import same
from specjit.ir.dims import least_for_ones
from specjit.ir.graph import Graph, Node, Value
from specjit.ir.guard import Guard
from specjit.ir.types import Type
from specjit.nn.module import REGISTRIES, Module
from specjit.ops.records.results import CLASSES
from specjit.profile.lattice import Assumptions
from specjit.profile.signature import ById, NumberFact, Structure, TensorFact, sources, tensor_fact
from specjit.specialize.abstract import Abstract, Known, Mapping, Obj, Refused, Rows, Seq, constant
from specjit.specialize.origins import VALUE
from specjit.specialize.specializer import Specializer
from specjit.tensor import Tensor
from specjit.tensor.tensor import Size

PLAIN = (bool, int, float, complex, str, bytes, type(None))
CONTIGUOUS = "contiguous"  # as the expected strides of a guard


@dataclass(eq=False)
class Leaf:
    """One input of the typed graph. `source` is a Python expression over the call's arguments; `fact` what is assumed
    of it; `fixed` the very object for a parameter, buffer or global tensor (guarded by identity), None for an
    argument; `origin` the place that reads it, if it is fixed."""

    source: str
    value: Value
    fact: TensorFact | NumberFact
    argument: int | None = None
    fixed: Any = None
    origin: str = ""

    @property
    def is_tensor(self) -> bool:
        return isinstance(self.fact, TensorFact)


@dataclass(eq=False)
class AttributeRead:
    """An attribute that was read while specializing and must still be the same object (or an equal plain constant).
    `source` is its path, `origin` the place that reads it."""

    owner: Any
    name: str
    expected: Any
    source: str
    origin: str

    @property
    def moves_epoch(self) -> bool:
        """Whether a change shows in `state.module_epoch`: it does for what a module itself holds."""
        if not isinstance(self.owner, Module):
            return False
        held = self.owner.__dict__
        return self.name in held or any(self.name in held.get(r, ()) for r in REGISTRIES)

    def current(self) -> Any:
        return read_attribute(self.owner, self.name)

    def holds(self) -> bool:
        return _unchanged(self.current(), self.expected)


@dataclass(eq=False)
class GlobalRead:
    """A data global or closure cell that was read as a constant; checked at every call. `namespace` is the dict it
    lives in (globals), or None for a closure cell."""

    source: str
    cell: Any
    namespace: MappingType[str, Any] | None
    name: str
    expected: Any
    origin: str

    def current(self) -> Any:
        """The value now; MISSING for a name that is bound no more."""
        try:
            return self.cell.cell_contents if self.namespace is None else self.namespace[self.name]
        except (KeyError, ValueError):
            return MISSING

    def holds(self) -> bool:
        return _unchanged(self.current(), self.expected)


def read_guard(read: AttributeRead | GlobalRead) -> Guard:
    """What a read relies on, as data: the value of a plain constant, the identity of anything else."""
    if _is_constant(read.expected):
        return Guard(read.source, "value", read.expected, read.origin)
    return Guard(read.source, "identity", type(read.expected).__name__, read.origin)


def _is_constant(found: Any) -> bool:
    """Whether a value is guarded by value: plain data, or a tuple of it."""
    return type(found) in PLAIN or (type(found) is tuple and all(type(v) in PLAIN for v in found))


def tensor_aspects(fact: TensorFact) -> dict[str, Any]:
    """What is guarded of every tensor, but for sizes and strides."""
    return {
        "class": fact.cls,
        "dtype": fact.dtype,
        "rank": len(fact.dims),
        "device": fact.device,
        "requires_grad": fact.requires_grad,
    }


def layout_aspects(fact: TensorFact) -> dict[str, Any]:
    """Sizes and strides of a tensor that is itself fixed."""
    return {"shape": fact.dims, "strides": CONTIGUOUS if fact.contiguous else fact.strides}


@dataclass(eq=False)
class Specialized:
    """The result: see the module docstring. `result` is the output structure with indices into `graph.outputs` as
    leaves."""

    graph: Graph
    leaves: list[Leaf]
    result: Any
    guards: list[Guard]
    bounds: dict[int, int] = field(default_factory=dict)  # least values of number arguments, by their place
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
        self.returned: list[Abstract] = []  # lists and dicts in the result so far
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
            _distinct([*self.argument_guards(), *self.other_guards()]),
            self.bounds(),
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
            if s.payload.value is None:
                raise Refused(f"{at} is a {s.payload.kind}, which cannot be recognized in later calls")
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
        if value.type.kind == "int":
            self.spec.numbers.add(value)
        self.leaves.append(Leaf(source, value, fact, argument=index))
        return value

    def bounds(self) -> dict[int, int]:
        """The least value of every number argument that has one, by its place."""
        least = self.spec.bounds
        return {
            leaf.argument: least[leaf.value]
            for leaf in self.leaves
            if leaf.argument is not None and leaf.value in least
        }

    # -- reads --------------------------------------------------------------------------------------------------------

    def attribute(self, owner: Any, path: str, name: str) -> Abstract:
        key = (id(owner), name)
        if key not in self.attributes:
            found = read_attribute(owner, name)
            source = f"{path}.{name}" if not name.isdigit() else f"{path}[{name}]"
            if found is MISSING:
                raise Refused(f"{source} is computed (a property or __getattr__)", self.spec.loc)
            read = AttributeRead(owner, name, found, source, self.place())
            self.attributes[key] = (read, self.known_object(found, source))
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
            namespace = function.__globals__ if cell is None else None
            read = GlobalRead(f"{kind}[{name!r}]", cell, namespace, name, None, self.place())
            read.expected = read.current()
            if read.expected is MISSING:
                raise Refused(f"{read.source} is not bound", self.spec.loc)
            self.globals[key] = (read, self.known_object(read.expected, read.source))
        return self.globals[key][1]

    def known_object(self, found: Any, source: str) -> Abstract:
        if isinstance(found, Tensor):
            if id(found) not in self.fixed:
                fact = tensor_fact(found)
                t = Type.tensor(fact.dtype, fact.dims, fact.device, fact.requires_grad)
                leaf = Leaf(source, Value(t, None, _hint(source)), fact, fixed=found, origin=self.place())
                self.fixed[id(found)] = leaf
                self.leaves.append(leaf)
            return self.fixed[id(found)].value
        if _is_constant(found):
            return constant(found)
        if type(found) in (list, dict, set):
            raise Refused(f"{source} is a container that can change without a guard seeing it", self.spec.loc)
        return Obj(found, source)

    # -- guards -------------------------------------------------------------------------------------------------------

    def place(self) -> str:
        """Where the user's program is being read."""
        return "" if self.spec.loc is None else str(self.spec.loc.user)

    def parameter_place(self, source: str) -> str:
        """Where the parameter that `source` starts from is declared; the function itself for anything else."""
        places = self.graph.attrs.get("places", {})
        at = places.get(re.split(r"[.\[]", source)[0]) or self.graph.attrs.get("place")
        return "" if at is None else str(at)

    def argument_guards(self) -> list[Guard]:
        signature, assume = self.assume.signature, self.assume
        out = [Guard("grad mode", "value", signature.grad_mode, self.parameter_place(""))]
        for name, s in zip(signature.names, signature.structures, strict=True):
            out += _structure_guards(s, name, self.parameter_place(name))
        values = {leaf.argument: leaf.value for leaf in self.leaves}
        least, bounds = least_for_ones(self.spec.nonempty), self.bounds()
        for i, (source, fact) in enumerate(zip(sources(signature), signature.facts, strict=True)):
            first_use = functools.partial(self.spec.origins.of, values.get(i), default=self.parameter_place(source))
            if isinstance(fact, NumberFact):
                if assume.numbers[i] is not None:
                    out.append(Guard(source, "value", assume.numbers[i], first_use()))
                elif i in bounds:
                    out.append(Guard(source, "at least", bounds[i], first_use()))
                continue
            for kind, expected in tensor_aspects(fact).items():
                out.append(Guard(source, kind, expected, first_use() if kind == "rank" else first_use(VALUE)))
            layout = assume.strides.get(i, CONTIGUOUS)
            out.append(Guard(source, "strides", "any" if layout is None else layout, first_use(VALUE)))
            for d, size in enumerate(assume.dims(i)):
                at = f"{source}.shape[{d}]"
                out.append(Guard(at, "size", size, first_use(VALUE, d)))
                if repr(size) in least:
                    out.append(Guard(at, "size at least", least[repr(size)], first_use(VALUE, d)))
        return out

    def other_guards(self) -> list[Guard]:
        out = []
        for leaf in self.fixed.values():
            fact = leaf.fact
            assert isinstance(fact, TensorFact)
            out.append(Guard(leaf.source, "identity", fact.cls.__name__, leaf.origin))
            out += [
                Guard(leaf.source, kind, expected, leaf.origin)
                for kind, expected in {**tensor_aspects(fact), **layout_aspects(fact)}.items()
                if kind not in ("class", "rank", "device")  # the identity and the shape say so already
            ]
        reads: list[AttributeRead | GlobalRead] = [read for read, _ in self.attributes.values()]
        reads += [read for read, _ in self.globals.values()]
        return out + [read_guard(read) for read in reads if not isinstance(read.expected, Tensor)]

    # -- outputs ------------------------------------------------------------------------------------------------------

    def structure(self, a: Any, typed: Graph) -> Any:
        """The output structure: ("leaf", index), ("const", value), ("tuple" | "list" | "Size", [...]), ("named", class,
        [...]), or ("dict", keys, [...])."""
        if isinstance(a, Known):
            return ("const", a.value)
        if isinstance(a, Obj):
            return ("const", a.value)
        if isinstance(a, Seq) and a.kind == "slice":
            raise Refused("a slice with run-time bounds is returned")
        if isinstance(a, Seq) and a.foreign:
            raise Refused(f"{a.foreign}, a list of the caller, is returned")
        if isinstance(a, Mapping) or (isinstance(a, Seq) and a.kind == "list"):
            if any(a is other for other in self.returned):
                raise Refused("a list or dict is returned in two places")
            self.returned.append(a)
        if isinstance(a, Seq) and a.plain:
            items = [self.structure(i, typed) for i in a.items]
            return ("named", CLASSES[a.names], items) if a.names else (a.kind, items)
        if isinstance(a, Mapping):
            if a.foreign:
                raise Refused(f"{a.foreign}, a dict of the caller, is returned")
            return ("dict", list(a.items), [self.structure(i, typed) for i in a.items.values()])
        value = self.spec.materialize(a, exact=True) if isinstance(a, (Seq, Rows)) else a
        typed.block.outputs.append(value)
        return ("leaf", len(typed.block.outputs) - 1)


class _Missing:
    """What a read gives for an attribute that is not plain data, or for a name that is bound no more."""

    def __repr__(self) -> str:
        return "nothing that can be read"


MISSING = _Missing()


def read_attribute(owner: Any, name: str) -> Any:
    """An attribute as stored: module registries, instance dict, class attributes and functions; MISSING for computed
    ones."""
    for registry in REGISTRIES:
        held = owner.__dict__.get(registry) if hasattr(owner, "__dict__") else None
        if held is not None and name in held:
            return held[name]
    found = inspect.getattr_static(owner, name, MISSING)
    if isinstance(found, (property, classmethod)) or (hasattr(type(found), "__get__") and not callable(found)):
        return MISSING
    return found


def _distinct(guards: list[Guard]) -> list[Guard]:
    """Without repetition: an object that was reached twice is guarded once."""
    return list({(g.source, g.kind): g for g in reversed(guards)}.values())[::-1]


def _unchanged(now: Any, expected: Any) -> bool:
    """Whether a read still gives what it gave: the same object, or an equal constant."""
    return now is expected or (_is_constant(now) and same(now, expected))


def _hint(source: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in source.removeprefix("self.")).strip("_") or "x"


def _structure_guards(s: Structure, at: str, origin: str) -> list[Guard]:
    if s.kind == "tensor":
        return []
    if s.kind in ("int", "float"):
        return [Guard(at, "type", int if s.kind == "int" else float, origin)]
    if s.kind == "const":
        return [Guard(at, "value", s.payload, origin)]
    if s.kind == "object":
        return [Guard(at, "identity", s.payload.kind, origin)]
    if s.kind == "dict":
        own = [Guard(at, "keys", s.payload, origin)]
        keys: Iterable[Any] = s.payload
    else:
        kind = {"tuple": tuple, "list": list, "Size": Size}[s.kind]
        own = [Guard(at, "type", kind, origin), Guard(f"len({at})", "value", len(s.children), origin)]
        keys = range(len(s.children))
    return own + [
        g for k, child in zip(keys, s.children, strict=True) for g in _structure_guards(child, f"{at}[{k!r}]", origin)
    ]
