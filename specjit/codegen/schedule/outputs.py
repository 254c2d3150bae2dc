"""What a region hands out: each output is fresh memory, or a view of an input or of another output, as in eager.

Enters: the values that leave a block. Leaves: the views and numbers that the plan's outputs are made of; what needs
memory of its own wants it (`Source.want`), or is copied there.
Invariant: outputs share memory with inputs and with one another exactly as eager's do; where that is known only at run
time, a run in which they would is left with GUARD.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from specjit.codegen.abi import Status
from specjit.codegen.schedule.control_items import claim
from specjit.codegen.schedule.errors import NotSchedulable
from specjit.codegen.schedule.items import Check
from specjit.codegen.schedule.model import CALLERS, Home, Scalar, Source, Storage, View
from specjit.ir.dims import product
from specjit.ir.graph import Value

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder

Outputs = list[View | Scalar]


def deliver_all(b: Builder, values: Sequence[Value]) -> Outputs:
    """Where the outputs are. The run leaves the region where one would be memory of the caller's, or the array of
    another one, in a way that is known only then: made here, it would be an array of its own."""
    needed: list[Scalar] = []
    sources: list[Source] = []
    outputs: Outputs = []
    for value in values:
        found = b.get(value)
        if isinstance(found, View):
            found, condition = _as_one(b, found, sources)
            needed += [] if condition is None else [condition]
            outputs.append(deliver(b, found))
        elif isinstance(found, Scalar):
            outputs.append(found)
        else:
            raise NotSchedulable("a region returns tensors and numbers only")
    for k, source in enumerate(sources):
        needed += _apart(b, source, sources[:k])
    for condition in dict.fromkeys(needed):
        b.add(Check(cond=condition, status=Status.GUARD))
    return outputs


def _as_one(b: Builder, view: View, sources: list[Source]) -> tuple[View, Scalar | None]:
    """The view, of the source in `sources` that is the same array if a condition holds; else its source is a new
    one."""
    for source in sources:
        condition = b.origins.same_after(b.origins.of(source), b.origins.of(view.source))
        if condition is not None and source is not view.source:
            return View(source, view.ref), condition
    if view.source not in sources and not _is_input(view.source):
        sources.append(view.source)
    return view, None


def _apart(b: Builder, source: Source, others: Sequence[Source]) -> list[Scalar]:
    """What must hold for a source to be neither the caller's memory nor the array of one of the others."""
    origin = b.origins.of(source)
    numbers = [CALLERS, *map(b.origins.of, others)]
    if origin in numbers:
        raise NotSchedulable("an output shares memory with an input or another output in a way that no view says")
    return [c for number in numbers if (c := b.origins.condition(b, origin, number)) is not None]


def _is_input(source: Source) -> bool:
    return source.home is not None and isinstance(source.home.base, Storage) and source.home.base.kind == "input"


def deliver(b: Builder, found: View) -> View:
    """Say where an output must be; what needs a fresh array wants one."""
    b.check_signs((*found.ref.sizes, *found.ref.strides, found.ref.offset))
    source = found.source
    if _is_input(source):
        return found
    if source.within is not None or source in b.fixed:
        # It shares no memory with the array that it is a part of, nor with the parameter, as far as the caller can see.
        return copied(b, found)
    place = source.want or source.home
    base = None if place is None else place.resolved().base
    if isinstance(base, Storage) and base.kind == "output":
        return found
    if claim(b.top, source.whole(), fresh(source, source.whole())):
        return found
    return copied(b, found)


def copied(b: Builder, view: View) -> View:
    """The same view of a copy of its source, one for all outputs."""
    source = view.source
    if source not in b.apart:
        b.apart[source] = b.copy(source.whole(), fresh(source, source.whole()), here=True)
    return b.apart[source].whole().with_ref(view.ref)


def fresh(source: Source, view: View) -> Home:
    elements = product(view.dims)
    assert elements is not None
    return Home(Storage("output", source.dtype, elements, source.hint))
