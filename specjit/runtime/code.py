"""A scheduled region that is loaded: kernels linked, machine code assembled, frames pooled, packed parameters up to
date.

Enters: a `RegionPlan` and which of its inputs are fixed tensors (parameters). Leaves: `Code.call(*inputs)`, which
gives the output arrays, None when a guard of an input fails, or a `Failed` status.
Invariant: everything whose address is in a frame is held by Python while the frame is in use: inputs by the caller,
outputs and workspace by the call, packed parameters by the frame's snapshot, which is immutable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specjit.codegen import abi, loader
from specjit.codegen.entry import entry as native_entry
from specjit.codegen.guard_table import CONTIGUOUS, Dim, GuardTable, Stride, equal, store, store_stride
from specjit.codegen.output_table import OutputTable
from specjit.dtypes import BY_SHORT
from specjit.ir.dims import Poly
from specjit.ir.types import Type
from specjit.runtime.events import EventKind
from specjit.tensor import Tensor, state, storage

ALIGNMENT = 64
RELEASE_GIL_ABOVE = 200_000  # estimated work units of a call above which other threads may run meanwhile
BUDGET = 50_000_000  # work units, about nanoseconds, between two looks at signals


def process_entry() -> Any:
    """The way in, made once per process for the slots that guards read."""
    return native_entry([(Tensor, "_data"), (Tensor, "_requires_grad")])


class Failed:
    """The machine stopped with a failure status; nothing outside the frame was touched."""

    __slots__ = ("status",)

    def __init__(self, status: int) -> None:
        self.status = abi.Status(status)


class Frame:
    """One call's memory: the int64 frame, its workspace, and the snapshot of packed parameters it is filled for."""

    __slots__ = ("array", "snapshot", "workspace")

    def __init__(self, size: int, constants: dict[int, int]) -> None:
        self.array = np.zeros(size, np.int64)
        for slot, value in constants.items():
            self.array[slot] = value
        self.workspace: np.ndarray | None = None
        self.snapshot: Any = None

    def grow(self) -> None:
        need = int(self.array[abi.NEEDED])
        self.workspace = aligned(need)
        self.array[abi.WORKSPACE] = self.workspace.ctypes.data
        self.array[abi.WORKSPACE_BYTES] = need


class Snapshot:
    """Packed parameters as of some versions. `epoch` is the write epoch at which the versions were last seen to hold;
    one taken while a parameter was `live` (shared with memory outside) holds for its own call only."""

    __slots__ = ("arrays", "epoch", "live", "sources", "versions")

    def __init__(
        self, arrays: list[np.ndarray], versions: list[Any], sources: list[Any], epoch: int, live: bool
    ) -> None:
        self.arrays = arrays
        self.versions = versions
        self.sources = sources
        self.epoch = -1 if live else epoch
        self.live = live


