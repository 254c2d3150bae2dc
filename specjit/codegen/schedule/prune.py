"""Numbers that nobody reads are not computed.

Enters: the items of a region. Leaves: the same without carried numbers, branch results and instructions whose
registers lead nowhere.
Invariant: what can fail (checks, divisions, bounds) stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from specjit.codegen.schedule.items import BlockItems, If, Instr, Item, Loop
from specjit.codegen.schedule.model import Reg, Scalar
from specjit.ir.dims import Size

CANNOT_FAIL = frozenset(
    [
        "MIN",
        "MAX",
        "LT",
        "LE",
        "EQ",
        "NE",
        "AND",
        "OR",
        "NOT",
        "ITOF",
        "FADD",
        "FSUB",
        "FMUL",
        "FNEG",
        "FLT",
        "FLE",
        "FEQ",
        "FNE",
    ]
)


def unread_numbers(top: BlockItems, results: Iterable[Scalar]) -> None:
    """Drop registers that neither `results`, nor memory accesses, conditions or checks depend on."""
    needs: dict[str, set[str]] = {}
    live = set(names(results))
    _collect(top, needs, live)
    stack = list(live)
    while stack:
        for name in needs.get(stack.pop(), ()):
            if name not in live:
                live.add(name)
                stack.append(name)
    _drop(top, live)


def names(numbers: Iterable[Scalar]) -> Iterator[str]:
    """Symbols and registers in numbers."""
    for n in numbers:
        if isinstance(n.value, Reg):
            yield n.value.name
        elif not isinstance(n.value, int | float):
            yield from n.value.symbols()


def _symbols(sizes: Iterable[Size | None]) -> Iterator[str]:
    for size in sizes:
        if size is not None and not isinstance(size, int):
            yield from size.symbols()


def _removable(item: Item) -> bool:
    return isinstance(item, Instr) and item.name in CANNOT_FAIL and item.target is not None


def _only_numbers(item: If) -> bool:
    """Whether all that a branch does is choose numbers."""
    return not item.results and not any(branch.items for branch in item.branches)


def _collect(block: BlockItems, needs: dict[str, set[str]], live: set[str]) -> None:
    for item in block.items:
        live.update(_symbols(Item.sizes(item) if isinstance(item, Loop | If) else item.sizes()))
        for source in item.makes():
            places = [home.offset for home in (source.want, source.home) if home is not None]
            live.update(_symbols(places))
        if isinstance(item, Loop):
            live.update(names(n for n in (item.trip, item.cond, item.next_cond) if n is not None))
            for s in item.scalars:
                assert s.next is not None
                needs.setdefault(s.param.name, set()).update(names([s.init, s.next]))
            _collect(item.body, needs, live)
        elif isinstance(item, If):
            if not _only_numbers(item):
                live.update(names([item.cond]))
            for reg, a, b in item.scalars:
                needs.setdefault(reg.name, set()).update(names([a, b, item.cond]))
            for branch in item.branches:
                _collect(branch, needs, live)
        elif _removable(item):
            assert isinstance(item, Instr)
            assert item.target is not None
            needs.setdefault(item.target.name, set()).update(names(item.args))
        else:
            live.update(names(item.numbers()))


def _drop(block: BlockItems, live: set[str]) -> None:
    block.items = [i for i in block.items if not (_removable(i) and i.sets()[0].name not in live)]
    for item in block.items:
        if isinstance(item, Loop):
            item.scalars = [s for s in item.scalars if s.param.name in live]
            _drop(item.body, live)
        elif isinstance(item, If):
            item.scalars = [row for row in item.scalars if row[0].name in live]
            for branch in item.branches:
                _drop(branch, live)
    block.items = [i for i in block.items if not (isinstance(i, If) and _only_numbers(i) and not i.scalars)]
