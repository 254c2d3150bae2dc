"""When a gradient is there at all: eager leaves None where nothing reached an input in the run at hand.

Enters: which gradients of outputs arrive, which branches were taken and which loops turned. Leaves: a `When` for each
gradient: facts that the caller of the backward code knows (`Given`, `Positive`), and, where branches on data decide, a
bool that the backward code computes.
Invariant: exact. A gradient whose `When` does not hold is zero, so it may be added all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from specjit.ir.dims import Poly
from specjit.ir.graph import Value
from specjit.ir.types import BOOL

if TYPE_CHECKING:
    from specjit.passes.autodiff.gradients import GradientBuilder


@dataclass(frozen=True)
class Given:
    """A gradient of output `output` arrived."""

    output: int


@dataclass(frozen=True)
class Positive:
    """A size is at least 1."""

    size: Poly


Fact: TypeAlias = Given | Positive
Terms: TypeAlias = frozenset[frozenset[Fact]]


@dataclass(frozen=True)
class When:
    """Whether all facts of one of `terms` hold, or the run-time bool `value` does."""

    terms: Terms
    value: Value | None = None

    @property
    def always(self) -> bool:
        return frozenset() in self.terms

    def turned(self, trip: int | Poly) -> When:
        """This, of what happens in a loop with so many turns: it takes at least one. Not for run-time bools."""
        if isinstance(trip, int):
            return self if trip > 0 else NEVER
        return When(frozenset(term | {Positive(trip)} for term in self.terms))


NEVER = When(frozenset())
ALWAYS = When(frozenset({frozenset()}))


class Givens:
    """The outputs whose gradients may arrive, at least one of them in every call; bools for each, defined later."""

    def __init__(self, outputs: Iterable[int]) -> None:
        self.outputs = tuple(outputs)
        self.values: dict[int, Value] = {}

    def when(self, output: int) -> When:
        return When(self.simplified(frozenset({frozenset({Given(output)})})))

    def of(self, output: int) -> Value:
        return self.values.setdefault(output, Value(BOOL, None, f"given{output}"))

    def simplified(self, terms: Terms) -> Terms:
        """Without what another term makes superfluous; that the gradient of some output is there goes without
        saying."""
        found = set(terms)
        for rest in {frozenset(fact for fact in term if not isinstance(fact, Given)) for term in terms}:
            if all(any(t <= rest | {Given(j)} for t in terms) for j in self.outputs):
                found.add(rest)
        return frozenset(t for t in found if not any(other < t for other in found))


def either(whens: Iterable[When], builder: GradientBuilder) -> When:
    """Any of them."""
    terms: Terms = frozenset()
    values: dict[Value, None] = {}
    for when in whens:
        terms |= when.terms
        if when.value is not None:
            values[when.value] = None
    terms = builder.givens.simplified(terms)
    if frozenset() in terms or not values:
        return When(terms)
    return When(terms, _joined("py.or", list(values), builder))


def as_value(when: When, builder: GradientBuilder) -> Value:
    """A bool that says so at run time."""
    if when.always:
        return Value.constant(True, BOOL)
    found = [] if when.value is None else [when.value]
    terms = [sorted(term, key=repr) for term in sorted(when.terms, key=repr)]
    found += [_joined("py.and", [_fact(fact, builder) for fact in term], builder) for term in terms]
    return _joined("py.or", found, builder) if found else Value.constant(False, BOOL)


def _fact(fact: Fact, builder: GradientBuilder) -> Value:
    if isinstance(fact, Given):
        return builder.givens.of(fact.output)
    return builder.call("py.gt", builder.sizes.of(fact.size), 0)


def _joined(op: str, values: list[Value], builder: GradientBuilder) -> Value:
    total, *rest = values
    for value in rest:
        total = builder.call(op, total, value)
    return total