def aligned(size: int, dtype: Any = np.uint8) -> np.ndarray:
    """Fresh, uninitialized memory for `size` elements whose address is a multiple of 64."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(size * itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * itemsize].view(dtype)


class Code:
    """See the module docstring. `inputs` are `native.Input` records; `flags` the requires_grad that is demanded of
    each (None: any); `arrays` says that tensors arrive as bare ndarrays."""

    def __init__(
        self,
        plan: Any,
        inputs: Sequence[Any],
        flags: Sequence[bool | None],
        emit: Callable[..., None],
        name: str,
        arrays: bool = False,
    ) -> None:
        self.plan, self.name, self.emit, self.arrays = plan, name, emit, arrays
        self.inputs = list(inputs)
        self.entry = process_entry()
        library = loader.library()
        self.kernels = library.get_many([(k.source, k.hint) for k in plan.kernels])
        self.machine_code = np.ascontiguousarray(plan.assemble([k.address for k in self.kernels]))
        self._pool: list[Frame] = []
        self._table = guard_table(inputs, flags, plan.symbols, plan.input_slots, arrays)
        self._handle = self.entry.guards(self._table)
        release = plan.work > RELEASE_GIL_ABOVE
        slots = tuple(o.slot for o in plan.outputs if o.slot >= 0 and o.fresh)
        self._output_table = OutputTable(slots, BUDGET, release)
        self._outputs = self.entry.outputs(self._output_table)
        self.prologue: Code | None = None
        self._snapshot: Snapshot | None = None
        self.all_kernels = list(self.kernels)
        if plan.prologue is not None:
            self._link_prologue()
        self.source, self.call = self._generate()

    # -- packed parameters --------------------------------------------------------------------------------------------

    def _link_prologue(self) -> None:
        plan = self.plan
        chosen = [self.inputs[i] for i in plan.prologue_inputs]
        self._packed_from = [given.fixed for given in chosen]
        self.prologue = Code(
            plan.prologue, chosen, [None] * len(chosen), self.emit, f"{self.name}_prologue", arrays=True
        )
        self.all_kernels += self.prologue.all_kernels

    def snapshot(self) -> Snapshot:
        """The packed parameters for their present values; packs again if a version moved, or if one of them is shared
        with memory that can change unseen."""
        epoch = state.write_epoch
        held = self._snapshot
        sources = [p._data for p in self._packed_from]
        versions = [storage.fingerprint(p._version) for p in self._packed_from]
        live = any(p.exported() for p in self._packed_from)
        if (
            held is not None
            and not (live or held.live)
            and held.versions == versions
            and _same_objects(held.sources, sources)
        ):
            held.epoch = epoch
            return held
        assert self.prologue is not None
        packed = self.prologue.call(*sources)
        if packed is None or type(packed) is Failed:
            raise RuntimeError(f"{self.name}: a parameter changed its layout between the guard and the packing")
        made = Snapshot(list(packed), versions, sources, epoch, live)
        if held is not None:
            why = "memory outside can change it" if live else "a parameter's version moved"
            self.emit(EventKind.REPACKED, why, parameters=len(sources))
        self._snapshot = made
        return made

    def take(self) -> Frame:
        return Frame(self.plan.frame_size, self.plan.constants)

    def load(self, frame: Frame, snapshot: Snapshot) -> None:
        for slot, array in zip(self.plan.packed_slots, snapshot.arrays, strict=True):
            frame.array[slot] = array.ctypes.data
        frame.snapshot = snapshot

    # -- the generated call -------------------------------------------------------------------------------------------

    def _generate(self) -> tuple[str, Callable[..., Any]]:
        args = [f"a{i}" for i in range(len(self.plan.input_slots))]
        names: dict[str, Any] = {
            "pool": self._pool,
            "bind": self.entry.bind,
            "run": self.entry.run,
            "guards": self._handle,
            "outputs": self._outputs,
            "code": self.machine_code,
            "take": self.take,
            "self": self,
            "state": state,
            "empty": np.empty,
            "Failed": Failed,
            "aligned": aligned,
        }
        lines = [f"def call({', '.join(args)}):"]
        lines.append("    try: f = pool.pop()")
        lines.append("    except IndexError: f = take()")
        lines.append("    frame = f.array")
        lines.append(f"    if bind({', '.join(['frame', 'guards', *args])}):")
        lines.append("        pool.append(f)")
        lines.append("        return None")
        if self.prologue is not None:
            lines.append("    s = self._snapshot")
            lines.append("    if s is None or s.epoch != state.write_epoch: s = self.snapshot()")
            lines.append("    if f.snapshot is not s: self.load(f, s)")
        fresh = []
        for k, o in enumerate(self.plan.outputs):
            if not (o.fresh and o.slot >= 0):
                continue
            names[f"dtype{k}"] = BY_SHORT[o.dtype].numpy
            if o.elements is not None:
                lines.append(f"    o{k} = aligned({self._size(o.elements)}, dtype{k})")
            else:
                shape = "".join(f"{self._size(d)}, " for d in o.dims)
                lines.append(f"    o{k} = empty(({shape}), dtype{k})")
            fresh.append(f"o{k}")
        run = f"run({', '.join(['frame', 'code', 'outputs', *fresh])})"
        lines.append(f"    status = {run}")
        lines.append("    while status:")
        lines.append("        if status == 2: f.grow()")
        lines.append("        elif status != 1:")
        lines.append("            pool.append(f)")
        lines.append("            return Failed(status)")
        lines.append(f"        status = {run}")
        results = []
        for k, o in enumerate(self.plan.outputs):
            if o.fresh and o.slot >= 0:
                results.append(f"o{k}")
            elif o.alias is not None:
                names[f"view{k}"] = self._viewer(o)
                results.append(f"view{k}(frame, ({', '.join(args)},), ({', '.join(fresh)}{',' if fresh else ''}))")
            else:
                results.append(_scalar(o))
        lines.append(f"    result = ({', '.join(results)}{',' if len(results) == 1 else ''})")
        lines.append("    pool.append(f)")
        lines.append("    return result")
        source = "\n".join([*lines, ""])
        exec(compile(source, f"<specjit {self.name}>", "exec"), names)
        return source, names["call"]

    def _size(self, dim: Any) -> str:
        """Python source of a size, from the frame's symbol slots."""
        if isinstance(dim, int):
            return str(dim)
        terms = []
        for mono, coef in dim.terms.items():
            factors = [str(coef), *(f"int(frame[{self.plan.symbols[name]}])" for name in mono)]
            terms.append(" * ".join(factors[1:] if coef == 1 and mono else factors))
        return " + ".join(terms)

    def _viewer(self, o: Any) -> Callable[..., Any]:
        raise NotImplementedError


