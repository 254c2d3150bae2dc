"""What a region is made of before it becomes kernels: arrays, computations on them, run-time numbers, and control flow.

Enters: nothing; `build` makes these from IR nodes. Leaves: the data that `fuse`, `emit` and `control` work on.
Invariant: a computation defines one `Source`, a row-major array that need not exist in memory until `home` says
where. Views
(`View`) of a source cost nothing. Sizes are ints or polynomials over size symbols and over the symbols of run-time
integers (`Reg`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from specjit.codegen.abi import Status
from specjit.codegen.lanes import ITEMSIZE
from specjit.ir.dims import Poly, Size, product, symbol
from specjit.ir.graph import Location
from specjit.ir.viewref import ViewRef

_serial = itertools.count()


class Reg:
    """A run-time number in a frame slot. Integers may appear in sizes, as the symbol `name`."""

    __slots__ = ("kind", "limit", "name", "owner")

    def __init__(self, kind: str, name: str, limit: Size | None = None) -> None:
        self.kind = kind
        self.name = name
        self.limit = limit  # an integer known to lie in 0 .. limit-1
        self.owner: BlockItems | None = None  # the block in which it changes

    @property
    def size(self) -> Poly:
        return symbol(self.name)

    def __repr__(self) -> str:
        return f"%{self.name}:{self.kind}"


@dataclass(frozen=True)
class Scalar:
    """A Python number: `value` is a size (int), a float or bool constant, or a `Reg`."""

    kind: str
    value: Size | float | bool | Reg

    @property
    def is_const(self) -> bool:
        return isinstance(self.value, int | float | bool)


FRESH = Scalar("bool", False)
SHARED = Scalar("bool", True)


class Storage:
    """A piece of memory whose address is in a frame slot: a region input, an output, a temporary, or a prologue
    result."""

    __slots__ = ("dtype", "elements", "index", "instead", "kind", "name", "serial")

    def __init__(
        self, kind: Literal["input", "output", "temp", "packed", "frame"], dtype: str, elements: Size, name: str = ""
    ) -> None:
        self.kind = kind
        self.dtype = dtype
        self.elements = elements
        self.name = name
        self.serial = next(_serial)
        self.index = -1
        self.instead: Home | None = None  # what was to be here is put there

    @property
    def bytes(self) -> Size:
        return self.elements * ITEMSIZE[self.dtype]

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name or self.serial} {self.dtype}[{self.elements}]>"


class Pointer:
    """An address that moves: carried by a loop, or chosen by a branch. `targets` are the storages that it may point
    into."""

    __slots__ = ("name", "targets")

    def __init__(self, name: str) -> None:
        self.name = name
        self.targets: set[Storage] = set()

    def __repr__(self) -> str:
        return f"<pointer {self.name}>"


Base = Storage | Pointer


@dataclass(frozen=True)
class Home:
    """Where a source's elements lie: `strides` per source dim, or None when views of the source apply to memory as
    they are."""

    base: Base
    offset: Size = 0
    strides: tuple[Size, ...] | None = None

    def resolved(self) -> Home:
        """Where this really is."""
        if not isinstance(self.base, Storage) or self.base.instead is None:
            return self
        there = self.base.instead.resolved()
        return Home(there.base, there.offset + self.offset, self.strides)


class Source:
    """One array. `maker` is the item that computes it (None: it is there when its block starts)."""

    __slots__ = ("dims", "dtype", "home", "hint", "maker", "owner", "parts", "serial", "shares", "want")

    def __init__(self, dtype: str, dims: tuple[Size, ...], hint: str = "", home: Home | None = None) -> None:
        self.dtype = dtype
        self.dims = dims
        self.hint = hint
        self.home = home
        self.maker: Item | None = None
        self.owner: BlockItems | None = None  # the block of the maker
        self.want: Home | None = None  # where it must be put if it is put into memory at all
        self.parts: list[Source] = []  # a source put together from these, which are stored into its home
        self.shares = FRESH  # whether it is memory of the caller's (an input, or eager would have passed one through)
        self.serial = next(_serial)

    def whole(self) -> View:
        return View(self, ViewRef.contiguous(self.dims))

    def __repr__(self) -> str:
        return f"<source {self.hint or self.serial} {self.dtype}{list(self.dims)}>"


@dataclass(frozen=True, eq=False)
class View:
    source: Source
    ref: ViewRef

    @property
    def dims(self) -> tuple[Size, ...]:
        return self.ref.sizes  # type: ignore[return-value]

    def with_ref(self, ref: ViewRef) -> View:
        return View(self.source, ref)


@dataclass(eq=False)
class Item:
    """Something that runs at one place of a block."""

    loc: Location | None = None
    op: str = ""

    def views(self) -> Iterator[View]:
        """Arrays it reads."""
        return iter(())

    def sizes(self) -> Iterator[Size | None]:
        """Sizes it needs (for the run-time integers in them)."""
        for v in self.views():
            yield from (*v.ref.sizes, *v.ref.strides, v.ref.offset)

    def numbers(self) -> Iterator[Scalar]:
        return iter(())

    def makes(self) -> list[Source]:
        return []

    def sets(self) -> list[Reg]:
        return []


Cast = Literal["compute", "keep"]


@dataclass(eq=False)
class Map(Item):
    """out[i] = text(operands[i]): every operand is a view expanded to out's dims, or a number.

    `casts[k]` is the dtype operand k is converted to. An empty text stands for the operand itself. `index` operands
    are dimension
    numbers of out. Two conversions may be asked for: `compute` before the text, `out.dtype` after it.
    """

    out: Source = field(kw_only=True)
    text: str = field(kw_only=True)
    operands: list[View | Scalar | int] = field(kw_only=True)
    casts: list[str] = field(kw_only=True)
    compute: str = field(kw_only=True)

    def views(self) -> Iterator[View]:
        return (o for o in self.operands if isinstance(o, View))

    def sizes(self) -> Iterator[Size | None]:
        yield from Item.sizes(self)
        yield from self.out.dims

    def numbers(self) -> Iterator[Scalar]:
        return (o for o in self.operands if isinstance(o, Scalar))

    def makes(self) -> list[Source]:
        return [self.out]

    @property
    def is_copy(self) -> bool:
        return (
            self.text == "" and isinstance(self.operands[0], View) and self.operands[0].source.dtype == self.out.dtype
        )


@dataclass(eq=False)
class Reduce(Item):
    """out = kind over `axes` of `arg`, cast to `compute` first; the dims of out are those of arg without `axes`."""

    out: Source = field(kw_only=True)
    kind: str = field(kw_only=True)
    arg: View = field(kw_only=True)
    axes: tuple[int, ...] = field(kw_only=True)
    compute: str = field(kw_only=True)

    def views(self) -> Iterator[View]:
        return iter((self.arg,))

    def makes(self) -> list[Source]:
        return [self.out]


@dataclass(eq=False)
class Matmul(Item):
    """out[..., m, n] = sum_k a[..., m, k] * b[..., k, n]; the batch dims of a and b are expanded to out's."""

    out: Source = field(kw_only=True)
    a: View = field(kw_only=True)
    b: View = field(kw_only=True)

    def views(self) -> Iterator[View]:
        return iter((self.a, self.b))

    def makes(self) -> list[Source]:
        return [self.out]

    def flops(self) -> int:
        return 2 * estimate(product([*self.out.dims, self.a.dims[-1]]))


