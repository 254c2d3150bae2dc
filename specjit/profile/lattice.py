"""How signatures merge: unseen -> constant -> symbol, per size and per number.

Enters: signatures with one key (same structure, dtypes, ranks, devices, grad flags). Leaves: `Profile.assume()`, the
facts that a specialization may take for granted: which sizes are constants, and which share which symbol.
Invariant: facts only weaken as more calls are seen; sizes share a symbol only if they were equal in every call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from specjit import locks
from specjit.ir.dims import Size, symbol
from specjit.limits import MAX_SIGNATURES
from specjit.profile.signature import NumberFact, Signature, TensorFact

Position = tuple[int, int]  # (leaf, dim)
Pattern = tuple[Any, ...]  # which sizes and numbers vary, and which of them together
_NAMES = "TBSNMPQRUVW"


@dataclass(frozen=True)
class Assumptions:
    """What to specialize on: a size per (leaf, dim), the value of a number leaf or None where it varies, and which
    tensors have C-contiguous layout in every call (others: their constant strides, or None where even those vary)."""

    signature: Signature
    sizes: dict[Position, Size]
    numbers: dict[int, float | None]
    strides: dict[int, tuple[int, ...] | None]

    def dims(self, leaf: int) -> tuple[Size, ...]:
        fact = self.signature.facts[leaf]
        assert isinstance(fact, TensorFact)
        return tuple(self.sizes[leaf, d] for d in range(len(fact.dims)))

    def symbols(self) -> list[str]:
        seen = {repr(s): None for s in self.sizes.values() if not isinstance(s, int)}
        return list(seen)


@dataclass
class Profile:
    """All that was seen of calls with one signature key. `kept` is replaced, never changed: `frozen` is a view of one
    moment for who looks more than once while calls go on."""

    first: Signature
    count: int = 0
    kept: tuple[Signature, ...] = ()
    _latest: Signature | None = None
    _lock: Any = field(default_factory=locks.lock, repr=False)

    def add(self, signature: Signature) -> bool:
        """Record a call; True if it taught something new."""
        with self._lock:
            self.count += 1
            if signature is self._latest:
                return False
            self._latest = signature
            if signature in self.kept:
                return False
            # When full, the oldest but the first goes: what varied has been seen to vary in those that stay.
            stay = self.kept if len(self.kept) < MAX_SIGNATURES else (self.kept[0], *self.kept[2:])
            self.kept = (*stay, signature)
            return True

    def frozen(self) -> Profile:
        """What was seen until now."""
        with self._lock:
            return Profile(self.first, self.count, self.kept, self._latest)

    def positions(self) -> list[Position]:
        return [
            (i, d)
            for i, fact in enumerate(self.first.facts)
            if isinstance(fact, TensorFact)
            for d in range(len(fact.dims))
        ]

    def history(self, at: Position) -> tuple[int, ...]:
        return tuple(_tensor(s, at[0]).dims[at[1]] for s in self.kept)

    @property
    def latest(self) -> Signature:
        """The latest call."""
        return self.kept[-1] if self._latest is None else self._latest

    def only_latest(self) -> Profile:
        """As if no call but the latest had been seen."""
        found = Profile(self.latest)
        found.add(self.latest)
        return found

    def varying(self) -> list[list[Position]]:
        """Classes of sizes that changed from call to call, those that always moved together in one class."""
        return [c for c in self.classes() if len(set(self.history(c[0]))) > 1]

    def varying_numbers(self) -> list[int]:
        """The number leaves that changed from call to call."""
        return [i for i, value in self._numbers().items() if value is None]

    def _numbers(self) -> dict[int, float | None]:
        """Each number leaf: its value, or None where that changed."""
        found: dict[int, float | None] = {}
        for i, fact in enumerate(self.first.facts):
            if isinstance(fact, NumberFact):
                seen = [_number(s, i) for s in self.kept]
                same = all(v == fact.value and repr(v) == repr(fact.value) for v in seen)
                found[i] = fact.value if same else None
        return found

    def pattern(self) -> Pattern:
        """Which sizes and numbers vary: what is not known of later calls, as far as these tell."""
        return (tuple(map(tuple, self.varying())), tuple(self.varying_numbers()))

    def classes(self) -> list[list[Position]]:
        """Sizes grouped by equal history."""
        groups: dict[tuple[int, ...], list[Position]] = {}
        for at in self.positions():
            groups.setdefault(self.history(at), []).append(at)
        return list(groups.values())

    def assume(self, symbolic: Iterable[Iterable[Position]] = ()) -> Assumptions:
        """Constants where nothing changed, one symbol per varying class, and one per class in `symbolic` besides."""
        latest = self.latest
        sizes: dict[Position, Size] = {at: _tensor(latest, at[0]).dims[at[1]] for at in self.positions()}
        classes = sorted([*self.varying(), *map(list, symbolic)], key=min)  # names follow the arguments' order
        named: set[Position] = set()
        names = iter([*_NAMES, *(f"d{i}" for i in range(len(self.positions())))])
        for members in classes:
            free = [at for at in members if at not in named]
            if free:
                name = symbol(next(names))
                sizes.update(dict.fromkeys(free, name))
                named.update(free)
        strides: dict[int, tuple[int, ...] | None] = {}
        for i, fact in enumerate(self.first.facts):
            seen: list[Any] = [s.facts[i] for s in self.kept]
            if isinstance(fact, TensorFact) and not all(s.contiguous for s in seen):
                strides[i] = seen[0].strides if all(s.strides == seen[0].strides for s in seen) else None
        return Assumptions(latest, sizes, self._numbers(), strides)


def _number(signature: Signature, leaf: int) -> float:
    fact = signature.facts[leaf]
    assert isinstance(fact, NumberFact)
    return fact.value


def _tensor(signature: Signature, leaf: int) -> TensorFact:
    fact = signature.facts[leaf]
    assert isinstance(fact, TensorFact)
    return fact
