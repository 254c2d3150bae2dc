"""Attributes, variables, calls and output on abstract values.

Enters: the `py.*` nodes that are neither an operator (`operators`) nor about a container (`containers`).
Leaves: constants and structures where everything is known, tensor records where an operand turned out to be a tensor,
and the node itself otherwise.
Invariant: an op that could raise or have an outside effect on these operands is never dropped.
"""

from __future__ import annotations

import inspect
import math
from types import FunctionType
from typing import TYPE_CHECKING, Any

from specjit.capture.native import is_declared
from specjit.ir.graph import Node, Value
from specjit.nn.module import REGISTRIES, Module
from specjit.ops.control import asked_by_class, is_sequence_class
from specjit.ops.records import registry, schema
from specjit.ops.records.composites import CompositeFunction
from specjit.ops.records.results import NAMED
from specjit.specialize import containers, lists
from specjit.specialize.abstract import Abstract, Known, Mapping, Obj, Refused, Seq, unknown
from specjit.specialize.composed import composed
from specjit.specialize.handlers import IMMUTABLE, default, handles, is_tensor
from specjit.tensor.devices import device
from specjit.tensor.tensor import Size, Tensor

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer

CLASSES = {"int": int, "float": float, "bool": bool, "str": str}
PURE_FUNCTIONS: frozenset[Any] = frozenset(
    {min, max, abs, round, sum, sorted, divmod, ord, chr, repr, *filter(inspect.isbuiltin, vars(math).values())}
)


