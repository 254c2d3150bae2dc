"""DrawSpec -> kernel source: uniform random numbers, in order.

Enters: a `DrawSpec`. Leaves: the text of `kernel(frame, ops)`.
Invariant: nothing behind the last number is written.
"""

from __future__ import annotations

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.spec import DrawSpec
from specjit.codegen.kernels.writer import Size, Writer
from specjit.codegen.vectors.lanes import ITEMSIZE, lanes

PER_BLOCK = {"f32": 4, "f64": 2}


def render(spec: DrawSpec) -> str:
    """The source of the kernel that computes `spec`."""
    out = Writer()
    cls, item, per_block = w.class_name(spec.dtype), ITEMSIZE[spec.dtype], PER_BLOCK[spec.dtype]
    width = lanes(spec.dtype)
    batch = 2 * width
    for line in w.prologue([spec.count, spec.seed, spec.first], [spec.target]):
        out.line(line)
    count, seed, first = (Size.of(e) for e in (spec.count, spec.seed, spec.first))
    out.line(f"whole = {count} & -{batch}")
    with out.block(f"for i in range(0, whole, {batch}):"):
        out.line(f"philox.uniform({cls}, x{spec.target} + i * {item}, {seed}, {first} + i // {per_block})")
    with out.block(f"if whole < {count}:"):
        place, block = f"x{spec.target} + whole * {item}", f"{first} + whole // {per_block}"
        out.line(f"philox.uniform_first({cls}, {place}, {seed}, {block}, {count} - whole)")
    shown = [w.describe_extent(e) for e in (spec.count, spec.seed, spec.first)]
    header = [f"# {shown[0]} uniform numbers at x{spec.target}: key {shown[1]}, Philox blocks from {shown[2]} on."]
    return w.module_text(header, {spec.dtype: width}, [], out.lines)
