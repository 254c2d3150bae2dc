"""What a script says its types are, held against what it does.

Enters: hints, and the abstract values that are passed, returned or assigned. Leaves: nothing, or an error with the
place, what was expected and what came.
Invariant: only what is certainly of another type is an error; a value whose type is not known passes. Annotations of
plain Python, and under `optimize`, are never looked at: there they mean nothing.
"""

from __future__ import annotations

import ast
import inspect
import types
import typing
import weakref

from specjit.capture.annotations import ANY, NONE, Hint, function_hints, hint_of
from specjit.capture.errors import Unsupported
from specjit.capture.frame import Frame, is_own
from specjit.capture.source import FunctionSource, parameter_nodes
from specjit.capture.values import Abstract, Known, Local, Method, TupleOf, constant_of, type_of_abstract
from specjit.ir.constants import Unbound as NoValue
from specjit.ir.types import Type
from specjit.tensor.tensor import Tensor

SCALARS = ("int", "float", "bool", "complex", "str")
IR_KINDS = {"tensor": "Tensor", "none": "NoneType", **{k: k for k in SCALARS}}
IR_CONTAINERS = {"list": "List", "dict": "Dict", "set": "Set", "tuple": "Tuple", "optional": "Optional"}
_ACCEPTED = {
    "Tensor": ("tensor",),
    "int": ("int", "bool"),
    "float": ("float", "int"),
    "bool": ("bool",),
    "complex": ("complex", "float", "int"),
    "str": ("str",),
    "NoneType": ("none",),
    "List": ("list", "tuple"),
    "Sequence": ("list", "tuple", "str"),
    "Dict": ("dict",),
    "Mapping": ("dict",),
    "Set": ("set",),
    "Tuple": ("tuple",),
    "Device": ("str",),
    "dtype": (),
    "function": (),
}
_hints: weakref.WeakKeyDictionary[types.FunctionType, dict[str, Hint]] = weakref.WeakKeyDictionary()


class WrongType(Unsupported):
    """Something is not of the type that the program says."""

    kind = "type"


def hint_of_type(found: Type) -> Hint:
    """The hint for an IR type."""
    if found.kind in IR_KINDS:
        return Hint(IR_KINDS[found.kind]) if found.kind != "none" else NONE
    if found.kind in IR_CONTAINERS and (found.args or found.kind == "tuple"):
        args = tuple(map(hint_of_type, found.args))
        known = all(a != ANY for a in args) or found.kind == "tuple"
        return Hint(IR_CONTAINERS[found.kind], args if known else None)
    return ANY


def said(fn: types.FunctionType, source: FunctionSource | None) -> dict[str, Hint]:
    """The hints of a function, read once."""
    if fn not in _hints:
        _hints[fn] = function_hints(fn, source)
    return _hints[fn]


# whether a value can be of a type


def admits(hint: Hint, a: Abstract) -> bool:
    """False if the value is certainly of another type."""
    if hint.kind in ("Optional", "Union"):
        return (hint.kind == "Optional" and admits(NONE, a)) or any(admits(inner, a) for inner in hint.args or ())
    if hint.kind == "Any":
        return True
    known, constant = constant_of(a)
    if known and not isinstance(a, TupleOf):
        return isinstance(constant, NoValue) or hint.mismatch(constant) is None
    if isinstance(a, Known):
        return hint.mismatch(a.obj) is None if a.value is None else hint.takes(type(a.obj))
    if isinstance(a, TupleOf):
        return _admits_items(hint, a)
    if isinstance(a, Local | Method):
        return hint.kind == "function"
    return admits_type(hint, type_of_abstract(a))


def _admits_items(hint: Hint, a: TupleOf) -> bool:
    if hint.kind == "class":  # a named tuple
        args = hint.args or ()
        return issubclass(hint.cls, tuple) and (not args or len(args) == len(a.items))
    if "tuple" not in _ACCEPTED[hint.kind]:
        return False
    if hint.args is None:
        return True
    if hint.kind != "Tuple":
        return all(admits(inner, x) for x in a.items for inner in hint.args)
    return len(a.items) == len(hint.args) and all(map(admits, hint.args, a.items))


def admits_type(hint: Hint, t: Type) -> bool:
    """False if values of type `t` are certainly no values of the hint's type."""
    if hint.kind in ("Optional", "Union"):
        return (hint.kind == "Optional" and t.kind == "none") or any(admits_type(h, t) for h in hint.args or ())
    if hint.kind == "Any" or t.kind in ("any", "class", "size"):
        return True
    if t.kind == "optional":
        return admits_type(hint, t.args[0]) or hint == NONE
    if hint.kind == "class":
        python = {"int": int, "str": str, "float": float, "tuple": tuple, "list": list, "dict": dict}.get(t.kind)
        return python is not None and (issubclass(hint.cls, python) or issubclass(python, hint.cls))
    if t.kind not in _ACCEPTED[hint.kind]:
        return False
    if not hint.args or not t.args:
        return True
    if hint.kind == "Tuple" or (t.kind == "tuple" and hint.kind != "List" and hint.kind != "Sequence"):
        return len(hint.args) == len(t.args) and all(map(admits_type, hint.args, t.args))
    inner = t.args if t.kind == "tuple" else t.args[:1]
    if len(hint.args) == len(t.args) == 2:
        return all(map(admits_type, hint.args, t.args))
    return all(admits_type(hint.args[0], x) for x in inner)


