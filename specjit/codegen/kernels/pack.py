"""PackSpec -> kernel source: a matrix copied into the panels that GEMM tiles read.

Enters: a `PackSpec`. Leaves: the text of `kernel(frame, ops)`, and the size of the panels.
Layout: [outer...][ceil(units / lanes)][k][chunks][lanes], lanes past the last unit zero, with `lanes` from
`lanes.panel_lanes`.
"""

from __future__ import annotations

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.spec import Arg, GemmSpec, PackSpec
from specjit.codegen.kernels.writer import Size, Writer
from specjit.codegen.vectors.lanes import ITEMSIZE, as_units, panel_lanes


def lanes_for(spec: PackSpec | GemmSpec) -> int:
    """Units per panel."""
    return panel_lanes(spec.dtype, as_units(spec.units))


def panel_elements(spec: PackSpec | GemmSpec, sizes: dict[int, int] | None = None) -> int:
    """Elements of the panels of one outer point; `sizes` gives the value of each operand that an `Arg` names."""
    units, k = (
        (sizes[e.index] if isinstance(e, Arg) else e for e in (spec.units, spec.k)) if sizes else (spec.units, spec.k)
    )
    if not isinstance(units, int) or not isinstance(k, int):
        raise ValueError("the panels' size depends on an operand: give `sizes`")
    lanes = lanes_for(spec)
    return -(-units // lanes) * lanes * k * spec.chunks


def render(spec: PackSpec) -> str:
    """The source of the kernel that computes `spec`."""
    lanes, item = lanes_for(spec), ITEMSIZE[spec.dtype]
    outer = len(spec.outer)
    domain = ", ".join(w.describe_extent(e) for e in (*spec.outer, spec.k, spec.chunks, spec.units))
    header = [
        f"# Panels of {lanes} units from the matrix over (outer..., k, chunk, unit) = ({domain}):",
        f"# {w.describe_access(spec.src)}, at x{spec.dst}: [outer...][panel][k][chunk][{lanes}], zero-filled.",
    ]
    out = Writer()
    units, k = Size.of(spec.units), Size.of(spec.k)
    cls = w.class_name(spec.dtype)
    extents = [*spec.outer, spec.units, spec.k, *spec.src.strides, spec.src.offset]
    for line in w.prologue(extents, [spec.src.base, spec.dst]):
        out.line(line)
    fixed = units.fixed
    count = str(-(-fixed // lanes)) if fixed is not None else f"(({units} + {lanes - 1}) // {lanes})"
    panel_bytes = k * (spec.chunks * lanes * item)
    names = [f"i{d}" for d in range(outer)]
    k_stride, chunk_stride, unit_stride = spec.src.strides[outer:]

    def copy(row: str, chunk: str) -> None:
        """One vector: `lanes` units of a chunk at one k."""
        place = [*zip(names, spec.src.strides), (row, k_stride), (chunk, chunk_stride), ("u", unit_stride)]
        at = w.address(spec.src, place)
        to = w.add("to", w.product(row, str(spec.chunks * lanes * item)), w.product(chunk, str(lanes * item)))
        if unit_stride == 0:
            value = f"simd.select(m, simd.load_scalar({cls}, {at}), simd.splat({cls}, 0.0))"
        elif unit_stride == 1:
            value = (
                f"simd.load({cls}, {at})"
                if fixed is not None and fixed % lanes == 0
                else f"simd.load_masked({cls}, {at}, m)"
            )
        else:
            value = f"simd.gather({cls}, {at}, {Size.of(unit_stride) * item}, m)"
        out.line(f"simd.store({value}, {to})")

    def gathered(k_start: str) -> None:
        out.line(f"m = simd.first({cls}, {units} - u)")
        with out.block(f"for k in range({k_start}, {k}):"), out.block(f"for j in range({spec.chunks}):"):
            copy("k", "j")

    def panel() -> None:
        if unit_stride in (0, 1) or k_stride != 1:
            gathered("0")
            return
        # The k of one unit lie side by side: whole squares are transposed in registers.
        place = [*zip(names, spec.src.strides), ("k", k_stride), ("j", chunk_stride), ("u", unit_stride)]
        to = w.add("to", w.product("k", str(spec.chunks * lanes * item)), w.product("j", str(lanes * item)))
        step = Size.of(unit_stride) * item
        out.line(f"squares = {k} & -{lanes} if u + {lanes} <= {units} else 0")
        with out.block(f"for k in range(0, squares, {lanes}):"), out.block(f"for j in range({spec.chunks}):"):
            out.line(f"simd.transpose({cls}, {w.address(spec.src, place)}, {step}, {to}, {spec.chunks * lanes * item})")
        gathered("squares")

    def nest(d: int) -> None:
        if d < outer:
            with out.block(f"for i{d} in range({Size.of(spec.outer[d])}):"):
                nest(d + 1)
            return
        with out.block(f"for p in range({count}):"):
            out.line(f"u = p * {lanes}")
            panel()
            out.line(f"to += {panel_bytes}")

    if 0 not in (*spec.outer, spec.units, spec.k, spec.chunks):
        out.line(f"to = x{spec.dst}")
        nest(0)
    return w.module_text(header, {spec.dtype: lanes}, [], out.lines)