@dataclass(eq=False)
class Instr(Item):
    """One machine instruction on numbers: `target = name(args)`; without a target, a check that may fail."""

    name: str = field(kw_only=True)
    args: list[Scalar] = field(kw_only=True)
    target: Reg | None = field(kw_only=True)

    def numbers(self) -> Iterator[Scalar]:
        return iter(self.args)

    def sets(self) -> list[Reg]:
        return [self.target] if self.target else []


@dataclass(eq=False)
class Check(Item):
    """Leave the region with `status` unless `cond` holds."""

    cond: Scalar = field(kw_only=True)
    status: Status = field(kw_only=True)

    def numbers(self) -> Iterator[Scalar]:
        return iter((self.cond,))


@dataclass(eq=False)
class Fetch(Item):
    """target = the one element of `arg`."""

    arg: View = field(kw_only=True)
    target: Reg = field(kw_only=True)

    def views(self) -> Iterator[View]:
        return iter((self.arg,))

    def sets(self) -> list[Reg]:
        return [self.target]


@dataclass(eq=False)
class Pick(Item):
    """Elements of `source` at run-time positions along one dim, or (not `gather`) `start` with `source` added at
    run-time positions.

    All views have the same dims, the domain. gather: out[i] = picked[i] moved on by index[i] * step, where `picked`
    is the view of the
    source at position 0. Otherwise the same place of out gets += source[i], and `picked` is None; `out_ref` views out
    at position 0.
    """

    out: Source = field(kw_only=True)
    index: View = field(kw_only=True)
    source: View = field(kw_only=True)
    out_ref: ViewRef = field(kw_only=True)
    step: Size = field(kw_only=True)
    count: Size = field(kw_only=True)
    gather: bool = field(kw_only=True)
    wrap: bool = field(kw_only=True, default=False)
    start: View | float = field(kw_only=True, default=0)  # an array, or a number everywhere

    def views(self) -> Iterator[View]:
        yield from (self.index, self.source)
        if isinstance(self.start, View):
            yield self.start

    def sizes(self) -> Iterator[Size | None]:
        yield from Item.sizes(self)
        yield from (self.step, self.count)

    def makes(self) -> list[Source]:
        return [self.out]


