"""A scheduled region that is loaded: kernels linked, machine code assembled, frames pooled, packed parameters up to
date.

Enters: a `RegionPlan` and which of its inputs are fixed tensors (parameters). Leaves: `Code.call(*inputs)`, which
gives the output arrays, None when a guard of an input fails, or a `Failed` status.
Invariant: everything whose address is in a frame is held by Python while the frame is in use: inputs by the caller,
outputs and workspace by the call, packed parameters by the frame's snapshot, which is immutable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from specjit.codegen import abi, loader
from specjit.codegen.entry.binding import entry as native_entry
from specjit.codegen.entry.guard_table import CONTIGUOUS, Dim, GuardTable, Stride, at_least, equal, store, store_stride
from specjit.codegen.entry.output_table import OutputTable
from specjit.dtypes import BY_SHORT
from specjit.ir.dims import Poly
from specjit.ir.types import Type
from specjit.limits import MAX_FRAMES
from specjit.runtime.draws import Draws, until_done
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

    @property
    def why(self) -> str:
        return abi.WHY[self.status]


class Frame:
    """One call's memory: the int64 frame, its workspace, and the snapshot of packed parameters it is filled for."""

    __slots__ = ("array", "snapshot", "workspace")

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
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
    start = -process_entry().address(raw) % ALIGNMENT
    return raw[start : start + size * itemsize].view(dtype)


