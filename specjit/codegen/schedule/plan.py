"""A planned region: everything that a runtime needs to compile, bind and run it.

Enters: what the scheduler decided. Leaves: `RegionPlan`, its program for given kernel addresses, and its readable
text.
Invariant: a plan is data; making, describing and interpreting one needs no compiler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from specjit.codegen.abi import Status
from specjit.codegen.machine.instructions import Assembler, MachineCode
from specjit.codegen.machine.instructions import Label as AsmLabel
from specjit.codegen.schedule.memory import MemoryPlan
from specjit.codegen.schedule.steps import Spec
from specjit.codegen.schedule.values import Kernel, Label, Line
from specjit.ir.dims import Size, evaluate
from specjit.ir.graph import Location, Value


@dataclass(frozen=True)
class InputPlan:
    """How one block parameter enters the frame. kind: "tensor" (`slot` receives the data address), "int", "float",
    "bool" (`slot` receives the number or the float64's bits), or "size" (only its size symbol is needed). `slot`
    is None when nothing reads it."""

    value: Value
    kind: str
    slot: int | None
    name: str


@dataclass(frozen=True)
class StoragePlan:
    """A fresh array that the caller allocates (C order, 1-d or with `dims` of the output that is all of it) before
    the call."""

    dtype: str
    elements: Size
    slot: int
    dims: tuple[Size, ...]


@dataclass(frozen=True)
class OutputPlan:
    """One block output.

    kind "tensor": the view (offset, dims, strides, in elements) of storage `storage` (kind "fresh") or of input
    `storage` (kind "input"; offset and strides count from the input's data address). `whole`: it is all of a fresh
    storage, in order. kind "int", "float", "bool": in frame slot `slot`. kind "const": `value`.
    """

    kind: str
    dtype: str = ""
    dims: tuple[Size, ...] = ()
    strides: tuple[Size, ...] = ()
    offset: Size = 0
    of: str = ""
    storage: int = -1
    whole: bool = False
    slot: int = -1
    value: Any = None


@dataclass(frozen=True)
class PackedPlan:
    """An array that the prologue fills and the region reads. `slot` is where the region's frame gets its address,
    `from_slot` where the prologue's does. The caller allocates it 64-byte aligned and keeps it with the
    parameters' versions. `data`: a constant instead."""

    dtype: str
    elements: int
    slot: int
    from_slot: int | None
    data: np.ndarray | None = None
    name: str = ""


@dataclass(frozen=True)
class Note:
    """A fact for events: a fused group (kind "FUSED"), a refusal ("NOT_FUSED") with ops and places, or another order of
    the kernels ("REORDERED")."""

    kind: str
    text: str
    ops: tuple[str, ...] = ()
    locs: tuple[Location, ...] = ()


@dataclass
class RegionPlan:
    """See the fields. Sizes are expressions over `symbols`, what outputs see of their storage over `registers` too;
    strides and offsets count elements."""

    name: str
    inputs: list[InputPlan]
    symbols: dict[str, int | None]  # size symbol -> frame slot (None: nothing reads it)
    storages: list[StoragePlan]
    outputs: list[OutputPlan]
    packed: list[PackedPlan]
    specs: list[Spec]
    hints: list[str]
    lines: list[Line]
    presets: dict[int, int]  # constant slots: value (int64 bits)
    frame_size: int
    prologue: RegionPlan | None = None
    notes: list[Note] = field(default_factory=list)
    slot_names: dict[int, str] = field(default_factory=dict)
    work: int = 0  # a guess, in elementary operations (symbols counted as 32)
    registers: dict[str, int] = field(default_factory=dict)  # slots of run-time integers that say where an output lies
    memory: MemoryPlan = field(default_factory=MemoryPlan)
    memory_before: MemoryPlan | None = None  # in the program's order, where kernels run in another one
    _sources: list[str] | None = None

    @property
    def kernels(self) -> list[str]:
        """Kernel sources, one per spec; equal specs were merged."""
        if self._sources is None:
            from specjit.codegen.schedule.render import render

            self._sources = [render(s) for s in self.specs]
        return self._sources

    def code(self, kernels: Sequence[Any]) -> MachineCode:
        """The program; `kernels` are loaded kernels (objects with `.address`, kept alive by the result) or
        addresses."""
        if len(kernels) != len(self.specs):
            raise ValueError(f"{len(self.specs)} kernels are needed, {len(kernels)} were given")
        asm = Assembler()
        labels: dict[Label, AsmLabel] = {}

        def word(w: Any) -> Any:
            return labels.setdefault(w, asm.label()) if isinstance(w, Label) else w

        for line in self.lines:
            if isinstance(line, Label):
                asm.place(labels.setdefault(line, asm.label()))
                continue
            name, words = line
            if name == "CALL":
                assert isinstance(words[0], Kernel)
                asm.call(kernels[words[0].number], *words[1:])  # type: ignore[arg-type]
            elif name == "FAIL":
                asm.fail(Status(words[0]))  # type: ignore[arg-type]
            else:
                method = {"AND": "and_", "OR": "or_", "NOT": "not_"}.get(name, name.lower())
                getattr(asm, method)(*map(word, words))
        return asm.build()

    def assemble(self, addresses: Sequence[int]) -> np.ndarray:
        """The program's words for kernels at these addresses."""
        return self.code(addresses).words

    def new_frame(self) -> np.ndarray:
        """A frame with the constants in place (64-byte alignment is not needed)."""
        from specjit.codegen.abi import BUDGET, SELF

        frame = np.zeros(self.frame_size, np.int64)
        for slot, value in self.presets.items():
            frame[slot] = value
        frame[SELF] = frame.ctypes.data
        frame[BUDGET] = 1 << 62
        return frame

    def sizes(self, symbols: Mapping[str, int]) -> list[tuple[str, int]]:
        """(dtype, elements) of every storage to allocate for these symbol values."""
        return [(s.dtype, max(0, evaluate(s.elements, symbols))) for s in self.storages]

    def describe(self) -> str:
        from specjit.codegen.schedule.describe import describe

        return describe(self)
