"""Which memory a value would be in eager: numbers by which a region tells whether an output is the caller's memory, or
the same array as another output.

Enters: sources. Leaves: `Origins.of(source)`, an int that may be known only at run time (what a loop carried, what a
branch chose). Two sources that would be one array in eager have equal numbers; unequal ones are two arrays, in all
runs.
Invariant: nothing is computed for a number that nobody compares (`prune`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from specjit.codegen.schedule.items import BlockItems, If, Instr
from specjit.codegen.schedule.model import Reg, Scalar, Source
from specjit.ir.dims import Poly, Size

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder

SPREAD = 1 << 16  # arrays made at one place in different turns of a loop lie this far apart


class Origins:
    """Numbers of sources. Of a number in a register, `_choices` are those that it may become."""

    def __init__(self) -> None:
        self._numbers: dict[Source, int] = {}
        self._choices: dict[str, list[Scalar]] = {}
        self._after: dict[str, tuple[Scalar, Scalar]] = {}  # a loop's result: whether it turned, and what it is then

    def of(self, source: Source) -> Scalar:
        if source.origin is not None:
            return source.origin
        number: Size = self._numbers.setdefault(source, len(self._numbers) + 2)
        index = _turn(source.owner)
        return Scalar("int", number if index is None else number + index.size * SPREAD)

    def register(self, b: Builder, *choices: Scalar) -> Reg:
        """A number that will be one of these."""
        reg = b.new_reg("int")
        self._choices[reg.name] = list(choices)
        return reg

    def may_become(self, reg: Reg, choice: Scalar) -> None:
        self._choices[reg.name].append(choice)

    def after_loop(self, b: Builder, init: Scalar, following: Scalar, index: Reg, turned: Scalar, last: Size) -> Scalar:
        """Of a value that every turn of a counted loop makes anew: that of the last turn (number `last`), or of the
        initial value if the loop has not turned. To be called where the loop is over."""
        value = following.value
        assert isinstance(value, int | Poly)
        if isinstance(value, Poly) and index.name in value.symbols():
            value = last * SPREAD + value.terms[()]
        made = Scalar("int", value)
        reg = self.register(b, made, init)
        self._after[reg.name] = turned, made
        sides = (BlockItems(b.block, "branch"), BlockItems(b.block, "branch"))
        b.add(If(cond=turned, branches=sides, results=[], scalars=[(reg, made, init)]), here=True)
        return Scalar("int", reg)

    def same_after(self, x: Scalar, y: Scalar) -> Scalar | None:
        """A truth value under which these are one array: both are what a loop made last, if it turned. None if
        nothing like that is known."""
        a, b = (self._after.get(n.value.name) if isinstance(n.value, Reg) else None for n in (x, y))
        return a[0] if a is not None and a == b else None

    def condition(self, b: Builder, x: Scalar, y: Scalar) -> Scalar | None:
        """A truth value under which the numbers are unequal, seldom false where they are; None if they always are."""
        if not self._possible(x) & self._possible(y):
            return None
        for a, other in ((x, y), (y, x)):
            turned, made = self._after.get(a.value.name, (None, None)) if isinstance(a.value, Reg) else (None, None)
            if turned is not None and made is not None and not self._possible(made) & self._possible(other):
                return turned
        differ = b.new_reg("bool")
        b.add(Instr(name="NE", args=[x, y], target=differ))
        return Scalar("bool", differ)

    def _possible(self, origin: Scalar) -> set[int]:
        """What the number may be, whatever the turn."""
        found: set[int] = set()
        seen: set[str] = set()
        stack = [origin]
        while stack:
            value = stack.pop().value
            if not isinstance(value, Reg):
                assert isinstance(value, int | Poly)
                found.add(value.terms[()] if isinstance(value, Poly) else value)
            elif value.name not in seen:
                seen.add(value.name)
                stack += self._choices[value.name]
        return {number % SPREAD for number in found}


def _turn(block: BlockItems | None) -> Reg | None:
    """The index of the innermost loop around a block."""
    while block is not None and block.index is None:
        block = block.parent
    return None if block is None else block.index
