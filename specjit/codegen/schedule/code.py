"""Steps -> machine instructions.

Enters: steps, the memory plan, and the slots of inputs and outputs. Leaves: instructions with labels, the frame's
slots, and the constants to preset in it.
Invariant: an address or a size is computed in the outermost block where all it depends on is known, once. An address
that moves evenly with a loop by a run-time step is a pointer that the loop advances; by a constant step it is one
multiply-add per turn.
"""

from __future__ import annotations

from specjit.codegen.abi import WORKSPACE
from specjit.codegen.schedule.memory import ALIGNMENT, MemoryPlan
from specjit.codegen.schedule.model import Reg, Storage
from specjit.codegen.schedule.placement import Bound
from specjit.codegen.schedule.steps import Addr, Call, Do, IfStep, LoopStep, Move, Require, Step
from specjit.codegen.schedule.values import Kernel, Label, Line, Scope, Values

HUGE = 1 << 62  # turns of a loop without a count


class Code(Values):
    """Translates one program."""

    def __init__(self, kernel_numbers: dict[Call, int]) -> None:
        super().__init__()
        self.kernel_numbers = kernel_numbers

    # the head

    def head(self, plan: MemoryPlan) -> None:
        """The check that the workspace is large enough, and the addresses of all temporaries."""
        if not plan.members:
            return
        for name, size in plan.roundings.items():
            self.round_up(self.slot(name, name), self.size(size))
        for name, bound in plan.packing.maxima.items():
            self.slots[name] = self.bound(bound)
        self.emit("NEED", self.bound(plan.packing.total))
        groups: dict[Bound, list[Storage]] = {}
        for storages, offset in zip(plan.members, plan.packing.offsets, strict=True):
            groups.setdefault(offset, []).extend(storages)
        for offset, storages in groups.items():
            slot = self.place_in_workspace(offset)
            self.names[slot] = "/".join(dict.fromkeys(s.name for s in storages if s.name)) or "temporary"
            self.slots.update(dict.fromkeys(storages, slot))

    def round_up(self, slot: int, size: int) -> None:
        self.emit("ADDI", slot, size, ALIGNMENT - 1)
        self.emit("FLOORDIV", slot, slot, self.constant(ALIGNMENT))
        self.emit("MUL", slot, slot, self.constant(ALIGNMENT))

    def bound(self, bound: Bound) -> int:
        """A slot with the largest of some sizes."""
        largest, *others = map(self.size, bound)
        for other in others:
            slot = self.fresh()
            self.emit("MAX", slot, largest, other)
            largest = slot
        return largest

    def place_in_workspace(self, offset: Bound) -> int:
        """A slot of its own with an address in the workspace."""
        if len(offset) > 1:
            slot = self.fresh()
            self.emit("ADD", slot, WORKSPACE, self.bound(offset))
        elif isinstance(offset[0], int):
            slot = self.fresh()
            self.emit("ADDI", slot, WORKSPACE, offset[0])
        else:
            slot = self.sum_into(self.scopes[0], WORKSPACE, offset[0], 1)
        return slot

    # steps

    def steps(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Call):
                words = [self.address(o) if isinstance(o, Addr) else self.checked(o) for o in step.operands]
                self.emit("CALL", Kernel(self.kernel_numbers[step]), *words)
                for o in step.operands:
                    if isinstance(o, Addr) and isinstance(o.base, Reg):
                        self.define(o.base.name)
            elif isinstance(step, Do):
                self.do(step)
            elif isinstance(step, Require):
                self.require(step)
            elif isinstance(step, Move):
                self.assign([(self.slot(p), self.address(a)) for p, a in step.pairs])
            elif isinstance(step, LoopStep):
                self.loop(step)
            else:
                self.branch(step)

    def do(self, step: Do) -> None:
        args = [self.checked(a) for a in step.args]
        assert step.target is not None
        self.emit(step.name, self.slot(step.target.name, step.target.name), *args)
        self.define(step.target.name)

    def require(self, step: Require) -> None:
        holds = Label()
        self.emit("BRNZ", self.checked(step.cond), holds)
        self.emit("FAIL", int(step.status))
        self.place(holds)

    def assign(self, pairs: list[tuple[int, int]]) -> None:
        """Assign together: whatever would be overwritten before it is read goes through a temporary."""
        pending = [(d, s) for d, s in pairs if d != s]
        while pending:
            for k, (d, s) in enumerate(pending):
                if not any(other == d for j, (_, other) in enumerate(pending) if j != k):
                    self.emit("MOV", d, s)
                    del pending[k]
                    pending = [
                        (x, d if y == s else y) for x, y in pending
                    ]  # what s held may be overwritten: d has it now
                    break
            else:
                d, s = pending[0]
                kept = self.fresh()
                self.emit("MOV", kept, d)
                pending = [(x, kept if y == d else y) for x, y in pending]

    def branch(self, step: IfStep) -> None:
        """What a branch needs and does not compute itself is computed before it."""
        cond = self.checked(step.cond)
        sides: list[list[Line]] = []
        results = [self.slot(reg.name, reg.name) for reg, _, _ in step.numbers]
        given = ([a for _, a, _ in step.numbers], [b for _, _, b in step.numbers])
        for steps, numbers in zip((step.then, step.other), given, strict=True):
            self.scopes.append(Scope(defined=_defined_by(steps)))
            self.steps(steps)
            self.assign([*zip(results, map(self.checked, numbers))])
            sides.append(self.scopes.pop().lines)
        then, other = sides
        otherwise, end = Label(), Label()
        lines = self.scopes[-1].lines
        if not then:
            self.emit("BRNZ", cond, end)
        else:
            self.emit("BRZ", cond, otherwise if other else end)
            lines += then
            if other:
                self.emit("JMP", end)
                self.place(otherwise)
        lines += other
        self.place(end)
        for reg, _, _ in step.numbers:
            self.define(reg.name)

    def loop(self, step: LoopStep) -> None:
        for pointer, place in step.pointers:
            self.emit("MOV", self.slot(pointer, getattr(pointer, "name", "")), self.address(place))
        self.assign([(self.slot(r.name, r.name), self.checked(init)) for r, init, _ in step.numbers])
        conditional = step.cond.value is not True or step.next_cond.value is not True
        cond = self.fresh("condition") if conditional else -1
        if conditional:
            self.emit("MOV", cond, self.checked(step.cond))
        counter = self.fresh("turns left")
        count = self.constant(HUGE) if step.trip is None else self.checked(step.trip)
        body = Scope(loop=step)
        body.defined = {step.index.name, *(r.name for r, _, _ in step.numbers), *(p for p, _ in step.pointers)}
        body.defined |= _defined_by(step.body)
        self.scopes.append(body)
        top, exit = Label(), Label()
        self.steps(step.body)
        if conditional:
            going = self.checked(step.next_cond)
        pointers = [(self.slot(p), self.address(a)) for p, a in step.moves]
        numbers = [(self.slot(r.name), self.checked(following)) for r, _, following in step.numbers]
        together = [*pointers, *numbers]
        if conditional:
            together.append((cond, going))
        self.assign(together)
        self.scopes.pop()
        outer = self.scopes[-1]
        index = self.slot(step.index.name, step.index.name)
        if conditional:
            body.index_used = True
        if body.index_used:
            if step.reverse and step.trip is not None:
                self.emit("ADDI", index, self.checked(step.trip), -1)
            else:
                self.emit("SET", index, 0)
        self.emit("LOOP", counter, count, exit)
        outer.lines.append(top)
        if conditional:
            self.emit("BRZ", cond, exit)
        outer.lines += body.lines
        for name, words in body.advances:
            self.emit(name, *words)
        if body.index_used:
            self.emit("ADDI", index, index, -1 if step.reverse else 1)
        self.emit("ENDL", counter, top, step.weight)
        self.place(exit)
        outer.defined |= {step.index.name, *(r.name for r, _, _ in step.numbers), *(p for p, _ in step.pointers)}

    def finish(self) -> list[Line]:
        self.emit("END")
        return self.scopes[0].lines


def _defined_by(steps: list[Step]) -> set[object]:
    """Registers and pointers that the steps of one block set."""
    out: set[object] = set()
    for step in steps:
        if isinstance(step, Do) and step.target is not None:
            out.add(step.target.name)
        elif isinstance(step, Call):
            out |= {o.base.name for o in step.operands if isinstance(o, Addr) and isinstance(o.base, Reg)}
        elif isinstance(step, LoopStep):
            out |= {step.index.name, *(r.name for r, _, _ in step.numbers), *(p for p, _ in step.pointers)}
        elif isinstance(step, IfStep):
            out |= {r.name for r, _, _ in step.numbers}
    return out
