"""Rows as user programs: a sample's call as a Python function with source, for the tests of capture.

Enters: a row and one of its samples. Leaves: `Program`: a function whose parameters are the sample's tensors, and those
tensors. Everything else in the sample is written into the source, as a user would write it.
"""

from __future__ import annotations

import itertools
import linecache
import math
import types
from dataclasses import dataclass
from typing import Any

import specjit
from specjit.dtypes import DType
from specjit.tensor.tensor import Tensor
from tests.opinfo import OpInfo

_numbers = itertools.count()


@dataclass
class Program:
    function: types.FunctionType
    tensors: list[Tensor]
    source: str

    def __call__(self) -> Any:
        return self.function(*self.tensors)


def program(info: OpInfo, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Program:
    """`def program(x0, x1): return specjit.name(x0, 2, dim=1)` for a row's sample."""
    tensors: list[Tensor] = []
    values: dict[str, Any] = {"specjit": specjit, "inf": math.inf, "nan": math.nan, "fn": info.fn}

    def text(a: Any) -> str:
        if isinstance(a, Tensor):
            tensors.append(a)
            return f"x{len(tensors) - 1}"
        if isinstance(a, DType):
            return f"specjit.{'bool' if a.name == 'bool' else a.name}"
        if type(a) is list:
            return f"[{', '.join(map(text, a))}]"
        if isinstance(a, tuple):
            return f"({', '.join(map(text, a))}{',' if len(a) == 1 else ''})"
        if isinstance(a, slice):
            return f"slice({text(a.start)}, {text(a.stop)}, {text(a.step)})"
        if a is None or a is Ellipsis or isinstance(a, (bool, int, float, str)):
            return repr(a)
        name = f"c{len(values)}"
        values[name] = a
        return name

    said = f"specjit.{info.name}" if "Tensor." not in info.name and _is_public(info) else "fn"
    call = ", ".join([*map(text, args), *(f"{k}={text(v)}" for k, v in kwargs.items())])
    names = ", ".join(f"x{i}" for i in range(len(tensors)))
    source = f"def program({names}):\n    return {said}({call})\n"
    file = f"<row {info.name} {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), values)
    return Program(values["program"], tensors, source)


def _is_public(info: OpInfo) -> bool:
    found: Any = specjit
    for name in info.name.split("."):
        found = getattr(found, name, None)
    return found is info.fn
