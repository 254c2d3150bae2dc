"""What a kernel computes, as plain data: the contract between the scheduler and the kernel writers.

Enters: nothing; these are frozen dataclasses that `codegen.schedule` builds.
Leaves: `loops.render(spec)`, `gemm.render(spec)` and `pack.render(spec)` turn one into readable Python source of
`def kernel(frame, ops) -> int`, whose text (and nothing else) decides the kernel's identity.
Invariant: a spec names memory only by operand position. Operand `k` of a kernel is the frame slot `ops[k]`; that slot
holds a byte address, an integer, or the bits of a float64. So equal specs give equal kernels, whichever layer, model
or process asks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

DTypeName = Literal["f32", "f64", "i64", "i32", "i16", "i8", "u8", "bool"]
ReduceKind = Literal["sum", "max", "min", "prod", "any", "all", "argmax", "argmin"]


@dataclass(frozen=True)
class Arg:
    """The integer in the frame slot named by operand `index` (a symbolic size or stride, read at run time)."""

    index: int


Extent = int | Arg


def shifted(extent: Extent, by: int) -> Extent:
    """The same size, where operands are numbered from `by` on."""
    return Arg(extent.index + by) if isinstance(extent, Arg) else extent


@dataclass(frozen=True)
class Access:
    """A strided window on memory: element address = frame[ops[base]] + itemsize * (offset + sum(strides[d] * i_d)).

    `strides` are in elements, one per domain dimension; 0 broadcasts. `base` is an operand position.
    """

    base: int
    dtype: DTypeName
    strides: tuple[Extent, ...]
    offset: Extent = 0

    def shifted(self, by: int) -> Access:
        """The same window, where operands are numbered from `by` on."""
        strides = tuple(shifted(s, by) for s in self.strides)
        return Access(self.base + by, self.dtype, strides, shifted(self.offset, by))


@dataclass(frozen=True)
class Inst:
    """One SSA instruction of a kernel body; its value is named by its position in the body.

    kind     meaning of the fields
    load     read `access` at the current domain point
    const    `value`, a Python number, as `dtype`
    scalar   the number in the frame slot of operand `operand`: an integer, or float64 bits when `dtype` is a float
    index    the current index along domain dimension `dim` (as `dtype`)
    acc      GEMM epilogue only: accumulator of chunk `operand` at the current (row, unit)
    apply    `text` with {0}, {1}, ... replaced by `args`; names in it come from the kernel vocabulary (simd,
    vecmath); all
             arguments have the same dtype (casts are explicit), `dtype` is the result's
    cast     convert `args[0]` to `dtype`
    reduce   `text` is a ReduceKind: combine `args[0]` over the reduced dimensions, giving a value per outer point
    """

    kind: Literal["load", "const", "scalar", "index", "acc", "apply", "cast", "reduce"]
    dtype: DTypeName
    args: tuple[int, ...] = ()
    text: str = ""
    access: Access | None = None
    value: float | int | bool | None = None
    operand: int = -1
    dim: int = -1

    def shifted(self, by: int) -> Inst:
        """The same instruction, where operands are numbered from `by` on."""
        if self.access is not None:
            return replace(self, access=self.access.shifted(by))
        return replace(self, operand=self.operand + by) if self.kind == "scalar" else self


@dataclass(frozen=True)
class Store:
    """Write body value `value` through `access` (same dtype). A reduced value has stride 0 along the reduced
    dimensions."""

    access: Access
    value: int


@dataclass(frozen=True)
class LoopSpec:
    """A fused loop nest: pointwise chains, and rowwise reductions with pointwise work before, between and after them.

    `domain` lists the extents, outermost first; the last `reduced` of them are reduced by every `reduce` in the body.
    Element values that are needed after a reduction are recomputed, so nothing but `stores` touches memory. A load
    never reads what a store of the same kernel writes, except at the same element (an in-place update).
    Sums run over a fixed tree, independent of anything but the extents. An empty sum is 0 and prod 1; the scheduler
    never asks for an empty max or argmax.
    """

    domain: tuple[Extent, ...]
    body: tuple[Inst, ...]
    stores: tuple[Store, ...]
    reduced: int = 0


@dataclass(frozen=True)
class Segment:
    """One product in a sum of products of equal rows, units and chunks: the fields of `GemmSpec` of the same names."""

    a: Access
    b: int
    b_strides: tuple[Extent, ...]
    k: Extent


@dataclass(frozen=True)
class GemmSpec:
    """acc[g](row, unit) = sum_k A(row, k) * B(k, g, unit), then an epilogue at every (outer..., row, unit).

    `outer` extents are plain loops around the product (a batched matmul, a sequence). `a` has strides for (outer...,
    row, k). B is packed in panels by the kernel of an equal-shaped `PackSpec`; `b` is the operand position of its
    address and `b_strides` the elements to advance per outer dimension (0: shared). Weight shapes `units`, `chunks`
    and `k` are usually ints; `rows` may be an Arg. The epilogue domain is (*outer, rows, units): accesses in `body`
    and `stores` have that many strides. All arithmetic of the product is `dtype` (f32 or f64). The products of `more`
    are added to the same accumulators.
    """

    dtype: DTypeName
    outer: tuple[Extent, ...]
    rows: Extent
    units: Extent
    chunks: int
    k: Extent
    a: Access
    b: int
    b_strides: tuple[Extent, ...]
    body: tuple[Inst, ...]
    stores: tuple[Store, ...]
    more: tuple[Segment, ...] = ()

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All products whose sum the accumulators hold."""
        return (Segment(self.a, self.b, self.b_strides, self.k), *self.more)

    def shifted(self, by: int) -> GemmSpec:
        """The same product, where operands are numbered from `by` on."""
        first, *more = (
            Segment(s.a.shifted(by), s.b + by, tuple(shifted(e, by) for e in s.b_strides), shifted(s.k, by))
            for s in self.segments
        )
        return GemmSpec(
            self.dtype,
            tuple(shifted(e, by) for e in self.outer),
            shifted(self.rows, by),
            shifted(self.units, by),
            self.chunks,
            first.k,
            first.a,
            first.b,
            first.b_strides,
            tuple(i.shifted(by) for i in self.body),
            tuple(Store(s.access.shifted(by), s.value) for s in self.stores),
            tuple(more),
        )


