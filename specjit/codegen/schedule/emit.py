"""Groups -> kernel specs.

Enters: a `Group` whose sources that must exist in memory have homes. Leaves: a `Call` with a `LoopSpec` or
`GemmSpec`.
Invariant: a value is computed from its maker at the index where it is needed; memory is read only through homes.
Constant offsets are relative to the lowest one of their array, so that equal kernels in different places have equal
specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specjit.codegen.kernels.spec import Access, Arg, DrawSpec, Extent, Inst, LoopSpec, PickSpec, ScanSpec, Store
from specjit.codegen.schedule.errors import NotSchedulable, in_word
from specjit.codegen.schedule.fit import compose
from specjit.codegen.schedule.group import Group, axes_used, new_axes, weight
from specjit.codegen.schedule.index import KAPPA, Axis, IMap, Index, decode
from specjit.codegen.schedule.items import Draw, Map, Matmul, Pick, Reduce, Scan
from specjit.codegen.schedule.model import Base, Home, Reg, Scalar, Source, View, estimate
from specjit.codegen.schedule.steps import Addr, Call, Operand
from specjit.ir.dims import Size, product
from specjit.ir.viewref import contiguous_strides

COMBINE = {
    "sum": "{0} + {1}",
    "prod": "{0} * {1}",
    "max": "simd.maximum({0}, {1})",
    "min": "simd.minimum({0}, {1})",
    "any": "{0} | {1}",
    "all": "{0} & {1}",
}


@dataclass(frozen=True)
class Window:
    """An access whose operand is not numbered yet: dynamic and constant parts of the offset apart."""

    base: Base | Reg
    dtype: str
    strides: tuple[Size, ...]
    dynamic: Size
    fixed: int


class Operands:
    """Numbers the operands of one kernel in order of first use."""

    def __init__(self) -> None:
        self.list: list[Operand] = []
        self.number: dict[object, int] = {}
        self.lowest: dict[object, int] = {}

    def add(self, key: object, operand: Operand) -> int:
        if key not in self.number:
            self.number[key] = len(self.list)
            self.list.append(operand)
        return self.number[key]

    def extent(self, size: Size) -> Extent:
        return size if isinstance(size, int) else Arg(self.add(size, Scalar("int", size)))

    def scalar(self, s: Scalar) -> int:
        return self.add((s.kind, s.value), s)

    def see(self, w: Window) -> None:
        key = (w.base, w.dtype, w.dynamic)
        self.lowest[key] = min(self.lowest.get(key, w.fixed), w.fixed)

    def access(self, w: Window) -> Access:
        key = (w.base, w.dtype, w.dynamic)
        low = self.lowest[key]
        position = self.add(("address", *key), Addr(w.base, w.dtype, w.dynamic + low))
        return Access(position, w.dtype, tuple(self.extent(s) for s in w.strides), w.fixed - low)  # type: ignore[arg-type]


def constant_part(size: Size) -> tuple[Size, int]:
    if isinstance(size, int):
        return 0, size
    fixed = size.terms.get((), 0)
    return size - fixed, fixed


def home_of(source: Source) -> Home:
    if source.home is None:
        raise AssertionError(f"{source} is read from memory but was never put there")
    return source.home.resolved()


def memory_index(view: View, reader: IMap) -> Index:
    """Element offset from the home's base, for a reader at `reader` in the view."""
    home = home_of(view.source)
    out = Index(home.offset)
    if home.strides is None:
        assert view.ref.offset is not None
        out = out.plus(Index(view.ref.offset))
        for index, stride, size in zip(reader, view.ref.strides, view.ref.sizes, strict=True):
            if size != 1 and stride != 0:
                out = out.plus(index, stride)  # type: ignore[arg-type]
        return out
    decoded = decode(view.ref, view.source.dims)
    where = None if decoded is None else compose(decoded, reader, view.source.dims)
    if where is None:
        raise NotSchedulable("a view that cannot be followed through a strided array")
    for index, stride in zip(where, home.strides, strict=True):
        out = out.plus(index, stride)
    return out


def store_index(home: Home, source: Source, where: IMap) -> Index:
    strides = home.strides if home.strides is not None else contiguous_strides(source.dims)
    out = Index(home.offset)
    for index, stride, size in zip(where, strides, source.dims, strict=True):
        if size != 1:
            out = out.plus(index, stride)  # type: ignore[arg-type]
    return out


