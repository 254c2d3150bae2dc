"""A product over the rows of a sequence, spread over the turns of the loop that reads them.

    p = x @ w                          p[:n] = x[:n] @ w
    for t in range(T):          ->     for t in range(T):
        ... p[t] ... h @ u ...             ... p[t] ... h @ u, and beside it a share of the next 8 rows of x @ w ...

Enters: the steps of a region. Leaves: the same steps, in which such pairs of products are one kernel (`DuetSpec`), and
a note for each product over rows that a loop reads: what it is computed beside, or why not.
Legality: row t is read by turn t alone, the loop makes one turn for every row, and nothing that the product reads is
written between its old place and the end of the loop. The bits are the same (`kernels.duet`), and after the loop all
rows are in memory, as before.
Pays: see `kernels.duet.refusal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from specjit.codegen.kernels import duet
from specjit.codegen.kernels.spec import Access, Arg, DuetSpec, Extent, GemmSpec, LoopSpec, Store
from specjit.codegen.schedule.model import Reg, Scalar, Storage, estimate
from specjit.codegen.schedule.overwrite import targets
from specjit.codegen.schedule.plan import Note
from specjit.codegen.schedule.steps import (
    Addr,
    Call,
    Do,
    IfStep,
    LoopStep,
    Move,
    Operand,
    Spec,
    Step,
    nanoseconds,
    walk,
    work,
)
from specjit.ir.dims import Poly, Size

NewReg = Callable[[str], Reg]


class _Refused(Exception):
    """Why a product stays before its loop."""


def spread(steps: list[Step], new_reg: NewReg) -> list[Note]:
    """Spread what can be spread, in place."""
    notes: list[Note] = []
    for step in list(steps):
        for inner in _inner(step):
            notes += spread(inner, new_reg)
    for loop in [s for s in steps if isinstance(s, LoopStep)]:
        for call in steps[: steps.index(loop)]:
            if isinstance(call, Call) and isinstance(call.spec, GemmSpec) and _reads_rows(loop, call):
                notes.append(_spread_one(steps, call, loop, new_reg))
    return notes


def _inner(step: Step) -> list[list[Step]]:
    if isinstance(step, LoopStep):
        return [step.body]
    return [step.then, step.other] if isinstance(step, IfStep) else []


def _spread_one(steps: list[Step], call: Call, loop: LoopStep, new_reg: NewReg) -> Note:
    names, places = tuple(call.ops), tuple(call.locs[:1])
    what = f"the product over rows ({', '.join(call.ops[:4])})"
    try:
        pair = _Pair(call, steps[steps.index(call) + 1 : steps.index(loop)], loop)
        partner = pair.partner()
        pair.check()
    except _Refused as refused:
        return Note("NOT_FUSED", f"{what} is computed before the loop: {refused}", names, places)
    counting, first = pair.first_rows(new_reg)
    at = steps.index(call)
    steps[at : at + 1] = [*counting, pair.before(first)]
    loop.body[loop.body.index(partner)] = pair.duet(partner, first)
    loop.weight = nanoseconds(work(loop.body))
    text = f"{what} is computed {duet.BLOCK} rows ahead in the loop, beside the loop's own"
    return Note("FUSED", text, (*names, *partner.ops), (*places, *partner.locs[:1]))


def _written(call: Call) -> set[Storage]:
    return {s for k in call.writes for s in _storages(call.operands[k])}


def _read(call: Call) -> set[Storage]:
    return {s for k in call.reads for s in _storages(call.operands[k])}


def _storages(operand: Operand) -> set[Storage]:
    return targets(operand.base) if isinstance(operand, Addr) else set()


def _calls(steps: list[Step]) -> Iterator[Call]:
    return (s for s in walk(steps) if isinstance(s, Call))


def _reads_rows(loop: LoopStep, call: Call) -> bool:
    """Whether the loop reads what the call writes, at places that are known only at run time."""
    rows = _written(call)
    return any(
        isinstance(o, Addr) and not isinstance(o.offset, int) and _storages(o) & rows
        for reader in _calls(loop.body)
        for o in (reader.operands[k] for k in reader.reads)
    )


@dataclass
class _Pair:
    """A product over rows, and the loop that reads them."""

    call: Call
    between: list[Step]
    loop: LoopStep

    @property
    def spec(self) -> GemmSpec:
        assert isinstance(self.call.spec, GemmSpec)
        return self.call.spec

    @property
    def rows(self) -> Size:
        value = _value(self.spec.rows, self.call)
        assert value is not None
        return value

    # -- legality

    def check(self) -> None:
        """Raises `_Refused` where the program's meaning could change."""
        loop, written = self.loop, _written(self.call)
        whole = loop.trip is not None and loop.trip.value == self.rows
        if self.spec.outer or not whole or loop.cond.value is not True or loop.next_cond.value is not True:
            raise _Refused("the loop does not make one turn for each of its rows")
        if any(i.kind == "index" for i in self.spec.body):
            raise _Refused("what follows it depends on the row's number")
        if loop.reverse and not all(isinstance(access.strides[0], int) for access in self._by_row()):
            raise _Refused("how far apart its rows are is known only at run time")
        if len(written) < len(self.spec.stores):
            raise _Refused("it is stored in parts")
        inputs = _read(self.call)
        for other in _calls([*self.between, loop]):
            if _written(other) & (inputs | written):
                raise _Refused("what it reads or writes is written again before the loop ends")
        for step in walk([*self.between, loop]):
            if any(targets(place.base) & written for place in _pointed(step)):
                raise _Refused("one of its rows is carried from turn to turn")
        if any(_read(other) & written for other in _calls(self.between)):
            raise _Refused("all rows are read before the loop")
        for reader in _calls(loop.body):
            for k in reader.reads:
                for storage in _storages(reader.operands[k]) & written:
                    self._check_reader(reader, k, storage)

    def _by_row(self) -> list[Access]:
        """All accesses but those of the weights."""
        spec = self.spec
        return [spec.a, *(i.access for i in spec.body if i.access), *(s.access for s in spec.stores)]

    def _check_reader(self, reader: Call, operand: int, storage: Storage) -> None:
        """What turn t reads lies in row t."""
        store = next(s for s in self.spec.stores if storage in _storages(self.call.operands[s.access.base]))
        stored, read = self.call.operands[store.access.base], reader.operands[operand]
        assert isinstance(stored, Addr) and isinstance(read, Addr)
        step, units = store.access.strides[0], self._units(store)
        spans = [_span(access, domain, reader) for access, domain in _accesses(reader.spec, operand)]
        if not spans or not isinstance(step, int) or not isinstance(store.access.offset, int):
            raise _Refused(f"how {_name(reader)} reads it is not known")
        start = read.offset - stored.offset - self.loop.index.size * step - store.access.offset
        for span in spans:
            if span is None or not isinstance(start, int) or start + span[0] < 0 or start + span[1] > units:
                raise _Refused(f"{_name(reader)} reads more than the row of its own turn")

    def _units(self, store: Store) -> int:
        """The distance from a row's first element to its last."""
        stride, units = store.access.strides[1], self.spec.units
        if not isinstance(stride, int) or not isinstance(units, int) or stride < 1:
            raise _Refused("its size is known only at run time")
        return stride * (units - 1)

    # -- the other product

    def partner(self) -> Call:
        """The product of the loop with the most weights that can take it along. Raises `_Refused` if there is none."""
        reasons = []
        calls = [c for c in self.loop.body if isinstance(c, Call) and isinstance(c.spec, GemmSpec)]
        for call in sorted(calls, key=lambda c: -c.weight):
            assert isinstance(call.spec, GemmSpec)
            reasons.append(duet.refusal(call.spec, self.spec) or self._moving(call))
            if not reasons[-1]:
                return call
        raise _Refused(reasons[0] if reasons else "the loop has no product to run it beside")

    def _moving(self, call: Call) -> str:
        """Why the weights of a product in the loop are not the same in every turn, if so."""
        assert isinstance(call.spec, GemmSpec)
        changed = {s for other in _calls(self.loop.body) for s in _written(other)}
        pointers = {p for p, _ in self.loop.pointers}
        index = self.loop.index.size.symbols()
        for segment in call.spec.segments:
            b = call.operands[segment.b]
            assert isinstance(b, Addr)
            moves = not isinstance(b.offset, int) and index & b.offset.symbols()
            if b.base in pointers or moves or _storages(b) & changed:
                return "the loop's own has other weights in every turn"
        return ""

    # -- the new steps

    def first_rows(self, new_reg: NewReg) -> tuple[list[Step], Size]:
        """How many rows are computed before the loop: as many as leave whole blocks."""
        rows, least, block = self.rows, duet.LEAST_FIRST, duet.BLOCK
        if isinstance(rows, int):
            return [], (rows - least) % block + least
        rest, first = new_reg("int"), new_reg("int")
        steps: list[Step] = [
            Do("MOD", rest, [Scalar("int", rows - least), Scalar("int", block)]),
            Do("MIN", first, [Scalar("int", rest.size + least), Scalar("int", rows)]),
        ]
        return steps, first.size

    def before(self, first: Size) -> Call:
        """The product of the first rows."""
        spec, operands = self._in_turns()
        spec = replace(spec, rows=Arg(len(operands)))
        weight = self.call.weight * duet.BLOCK // max(estimate(self.rows), duet.BLOCK)
        return self._call(spec, [*operands, Scalar("int", first)], weight)

    def duet(self, partner: Call, first: Size) -> Call:
        """The kernel of both products."""
        assert isinstance(partner.spec, GemmSpec)
        spec, operands = self._in_turns()
        index = self.loop.index.size
        turn = self.rows - 1 - index if self.loop.reverse else index
        both = [*partner.operands, *operands, Scalar("int", turn), Scalar("int", first)]
        spec = spec.shifted(len(partner.operands))
        beside = self._call(spec, both, self.call.weight // max(estimate(self.rows), 1))
        return Call(
            DuetSpec(partner.spec, spec, Arg(len(both) - 2), Arg(len(both) - 1), duet.BLOCK),
            both,
            partner.reads | beside.reads,
            partner.writes | beside.writes,
            partner.weight + beside.weight,
            [*self.call.ops, *partner.ops],
            [*self.call.locs, *partner.locs],
        )

    def _call(self, spec: GemmSpec, operands: list[Operand], weight: int) -> Call:
        reads = {k for s in spec.segments for k in (s.a.base, s.b)}
        reads |= {i.access.base for i in spec.body if i.access is not None}
        return replace(
            self.call,
            spec=spec,
            operands=operands,
            reads=reads,
            writes={s.access.base for s in spec.stores},
            weight=weight,
        )

    def _in_turns(self) -> tuple[GemmSpec, list[Operand]]:
        """The product with its rows in the order of the loop's turns."""
        if not self.loop.reverse:
            return self.spec, list(self.call.operands)
        operands = list(self.call.operands)

        def turned(access: Access) -> Access:
            """From the last row on, backwards."""
            step, *rest = access.strides
            if step == 0:
                return access
            at = operands[access.base]
            assert isinstance(at, Addr) and isinstance(step, int)
            operands.append(replace(at, offset=at.offset + (self.rows - 1) * step))
            return replace(access, base=len(operands) - 1, strides=(-step, *rest))

        spec = self.spec
        body = tuple(i if i.access is None else replace(i, access=turned(i.access)) for i in spec.body)
        stores = tuple(replace(s, access=turned(s.access)) for s in spec.stores)
        return replace(spec, a=turned(spec.a), body=body, stores=stores), operands


def _pointed(step: Step) -> list[Addr]:
    """Where the pointers that a step moves may point."""
    if isinstance(step, LoopStep):
        return [place for _, place in [*step.pointers, *step.moves]]
    return [place for _, place in step.pairs] if isinstance(step, Move) else []


def _name(call: Call) -> str:
    return call.ops[0] if call.ops else "a copy"


def _value(extent: Extent, call: Call) -> Size | None:
    """A size, from the operand that has it if it is not baked."""
    if not isinstance(extent, Arg):
        return extent
    operand = call.operands[extent.index]
    value = operand.value if isinstance(operand, Scalar) else None
    return value if isinstance(value, int | Poly) else None


def _accesses(spec: Spec, operand: int) -> Iterator[tuple[Access, tuple[Extent, ...]]]:
    """How a kernel reads an operand, with the domain of each access; nothing where that is not known."""
    if isinstance(spec, LoopSpec):
        domain = spec.domain
    elif isinstance(spec, GemmSpec) and all(operand != s.b for s in spec.segments):
        domain = (*spec.outer, spec.rows, spec.units)
        yield from ((s.a, (*spec.outer, spec.rows, s.k)) for s in spec.segments if s.a.base == operand)
    else:
        return
    yield from ((i.access, domain) for i in spec.body if i.access is not None and i.access.base == operand)


def _span(access: Access, domain: tuple[Extent, ...], call: Call) -> tuple[int, int] | None:
    """The first and the last element that an access reaches, from its operand's address on."""
    low = high = access.offset
    for stride, extent in zip(access.strides, domain, strict=True):
        count = _value(extent, call) if stride != 0 else 1
        if not isinstance(stride, int) or not isinstance(count, int):
            return None
        reach = stride * (count - 1)
        low, high = low + min(reach, 0), high + max(reach, 0)  # type: ignore[operator]
    return (low, high) if isinstance(low, int) and isinstance(high, int) else None