@handles("py.getattr")
def get_attribute(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target, name = args[0], args[1].value
    if isinstance(target, Obj):
        key = (id(target.value), name)
        if spec.set_attributes.get(key) and key in spec.env and not spec.depth and not spec.touched:
            what: Abstract = spec.env[key]
            return what
        if key in spec.set_attributes:
            raise Refused(f"{target.path}.{name} is read after it was set", spec.loc)
        if spec.touched and not _stays(target.value, name):
            raise Refused(f"{target.path}.{name} is read after a call that may have set it", spec.loc)
        return spec.attribute(target.value, target.path, name)
    if is_tensor(target):
        return tensor_attribute(spec, target, name)
    if isinstance(target, Known):
        return spec.fold(node.op, args)
    if isinstance(target, Seq) and name in target.names:
        found: Abstract = target.items[target.names.index(name)]
        return found
    raise Refused(f"{unknown(target)} has its attribute {name!r} read", spec.loc)


def _stays(owner: Any, name: str) -> bool:
    """Whether an attribute is one that no code is expected to set while the program runs: a parameter, buffer or
    submodule, or a function or class."""
    if isinstance(owner, Module) and any(name in owner.__dict__.get(table, ()) for table in REGISTRIES):
        return True
    return callable(inspect.getattr_static(owner, name, None)) and name not in getattr(owner, "__dict__", ())


def _sizes(spec: Specializer, x: Value) -> list[Abstract]:
    return [spec.call("size", x, d) for d in range(len(x.type.dims or ()))]


def tensor_attribute(spec: Specializer, x: Value, name: str) -> Abstract:
    t = x.type
    if name == "shape" and t.dims is not None:
        return Seq("Size", _sizes(spec, x))
    if name == "ndim" and t.dims is not None:
        return Known(len(t.dims))
    if name == "dtype" and t.dtype is not None:
        return Known(t.dtype)
    composite = registry.find_composite_property(name)
    if composite is not None and t.dims is not None:
        return composed(spec, composite, [x], {})
    if name == "device" and t.device is not None:
        return Known(device(t.device))
    raise Refused(f"attribute {name!r} of a tensor is not modelled", spec.loc)


@handles("py.setattr")
def set_attribute(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target, name, value = args
    if not isinstance(target, Obj):
        raise Refused(f"{unknown(target)} has an attribute set", spec.loc)
    key = (id(target.value), name.value)
    spec.extern(node.op, [target, name, value], [r.type for r in node.results])
    spec.set_attributes[key] = not spec.depth and _reads_back(target.value, name.value, value)
    spec.env[key] = value
    return Known(None)


def _reads_back(owner: Any, name: str, value: Any) -> bool:
    """Whether reading the attribute that was just set to `value` gives the same again."""
    cls: Any = type(owner)
    if isinstance(value, Seq) and value.is_tuple:
        return all(_reads_back(owner, name, item) for item in value.items)
    plain = (
        cls.__setattr__ in (object.__setattr__, Module.__setattr__) and cls.__getattribute__ is object.__getattribute__
    )
    computed = hasattr(inspect.getattr_static(cls, name, None), "__get__")
    return plain and not computed and isinstance(value, (Value, Known, Obj))


@handles("py.cell", "py.load", "py.store", "py.set_global")
def outside_variable(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    raise Refused("a variable that is not the function's own is written", spec.loc)


@handles("py.delattr")
def delete_attribute(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    target, name = args
    if not isinstance(target, Obj):
        raise Refused(f"{unknown(target)} has an attribute deleted", spec.loc)
    spec.set_attributes[id(target.value), name.value] = False
    spec.extern(node.op, [target, name], [r.type for r in node.results])
    return Known(None)


@handles("py.refine")
def same_value(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    a: Abstract = args[0]
    return a


@handles("py.bound")
def bound(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    """A variable that some path leaves without a value: `present` (a third argument) says whether it has one."""
    a, name = args[0], args[1].value
    present = args[2] if len(args) > 2 else Known(True)
    missing = isinstance(a, Known) and type(a.value).__name__ == "Unbound"
    if missing or (isinstance(present, Known) and not present.value):
        raise Refused(f"{name!r} is used before it has a value", spec.loc)
    if isinstance(present, Known):
        return a
    if isinstance(a, (Value, Known)):
        out = spec.extern(node.op, args, [spec.materialize(a).type])[0]
        spec.roots[out] = spec.root(a) if isinstance(a, Value) else out
        return out
    raise Refused(f"{name!r}, a container, may be used before it has a value", spec.loc)


@handles("py.global", "py.closure")
def read_global(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    found = spec.read_global(node, args)
    if spec.touched and not (isinstance(found, Obj) and callable(found.value)):
        raise Refused(f"{args[0].value!r}, a global variable, is read after a call that may have set it", spec.loc)
    return found


@handles("py.assert")
def check(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if isinstance(args[0], Known) and args[0].value:
        return Known(None)
    spec.extern(node.op, args, [r.type for r in node.results])
    return Known(None)


@handles("py.print", "py.raise")
def outside(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    spec.extern(node.op, _as_tuples(spec, args), [r.type for r in node.results])
    return Known(None)


@handles("py.format", "py.str")
def show(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    if all(isinstance(a, Known) for a in args):
        return default(spec, args, node)
    return spec.extern(node.op, _as_tuples(spec, args), [r.type for r in node.results])[0]


def _as_tuples(spec: Specializer, args: list[Any]) -> list[Any]:
    """Lists that are only shown may be shown from a copy."""
    return [spec.materialize(a, exact=True) if isinstance(a, (Seq, Mapping)) else a for a in args]


@handles("py.call")
def call(spec: Specializer, args: list[Any], node: Node) -> Any:
    function = args[0]
    if isinstance(function, Known) and function.value is isinstance and len(args) == 4:
        decided = _is_instance(args[2], args[3])
        if decided is not None:
            return decided
    if isinstance(function, Known) and function.value in (any, all) and isinstance(args[2], Seq):
        decided = _quantified(spec, function.value is any, args[2])
        if decided is not None:
            return decided
    if isinstance(function, (Known, Obj)) and is_pure(function.value):
        if all(isinstance(a, Known) and isinstance(a.value, IMMUTABLE) for a in args[1:]):
            return spec.fold(node.op, args)
        if all(isinstance(a, Known) or (isinstance(a, Value) and a.type.kind in ("int", "float")) for a in args[2:]):
            return spec.extern(node.op, args, [r.type for r in node.results])[0]
    if isinstance(function, Known) and function.value in NAMED:
        return Seq("tuple", list(args[2:]), spec.depth, names=function.value._fields)
    composite = getattr(function.value, "composite", None) if isinstance(function, (Known, Obj)) else None
    if isinstance(composite, CompositeFunction) and not composite.inlined:
        return composed(spec, composite, *_by_keyword(args[1], args[2:]))
    native = isinstance(function, (Known, Obj)) and is_declared(function.value)
    if not native and not (isinstance(function, Known) and _only_looks(function.value, args[2:])):
        spec.touched = True
    results = spec.extern(node.op, args, [r.type for r in node.results])
    return results if len(results) != 1 else results[0]


def is_pure(function: Any) -> bool:
    """Whether calling the function neither does nor asks anything else."""
    return any(function is pure for pure in PURE_FUNCTIONS)  # a function of a C library cannot be hashed


def _only_looks(function: Any, args: list[Any]) -> bool:
    """Whether a call changes nothing: one of a builtin function or exception class, with no function to call back."""
    if getattr(function, "__module__", "") not in ("builtins", "math", "cmath") or isinstance(function, FunctionType):
        return False
    return not any(isinstance(a, (Known, Obj)) and isinstance(a.value, FunctionType) for a in args)


def _is_instance(x: Any, classes: Any) -> Abstract | None:
    """`isinstance` of a value whose class is known by now; None where it may be a subclass."""
    cls = class_of(x)
    given = classes.items if isinstance(classes, Seq) else [classes]
    if cls is None or not all(isinstance(c, Known) and asked_by_class(c.value) for c in given):
        return None
    kinds = tuple(c.value for c in given)
    if issubclass(cls, kinds):
        return Known(True)
    return None if is_tensor(x) and any(issubclass(k, cls) for k in kinds) else Known(False)


def class_of(x: Any) -> type | None:
    """The Python class of a value, where it is known."""
    if isinstance(x, Known):
        return type(x.value)
    if isinstance(x, Seq):
        return {"tuple": tuple, "list": list, "Size": Size}.get(x.kind)
    if isinstance(x, Mapping):
        return dict
    if is_tensor(x):
        return Tensor
    return CLASSES.get(x.type.kind) if isinstance(x, Value) else None


@handles("py.is_sequence")
def is_sequence(spec: Specializer, args: list[Any], node: Node) -> Abstract:
    cls = class_of(args[0])
    return default(spec, args, node) if cls is None else Known(is_sequence_class(cls))


def _quantified(spec: Specializer, wanted: bool, seq: Seq) -> Abstract | None:
    """`any` (wanted) or `all` of numbers; None where an item is something else, whose truth may be an error."""
    lists.check_readable(spec, seq)
    result: Abstract = Known(not wanted)
    for item in seq.items:
        if isinstance(item, Known):
            if bool(item.value) == wanted:
                return Known(wanted)
            continue
        if not isinstance(item, Value) or item.type.kind not in ("bool", "int", "float"):
            return None
        truth = item if item.type.kind == "bool" else spec.call("py.bool", item)
        result = truth if isinstance(result, Known) else spec.call("py.or" if wanted else "py.and", result, truth)
    return result


def _by_keyword(names: Any, args: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of a call whose last arguments have these names."""
    keywords = (names.value or ()) if isinstance(names, Known) else tuple(k.value for k in names.items)
    split = len(args) - len(keywords)
    return args[:split], dict(zip(keywords, args[split:], strict=True))


def _spread(op: Any, args: list[Any]) -> list[Any]:
    """Positional arguments with sizes that came one by one (`x.reshape(2, -1)`) as one tuple."""
    at = next((k for k, p in enumerate(op.params) if p.type.spread), len(args))
    one_by_one = len(args) > at and not isinstance(args[at], Seq)
    if one_by_one and isinstance(args[at], Known):
        one_by_one = not isinstance(args[at].value, (tuple, list))
    return [*args[:at], Seq("tuple", args[at:])] if one_by_one else args


@handles("py.method")
def method(spec: Specializer, args: list[Any], node: Node) -> Any:
    target, name = args[0], args[1].value
    given, named = _by_keyword(args[2], args[3:])
    if is_tensor(target):
        return _tensor_method(spec, target, name, given, named)
    if isinstance(target, Seq) and not named:
        return containers.sequence_method(spec, target, name, given)
    if isinstance(target, Mapping) and not named:
        return containers.dict_method(spec, target, name, given)
    if (
        isinstance(target, Known)
        and isinstance(target.value, IMMUTABLE)
        and all(isinstance(a, Known) for a in args[3:])
    ):
        try:
            out = getattr(target.value, name)(*(a.value for a in given), **{k: a.value for k, a in named.items()})
        except Exception as error:  # the program's own error rises at run time
            raise Refused(f"{name} raises {type(error).__name__}: {error}", spec.loc) from error
        return spec.made(out)
    spec.touched = True
    results = spec.extern(node.op, args, [r.type for r in node.results])
    return results[0] if len(results) == 1 else results


def _tensor_method(spec: Specializer, target: Value, name: str, given: list[Any], named: dict[str, Any]) -> Abstract:
    composite = registry.find_composite_method(name)
    if composite is not None:
        return composed(spec, composite, [target, *given], named)
    if name in ("numel", "nelement") and target.type.dims is not None:
        count: Abstract = Known(1)
        for size in _sizes(spec, target):
            count = spec.call("py.mul", count, size)
        return count
    op = registry.find_method(name)
    if op is None:
        raise Refused(f"tensor method {name!r} is not modelled", spec.loc)
    try:
        bound = schema.bind(op, _spread(op, [target, *given]), named)
    except TypeError as error:  # the program's own error rises at run time
        raise Refused(str(error), spec.loc) from error
    return spec.tensor_op(op, [a if isinstance(a, (Value, Known, Seq, Obj, Mapping)) else Known(a) for a in bound])
