"""The structured program between groups and machine code.

Enters: nothing; `lower` makes these. Leaves: what `memory` plans and `program` turns into instructions.
Invariant: a step names memory by `Addr` only, so liveness is a walk over the steps; positions are the order of
execution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from specjit.codegen.abi import Status
from specjit.codegen.kernels.spec import (
    DrawSpec,
    DuetSpec,
    GemmSpec,
    LoopSpec,
    PackSpec,
    PickSpec,
    ScanSpec,
    WindowSpec,
)
from specjit.codegen.schedule.model import Base, Reg, Scalar, Storage
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.ir.dims import Size
from specjit.ir.graph import Location


@dataclass(frozen=True)
class Addr:
    """A byte address: `base` plus `offset` elements of `dtype`. A `Reg` base is the address of that register's frame
    slot."""

    base: Base | Reg
    dtype: str
    offset: Size = 0

    @property
    def itemsize(self) -> int:
        return ITEMSIZE[self.dtype]


Operand = Addr | Scalar  # a Scalar: an integer (perhaps a size expression) or a number in a register
Spec = LoopSpec | GemmSpec | WindowSpec | DuetSpec | PackSpec | PickSpec | DrawSpec | ScanSpec


@dataclass(eq=False)
class Call:
    """One kernel call."""

    spec: Spec
    operands: list[Operand]
    reads: set[int]  # operand positions whose memory is read
    writes: set[int]
    weight: int = 1
    ops: list[str] = field(default_factory=list)
    locs: list[Location] = field(default_factory=list)
    name: str = ""

    def bases(self) -> Iterator[Base]:
        for o in self.operands:
            if isinstance(o, Addr) and not isinstance(o.base, Reg):
                yield o.base


@dataclass(eq=False)
class Do:
    """One instruction on numbers."""

    name: str
    target: Reg | None
    args: list[Scalar]


@dataclass(eq=False)
class Require:
    """Leave with `status` unless `cond` holds."""

    cond: Scalar
    status: Status


@dataclass(eq=False)
class Move:
    """Pointer assignments that happen together: (pointer, what it becomes)."""

    pairs: list[tuple[Base, Addr]]


@dataclass(eq=False)
class LoopStep:
    """`before` runs once, `body` every turn; carried numbers and pointers are assigned together at the end of a
    turn."""

    trip: Scalar | None
    cond: Scalar
    next_cond: Scalar
    reverse: bool
    index: Reg
    body: list[Step]
    numbers: list[tuple[Reg, Scalar, Scalar]]  # (carried register, initial, next)
    pointers: list[tuple[Base, Addr]]  # initial positions
    moves: list[tuple[Base, Addr]]  # at the end of a turn, together
    held: set[Storage] = field(default_factory=set)  # storages that live through the whole loop
    weight: int = 1


@dataclass(eq=False)
class IfStep:
    cond: Scalar
    then: list[Step]
    other: list[Step]
    numbers: list[tuple[Reg, Scalar, Scalar]]


Step = Call | Do | Require | Move | LoopStep | IfStep


def walk(steps: list[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, LoopStep):
            yield from walk(step.body)
        elif isinstance(step, IfStep):
            yield from walk(step.then)
            yield from walk(step.other)


def work(steps: list[Step], turns: int = 32) -> int:
    """A guess of the work in a list of steps."""
    total = 0
    for step in steps:
        if isinstance(step, Call):
            total += step.weight
        elif isinstance(step, LoopStep):
            total += turns * work(step.body)
        elif isinstance(step, IfStep):
            total += max(work(step.then), work(step.other))
        else:
            total += 1
    return total


def nanoseconds(amount: int) -> int:
    """About how long a turn with this much work takes: what it subtracts from the budget."""
    return 10 + amount // 32