class Body:
    """The instructions of one kernel, made on demand from the values that are stored."""

    def __init__(self, group: Group, axes: Sequence[Axis | None]) -> None:
        self.group = group
        self.axes = list(axes)
        self.operands = Operands()
        self.insts: list[Inst | tuple[str, Window]] = []
        self.memo: dict[object, int] = {}

    def add(self, inst: Inst) -> int:
        key = (inst, repr(inst.value))  # 0.0 and -0.0 are equal and not the same
        if key not in self.memo:
            self.memo[key] = len(self.insts)
            self.insts.append(inst)
        return self.memo[key]

    def window(self, base: Base | Reg, dtype: str, at: Index) -> Window:
        dynamic, fixed = constant_part(at.offset)
        strides = tuple(0 if a is None else at.coefficient(a) for a in self.axes)
        w = Window(base, dtype, strides, dynamic, fixed)
        self.operands.see(w)
        return w

    def value(self, view: View, reader: IMap) -> int:
        """The element of `view` at `reader`: computed here, or loaded."""
        source = view.source
        if source in self.group.maps:
            decoded = decode(view.ref, source.dims)
            where = None if decoded is None else compose(decoded, reader, source.dims)
            assert where is not None, "fusion let an unreadable view through"
            return self.member(source, where)
        w = self.window(home_of(source).base, source.dtype, memory_index(view, reader))
        if w not in self.memo:
            self.memo[w] = len(self.insts)
            self.insts.append(("load", w))
        return self.memo[w]

    def member(self, source: Source, where: IMap) -> int:
        key = (source, where)
        if key not in self.memo:
            maker = source.maker
            if isinstance(maker, Map):
                found = self.map(maker, where)
            elif isinstance(maker, Reduce):
                found = self.reduce(maker, where)
            else:
                assert isinstance(maker, Matmul)
                found = self.accumulator(where)
            self.memo[key] = found
        return self.memo[key]

    def cast(self, value: int, dtype: str) -> int:
        inst = self.insts[value]
        have = inst[1].dtype if isinstance(inst, tuple) else inst.dtype
        return value if have == dtype else self.add(Inst("cast", dtype, (value,)))  # type: ignore[arg-type]

    def map(self, item: Map, where: IMap) -> int:
        args = []
        for operand, dtype in zip(item.operands, item.casts, strict=True):
            if isinstance(operand, View):
                args.append(self.cast(self.value(operand, where), dtype))
            elif isinstance(operand, Scalar):
                args.append(self.number(operand, dtype))
            else:
                args.append(self.cast(self.position(where[operand]), dtype))
        if item.text == "":
            return self.cast(args[0], item.out.dtype)
        return self.add(Inst("apply", item.out.dtype, tuple(args), item.text))  # type: ignore[arg-type]

    def number(self, s: Scalar, dtype: str) -> int:
        if isinstance(s.value, bool | int | float):
            if isinstance(s.value, int):
                in_word(s.value)
            return self.add(Inst("const", dtype, value=s.value))  # type: ignore[arg-type]
        if s.kind == "float":
            own = dtype if dtype in ("f32", "f64") else "f64"
        else:
            own = "bool" if s.kind == "bool" else "i64"
        position = self.operands.scalar(s)
        return self.cast(self.add(Inst("scalar", own, operand=position)), dtype)  # type: ignore[arg-type]

    def position(self, index: Index) -> int:
        """An index as an i64 value."""
        out = self.number(Scalar("int", index.offset), "i64") if index.offset != 0 or not index.terms else None
        for key, c in sorted(index.terms, key=lambda t: self.axes.index(t[0])):  # type: ignore[arg-type]
            term = self.add(Inst("index", "i64", dim=self.axes.index(key)))  # type: ignore[arg-type]
            if c != 1:
                term = self.add(Inst("apply", "i64", (term, self.number(Scalar("int", c), "i64")), "{0} * {1}"))
            out = term if out is None else self.add(Inst("apply", "i64", (out, term), "{0} + {1}"))
        assert out is not None
        return out

    def reduce(self, item: Reduce, where: IMap) -> int:
        along = self.group.maps[item]
        kept = iter(where)
        at = tuple(along[d] if d in item.axes else next(kept) for d in range(len(along)))
        wide = any(KAPPA in along[d].keys for d in item.axes)
        count = self.group.chunk[1] if wide and self.group.chunk else 1
        total: int | None = None
        for k in range(count):
            here = tuple(i.substitute({KAPPA: Index(k)}) for i in at)
            value = self.cast(self.value(item.arg, here), item.compute)
            if total is None:
                total = value
            else:
                total = self.add(Inst("apply", item.compute, (total, value), COMBINE[item.kind]))  # type: ignore[arg-type]
        assert total is not None
        dtype = item.out.dtype
        if not axes_used(along[d] for d in item.axes):  # one element, or chunks that are combined already
            return self.cast(total, dtype) if not item.kind.startswith("arg") else self.number(Scalar("int", 0), dtype)
        own = dtype if item.kind.startswith("arg") else item.compute
        return self.cast(self.add(Inst("reduce", own, (total,), item.kind)), dtype)  # type: ignore[arg-type]

    def accumulator(self, where: IMap) -> int:
        product = self.group.product
        assert product is not None
        index = where[-1]
        chunk = 0
        if self.group.chunk is not None:
            width = self.group.chunk[0].extent
            assert isinstance(width, int)
            chunk = int(index.offset) // width  # type: ignore[arg-type]
        return self.add(Inst("acc", product.out.dtype, operand=chunk))  # type: ignore[arg-type]

    def stores(self, homes: list[tuple[Source, Home]]) -> list[tuple[Window, int]]:
        out = []
        for source, place in homes:
            home = place.resolved()
            own = self.group.maps[source]
            wide = any(KAPPA in i.keys for i in own)
            count = self.group.chunk[1] if wide and self.group.chunk else 1
            for k in range(count):
                where = tuple(i.substitute({KAPPA: Index(k)}) for i in own)
                value = self.member(source, where)
                out.append((self.window(home.base, source.dtype, store_index(home, source, where)), value))
        return out

    def finish(self, stored: list[tuple[Window, int]]) -> tuple[tuple[Inst, ...], tuple[Store, ...]]:
        body = tuple(
            i if isinstance(i, Inst) else Inst("load", i[1].dtype, access=self.operands.access(i[1]))  # type: ignore[arg-type]
            for i in self.insts
        )
        return body, tuple(Store(self.operands.access(w), v) for w, v in stored)