class Code:
    """See the module docstring. `inputs` are `native.Input` records; `flags` the requires_grad that is demanded of
    each (None: any); `arrays` says that tensors arrive as bare ndarrays. `draws`: the last two inputs, the key and the
    first free block of the default generator, come from the generator itself; `call` gives them behind the outputs."""

    def __init__(
        self,
        plan: Any,
        inputs: Sequence[Any],
        flags: Sequence[bool | None],
        emit: Callable[..., None],
        name: str,
        arrays: bool = False,
        only_used: bool = False,
        least: Mapping[str, int] = MappingProxyType({}),
        draws: Draws | None = None,
    ) -> None:
        self.draws = draws
        self.plan, self.name, self.emit, self.arrays = plan, name, emit, arrays
        self.inputs = list(inputs)
        self.entry = process_entry()
        library = loader.library()
        self.kernels = library.get_many(list(zip(plan.kernels, plan.hints, strict=True)))
        self._machine_code = plan.code(self.kernels)
        self._pool: deque[Frame] = deque(maxlen=MAX_FRAMES)
        self.used = [
            i
            for i, given in enumerate(plan.inputs)
            if not only_used or (given.kind == "tensor" and given.slot is not None)
        ]
        if draws is not None:
            self.used = self.used[:-2]
        chosen = [self.inputs[i] for i in self.used]
        slots = [_none_is_minus_one(plan.inputs[i].slot) for i in self.used]
        self._table = guard_table(chosen, [flags[i] for i in self.used], plan.symbols, slots, arrays, least)
        self._handle = self.entry.guards(self._table)
        release = plan.work > RELEASE_GIL_ABOVE
        self._output_table = OutputTable(tuple(s.slot for s in plan.storages), BUDGET, release)
        self._outputs = self.entry.outputs(self._output_table)
        self.prologue: Code | None = None
        self._snapshot: Snapshot | None = None
        self.all_kernels = list(self.kernels)
        if plan.prologue is not None:
            self._link_prologue()
        self.source, self.call = self._generate()

    # -- packed parameters --------------------------------------------------------------------------------------------

    def _link_prologue(self) -> None:
        none = [None] * len(self.inputs)
        name = f"{self.name}_prologue"
        self.prologue = Code(self.plan.prologue, self.inputs, none, self.emit, name, arrays=True, only_used=True)
        self._packed_from = [self.inputs[i].fixed for i in self.prologue.used]
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
            size = f"{sum(a.nbytes for a in packed):,} bytes"
            why = "memory outside specjit shares a parameter" if live else "a parameter's values changed"
            then = "while a .numpy() array or DLPack export of a parameter lives, every call packs anew" if live else ""
            self.emit(EventKind.REPACKED, f"{why}: {size} packed again", then=then, reason=why)
        self._snapshot = made
        return made

    def frames(self) -> list[Frame]:
        """The frames that wait for their next call."""
        return list(self._pool.copy())

    def packed(self) -> list[np.ndarray]:
        """The packed parameters as of now."""
        return [] if self._snapshot is None else self._snapshot.arrays

    def take(self) -> Frame:
        frame = Frame(self.plan.new_frame())
        for p in self.plan.packed:
            if p.data is not None:
                frame.array[p.slot] = p.data.ctypes.data
        return frame

    def load(self, frame: Frame, snapshot: Snapshot) -> None:
        assert self.plan.prologue is not None
        made = {s.slot: a for s, a in zip(self.plan.prologue.storages, snapshot.arrays, strict=True)}
        for p in self.plan.packed:
            if p.data is None:
                frame.array[p.slot] = made[p.from_slot].ctypes.data
        frame.snapshot = snapshot

    # -- the generated call -------------------------------------------------------------------------------------------

    def _generate(self) -> tuple[str, Callable[..., Any]]:
        plan = self.plan
        args = [f"a{i}" for i in self.used]
        names: dict[str, Any] = {
            "pool": self._pool,
            "bind": self.entry.bind,
            "run": self.entry.run,
            "guards": self._handle,
            "outputs": self._outputs,
            "code": self._machine_code.words,
            "take": self.take,
            "self": self,
            "state": state,
            "empty": np.empty,
            "ndarray": np.ndarray,
            "window": window,
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
        whole = {o.storage: o for o in plan.outputs if o.kind == "tensor" and o.of == "fresh" and o.whole}
        for k, fresh in enumerate(plan.storages):
            names[f"dtype{k}"] = BY_SHORT[fresh.dtype].numpy
            if k in whole:
                shape = "".join(f"{self._size(d)}, " for d in whole[k].dims)
                lines.append(f"    s{k} = empty(({shape}), dtype{k})")
            else:
                lines.append(f"    s{k} = aligned({self._size(fresh.elements)}, dtype{k})")
        arrays = [f"s{k}" for k in range(len(plan.storages))]
        run = f"run({', '.join(['frame', 'code', 'outputs', *arrays])})"
        running = until_done(run) if self.draws is None else self.draws.around(run, plan, self._size, names)
        lines += [f"    {line}" for line in running]
        results = []
        self.aliases: dict[int, int] = {}
        if plan.outputs:
            for k, o in enumerate(plan.outputs):
                results.append(self._result(k, o, names))
        else:
            results = arrays
        if self.draws is not None:
            results += ["seed", "first"]
        lines.append(f"    result = ({', '.join(results)}{',' if len(results) == 1 else ''})")
        lines.append("    pool.append(f)")
        lines.append("    return result")
        source = "\n".join([*lines, ""])
        exec(compile(source, f"<specjit {self.name}>", "exec"), names)
        return source, names["call"]

    def _result(self, k: int, o: Any, names: dict[str, Any]) -> str:
        """Python source of output k."""
        if o.kind == "const":
            names[f"const{k}"] = o.value
            return f"const{k}"
        if o.kind != "tensor":
            word = {"float": f"float(frame[{o.slot}:{o.slot + 1}].view('f8')[0])", "bool": f"bool(frame[{o.slot}])"}
            return word.get(o.kind, f"int(frame[{o.slot}])")
        if o.of == "fresh" and o.whole:
            return f"s{o.storage}"
        item = BY_SHORT[o.dtype].itemsize
        shape = "".join(f"{self._size(d)}, " for d in o.dims)
        strides = "".join(f"({self._size(s)}) * {item}, " for s in o.strides)
        offset = f"({self._size(o.offset)}) * {item}"
        if o.of == "fresh":
            return f"ndarray(({shape}), dtype{o.storage}, s{o.storage}, {offset}, ({strides}))"
        self.aliases[k] = o.storage
        data = f"a{o.storage}" if self.arrays else f"a{o.storage}._data"
        return f"window({data}, {offset}, ({shape}), ({strides}))"

    def _size(self, dim: Any) -> str:
        """Python source of a size, from the frame's slots."""
        if isinstance(dim, int):
            return str(dim)
        slots = self.plan.symbols | self.plan.registers
        terms = []
        for mono, coef in dim.terms.items():
            factors = [str(coef), *(f"int(frame[{slots[name]}])" for name in mono)]
            terms.append(" * ".join(factors[1:] if coef == 1 and mono else factors))
        return " + ".join(terms)


def window(array: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """A view of `array`'s memory: `offset` and `strides` in bytes from its first element."""
    if 0 in shape:
        return np.lib.stride_tricks.as_strided(array, shape, (0,) * len(shape))
    first = np.lib.stride_tricks.as_strided(array, (offset // array.itemsize + 1,), (array.itemsize,))
    return np.lib.stride_tricks.as_strided(first[-1:], shape, strides)


def _none_is_minus_one(slot: int | None) -> int:
    return -1 if slot is None else slot


def guard_table(
    inputs: Sequence[Any],
    flags: Sequence[bool | None],
    symbols: Mapping[str, Any],
    slots: Sequence[int],
    arrays: bool,
    least: Mapping[str, int] = MappingProxyType({}),
) -> GuardTable:
    """Guards on the inputs; `slots[i]` is the frame slot for input i's address or value, -1 where it is only checked.
    `least`: lower bounds of sizes."""
    table = GuardTable(len(inputs))
    seen: set[str] = set()
    for i, given in enumerate(inputs):
        t: Type = given.type
        slot = slots[i] if slots[i] >= 0 else abi.FIRST_FREE - 1
        if t.kind == "int":
            table.integer(i, slot=_size_slot(t, symbols, slot))
        elif t.kind == "float":
            table.real(i, slot=slot)
        elif t.kind == "bool":
            table.boolean(i, slot=slot)
        elif t.is_tensor:
            assert t.dtype is not None
            assert t.dims is not None
            dims = [_dim(d, symbols, seen, least) for d in t.dims]
            strides = _strides(given.layout, symbols)
            data = slots[i] if slots[i] >= 0 else None
            if arrays:
                table.array(i, t.dtype.numpy, dims, strides=strides, data=data)
            else:
                same = [] if flags[i] is None else [("_requires_grad", flags[i])]
                table.tensor(i, given.cls, "_data", t.dtype.numpy, dims, same=same, strides=strides, data=data)
    return table


def argument_guard(
    inputs: Sequence[Any], flags: Sequence[bool | None], least: Mapping[str, int]
) -> Callable[..., bool]:
    """A function of these inputs that says whether some guard fails; for variants whose first step is not a region."""
    names = sorted({n for given in inputs for d in given.type.dims or () if isinstance(d, Poly) for n in d.symbols()})
    symbols = {name: abi.FIRST_FREE + k for k, name in enumerate(names)}
    entry = process_entry()
    table = guard_table(inputs, flags, symbols, [-1] * len(inputs), False, least)
    handle = entry.guards(table)
    size = abi.FIRST_FREE + len(names)
    bind = entry.bind

    def fails(*given: Any) -> bool:
        return bind(np.empty(size, np.int64), handle, *given) != 0

    fails.table = table  # type: ignore[attr-defined]  # the handle points at objects that the table holds
    return fails


def _same_objects(a: list[Any], b: list[Any]) -> bool:
    return all(x is y for x, y in zip(a, b, strict=True))


def _dim(d: Any, slots: Mapping[str, Any], seen: set[str], least: Mapping[str, int]) -> int | Dim:
    if isinstance(d, int):
        return d
    names = d.symbols()
    if repr(d) not in names or slots.get(repr(d)) is None:
        return at_least(0)  # an expression over sizes that other inputs show: type inference answers for it
    (name,) = names
    if name in seen:
        return equal(slots[name])
    seen.add(name)
    return store(slots[name], least.get(name, 0))


def _size_slot(t: Type, symbols: Mapping[str, Any], slot: int) -> int:
    """An int that is a size symbol goes where the symbol lives."""
    held = symbols.get(repr(t.dim)) if t.dim is not None else None
    return slot if held is None else held


def _strides(layout: Any, slots: Mapping[str, Any]) -> Any:
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