@dataclass(frozen=True)
class WindowSpec:
    """acc(row, unit) = sum_k A(row, k) * B(k, unit) as in `GemmSpec`, where B is read as it lies in memory, an element
    in many places of it: k counts the points of `depths`, the last dimension fastest, a unit those of `lines` and of
    `run`, along which B's elements lie side by side.

    `a` has strides for (*outer, row, k), `b` for (*outer, *depths, *lines, run), the last one 1. The epilogue's domain
    is (*outer, rows, units).
    """

    dtype: DTypeName
    outer: tuple[Extent, ...]
    rows: int
    depths: tuple[int, ...]
    lines: tuple[int, ...]
    run: int
    a: Access
    b: Access
    body: tuple[Inst, ...]
    stores: tuple[Store, ...]

    @property
    def k(self) -> int:
        return math.prod(self.depths)

    @property
    def units(self) -> int:
        return math.prod(self.lines) * self.run


@dataclass(frozen=True)
class DuetSpec:
    """The product of one row of a turn, `step`, and in the same loop a share of the product `rows`, which later turns
    read row by row, in turns that count from 0.

    Its first `first` rows are there before the first turn, which needs one. The others follow in blocks of `block`: the
    turns that read one block (or the first rows) share the next block out among them. Of n panels, turn number i of m
    does those from i * n // m up to (i + 1) * n // m, so a block is whole when its first row is read. Operands of
    `rows` are numbered on after those of `step`. `rows` has no outer dimension, one chunk and one segment.
    """

    step: GemmSpec
    rows: GemmSpec
    turn: Extent
    first: Extent
    block: int


@dataclass(frozen=True)
class PackSpec:
    """Copy B(k, chunk, unit) into panels: for each group of `lanes` units, for each k, `chunks` vectors of `lanes`
    side by side.

    Panel layout: [ceil(units/lanes)][k][chunks][lanes], the tail lanes zero; `lanes.panel_lanes` says how many. `src`
    has strides for (*outer, k, chunk, unit); `dst` is the operand position of the panels' address; panels of successive
    outer points follow each other. `panel_elements(spec)` of the pack module gives the size.
    """

    dtype: DTypeName
    outer: tuple[Extent, ...]
    units: Extent
    chunks: int
    k: Extent
    src: Access
    dst: int


@dataclass(frozen=True)
class PickSpec:
    """Elements at run-time positions: with p = index(i), for every point i of the domain in order,

        gather          target(i) = source(i, p)        where `source` moves on by p * `step`
        not gather      target(i, p) += source(i)       where `target` does; a repeated position adds up in order

    `index` is an integer access with stride 0 along the innermost dimensions that share a position. A position
    outside 0 .. count-1
    returns Status.INDEX; with `wrap` a negative one counts from the end.
    """

    domain: tuple[Extent, ...]
    index: Access
    source: Access
    target: Access
    step: Extent
    count: Extent
    gather: bool
    wrap: bool = False


@dataclass(frozen=True)
class DrawSpec:
    """`count` uniform numbers in [0, 1) at the address in operand `target`, one after another: what `tensor/random.py`
    makes of the Philox blocks from number `first` on, under the key `seed`."""

    dtype: Literal["f32", "f64"]
    count: Extent
    target: int
    seed: Extent
    first: Extent


@dataclass(frozen=True)
class ScanSpec:
    """Running sums: target(i) = source(i) with 0 .. i in place of dimension `axis`, added up in order. Both accesses
    have one dtype."""

    domain: tuple[Extent, ...]
    axis: int
    source: Access
    target: Access