def loop_call(group: Group, homes: list[tuple[Source, Home]]) -> Call:
    """The kernel of a group without a matrix product."""
    body = Body(group, group.axes)
    domain = tuple(body.operands.extent(a.extent) for a in group.axes)
    stored = body.stores(homes)
    insts, stores = body.finish(stored)
    spec = LoopSpec(domain, insts, stores, len(group.reduced))
    return finish_call(group, spec, body.operands, insts, stores)


def finish_call(
    group: Group, spec: object, operands: Operands, insts: tuple[Inst, ...], stores: tuple[Store, ...]
) -> Call:
    reads = {i.access.base for i in insts if i.access is not None}
    return Call(
        spec,  # type: ignore[arg-type]
        operands.list,
        reads=reads,
        writes={s.access.base for s in stores},
        weight=weight(group),
        ops=[i.op for i in group.items if i.op],
        locs=[i.loc for i in group.items if i.loc is not None],
    )


def single_call(item: Map, home: Home) -> Call:
    """The kernel of one map by itself."""
    item.out.maker = item
    group = Group(0)
    group.items.append(item)
    group.axes, group.maps[item.out] = new_axes(item.out.dims)
    return loop_call(group, [(item.out, home)])


def copy_call(view: View, home: Home) -> Call:
    """Copy what is in memory to `home`."""
    out = Source(view.source.dtype, view.dims)
    return single_call(Map(out=out, text="", operands=[view], casts=[out.dtype], compute=out.dtype), home)


def fill_call(source: Source, value: float) -> Call:
    """Fill an array that has a home."""
    out = Source(source.dtype, source.dims)
    item = Map(out=out, text="", operands=[Scalar("int", value)], casts=[out.dtype], compute=out.dtype)
    return single_call(item, home_of(source))


def pick_call(item: Pick) -> Call:
    """The kernel of a gather or of a sum at run-time positions."""
    operands = Operands()
    axes, reader = new_axes(item.index.dims)
    target = View(item.out, item.out_ref)
    windows = []
    for view in (item.index, item.source, target):
        at = memory_index(view, reader)
        dynamic, fixed = constant_part(at.offset)
        strides = tuple(at.coefficient(a) for a in axes)
        windows.append(Window(home_of(view.source).base, view.source.dtype, strides, dynamic, fixed))
        operands.see(windows[-1])
    index, source, written = (operands.access(w) for w in windows)
    spec = PickSpec(
        tuple(operands.extent(a.extent) for a in axes),
        index,
        source,
        written,
        operands.extent(item.step),
        operands.extent(item.count),
        item.gather,
        item.wrap,
    )
    reads = {index.base, source.base}
    if not item.gather:
        reads.add(written.base)
    work = 2 * estimate(product(item.index.dims))
    locs = [item.loc] if item.loc is not None else []
    return Call(spec, operands.list, reads, {written.base}, work, [item.op], locs)


def draw_call(item: Draw) -> Call:
    """The kernel of random numbers; their home is contiguous."""
    operands = Operands()
    home, dtype = home_of(item.out), item.out.dtype
    target = operands.add("target", Addr(home.base, dtype, home.offset))
    count = product(item.out.dims) or 0
    spec = DrawSpec(dtype, operands.extent(count), target, operands.extent(item.seed), operands.extent(item.first))  # type: ignore[arg-type]
    locs = [item.loc] if item.loc is not None else []
    return Call(spec, operands.list, set(), {target}, 8 * estimate(count), [item.op], locs)


def scan_call(item: Scan) -> Call:
    """The kernel of running sums."""
    operands = Operands()
    _, reader = new_axes(item.out.dims)
    windows = []
    for view in (item.arg, item.out.whole()):
        at = memory_index(view, reader)
        dynamic, fixed = constant_part(at.offset)
        strides = tuple(at.coefficient(i.single()) for i in reader)  # dims of size 1 have no axis, and stride 0
        windows.append(Window(home_of(view.source).base, view.source.dtype, strides, dynamic, fixed))
        operands.see(windows[-1])
    source, target = (operands.access(w) for w in windows)
    spec = ScanSpec(tuple(operands.extent(d) for d in item.out.dims), item.axis, source, target)
    locs = [item.loc] if item.loc is not None else []
    work = 2 * estimate(product(item.out.dims))
    return Call(spec, operands.list, {source.base}, {target.base}, work, [item.op], locs)