@dataclass(eq=False)
class Part(Item):
    """Nothing to do; `out` is complete once the sources in `out.parts` are stored."""

    out: Source = field(kw_only=True)

    def views(self) -> Iterator[View]:
        return (p.whole() for p in self.out.parts)

    def makes(self) -> list[Source]:
        return [self.out]


class BlockItems:
    """The items of one block in program order, and the sources and registers that are its own."""

    def __init__(self, parent: BlockItems | None, kind: Literal["top", "prologue", "loop", "branch"]) -> None:
        self.parent = parent
        self.kind = kind
        self.items: list[Item] = []

    def add(self, item: Item) -> None:
        for source in item.makes():
            source.maker, source.owner = item, self
        self.items.append(item)


Binding = View | Scalar | list  # list: what a py.list or py.tuple node holds


@dataclass(eq=False)
class Loop(Item):
    """`for index in range(trip)` or `while cond`: see `ir.graph` for the node. Pairs are (parameter, initial, next,
    result)."""

    trip: Scalar | None = field(kw_only=True)
    cond: Scalar = field(kw_only=True)
    reverse: bool = field(kw_only=True)
    body: BlockItems = field(kw_only=True)
    index: Reg = field(kw_only=True)
    next_cond: Scalar = field(kw_only=True)
    tensors: list[CarriedTensor] = field(kw_only=True)
    scalars: list[CarriedScalar] = field(kw_only=True)
    stacked: list[Source] = field(kw_only=True)

    def views(self) -> Iterator[View]:
        yield from (t.init for t in self.tensors)
        yield from (t.moved for t in self.tensors if t.moved is not None)
        yield from outer_views(self.body)

    def sizes(self) -> Iterator[Size | None]:
        yield from Item.sizes(self)
        yield from outer_sizes(self.body)

    def numbers(self) -> Iterator[Scalar]:
        yield from (s for s in (self.trip, self.cond) if s is not None)
        yield from (s.init for s in self.scalars)
        yield from (s.next for s in self.scalars if s.next is not None)
        yield self.next_cond
        yield from outer_numbers(self.body)

    def makes(self) -> list[Source]:
        return [*(t.result for t in self.tensors), *self.stacked]

    def sets(self) -> list[Reg]:
        return [s.result for s in self.scalars]


@dataclass(eq=False)
class CarriedTensor:
    given: View  # the initial value as the program has it
    init: View  # the same, contiguous
    param: Source
    result: Source
    current: Pointer
    following: Pointer
    next: View | None = None
    moved: View | None = None  # the next value is this view of memory that stays: only the pointer moves
    shares: Scalar = FRESH  # whether the initial value is the caller's memory
    flag: CarriedScalar | None = None  # carries `shares` from turn to turn, where it varies


@dataclass(eq=False)
class CarriedScalar:
    init: Scalar
    param: Reg
    result: Reg
    next: Scalar | None = None


@dataclass(eq=False)
class If(Item):
    cond: Scalar = field(kw_only=True)
    branches: tuple[BlockItems, BlockItems] = field(kw_only=True)
    results: list[Source] = field(kw_only=True)
    scalars: list[tuple[Reg, Scalar, Scalar]] = field(kw_only=True)

    def views(self) -> Iterator[View]:
        for b in self.branches:
            yield from outer_views(b)

    def sizes(self) -> Iterator[Size | None]:
        yield from Item.sizes(self)
        for b in self.branches:
            yield from outer_sizes(b)

    def numbers(self) -> Iterator[Scalar]:
        yield self.cond
        for _, a, b in self.scalars:
            yield from (a, b)
        for block in self.branches:
            yield from outer_numbers(block)

    def makes(self) -> list[Source]:
        return list(self.results)

    def sets(self) -> list[Reg]:
        return [r for r, _, _ in self.scalars]


def outer_views(block: BlockItems) -> Iterator[View]:
    """Everything that the items of a block read; inner sources are harmless, nothing outside makes them."""
    for item in block.items:
        yield from item.views()


def outer_sizes(block: BlockItems) -> Iterator[Size | None]:
    for item in block.items:
        yield from item.sizes()


def outer_numbers(block: BlockItems) -> Iterator[Scalar]:
    for item in block.items:
        yield from item.numbers()


def estimate(size: Size | None, symbols: int = 32) -> int:
    """A guess of a size for costs: every symbol counts as `symbols`."""
    if size is None:
        return symbols
    return size if isinstance(size, int) else size.evaluate(dict.fromkeys(size.symbols(), symbols))
