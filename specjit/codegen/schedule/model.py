"""What a region is made of before it becomes kernels: arrays, computations on them, run-time numbers, and control
flow.

Enters: nothing; `build` makes these from IR nodes. Leaves: the data that `fuse`, `emit` and `control` work on.
Invariant: a computation defines one `Source`, a row-major array that need not exist in memory until `home` says
where. Views (`View`) of a source cost nothing. Sizes are ints or polynomials over size symbols and over the symbols
of run-time integers (`Reg`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.ir.dims import Poly, Size, symbol
from specjit.ir.viewref import ViewRef

if TYPE_CHECKING:
    from specjit.codegen.schedule.items import BlockItems, Item

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


CALLERS = Scalar("int", 1)  # the origin of the caller's memory


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
    """An address that moves: carried by a loop, or chosen by a branch. There are `elements` of `dtype`; `targets` are
    the storages that it may point into."""

    __slots__ = ("dtype", "elements", "name", "targets")

    def __init__(self, name: str, dtype: str, elements: Size) -> None:
        self.name = name
        self.dtype = dtype
        self.elements = elements
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

    __slots__ = ("dims", "dtype", "home", "hint", "maker", "origin", "owner", "parts", "serial", "want", "within")

    def __init__(self, dtype: str, dims: tuple[Size, ...], hint: str = "", home: Home | None = None) -> None:
        self.dtype = dtype
        self.dims = dims
        self.hint = hint
        self.home = home
        self.maker: Item | None = None
        self.owner: BlockItems | None = None  # the block of the maker
        self.want: Home | None = None  # where it must be put if it is put into memory at all
        self.parts: list[Source] = []  # a source put together from these, which are stored into its home
        self.within: Source | None = None  # an array put together from parts, of which this is one, in its place
        self.origin: Scalar | None = None  # which memory it would be in eager (`origins`); None: its own
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


TYPICAL = 32  # a size of which nothing is known
NOTHING: Mapping[str, int] = MappingProxyType({})


def estimate(size: Size | None, known: Mapping[str, int] = NOTHING) -> int:
    """A guess of a size for costs: a symbol is what it is `known` to be, or typical."""
    if size is None:
        return TYPICAL
    return size if isinstance(size, int) else size.evaluate({s: known.get(s, TYPICAL) for s in size.symbols()})