def found_type(a: Abstract) -> str:
    """What a value is, in the words of annotations."""
    known, constant = constant_of(a)
    if known and not isinstance(constant, tuple):
        return type(constant).__name__
    if isinstance(a, Known):
        return type(a.obj).__name__
    if isinstance(a, TupleOf):
        return f"Tuple[{', '.join(map(found_type, a.items)) or '()'}]"
    if isinstance(a, Local | Method):
        return "function"
    return str(hint_of_type(type_of_abstract(a)))


# where it is asked


def check_arguments(f: Frame, fn: types.FunctionType, source: FunctionSource, env: dict[str, Abstract]) -> None:
    """The arguments of an inlined call: `env` by parameter."""
    if not _is_checked(f, fn):
        return
    variadic = {p.arg for p in (source.node.args.vararg, source.node.args.kwarg) if p is not None}
    for name, hint in said(fn, source).items():
        if name == "return" or name in variadic or name not in env or admits(hint, env[name]):
            continue
        if _is_default(fn, source, name, env[name]):
            continue
        node = _argument_node(f, source, name)
        place = parameter_nodes(source.node)[name]
        raise _wrong(
            f,
            f"{fn.__qualname__}() Expected a value of type '{hint}' for argument '{name}' but instead found type "
            f"'{found_type(env[name])}'",
            node,
            f"pass a value of type '{hint}', or change the annotation at {source.file}:{place.lineno}",
        )


def check_return(f: Frame, s: ast.Return, value: Abstract) -> None:
    """The value of a return statement of the function that is being read."""
    if not _is_checked(f, f.function) or f.parent is not None or inspect.isgeneratorfunction(f.function):
        return
    hint = said(f.function, f.source).get("return")
    if hint is None or admits(hint, value):
        return
    if s is f.body[-1] and s not in f.source.body:  # the end of the function
        if f.session.block is f.first:
            what = f"{f.function.__qualname__} was annotated as having type {hint}, but does not return along all paths"
            raise _wrong(f, what, None, f"end it with a return of type '{hint}', or a raise")
        return
    raise _wrong(
        f,
        f"Return value was annotated as having type {hint} but is actually of type {found_type(value)}",
        s.value,
        f"return a value of type '{hint}', or change the annotation of {f.function.__qualname__}",
    )


def check_variable(f: Frame, s: ast.AnnAssign, value: Abstract) -> None:
    """`name: annotation = value`."""
    if not _is_checked(f, f.function) or not isinstance(s.target, ast.Name):
        return
    hint = _evaluated(f, s.annotation)
    if hint is not None and not admits(hint, value):
        raise _wrong(
            f,
            f"Variable '{s.target.id}' is annotated with type {hint} but is being assigned to a value of type "
            f"{found_type(value)}",
            s.value,
            f"assign a value of type '{hint}', or change the annotation",
        )


def _evaluated(f: Frame, annotation: ast.expr) -> Hint | None:
    """The hint of a local annotation; None for one that Python, which never looks at it, lets pass."""
    scope = {**vars(typing), "Tensor": Tensor, **f.function.__globals__}
    try:
        text = str(annotation.value) if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
        return hint_of(eval(text, scope))
    except (NameError, TypeError, SyntaxError, AttributeError):
        return None


def _is_checked(f: Frame, fn: types.FunctionType) -> bool:
    return f.session.scripting and not is_own(fn)


def _is_default(fn: types.FunctionType, source: FunctionSource, name: str, a: Abstract) -> bool:
    """Whether the value is the parameter's default, which may be None whatever the annotation says."""
    known, constant = constant_of(a)
    positional = [p.arg for p in (*source.node.args.posonlyargs, *source.node.args.args)]
    defaults = dict(zip(reversed(positional), reversed(fn.__defaults__ or ()))) | (fn.__kwdefaults__ or {})
    return known and name in defaults and defaults[name] is constant


def _argument_node(f: Frame, source: FunctionSource, name: str) -> ast.AST:
    """The expression that is passed for a parameter; the call where that cannot be told."""
    call = f.at
    if not isinstance(call, ast.Call) or any(isinstance(a, ast.Starred) for a in call.args):
        return call
    named = next((k.value for k in call.keywords if k.arg == name), None)
    if named is not None:
        return named
    positional = [p.arg for p in (*source.node.args.posonlyargs, *source.node.args.args)]
    bound = positional[:1] in (["self"], ["cls"])
    at = positional.index(name) - bound if name in positional else len(call.args)
    return call.args[at] if 0 <= at < len(call.args) else call


def _wrong(f: Frame, what: str, node: ast.AST | None, way_out: str) -> WrongType:
    error = WrongType(what, node or f.at, way_out)
    f.place(error)
    return error
