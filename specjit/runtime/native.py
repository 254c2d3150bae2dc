"""A native region as the code around it sees it: tensors in, tensors out, gradients included.

Enters: the block of a `region` node and what is known of its inputs. Leaves: `NativeRegion`: `guarded(*inputs)` gives
results, or None if a guard on an input fails; calling it never says no, it runs the block generically instead.
Invariant: a region has no outside effect before it succeeds. On a failure status its own block runs generically from
the same inputs, so the true exception rises at the user's own line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from specjit import passes
from specjit.codegen.abi import Status
from specjit.codegen.compiler import CompileError
from specjit.codegen.python import generate_block
from specjit.codegen.schedule import NotSchedulable, schedule
from specjit.ir.graph import Block, Graph, Location, Value, copy_block
from specjit.ir.types import INT
from specjit.ir.types import Type as IrType
from specjit.ops.call import attach_view
from specjit.passes import draws as draw
from specjit.passes.autodiff import Derivative, differentiate, dissolve_grad_modes
from specjit.passes.autodiff_watch import NOTHING, Told
from specjit.runtime.code import Code, Failed
from specjit.runtime.draws import Draws
from specjit.runtime.events import EventKind
from specjit.runtime.gradient import Backward, RegionNode
from specjit.specialize.abstract import Refused
from specjit.tensor import Tensor
from specjit.tensor.tensor import type_of_tensor, wrap, wrap_node

FIRST_ROOM, LAST_ROOM = 64, 1 << 24  # turns of a `while` loop for which there is room at first, and at most


@dataclass
class Input:
    """What is known of one region input: `type`; `fixed` is the parameter itself; `cls` the exact tensor class;
    `layout` its strides in elements, "contiguous", or None for any."""

    type: IrType
    cls: Any = Tensor
    fixed: Any = None
    layout: Any = "contiguous"

    @property
    def kind(self) -> str:
        return "tensor" if self.type.is_tensor else self.type.kind


# Called with what the region did, where in the user's program, and the reason that such events share.
FellBack = Callable[[str, Location | None, str], None]


class NativeRegion:
    """See the module docstring.

    forced   a failure status that every call is to meet, instead of running (tests force every region in turn)
    """

    def __init__(
        self,
        name: str,
        block: Block,
        inputs: list[Input],
        forward: Code,
        generic: Callable[..., tuple[Any, ...]],
        fell_back: FellBack,
        backward: Backward | None = None,
        replay: Callable[..., tuple[Any, ...]] | None = None,
        told: Told | None = None,
    ) -> None:
        self.name, self.block, self.inputs = name, block, inputs
        self.forward, self.backward, self.told = forward, backward, told
        self.generic, self.fell_back = generic, fell_back
        self.replay = replay or generic  # generic, but draws again what a call drew, given its key and first block
        self.forced: Status | None = None
        self.wanted = [i for i, given in enumerate(inputs) if backward is not None and wants_gradient(given.type)]
        self.outputs = len(block.outputs)
        self.results = self.outputs - (forward.draws is not None and forward.draws.taken is None)
        self.differentiable = backward.derivative.differentiable if backward is not None else []
        self.watched = backward.derivative.watched if backward is not None else NOTHING
        self.rooms = [FIRST_ROOM] * (0 if backward is None else len(backward.derivative.rooms))
        # Neither gradients, nor outputs that share memory, nor random numbers.
        self._plain = backward is None and not forward.aliases and forward.draws is None
        self._tensors = all(o.kind == "tensor" for o in forward.plan.outputs)

    @property
    def place(self) -> Location | None:
        """Where in the user's program it begins."""
        return place_of(self.block)

    @property
    def codes(self) -> dict[str, Code]:
        """The native programs, by what they do."""
        return {"forward": self.forward, **({"backward": self.backward.code} if self.backward is not None else {})}

    @property
    def kernels(self) -> list[Any]:
        return [k for code in self.codes.values() for k in code.all_kernels]

    def summary(self) -> str:
        """A few lines for `explain()`."""
        parts = [f"{self.name}: {len(self.forward.kernels)} kernels"]
        if self.backward is not None:
            parts.append(f"backward {len(self.backward.code.kernels)} kernels")
        if self.forward.prologue is not None:
            parts.append(f"{len(self.forward.plan.prologue.outputs)} packed parameter arrays")
        return ", ".join(parts)

    def guarded(self, *inputs: Any) -> tuple[Any, ...] | None:
        """Results, or None if a guard on an input fails."""
        rooms = self.rooms
        out: Any = self.forward.call(*rooms, *inputs) if self.forced is None else Failed(self.forced)
        while type(out) is Failed and out.status == Status.ROOM and rooms and rooms[0] < LAST_ROOM:
            rooms = self.rooms = [4 * room for room in rooms]
            out = self.forward.call(*rooms, *inputs)
        if type(out) is not tuple:
            return None if out is None else self._failed(out, inputs)
        if self._plain:
            return tuple(map(wrap, out)) if self._tensors else self._wrapped(out)
        if self.forward.draws is not None:
            inputs, out = (*inputs, *out[-2:]), out[:-2]
        if self.backward is None:
            results = [wrap(o) if type(o) is np.ndarray else o for o in out]
        else:
            results = self._recorded(inputs, out, rooms)
        for k, source in self.forward.aliases.items():
            if k < self.outputs:
                attach_view(results[k], inputs[source - len(rooms)], True)
        return tuple(results[: self.results])

    def _wrapped(self, out: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([wrap(o) if type(o) is np.ndarray else o for o in out])

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        out = self.guarded(*inputs)
        if out is None:
            self.fell_back(f"ran generic: {self._misfit(inputs)}", self.place, "an input of another type")
            return self.generic(*inputs)
        return out

    def _misfit(self, inputs: tuple[Any, ...]) -> str:
        """The first input that is not what the native code was made for."""
        for param, given, value in zip(self.block.params, self.inputs, inputs, strict=False):
            if not _covers(given.type, value):
                found = type_of_tensor(value) if isinstance(value, Tensor) else type(value).__name__
                return f"{param.hint or 'a value'} expected {given.type}, got {found}"
        return "an input's size or memory layout is not what it was made for"

    def _failed(self, failed: Failed, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        self.fell_back(f"stopped at {failed.why} and ran generic instead, from its start", self.place, failed.why)
        return self.generic(*inputs)

    def _recorded(self, inputs: tuple[Any, ...], out: tuple[Any, ...], rooms: list[int]) -> list[Any]:
        """Wrap the results with one autograd node for the whole region."""
        node = RegionNode(self, inputs, out, rooms)
        results: list[Any] = []
        at = {j: k for k, j in enumerate(self.differentiable)}
        for j, o in enumerate(out[: self.outputs]):
            if type(o) is not np.ndarray:
                results.append(o)
            elif j in at:
                made = wrap_node(o, node if node.count == 1 else node.output(at[j]))
                node.made(j, made)
                results.append(made)
            else:
                results.append(wrap(o))
        return results


def place_of(block: Block) -> Location | None:
    """Where in the user's program a block begins."""
    return next((n.loc.user for n in block.walk() if n.loc is not None), None)


def _covers(known: IrType, value: Any) -> bool:
    """Whether a value is what is known of it: its kind; of a tensor dtype, rank, constant sizes and requires_grad."""
    if not known.is_tensor or not isinstance(value, Tensor):
        return known.is_tensor == isinstance(value, Tensor)
    found = type_of_tensor(value)
    assert found.dims is not None
    if known.dims is None or len(known.dims) != len(found.dims):
        return False
    same = all(k == f for k, f in zip(known.dims, found.dims, strict=True) if isinstance(k, int))
    return same and known.dtype == found.dtype and known.requires_grad in (None, found.requires_grad)


def wants_gradient(t: IrType) -> bool:
    return t.is_tensor and t.requires_grad is not False and t.dtype is not None and t.dtype.is_floating_point


def make_region(
    block: Block,
    *,
    name: str,
    inputs: list[Input],
    grad_mode: bool,
    context: Any,
    emit: Callable[..., None],
    fell_back: FellBack,
    least: Mapping[str, int],
    told: Told | None = None,
) -> NativeRegion | None:
    """Schedule, compile and link a region's block; None (with an event) where it cannot be native after all. `told`:
    which of its inputs and results eager watches between forward and backward, as far as the program says."""
    generic = generate_block(block, block.params, name=name).fn
    draws = replay = None
    if draw.draws(block):
        explicit = draw.explicit(block, context.lookup)
        block, inputs = explicit.block, [*inputs, Input(INT), Input(INT)]
        draws = Draws(explicit.taken, len(block.outputs) - 1)
        replay = generate_block(block, block.params, name=f"{name}_replay").fn
        block = copy_block(block, {})
        passes.optimize(Graph(f"{name}_explicit", block), context, f"{name}_explicit")
    wanted = [grad_mode and wants_gradient(given.type) for given in inputs]
    try:
        if not any(wanted):
            dissolve_grad_modes(block)  # where nothing records, the mode decides nothing
            flags = [False if grad_mode and given.type.is_tensor else None for given in inputs]
            forward = _code(block, inputs, flags, name, emit, context, least=least, draws=draws)
            return NativeRegion(name, block, inputs, forward, generic, fell_back)
        derivative = differentiate(block, wanted, told=told, name=name)
        if derivative.refused:
            message = f"runs in Python, with gradients on the tape: {derivative.refused}"
            emit(EventKind.NOT_FUSED, message, location=place_of(block))
            return None
        derivative.assume(least)
        forward_graph, backward_graph = derivative.graphs
        passes.optimize(forward_graph, context, forward_graph.name)
        rooms = [Input(v.type) for v in derivative.forward.params[: len(derivative.rooms)]]
        marks = [w if given.type.is_tensor else None for w, given in zip(wanted, inputs, strict=True)]
        flags = [*[None] * len(rooms), *marks]
        label = f"{name}_forward"
        forward = _code(derivative.forward, [*rooms, *inputs], flags, label, emit, context, least=least, draws=draws)
        passes.optimize(backward_graph, context, backward_graph.name)
        backward = _backward(derivative, inputs, f"{name}_backward", emit, context)
        return NativeRegion(name, block, inputs, forward, generic, fell_back, backward, replay, told)
    except NotSchedulable as error:
        emit(EventKind.NOT_FUSED, f"runs in Python: {error.reason}", location=error.loc or place_of(block))
        return None
    except CompileError as error:
        text = str(error).strip()
        last = text.rpartition("\n")[2] or text
        missing = last.startswith(("ImportError", "ModuleNotFoundError"))
        blame = "Install Numba again: pip install numba" if missing else "This is a fault of specjit: please report it"
        raise Refused(f"a kernel did not compile ({last}). {blame}", place_of(block)) from error


def derivative_stages(region: NativeRegion, context: passes.Context) -> dict[str, passes.Stages]:
    """The forward and the backward graph of a region before and after each pass; nothing if it has no gradients."""
    if region.backward is None:
        return {}
    wanted = [wants_gradient(given.type) for given in region.inputs]
    again = differentiate(region.block, wanted, told=region.told, name=region.name)
    return {part: passes.stages(g, context, g.name) for part, g in zip(("forward", "backward"), again.graphs)}


def _backward(
    derivative: Derivative, inputs: list[Input], name: str, emit: Callable[..., None], context: Any
) -> Backward:
    """The backward block as native code, without its constant outputs (gradients that never are)."""
    block = derivative.backward
    places: list[int | tuple[Any]] = []
    computed: list[Value] = []
    for o in block.outputs:
        places.append((o.const,) if o.is_const else len(computed))
        if not o.is_const:
            computed.append(o)
    block.outputs = computed
    givens = [_backward_input(entry, v, inputs) for entry, v in zip(derivative.saved, block.params, strict=True)]
    code = _code(block, givens, [None] * len(givens), name, emit, context, arrays=True)
    return Backward(derivative, code, places)


def _backward_input(entry: tuple[str, Any], value: Value, inputs: list[Input]) -> Input:
    kind, index = entry
    if kind == "input":
        return Input(value.type, np.ndarray, inputs[index].fixed, inputs[index].layout)
    return Input(value.type, np.ndarray)


def _code(
    block: Block,
    inputs: list[Input],
    flags: Sequence[bool | None],
    name: str,
    emit: Callable[..., None],
    context: Any,
    arrays: bool = False,
    least: Mapping[str, int] = MappingProxyType({}),
    draws: Draws | None = None,
) -> Code:
    params = {v for v, given in zip(block.params, inputs, strict=True) if given.fixed is not None}
    layouts = {
        v: tuple(given.layout)
        for v, given in zip(block.params, inputs, strict=True)
        if given.type.is_tensor and isinstance(given.layout, tuple)
    }
    plan = schedule(
        block,
        name=name,
        layouts=layouts,
        params=params,
        numerics=context.numerics,
        sizes=context.sizes,
        disable=context.disable,
    )
    passes.dump(context.name, f"{name}.plan", plan.describe)
    for note in plan.notes:
        text = f"backward: {note.text}" if arrays else note.text
        emit(EventKind(note.kind), text, location=note.locs[0] if note.locs else place_of(block), ops=list(note.ops))
    return Code(plan, inputs, flags, emit, name, arrays, least=least, draws=draws)
