"""Loop nests before they are written: dimensions dropped, merged and put in order, and the one chosen for vectors.

Enters: a `LoopSpec`. Leaves: a `Nest`, which computes the same with fewer dimensions and says how to run them.
Invariant: for every access, the element that a point names stays the same; reduced dimensions keep their row-major
numbering.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from specjit.codegen.kernels.spec import Access, Extent, Inst, LoopSpec, Store
from specjit.codegen.kernels.writer import Size, is_heavy
from specjit.codegen.vectors.lanes import ITEMSIZE, lanes

STRIDED_COST = 1.2  # per element, beside 1 per vector that is loaded whole


@dataclass(frozen=True)
class Dim:
    """A dimension: its extent, whether it is reduced, and its index's step in the numbering of the reduced elements."""

    extent: Size
    reduced: bool
    numbering: Size


@dataclass
class Nest:
    """The normal form: `order` lists dimensions from the outermost loop in, `vector` is the one in lanes (None: one
    lane).
    """

    dims: list[Dim]
    body: list[Inst]
    stores: list[Store]
    order: list[int] = field(default_factory=list)
    vector: int | None = None
    lanes: int = 1

    @property
    def outer(self) -> list[int]:
        return [d for d in self.order if not self.dims[d].reduced]

    @property
    def inner(self) -> list[int]:
        return [d for d in self.order if self.dims[d].reduced]

    @property
    def empty(self) -> bool:
        return any(d.extent.fixed == 0 and not d.reduced for d in self.dims)

    @property
    def accesses(self) -> list[Access]:
        return [i.access for i in self.body if i.access is not None] + [s.access for s in self.stores]

    @property
    def heavy(self) -> bool:
        """Whether the body is so large that it is written once, under a mask, rather than once for whole vectors and
        once for the rest.
        """
        return len(self.body) > 40 or sum(map(is_heavy, self.body)) > 1


def plan(spec: LoopSpec) -> Nest:
    nest = _from_spec(spec)
    _merge(nest)
    _choose(nest)
    return nest


def _from_spec(spec: LoopSpec) -> Nest:
    """Without the dimensions of extent 1 (an `index` along one is the constant 0)."""
    total = len(spec.domain)
    keep = [d for d in range(total) if spec.domain[d] != 1]
    numbering: dict[int, Size] = {}
    step = Size(1)
    for d in range(total - 1, total - spec.reduced - 1, -1):
        numbering[d] = step
        step = step * spec.domain[d]
    dims = [Dim(Size.of(spec.domain[d]), d >= total - spec.reduced, numbering.get(d, Size(0))) for d in keep]

    def narrow(access: Access) -> Access:
        if len(access.strides) != total:
            raise ValueError(f"{access} has {len(access.strides)} strides in a domain of {total} dimensions")
        return replace(access, strides=tuple(access.strides[d] for d in keep))

    body = []
    for inst in spec.body:
        if inst.kind == "acc":
            raise ValueError("`acc` belongs to a GEMM epilogue")
        if inst.access is not None:
            inst = replace(inst, access=narrow(inst.access))
        elif inst.kind == "index":
            inst = replace(inst, dim=keep.index(inst.dim)) if inst.dim in keep else Inst("const", inst.dtype, value=0)
        body.append(inst)
    return Nest(dims, body, [Store(narrow(s.access), s.value) for s in spec.stores])


def _restride(nest: Nest, pick: list[int]) -> None:
    """Keep of every access the strides at the positions `pick`."""

    def narrow(access: Access) -> Access:
        return replace(access, strides=tuple(access.strides[d] for d in pick))

    nest.body = [i if i.access is None else replace(i, access=narrow(i.access)) for i in nest.body]
    nest.stores = [Store(narrow(s.access), s.value) for s in nest.stores]


def _merge(nest: Nest) -> None:
    """Join neighbouring dimensions that every access walks as one."""
    indexed = {i.dim for i in nest.body if i.kind == "index"}
    d = 0
    while d + 1 < len(nest.dims):
        a, b = nest.dims[d], nest.dims[d + 1]
        joint = a.reduced == b.reduced and not indexed & {d, d + 1}
        if joint and all(Size.of(x.strides[d]) == Size.of(x.strides[d + 1]) * b.extent for x in nest.accesses):
            nest.dims[d : d + 2] = [Dim(a.extent * b.extent, a.reduced, b.numbering)]
            _restride(nest, [k for k in range(len(nest.dims) + 1) if k != d])
            nest.body = [replace(i, dim=i.dim - 1) if i.kind == "index" and i.dim > d else i for i in nest.body]
            indexed = {k - 1 if k > d else k for k in indexed}
        else:
            d += 1


def _choose(nest: Nest) -> None:
    """Pick the dimension for vectors, the lane count and the loop order."""
    nest.order = list(range(len(nest.dims)))
    if not nest.dims or nest.empty:
        return
    full = lanes_of(nest.body, nest.stores)
    best = min(nest.order, key=lambda d: (_cost(nest, d, full), -d))
    nest.vector = best
    nest.lanes = full
    extent = nest.dims[best].extent.fixed
    if any(d.reduced for d in nest.dims) and not nest.heavy:
        nest.lanes *= _width(nest, extent, full)
    while extent is not None and nest.lanes > 1 and nest.lanes // 2 >= extent:
        nest.lanes //= 2
    others = [d for d in nest.order if d != best]
    if nest.dims[best].reduced:
        nest.order = [*others, best]
        return
    outside = [d for d in others if not nest.dims[d].reduced]
    inside = [d for d in others if nest.dims[d].reduced]
    if not inside:
        # Where some access is strided along the vectors but contiguous along another dimension, that one runs
        # innermost: the cache lines which a gather touches are used up before they are left.
        near = [d for d in outside if any(x.strides[d] == 1 and x.strides[best] not in (0, 1) for x in nest.accesses)]
        inside = near[-1:]
        outside = [d for d in outside if d not in inside]
    nest.order = [*outside, best, *inside]


def _width(nest: Nest, extent: int | None, full: int) -> int:
    """Vectors to carry side by side in a light reduction, so that one addition need not wait for the last."""
    width = 4 if len(nest.body) <= 8 else 2
    while extent is not None and width > 1 and full * width > extent:
        width //= 2
    return width


def lanes_of(body: list[Inst], stores: list[Store]) -> int:
    """The lane count of a body: a full register of its widest element type."""
    names = [i.dtype for i in body if i.kind in ("load", "apply", "cast")] or [s.access.dtype for s in stores]
    widest = max((ITEMSIZE[n] for n in names), default=8)
    return lanes({1: "u8", 2: "i16", 4: "f32", 8: "f64"}[widest])


def _cost(nest: Nest, d: int, full: int) -> float:
    """What one element costs when dimension `d` runs in the lanes."""
    extent = nest.dims[d].extent.fixed
    used = 1.0 if extent is None else extent / (-(-extent // full) * full) if extent else 1.0
    per_vector = 0.5 + 0.1 * len(nest.body)
    for access in nest.accesses:
        stride: Extent = access.strides[d]
        if stride == 1:
            per_vector += 1.0
        elif stride == 0:
            per_vector += 0.3
        else:
            per_vector += full * STRIDED_COST
    return per_vector / (full * used)
