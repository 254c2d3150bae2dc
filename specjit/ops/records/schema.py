"""Signatures of operators: `"sum(input, dim: 'int[]?' = None, keepdim: bool = False) -> Tensor"`.

Enters: schemas in Python's own syntax, whose annotations are parameter types. Leaves: parameters with types and
defaults, and arguments bound to them.
Invariant: parsed when an operator is first used, never by `import specjit`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from typing import Any, NamedTuple, Protocol

from specjit.parsing import parse

REQUIRED = Parameter.empty

TYPE_SYNTAX = re.compile(r"(?P<base>\w+)(?P<scalar>\|Scalar)?(?P<many>\[\*?\])?(?P<optional>\?)?$")
BASES = ("Tensor", "Scalar", "int", "float", "bool", "str", "dtype", "device", "Generator", "any")


class ParamType(NamedTuple):
    """`Tensor`, `Tensor?`, `Tensor[]`, `Tensor|Scalar` (a Python number is accepted too), `int[]`, `int[*]` (may be
    spread over positional arguments), `Scalar`, `dtype?`, `any`, ..."""

    base: str
    many: bool = False
    optional: bool = False
    scalar: bool = False
    spread: bool = False

    @property
    def is_tensor(self) -> bool:
        return self.base == "Tensor"

    @staticmethod
    def parse(text: str) -> ParamType:
        match = TYPE_SYNTAX.match(text.replace(" ", ""))
        if match is None or match["base"] not in BASES:
            raise ValueError(f"unknown parameter type {text!r}; bases are {', '.join(BASES)}")
        many = match["many"]
        return ParamType(match["base"], bool(many), bool(match["optional"]), bool(match["scalar"]), many == "[*]")

    def __str__(self) -> str:
        many = "[*]" if self.spread else "[]" if self.many else ""
        return f"{self.base}{'|Scalar' if self.scalar else ''}{many}{'?' if self.optional else ''}"


class Param(NamedTuple):
    """One parameter. `variadic` (only `py.*` ops have one) takes all positional arguments that the others leave."""

    name: str
    type: ParamType
    default: Any = REQUIRED
    kwonly: bool = False
    variadic: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED and not self.variadic


class Signature(Protocol):
    """What has a name and parameters: a record, or a composite function."""

    name: str

    @property
    def params(self) -> tuple[Param, ...]: ...


def bind(op: Signature, args: Sequence[Any], named: dict[str, Any]) -> tuple[Any, ...]:
    """Arguments in schema order with defaults filled in; TypeError as Python says it."""
    out: list[Any] = list(args[: len(op.params)])
    positional = sum(not p.kwonly for p in op.params)
    if any(p.variadic for p in op.params):
        return tuple(args)
    if len(args) > len(op.params) or (len(args) > positional and named):
        raise TypeError(f"{op.name}() takes {positional} positional arguments but {len(args)} were given")
    left = dict(named)
    for p in op.params[len(out) :]:
        if p.name in left:
            out.append(left.pop(p.name))
        elif p.required:
            raise TypeError(f"{op.name}() missing required argument: {p.name!r}")
        else:
            out.append(p.default)
    if left:
        name = next(iter(left))
        problem = "multiple values for" if any(p.name == name for p in op.params) else "an unexpected keyword"
        raise TypeError(f"{op.name}() got {problem} argument {name!r}")
    return tuple(out)


def parse_schema(schema: str) -> tuple[str, tuple[Param, ...], tuple[str, ...]]:
    """`name(signature) -> returns` as (name, params, returns)."""
    match = re.fullmatch(r"\s*([\w.]+)\((.*)\)\s*->\s*(.+?)\s*", schema, re.DOTALL)
    if match is None:
        raise ValueError(f"a schema reads 'name(parameters) -> result', got {schema!r}")
    name, signature, returns = match.groups()
    tree = parse(f"def op({signature}): pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    a = tree.args
    params: list[Param] = []
    defaults: list[ast.expr | None] = [None] * (len(a.args) - len(a.defaults)) + list(a.defaults)
    params += [_param(arg, default, False) for arg, default in zip(a.args, defaults)]
    if a.vararg is not None:
        params.append(Param(a.vararg.arg, ParamType("any"), variadic=True))
    params += [_param(arg, default, True) for arg, default in zip(a.kwonlyargs, a.kw_defaults)]
    if returns == "None":
        results: tuple[str, ...] = ()
    else:
        results = tuple(part.strip() for part in returns.strip("()").split(","))
    return name, tuple(params), results


def _param(arg: ast.arg, default: ast.expr | None, kwonly: bool) -> Param:
    annotation = arg.annotation
    if annotation is None:
        text = "Tensor"
    elif isinstance(annotation, ast.Constant):
        text = str(annotation.value)
    else:
        text = ast.unparse(annotation)
    value = REQUIRED if default is None else ast.literal_eval(default)
    return Param(arg.arg, ParamType.parse(text), value, kwonly)


# annotations of composite functions

PYTHON_TYPES = {
    "Tensor": "Tensor",
    "Number": "Scalar",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str": "str",
    "DType": "dtype",
    "device": "device",
    "Generator": "Generator",
    "Ints": "int[]",
    "Sequence[int]": "int[]",
    "Spread": "int[*]",
    "Sequence[Tensor]": "Tensor[]",
    "Tensor | Number": "Tensor|Scalar",
    "Any": "any",
}


def params_of(fn: Callable[..., Any]) -> tuple[Param, ...]:
    """The parameters of a plain function whose annotations (as text) are of `PYTHON_TYPES`, `| None` added or not."""
    out = []
    for p in signature(fn).parameters.values():
        text = "Any" if p.annotation is Parameter.empty else str(p.annotation)
        optional = text.endswith(" | None")
        base = text.removesuffix(" | None")
        if base not in PYTHON_TYPES:
            known = ", ".join(PYTHON_TYPES)
            raise ValueError(f"{fn.__qualname__}: unknown type {text!r} of parameter {p.name!r}; known: {known}")
        parsed = ParamType.parse(PYTHON_TYPES[base] + ("?" if optional else ""))
        out.append(Param(p.name, parsed, p.default, p.kind is Parameter.KEYWORD_ONLY))
    return tuple(out)
