"""Rows about tensors in which a part was written anew: what a write and the reads around it come down to.

Enters: nothing. Leaves: `WRITES`, rows for `passes.simplify`.
Invariant: see `passes.simplify`. A position or slice is the same where its arguments are the same values or equal
constants; two constant positions are apart where they differ after counting from the front.
"""

from __future__ import annotations

from specjit.ir.graph import Value
from specjit.passes.patterns import Match, Rule


def another_row(m: Match) -> Value | None:
    """A row of a tensor of which another row was written."""
    dims = m["x"].type.dims
    at = [m.const(k) for k in ("d", "i", "j")]
    if not dims or not all(isinstance(k, int) for k in at):
        return None
    size = dims[at[0]]
    if not isinstance(size, int) or at[1] % size == at[2] % size:
        return None
    return m.builder.call("select", m["x"], m["d"], m["j"])


def all_written(m: Match) -> Value | None:
    """A slice that is all of the tensor: what was there before does not matter."""
    same = m["v"].type.dims == m["x"].type.dims is not None
    return m.builder.call("overwritten", m["x"], m["v"]) if same and m.const("s") == 1 else None


def fill_mask(m: Match) -> Value | None:
    """`x[mask] = number` for a mask of x's shape."""
    x, mask, value = m["x"].type, m["m"].type, m["v"].type
    if not mask.is_tensor or mask.dtype is None or mask.dtype.name != "bool" or mask.dims != x.dims or x.dims is None:
        return None
    if x.dtype is None or not (x.dtype.is_floating_point or value.kind in ("int", "bool")):
        return None  # a float rounds on its way into an integer
    return m.builder.call("masked_fill", m["x"], m["m"], m["v"])


def number(m: Match) -> bool:
    return m["v"].type.kind in ("int", "float", "bool")


LAST = "the later write is what remains"
WRITES = (
    Rule("select_scatter(x, select(x, d, i), d, i)", "x", "the row is what it was"),
    Rule("slice_scatter(x, slice(x, d, a, b, s), d, a, b, s)", "x", "the slice is what it was"),
    Rule("select_scatter(select_scatter(x, u, d, i), v, d, i)", "select_scatter(x, v, d, i)", LAST),
    Rule(
        "slice_scatter(slice_scatter(x, u, d, a, b, s), v, d, a, b, s)",
        "slice_scatter(x, v, d, a, b, s)",
        LAST,
    ),
    Rule("select(select_scatter(x, v, d, i), d, i)", "v", "the row is what was written there"),
    Rule("slice(slice_scatter(x, v, d, a, b, s), d, a, b, s)", "v", "the slice is what was written there"),
    Rule("select(select_scatter(x, v, d, i), d, j)", another_row, "another row was written"),
    Rule("slice_scatter(x, v, d, a, b, s)", all_written, "every element is written"),
    Rule("index_write(x, m, v)", fill_mask, "a number goes where the mask is True", number),
)
