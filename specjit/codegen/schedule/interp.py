"""Running a plan in plain Python: the machine's reference and the kernels' reference, on NumPy memory.

Enters: a plan and inputs (arrays and numbers). Leaves: outputs as eager would give them (views where the plan says
so).
Invariant: needs no compiler; memory that a kernel reads outside of the arrays it was given is an error here, and
memory that was never written holds NaN patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specjit.codegen.abi import NEEDED, WORKSPACE, WORKSPACE_BYTES, Status
from specjit.codegen.kernels import reference
from specjit.codegen.kernels.spec import (
    DrawSpec,
    DuetSpec,
    GemmSpec,
    Inst,
    LoopSpec,
    PackSpec,
    PickSpec,
    ScanSpec,
    WindowSpec,
)
from specjit.codegen.machine.instructions import bits_float, float_bits
from specjit.codegen.machine.python import run_python
from specjit.codegen.schedule.plan import RegionPlan
from specjit.codegen.schedule.steps import Spec
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.ir.dims import Poly, evaluate

DTYPES = reference.DTYPES


class RegionFailed(Exception):
    """The region left with a failure status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


class Elements:
    """An array whose positions count from element `start`; before its first element there is nothing, too."""

    def __init__(self, array: np.ndarray, start: int) -> None:
        self.array, self.start = array, start

    def __getitem__(self, at: Any) -> Any:
        return self.array[self._place(at)]

    def __setitem__(self, at: Any, value: Any) -> None:
        self.array[self._place(at)] = value

    def _place(self, at: Any) -> Any:
        if isinstance(at, slice):
            return slice(self.start + (at.start or 0), self.start + at.stop)
        place = np.asarray(at) + self.start
        if place.size and place.min() < 0:
            raise IndexError(f"an element {-place.min()} before the block")
        return place


class Memory:
    """Allocations that addresses may point into."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []

    def own(self, array: np.ndarray) -> int:
        """Register an array and give the address of its first element. The bytes it spans become readable."""
        low, high = np.lib.array_utils.byte_bounds(array)
        if high > low:
            raw = np.lib.stride_tricks.as_strided(_bytes_at(array, low), (high - low,), (1,))
            self.blocks.append(raw)
        return int(array.ctypes.data)

    def at(self, address: int, dtype: str) -> Elements:
        """The block of `address`, seen from there; of several (an argument may be a view of another) the one that goes
        furthest."""
        around = [b for b in self.blocks if b.ctypes.data <= address < b.ctypes.data + b.size]
        if not around:
            return Elements(np.empty(0, DTYPES[dtype]), 0)
        block = max(around, key=lambda b: b.ctypes.data + b.size)
        item = ITEMSIZE[dtype]
        before, shift = divmod(address - block.ctypes.data, item)
        size = (block.size - shift) // item * item
        return Elements(block[shift : shift + size].view(DTYPES[dtype]), before)


def _bytes_at(array: np.ndarray, low: int) -> np.ndarray:
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    flat = base.reshape(-1) if base.flags.c_contiguous else base.T.reshape(-1) if base.flags.f_contiguous else None
    if flat is None or not np.shares_memory(flat, base):
        raise ValueError("an input whose base is neither C nor Fortran contiguous")
    raw = flat.view(np.uint8)
    return raw[low - raw.ctypes.data :]


Runner = Callable[[RegionPlan, np.ndarray], Status]


def interpret(plan: RegionPlan, inputs: Sequence[Any], runner: Runner | None = None) -> list[Any]:
    """Run the plan (and its prologue). Raises RegionFailed for a failure status. `runner` runs a plan's program on a
    frame; without one it is run in Python."""
    symbols = bind_symbols(plan, inputs)
    memory = Memory()
    run = runner or in_python(memory)
    packed: dict[int, np.ndarray] = {}
    if plan.prologue is not None:
        results, _ = _run(plan.prologue, inputs, {}, memory, {}, run)
        packed = {s.slot: a for s, a in zip(plan.prologue.storages, results, strict=True)}
    storages, frame = _run(plan, inputs, symbols, memory, packed, run)
    known = symbols | {name: int(frame[slot]) for name, slot in plan.registers.items()}
    return [_output(o, inputs, storages, known, frame) for o in plan.outputs]


def bind_symbols(plan: RegionPlan, inputs: Sequence[Any]) -> dict[str, int]:
    """Size symbols from the inputs' shapes and ints."""
    found: dict[str, int] = {}
    for i, given in zip(plan.inputs, inputs, strict=True):
        t = i.value.type
        dims = t.dims if t.is_tensor else (t.dim,) if t.kind == "int" else ()
        sizes = np.shape(given) if t.is_tensor else (given,)
        for d, size in zip(dims or (), sizes):
            if isinstance(d, Poly) and list(d.terms.values()) == [1] and sum(map(len, d.terms)) == 1:
                (name,) = d.symbols()
                if found.setdefault(name, int(size)) != size:
                    raise ValueError(f"size {name} is {found[name]} and {size}")
    return found