def guard_table(
    inputs: Sequence[Any], flags: Sequence[bool | None], symbols: dict[str, int], slots: Sequence[int], arrays: bool
) -> GuardTable:
    """Guards on the inputs; `slots[i]` is the frame slot for input i's address or value, -1 where it is only
    checked."""
    table = GuardTable(len(inputs))
    seen: set[str] = set()
    for i, given in enumerate(inputs):
        t: Type = given.type
        slot = slots[i] if slots[i] >= 0 else abi.FIRST_FREE - 1
        if t.kind == "int":
            table.integer(i, slot=slot)
        elif t.kind == "float":
            table.real(i, slot=slot)
        elif t.kind == "bool":
            table.boolean(i, slot=slot)
        elif t.is_tensor:
            assert t.dtype is not None
            assert t.dims is not None
            dims = [_dim(d, symbols, seen) for d in t.dims]
            strides = _strides(given.layout, symbols)
            data = slots[i] if slots[i] >= 0 else None
            if arrays:
                table.array(i, t.dtype.numpy, dims, strides=strides, data=data)
            else:
                same = [] if flags[i] is None else [("_requires_grad", flags[i])]
                table.tensor(i, given.cls, "_data", t.dtype.numpy, dims, same=same, strides=strides, data=data)
    return table


def argument_guard(inputs: Sequence[Any], flags: Sequence[bool | None]) -> Callable[..., bool]:
    """A function of these inputs that says whether some guard fails; for variants whose first step is not a region."""
    names = sorted({n for given in inputs for d in given.type.dims or () if isinstance(d, Poly) for n in d.symbols()})
    symbols = {name: abi.FIRST_FREE + k for k, name in enumerate(names)}
    entry = process_entry()
    table = guard_table(inputs, flags, symbols, [-1] * len(inputs), arrays=False)
    handle = entry.guards(table)
    size = abi.FIRST_FREE + len(names)
    bind = entry.bind

    def fails(*given: Any) -> bool:
        return bind(np.empty(size, np.int64), handle, *given) != 0

    fails.table = table  # type: ignore[attr-defined]  # the handle points at objects that the table holds
    return fails


def _same_objects(a: list[Any], b: list[Any]) -> bool:
    return all(x is y for x, y in zip(a, b, strict=True))


def _dim(d: Any, slots: dict[str, int], seen: set[str]) -> int | Dim:
    if isinstance(d, int):
        return d
    assert isinstance(d, Poly)
    names = d.symbols()
    (name,) = names
    if name in seen:
        return equal(slots[name])
    seen.add(name)
    return store(slots[name])


def _strides(layout: Any, slots: dict[str, int]) -> Any:
    if layout is None or layout == "contiguous":
        return "contiguous"
    out: list[int | Stride] = []
    for s in layout:
        if isinstance(s, int):
            out.append(s)
        elif s is None:
            out.append(CONTIGUOUS)
        else:
            (name,) = s.symbols()
            out.append(store_stride(slots[name]))
    return out


def _scalar(o: Any) -> str:
    if o.kind == "float":
        return f"float(frame[{o.slot}:{o.slot + 1}].view('f8')[0])"
    if o.kind == "bool":
        return f"bool(frame[{o.slot}])"
    return f"int(frame[{o.slot}])"
