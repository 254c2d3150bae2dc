"""Frame slots, and the instructions that compute sizes, numbers and addresses into them.

Enters: sizes, `Scalar`s and `Addr`s that steps need. Leaves: slots, and instructions in the outermost scope where all
they depend on is known.
Invariant: an address or a size is computed once per scope. An address that moves evenly with a loop by a run-time
step is a pointer that the loop advances; by a constant step it is one multiply-add per turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from specjit.codegen.abi import FIRST_FREE, SELF
from specjit.codegen.machine.instructions import float_bits
from specjit.codegen.schedule.errors import in_word
from specjit.codegen.schedule.model import Pointer, Reg, Scalar, Storage
from specjit.codegen.schedule.steps import Addr, LoopStep
from specjit.ir.dims import Poly, Size


class Label:
    """A position in the program."""


@dataclass(frozen=True)
class Kernel:
    """A kernel by its number, as the target of a call."""

    number: int


Word = int | Label | Kernel
Line = tuple[str, tuple[Word, ...]] | Label


@dataclass
class Scope:
    """A block under translation: its instructions, what it has computed, and the loop it is the body of."""

    lines: list[Line] = field(default_factory=list)
    sizes: dict[object, int] = field(default_factory=dict)
    defined: set[object] = field(default_factory=set)
    loop: LoopStep | None = None
    advances: list[tuple[str, tuple[Word, ...]]] = field(default_factory=list)
    index_used: bool = False


class Values:
    """Slots and the scopes under translation."""

    def __init__(self) -> None:
        self.next_slot = FIRST_FREE
        self.slots: dict[object, int] = {}
        self.constants: dict[int, int] = {}
        self.presets: dict[int, int] = {}
        self.scopes: list[Scope] = [Scope()]
        self.names: dict[int, str] = {}

    # slots

    def slot(self, key: object, name: str = "") -> int:
        """The slot of a storage, pointer, register or size symbol."""
        if key not in self.slots:
            self.slots[key] = self.fresh(name)
        return self.slots[key]

    def fresh(self, name: str = "") -> int:
        self.next_slot += 1
        if name:
            self.names[self.next_slot - 1] = name
        return self.next_slot - 1

    def constant(self, value: int | float) -> int:
        bits = float_bits(value) if isinstance(value, float) else in_word(int(value))
        if bits not in self.constants:
            self.constants[bits] = self.fresh(f"={value}")
            self.presets[self.constants[bits]] = bits
        return self.constants[bits]

    def define(self, key: object) -> None:
        self.scopes[-1].defined.add(key)

    # instructions

    def emit(self, name: str, *words: Word, scope: Scope | None = None) -> None:
        for word in words:
            if isinstance(word, int):
                in_word(word)
        (scope or self.scopes[-1]).lines.append((name, words))

    def place(self, label: Label) -> None:
        self.scopes[-1].lines.append(label)

    def scope_of(self, keys: set[object]) -> Scope:
        """The outermost scope in which all keys are known."""
        for scope in reversed(self.scopes):
            if scope.defined & keys:
                return scope
        return self.scopes[0]

    # sizes and numbers

    def size(self, size: Size) -> int:
        """A slot that holds a size (unchecked arithmetic: sizes are bounded by memory)."""
        if isinstance(size, int):
            return self.constant(size)
        scope = self.scope_of(set(size.symbols()))
        if size not in scope.sizes:
            scope.sizes[size] = self.sum_into(scope, None, size, 1)
        return scope.sizes[size]

    def note_index(self, keys: Iterable[str]) -> None:
        """Loop indices among these names must be kept up to date."""
        for scope in self.scopes:
            if scope.loop is not None and scope.loop.index.name in keys:
                scope.index_used = True

    def monomial(self, mono: tuple[str, ...]) -> int:
        """A slot with a product of symbols."""
        self.note_index(mono)
        if len(mono) == 1:
            return self.slot(mono[0], mono[0])
        scope = self.scope_of(set(mono))
        key = ("mono", mono)
        if key not in scope.sizes:
            slot = self.fresh("*".join(mono))
            self.emit("MUL", slot, self.monomial(mono[:-1]), self.slot(mono[-1], mono[-1]), scope=scope)
            scope.sizes[key] = slot
        return scope.sizes[key]

    def sum_into(self, scope: Scope, start: int | None, size: Poly, factor: int) -> int:
        """start + factor * size."""
        terms = [(m, c) for m, c in size.terms.items() if m]
        fixed = size.terms.get((), 0) * factor
        if start is None and fixed == 0 and len(terms) == 1 and terms[0][1] * factor == 1:
            return self.monomial(terms[0][0])
        slot = self.fresh(repr(size) if start is None else "")
        have = start
        if fixed or have is None:
            if have is None:
                have = self.constant(fixed)
            else:
                self.emit("ADDI", slot, have, fixed, scope=scope)
                have = slot
        for mono, c in terms:
            self.emit("MADDI", slot, have, self.monomial(mono), c * factor, scope=scope)
            have = slot
        return slot

    def checked(self, s: Scalar) -> int:
        """A slot that holds a Python number; integer arithmetic is checked."""
        if isinstance(s.value, Reg):
            self.note_index([s.value.name])
            return self.slot(s.value.name, s.value.name)
        if isinstance(s.value, Poly):
            return self.checked_sum(s.value)
        return self.constant(s.value)

    def checked_sum(self, size: Poly) -> int:
        scope = self.scope_of(set(size.symbols()))
        key = ("checked", size)
        if key in scope.sizes:
            return scope.sizes[key]
        have: int | None = None
        for mono, c in size.terms.items():
            if not mono:
                term = self.constant(c)
            else:
                term = self.monomial(mono)
                if c != 1:
                    product = self.fresh()
                    self.emit("MUL", product, term, self.constant(c), scope=scope)
                    term = product
            if have is None:
                have = term
            else:
                total = self.fresh()
                self.emit("ADD", total, have, term, scope=scope)
                have = total
        assert have is not None
        scope.sizes[key] = have
        return have

    # addresses

    def base_slot(self, base: object) -> int:
        if isinstance(base, Reg):
            slot = self.fresh(f"&{base.name}")
            self.emit("ADDI", slot, SELF, 8 * self.slot(base.name, base.name), scope=self.scopes[0])
            return slot
        return self.slot(base, base.name if isinstance(base, Storage | Pointer) else "")

    def address(self, a: Addr) -> int:
        """A slot that holds an address."""
        if isinstance(a.base, Reg):
            scope = self.scopes[0]
            if a not in scope.sizes:
                scope.sizes[a] = self.base_slot(a.base)
            return scope.sizes[a]
        if a.offset == 0:
            return self.base_slot(a.base)
        keys: set[object] = {a.base}
        if isinstance(a.offset, Poly):
            keys |= a.offset.symbols()
        scope = self.scope_of(keys)
        key = (a.base, a.offset * a.itemsize)
        if key not in scope.sizes:
            scope.sizes[key] = self.compute_address(scope, a)
        return scope.sizes[key]

    def compute_address(self, scope: Scope, a: Addr) -> int:
        start = self.base_slot(a.base)
        name = f"&{getattr(a.base, 'name', '')}+{a.offset}"
        if isinstance(a.offset, int):
            slot = self.fresh(name)
            self.emit("ADDI", slot, start, a.offset * a.itemsize, scope=scope)
            return slot
        moving = self.advanced(scope, a, name)
        if moving is not None:
            return moving
        slot = self.sum_into(scope, start, a.offset, a.itemsize)
        self.names[slot] = name
        return slot

    def advanced(self, scope: Scope, a: Addr, name: str) -> int | None:
        """An address that is linear in the loop's index, with a step known before the loop: a pointer that the loop
        advances, or with a constant step a multiply-add on a base computed before the loop."""
        loop = scope.loop
        assert isinstance(a.offset, Poly)
        if loop is None or a.base in scope.defined or (loop.trip is None and loop.reverse):
            return None
        index = loop.index.name
        step: Size = 0
        rest: Size = 0
        for mono, c in a.offset.terms.items():
            term: Size = Poly({mono: c}) if mono else c
            if index not in mono:
                rest = rest + term
            elif mono.count(index) == 1:
                left = list(mono)
                left.remove(index)
                step = step + (Poly({tuple(left): c}) if left else c)
            else:
                return None
        others: set[object] = set()
        for part in (step, rest):
            others |= part.symbols() if isinstance(part, Poly) else set()
        if step == 0 or others & scope.defined:
            return None
        at = self.scopes.index(scope)
        inner, self.scopes = self.scopes, self.scopes[:at]
        try:
            if isinstance(step, int):
                base = self.address(Addr(a.base, a.dtype, rest))
                slot = self.fresh(name)
                scope.index_used = True
                self.emit("MADDI", slot, base, self.slot(index, index), step * a.itemsize, scope=scope)
                return slot
            first: Size = rest
            if loop.reverse:
                assert loop.trip is not None
                first = rest + step * (_as_size(loop.trip) - 1)
            begin = self.address(Addr(a.base, a.dtype, first))
            stride = self.size(step * (-a.itemsize if loop.reverse else a.itemsize))
            slot = self.fresh(name)
            self.emit("MOV", slot, begin)
        finally:
            self.scopes = inner
        scope.advances.append(("ADD", (slot, slot, stride)))
        return slot


def _as_size(s: Scalar) -> Size:
    if isinstance(s.value, Reg):
        return s.value.size
    assert isinstance(s.value, int | Poly)
    return s.value