def _run(
    plan: RegionPlan,
    inputs: Sequence[Any],
    symbols: dict[str, int],
    memory: Memory,
    packed: dict[int, np.ndarray],
    run: Runner,
) -> tuple[list[np.ndarray], np.ndarray]:
    frame = plan.new_frame()
    memory.own(frame)
    for i, given in zip(plan.inputs, inputs, strict=True):
        if i.slot is None:
            continue
        if i.kind == "tensor":
            frame[i.slot] = memory.own(np.asarray(given))
        else:
            frame[i.slot] = float_bits(float(given)) if i.kind == "float" else int(given)
    for name, slot in plan.symbols.items():
        if slot is not None:
            frame[slot] = symbols[name]
    for p in plan.packed:
        array = p.data if p.data is not None else packed[p.from_slot]  # type: ignore[index]
        frame[p.slot] = memory.own(array)
    storages = []
    for dtype, elements in plan.sizes(symbols):
        array = _dirty(elements * ITEMSIZE[dtype]).view(DTYPES[dtype])
        storages.append(array)
        frame[plan.storages[len(storages) - 1].slot] = memory.own(array)
    status = run(plan, frame)
    if status is Status.GROW:
        workspace = _dirty(int(frame[NEEDED]))
        frame[WORKSPACE], frame[WORKSPACE_BYTES] = memory.own(workspace), workspace.size
        status = run(plan, frame)
    while status is Status.YIELD:
        status = run(plan, frame)
    if status is not Status.OK:
        raise RegionFailed(status)
    return storages, frame


def in_python(memory: Memory) -> Runner:
    """The machine's and the kernels' references."""

    def run(plan: RegionPlan, frame: np.ndarray) -> Status:
        code = plan.assemble([k + 1 for k in range(len(plan.specs))])
        return run_python(code, frame, {k + 1: _kernel(spec, memory) for k, spec in enumerate(plan.specs)})

    return run


def _dirty(count: int) -> np.ndarray:
    """Bytes that read as NaN, -1 or True, from a 64-byte boundary."""
    raw = np.full(count + 128, 0xFF, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count]


def _kernel(spec: Spec, memory: Memory) -> Any:
    dtypes = operand_dtypes(spec)
    numbers = {i.operand: i.dtype for i in _insts(spec) if i.kind == "scalar"}

    def run(frame: np.ndarray, ops: np.ndarray) -> int:
        operands: list[Any] = []
        for k, slot in enumerate(ops):
            word = int(frame[slot])
            if k in dtypes:
                operands.append(memory.at(word, dtypes[k]))
            else:
                operands.append(bits_float(word) if numbers.get(k) in ("f32", "f64") else word)
        return reference.evaluate(spec, operands)

    return run


def _insts(spec: Spec) -> tuple[Inst, ...]:
    if isinstance(spec, DuetSpec):
        return (*spec.step.body, *spec.rows.body)
    return () if isinstance(spec, PackSpec | PickSpec | DrawSpec | ScanSpec) else spec.body


def operand_dtypes(spec: Spec) -> dict[int, str]:
    """The element type behind each address operand."""
    if isinstance(spec, DuetSpec):
        return operand_dtypes(spec.step) | operand_dtypes(spec.rows)
    accesses = [i.access for i in _insts(spec) if i.access is not None]
    if isinstance(spec, LoopSpec | GemmSpec | WindowSpec):
        accesses += [s.access for s in spec.stores]
    found = {a.base: a.dtype for a in accesses}
    if isinstance(spec, GemmSpec):
        found |= {k: spec.dtype for s in spec.segments for k in (s.a.base, s.b)}
    elif isinstance(spec, WindowSpec):
        found |= {spec.a.base: spec.dtype, spec.b.base: spec.dtype}
    elif isinstance(spec, PackSpec):
        found |= {spec.src.base: spec.src.dtype, spec.dst: spec.dtype}
    elif isinstance(spec, ScanSpec):
        found |= {a.base: a.dtype for a in (spec.source, spec.target)}
    elif isinstance(spec, DrawSpec):
        found |= {spec.target: spec.dtype}
    elif isinstance(spec, PickSpec):
        found |= {a.base: a.dtype for a in (spec.index, spec.source, spec.target)}
    return found  # type: ignore[return-value]


def _output(
    o: Any, inputs: Sequence[Any], storages: list[np.ndarray], symbols: dict[str, int], frame: np.ndarray
) -> Any:
    if o.kind == "const":
        return o.value
    if o.kind != "tensor":
        word = int(frame[o.slot])
        return bits_float(word) if o.kind == "float" else bool(word) if o.kind == "bool" else word
    dims, strides = ([evaluate(d, symbols) for d in part] for part in (o.dims, o.strides))
    offset, item = evaluate(o.offset, symbols), ITEMSIZE[o.dtype]
    base = np.asarray(inputs[o.storage]) if o.of == "input" else storages[o.storage]
    if 0 in dims:
        return np.empty(dims, DTYPES[o.dtype])
    if o.of == "input":
        start = np.lib.stride_tricks.as_strided(base, (1,), (item,))
        return np.lib.stride_tricks.as_strided(
            np.lib.stride_tricks.as_strided(start, (offset + 1,), (item,))[offset:], dims, [s * item for s in strides]
        )
    return np.lib.stride_tricks.as_strided(base[offset:], dims, [s * item for s in strides])
