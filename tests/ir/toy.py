"""A handful of op records for tests of the IR alone: what `ir` needs of an op, with NumPy as the meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjit.ir.traits import IO, PURE, Traits, writes
from specjit.ir.types import BOOL, NONE, Type
from tests.ir.random_text import Param


@dataclass(frozen=True, eq=False)
class ToyOp:
    name: str
    params: tuple[Param, ...]
    eager: Callable[..., Any]
    infer: Callable[..., Any]
    traits: Traits = PURE


def _params(*names: str) -> tuple[Param, ...]:
    return tuple(Param(n, required=True) for n in names)


def _matmul(a: Type, b: Type) -> Type:
    if a.dims is not None and b.dims is not None and None not in (a.dims[-1], b.dims[0]) and a.dims[-1] != b.dims[0]:
        raise RuntimeError(f"matmul: {a} does not fit {b}")
    return Type.tensor(a.dtype, None if a.dims is None or b.dims is None else (*a.dims[:-1], *b.dims[1:]))


def _select(a: Type, dim: int, index: Any) -> Type:
    return a.with_(dims=None if a.dims is None else a.dims[:dim] + a.dims[dim + 1 :])


def _chunk(a: Type, n: Any, dim: int) -> Any:
    if not isinstance(n, int):
        return Type.list(a.with_(dims=None))
    assert a.dims is not None
    return [a.with_(dims=a.dims[:dim] + (a.dims[dim] // n,) + a.dims[dim + 1 :])] * n


def _fill(a: np.ndarray, value: float) -> np.ndarray:
    a[...] = value
    return a


def _sum(a: Any, b: Any) -> Any:
    x, y = (v if isinstance(v, int) else v.dim for v in (a, b))
    return None if x is None or y is None else x + y


_RECORDS = (
    ToyOp("tanh", _params("input"), np.tanh, lambda a: a),
    ToyOp("add", _params("input", "other"), np.add, lambda a, b: a),
    ToyOp("matmul", _params("input", "other"), np.matmul, _matmul),
    ToyOp("select", _params("input", "dim", "index"), lambda a, d, i: np.take(a, i, d), _select),
    ToyOp("chunk", (*_params("input", "chunks"), Param("dim", 0)), np.split, _chunk),
    ToyOp("total", _params("input"), np.sum, lambda a: Type.tensor(a.dtype, ())),
    ToyOp("fill_", _params("input", "value"), _fill, lambda a, v: a, writes(0)),
    ToyOp("positive", _params("input"), lambda a: bool(a.sum() > 0), lambda a: BOOL),
    ToyOp("cat", _params("tensors"), np.concatenate, lambda ts: ts[0].with_(dims=(None, *ts[0].dims[1:]))),
    ToyOp("py.list", (Param("items", variadic=True),), lambda *a: list(a), lambda *a: Type.list(a[0])),
    ToyOp("py.add", _params("a", "b"), lambda a, b: a + b, lambda a, b: Type.int(_sum(a, b))),
    ToyOp("py.lt", _params("a", "b"), lambda a, b: a < b, lambda a, b: BOOL),
    ToyOp("py.print", (Param("args", variadic=True),), lambda *a: None, lambda *a: NONE, IO),
)
OPS = {op.name: op for op in _RECORDS}
