"""Schemas: the signature of an operator, in Python's own syntax.

Enters: `"sum(input, dim: 'int[]?' = None, keepdim: bool = False) -> Tensor"`. Leaves: its name, its `Param`s in order,
and what it returns. Invariant: nothing in the text is evaluated but literals (the defaults).
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from typing import Any

from specjit.parsing import parse

REQUIRED = inspect.Parameter.empty

TYPE_SYNTAX = re.compile(r"(?P<base>\w+)(?P<scalar>\|Scalar)?(?P<many>\[\*?\])?(?P<optional>\?)?$")
BASES = ("Tensor", "Scalar", "int", "float", "bool", "str", "dtype", "device", "Generator", "any")


@dataclass(frozen=True, slots=True)
class ParamType:
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


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. `variadic` (only `py.*` ops have one) takes all positional arguments that the others leave."""

    name: str
    type: ParamType
    default: Any = REQUIRED
    kwonly: bool = False
    variadic: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED and not self.variadic


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
