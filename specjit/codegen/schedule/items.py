"""What a block does, before it becomes kernels: computations on arrays, instructions on numbers, loops and branches.

Enters: nothing; `build` makes these from IR nodes. Leaves: the data that `fuse`, `lower` and `emit` work on.
Invariant: every item says what it reads (`views`, `sizes`, `numbers`) and what it makes (`makes`, `sets`), inner
blocks included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from specjit.codegen.abi import Status
from specjit.codegen.schedule.model import Pointer, Reg, Scalar, Source, View, estimate
from specjit.ir.dims import Size, product
from specjit.ir.graph import Location
from specjit.ir.viewref import ViewRef

if TYPE_CHECKING:
    from specjit.codegen.schedule.windows import Windows


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


@dataclass(eq=False)
class Map(Item):
    """out[i] = text(operands[i]): every operand is a view expanded to out's dims, or a number.

    `casts[k]` is the dtype operand k is converted to. An empty text stands for the operand itself. `index` operands
    are dimension numbers of out. Two conversions may be asked for: `compute` before the text, `out.dtype` after it.
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
    """out[..., m, n] = sum_k a[..., m, k] * b[..., k, n], and the same for the pairs in `more` added; the batch dims of
    a and b are expanded to out's. `windows`: what is read in place of b, which is a copy of it."""

    out: Source = field(kw_only=True)
    a: View = field(kw_only=True)
    b: View = field(kw_only=True)
    more: list[tuple[View, View]] = field(kw_only=True, default_factory=list)
    windows: Windows | None = field(kw_only=True, default=None)

    @property
    def pairs(self) -> list[tuple[View, View]]:
        return [(self.a, self.b), *self.more]

    def views(self) -> Iterator[View]:
        if self.windows is not None:
            return iter((self.a, self.windows.view))
        return (v for pair in self.pairs for v in pair)

    def makes(self) -> list[Source]:
        return [self.out]

    def flops(self) -> int:
        return sum(2 * estimate(product([*self.out.dims, a.dims[-1]])) for a, _ in self.pairs)


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
    is the view of the source at position 0. Otherwise the same place of out gets += source[i], and `picked` is None;
    `out_ref` views out at position 0.
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
class Draw(Item):
    """out = uniform numbers in [0, 1): Philox blocks from number `first` on, under the key `seed`."""

    out: Source = field(kw_only=True)
    seed: Size = field(kw_only=True)
    first: Size = field(kw_only=True)

    def sizes(self) -> Iterator[Size | None]:
        yield from (*self.out.dims, self.seed, self.first)

    def makes(self) -> list[Source]:
        return [self.out]


@dataclass(eq=False)
class Scan(Item):
    """out = running sums of `arg`, which has its dtype, along `axis`."""

    out: Source = field(kw_only=True)
    arg: View = field(kw_only=True)
    axis: int = field(kw_only=True)

    def views(self) -> Iterator[View]:
        return iter((self.arg,))

    def makes(self) -> list[Source]:
        return [self.out]


@dataclass(eq=False)
class Part(Item):
    """Nothing to do; `out` is complete once the sources in `out.parts` are stored."""

    out: Source = field(kw_only=True)
    base: Source | None = field(kw_only=True, default=None)  # of which other parts are copies, in their places

    def views(self) -> Iterator[View]:
        return (p.whole() for p in self.out.parts)

    def makes(self) -> list[Source]:
        return [self.out]


class BlockItems:
    """The items of one block in program order, and the sources and registers that are its own."""

    def __init__(self, parent: BlockItems | None, kind: Literal["top", "prologue", "loop", "branch"]) -> None:
        self.parent = parent
        self.kind = kind
        self.index: Reg | None = None  # of the loop whose body it is
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
    origin: CarriedScalar  # which memory the current value would be in eager
    next: View | None = None
    moved: View | None = None  # the next value is this view of memory that stays: only the pointer moves


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
