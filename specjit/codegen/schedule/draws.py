"""Random numbers.

Enters: nodes of `uniform` and `probability`. Leaves: `Draw` items, and the check that probabilities are some.
Invariant: the key and the first block are numbers of the program, so a draw depends on nothing but its arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from specjit.codegen.abi import Status
from specjit.codegen.schedule.items import Draw, Map
from specjit.codegen.schedule.model import Scalar, Source, View
from specjit.codegen.schedule.numbers import check_all, size_of
from specjit.codegen.schedule.tensors import tensor_type
from specjit.ir.graph import Node

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder


def uniform(b: Builder, n: Node) -> View:
    dtype, dims = tensor_type(n.result.type, n.op.name)
    if dtype not in ("f32", "f64"):
        raise b.fail(f"no kernel draws {dtype}")
    seed, first = (size_of(b.scalar(n.args[k])) for k in (1, 2))
    out = Source(dtype, dims, n.result.hint)
    b.add(Draw(out=out, seed=seed, first=first))
    return out.whole()


def probability(b: Builder, n: Node) -> View:
    """Leave the region if an element is not in [0, 1]."""
    given = b.tensor(n.args[0])
    dtype = given.source.dtype
    inside = Source("bool", given.dims)
    numbers: list[View | Scalar | int] = [given, Scalar("int", 0), Scalar("int", 1)]
    b.add(Map(out=inside, text="({0} >= {1}) & ({0} <= {2})", operands=numbers, casts=[dtype] * 3, compute=dtype))
    check_all(b, inside, Status.GUARD)
    return given


RULES = {"uniform": uniform, "probability": probability}
