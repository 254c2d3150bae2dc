"""ScanSpec -> kernel source: running sums along one dimension.

Enters: a `ScanSpec`. Leaves: the text of `kernel(frame, ops)`.
Invariant: each sum is the one before it plus one element, so results are NumPy's to the bit; neighbouring sums that do
not meet run in vector lanes.
"""

from __future__ import annotations

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.spec import Access, ScanSpec
from specjit.codegen.kernels.writer import Size, Writer
from specjit.codegen.vectors.lanes import lanes


def render(spec: ScanSpec) -> str:
    """The source of the kernel that computes `spec`."""
    return _Scan(spec).text()


class _Scan:
    def __init__(self, spec: ScanSpec) -> None:
        self.spec = spec
        self.out = Writer()
        last = len(spec.domain) - 1
        straight = last != spec.axis and spec.source.strides[last] == 1 and spec.target.strides[last] == 1
        self.vector = last if straight else None
        self.lanes = lanes(spec.source.dtype) if straight else 1

    def text(self) -> str:
        spec, out = self.spec, self.out
        domain = ", ".join(map(w.describe_extent, spec.domain))
        source, target = w.describe_access(spec.source), w.describe_access(spec.target)
        header = [f"# Running sums along dimension {spec.axis} of ({domain}): {target} of {source}."]
        accesses = [spec.source, spec.target]
        extents = [*spec.domain, *(e for a in accesses for e in (*a.strides, a.offset))]
        for line in w.prologue(extents, [a.base for a in accesses]):
            out.line(line)
        if 0 not in spec.domain:
            with out.block(f"if {Size.of(spec.domain[spec.axis])} > 0:"):
                self.level(0)
        return w.module_text(header, {spec.source.dtype: self.lanes}, [], out.lines)

    def level(self, d: int) -> None:
        if d == len(self.spec.domain):
            self.sums("")
            return
        extent = Size.of(self.spec.domain[d])
        if d == self.spec.axis:
            self.level(d + 1)
        elif d != self.vector:
            with self.out.block(f"for i{d} in range({extent}):"):
                self.level(d + 1)
        else:
            with self.out.block(f"for i{d} in range(0, {extent} & -{self.lanes}, {self.lanes}):"):
                self.sums("")
            with self.out.block(f"if {extent} & {self.lanes - 1}:"):
                self.out.line(f"i{d} = {extent} & -{self.lanes}")
                self.out.line(f"m = simd.first({w.class_name(self.spec.source.dtype)}, {extent} - i{d})")
                self.sums("m")

    def sums(self, mask: str) -> None:
        """One chain of sums, or one in every lane."""
        spec, out = self.spec, self.out
        out.line(f"total = {self.load('0', mask)}")
        self.store("0", mask)
        with out.block(f"for k in range(1, {Size.of(spec.domain[spec.axis])}):"):
            out.line(f"total = total + {self.load('k', mask)}")
            self.store("k", mask)

    def load(self, k: str, mask: str) -> str:
        cls, at = w.class_name(self.spec.source.dtype), self.address(self.spec.source, k)
        if self.vector is None:
            return f"simd.load_scalar({cls}, {at})"
        return f"simd.load_masked({cls}, {at}, {mask})" if mask else f"simd.load({cls}, {at})"

    def store(self, k: str, mask: str) -> None:
        at = self.address(self.spec.target, k)
        name = "store_scalar" if self.vector is None else "store_masked" if mask else "store"
        self.out.line(f"simd.{name}(total, {at}{', ' + mask if mask else ''})")

    def address(self, access: Access, k: str) -> str:
        indices = [k if d == self.spec.axis else f"i{d}" for d in range(len(access.strides))]
        return w.address(access, list(zip(indices, access.strides, strict=True)))
