"""PickSpec -> kernel source: rows gathered from, or added up at, run-time positions.

Enters: a `PickSpec`. Leaves: the text of `kernel(frame, ops)`.
Invariant: every position is checked before memory is touched through it; points are visited in order, so that what is
added up at one position is added in order.
"""

from __future__ import annotations

from specjit.codegen.abi import Status
from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.spec import Access, PickSpec
from specjit.codegen.kernels.writer import Size, Writer
from specjit.codegen.vectors.lanes import ITEMSIZE, lanes


def render(spec: PickSpec) -> str:
    """The source of the kernel that computes `spec`."""
    return _Pick(spec).text()


class _Pick:
    def __init__(self, spec: PickSpec) -> None:
        self.spec = spec
        self.out = Writer()
        rank = len(spec.domain)
        self.shared = rank  # dimensions from here on share a position
        while self.shared > 0 and spec.index.strides[self.shared - 1] == 0:
            self.shared -= 1
        last = rank - 1
        straight = self.shared < rank and spec.source.strides[last] == 1 and spec.target.strides[last] == 1
        self.vector = last if straight else None
        self.lanes = lanes(spec.source.dtype) if straight else 1

    def text(self) -> str:
        spec, out = self.spec, self.out
        verb = "=" if spec.gather else "+="
        domain = ", ".join(map(w.describe_extent, spec.domain))
        source, target = w.describe_access(spec.source), w.describe_access(spec.target)
        place = f"{w.describe_access(spec.index)} of {w.describe_extent(spec.count)}"
        header = [
            f"# Picked elements over ({domain}): {target} {verb} {source},",
            f"# the {'source' if spec.gather else 'target'} at position {place}.",
        ]
        accesses = [spec.index, spec.source, spec.target]
        extents = [*spec.domain, spec.step, spec.count, *(e for a in accesses for e in (*a.strides, a.offset))]
        for line in w.prologue(extents, [a.base for a in accesses]):
            out.line(line)
        if 0 not in spec.domain:
            self.level(0)
        classes = [
            f'AT = simd.vector("{spec.index.dtype}", 1)',
            f'ROW = simd.vector("{spec.source.dtype}", {self.lanes})',
        ]
        return "\n".join([*header, "", *classes, "", "", "def kernel(frame, ops):", *out.lines, "    return 0", ""])

    def level(self, d: int) -> None:
        if d == self.shared:
            self.position()
        if d == len(self.spec.domain):
            self.element("")
            return
        extent = Size.of(self.spec.domain[d])
        if d == self.vector:
            self.row(d, extent)
            return
        with self.out.block(f"for i{d} in range({extent}):"):
            self.level(d + 1)

    def position(self) -> None:
        """The position for this point, checked."""
        spec, out = self.spec, self.out
        at = [(f"i{d}", s) for d, s in enumerate(spec.index.strides) if d < self.shared]
        count = Size.of(spec.count)
        out.line(f"p = simd.integer(simd.load_scalar(AT, {w.address(spec.index, at)}))")
        if spec.wrap:
            with out.block("if p < 0:"):
                out.line(f"p += {count}")
        with out.block(f"if p < 0 or p >= {count}:"):
            out.line(f"return {int(Status.INDEX)}")
        out.line(f"p *= {Size.of(spec.step) * ITEMSIZE[spec.source.dtype]}")

    def row(self, d: int, extent: Size) -> None:
        out, fixed = self.out, extent.fixed
        whole = str(fixed // self.lanes * self.lanes) if fixed is not None else f"whole{d}"
        if fixed is None:
            out.line(f"{whole} = {extent} & -{self.lanes}")
        if whole != "0":
            with out.block(f"for i{d} in range(0, {whole}, {self.lanes}):"):
                self.element("")
        if fixed is None or fixed % self.lanes:
            with out.block(f"if {whole} < {extent}:"):
                out.line(f"i{d} = {whole}")
                out.line(f"m = simd.first(ROW, {extent} - i{d})")
                self.element("m")

    def element(self, mask: str) -> None:
        spec = self.spec
        source, target = self.address(spec.source, spec.gather), self.address(spec.target, not spec.gather)
        value = self.load(source, mask)
        if not spec.gather:
            value = f"{self.load(target, mask)} + {value}"
        if self.vector is None:
            self.out.line(f"simd.store_scalar({value}, {target})")
        elif mask:
            self.out.line(f"simd.store_masked({value}, {target}, {mask})")
        else:
            self.out.line(f"simd.store({value}, {target})")

    def load(self, address: str, mask: str) -> str:
        if self.vector is None:
            return f"simd.load_scalar(ROW, {address})"
        return f"simd.load_masked(ROW, {address}, {mask})" if mask else f"simd.load(ROW, {address})"

    def address(self, access: Access, picked: bool) -> str:
        at = w.address(access, [(f"i{d}", s) for d, s in enumerate(access.strides)])
        return w.add(at, "p") if picked else at
