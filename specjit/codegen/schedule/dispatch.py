"""Which rule turns a tensor op into items, by what its record's `lower` says.

Enters: a node. Leaves: bindings of its results. Invariant: what has no rule is refused with the op's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from specjit.codegen.schedule import draws, gathers
from specjit.codegen.schedule.joins import cat, creation, cumsum, flip, inverse_of_part, part_written, stack
from specjit.codegen.schedule.tensors import matmul, pointwise, reduction, viewing
from specjit.ir.graph import Node
from specjit.ops.records import lowering

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder


def node(b: Builder, n: Node) -> None:
    if n.op.name in ("py.list", "py.tuple"):
        b.env[n.result] = [b.get(a) for a in n.args]
        return
    lower = getattr(n.op, "lower", None)
    if isinstance(lower, lowering.Pointwise):
        b.bind(n, pointwise(b, n, lower))
    elif isinstance(lower, lowering.Viewing):
        b.bind(n, viewing(b, n, lower))
    elif isinstance(lower, lowering.Reduction):
        b.bind(n, reduction(b, n, lower))
    elif isinstance(lower, lowering.Contraction):
        b.bind(n, matmul(b, n, b.tensor(n.args[0]), b.tensor(n.args[1])))
    elif isinstance(lower, lowering.Creation):
        b.bind(n, creation(b, n, lower))
    elif isinstance(lower, lowering.Special) and lower.name in SPECIAL:
        b.bind(n, SPECIAL[lower.name](b, n))
    else:
        raise b.fail("no rule to lower it")


SPECIAL = {
    "cat": cat,
    "stack": stack,
    "cumsum": cumsum,
    "flip": flip,
    "select_backward": inverse_of_part,
    "slice_backward": inverse_of_part,
    "select_scatter": part_written,
    "slice_scatter": part_written,
    **gathers.RULES,
    **draws.RULES,
}
