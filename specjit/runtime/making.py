"""Making native regions: differentiate, optimize, schedule, compile, link.

Enters: the block of a `region` node and what is known of its inputs. Leaves: a `NativeRegion`, or None (with an event)
where the block cannot be native after all; and, for a region whose gradients are themselves differentiated
(create_graph), the region of its gradients.
Invariant: touches no tensor data; raises Refused only for what is no fault of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from specjit import passes
from specjit.codegen.compiler import CompileError
from specjit.codegen.generic.python import generate_block
from specjit.codegen.schedule import NotSchedulable, schedule
from specjit.ir.graph import Block, Graph, Value, copy_block
from specjit.ir.types import INT
from specjit.passes import draws as draw
from specjit.passes.autodiff.derivative import Derivative, differentiate, dissolve_grad_modes
from specjit.passes.autodiff.higher import joined
from specjit.passes.autodiff.watch import Told
from specjit.runtime.code import Code
from specjit.runtime.draws import Draws
from specjit.runtime.events import EventKind
from specjit.runtime.gradient import NONE, PENDING, Backward, Deeper, Taped
from specjit.runtime.native import FellBack, Input, NativeRegion, place_of, wants_gradient
from specjit.specialize.abstract import Refused


@dataclass(frozen=True)
class Maker:
    """What a region is made with.

    context    of the passes
    emit       says what happened: kind, message, facts
    fell_back  is called when the region ran generically
    least      lower bounds of size symbols
    later      does a job in the background, or now where the Program compiles in its calls; RuntimeError where a stance
               forbids it
    """

    name: str
    context: passes.Context
    emit: Callable[..., None]
    fell_back: FellBack
    least: Mapping[str, int]
    later: Callable[[Callable[[], None]], None]

    def region(
        self, block: Block, inputs: list[Input], grad_mode: bool, told: Told | None = None
    ) -> NativeRegion | None:
        """The region of a block. `told`: which of its inputs and results eager watches between forward and backward,
        as far as the program says."""
        generic = generate_block(block, block.params, name=self.name).fn
        draws = replay = None
        if draw.draws(block):
            explicit = draw.explicit(block, self.context.lookup)
            block, inputs = explicit.block, [*inputs, Input(INT), Input(INT)]
            draws = Draws(explicit.taken, len(block.outputs) - 1)
            replay = generate_block(block, block.params, name=f"{self.name}_replay").fn
            block = copy_block(block, {})
            passes.optimize(Graph(f"{self.name}_explicit", block), self.context, f"{self.name}_explicit")
        if any(grad_mode and wants_gradient(given.type) for given in inputs):
            return self._tried(block, lambda: self._recording(block, inputs, generic, replay or generic, draws, told))
        dissolve_grad_modes(block)  # where nothing records, the mode decides nothing
        flags = [False if grad_mode and given.type.is_tensor else None for given in inputs]

        def made() -> NativeRegion:
            forward = self._code(block, inputs, flags, self.name, least=self.least, draws=draws)
            return NativeRegion(self.name, block, inputs, forward, generic, self.fell_back)

        return self._tried(block, made)

    def deeper(self, region: NativeRegion, of: tuple[int, ...]) -> Deeper | None:
        """The gradients of `region` as a region of their own: from its inputs and the gradients `of` these results,
        with gradients in turn."""
        first = self._derivative(region.block, region.inputs, region.told, of)
        block = joined(first, self.context.lookup)
        passes.optimize(Graph(self.name, block), self.context, self.name)
        places = _without_constants(block)
        known = len(first.rooms) + len(region.inputs)
        inputs = [Input(v.type) for v in block.params[: len(first.rooms)]]
        inputs += [*region.inputs, *(Input(v.type, unmarked=True) for v in block.params[known:])]
        taped = Taped(region, first, places)
        made = self._tried(block, lambda: self._recording(block, inputs, taped, taped, None, None))
        return None if made is None else Deeper(first, places, made)

    def _tried(self, block: Block, make: Callable[[], NativeRegion | None]) -> NativeRegion | None:
        try:
            return make()
        except NotSchedulable as error:
            self.emit(EventKind.NOT_FUSED, f"runs in Python: {error.reason}", location=error.loc or place_of(block))
            return None
        except CompileError as error:
            text = str(error).strip()
            last = text.rpartition("\n")[2] or text
            missing = last.startswith(("ImportError", "ModuleNotFoundError"))
            blame = (
                "Install Numba again: pip install numba" if missing else "This is a fault of specjit: please report it"
            )
            raise Refused(f"a kernel did not compile ({last}). {blame}", place_of(block)) from error

    def _derivative(
        self, block: Block, inputs: Sequence[Input], told: Told | None, of: Sequence[int] | None = None
    ) -> Derivative:
        wanted = [wants_gradient(given.type) for given in inputs]
        return differentiate(block, wanted, of=of, told=told, name=self.name, lookup=self.context.lookup)

    def _recording(
        self,
        block: Block,
        inputs: list[Input],
        generic: Callable[..., Any],
        replay: Callable[..., Any],
        draws: Draws | None,
        told: Told | None,
    ) -> NativeRegion | None:
        """The region of a block whose calls are recorded on the tape."""
        derivative = self._derivative(block, inputs, told)
        if derivative.refused:
            message = f"runs in Python, with gradients on the tape: {derivative.refused}"
            self.emit(EventKind.NOT_FUSED, message, location=place_of(block))
            return None
        derivative.assume(self.least)
        forward_graph, backward_graph = derivative.graphs
        passes.optimize(forward_graph, self.context, forward_graph.name)
        rooms = [Input(v.type) for v in derivative.forward.params[: len(derivative.rooms)]]
        flags = [None] * len(rooms) + [given.marked for given in inputs]
        label = f"{self.name}_forward"
        forward = self._code(derivative.forward, [*rooms, *inputs], flags, label, least=self.least, draws=draws)
        passes.optimize(backward_graph, self.context, backward_graph.name)
        backward = self._backward(derivative, inputs)
        made = NativeRegion(self.name, block, inputs, forward, generic, self.fell_back, backward, replay, told)
        made.deepen = lambda of: self._deepen(backward, made, of)
        return made

    def _deepen(self, backward: Backward, region: NativeRegion, of: tuple[int, ...]) -> None:
        """Start to make the region of a region's gradients."""
        maker = replace(self, name=f"{self.name}_gradients{len(backward.deeper) or ''}")

        def job() -> None:
            backward.deeper[of] = NONE
            backward.deeper[of] = maker.deeper(region, of) or NONE

        backward.deeper[of] = PENDING
        try:
            self.later(job)
        except RuntimeError:  # nothing may compile now
            del backward.deeper[of]
            raise

    def _backward(self, derivative: Derivative, inputs: list[Input]) -> Backward:
        """The backward block as native code, without its constant outputs (gradients that never are)."""
        block = derivative.backward
        places = _without_constants(block)
        givens = [_backward_input(entry, v, inputs) for entry, v in zip(derivative.saved, block.params, strict=True)]
        code = self._code(block, givens, [None] * len(givens), f"{self.name}_backward", arrays=True)
        return Backward(derivative, places, code)

    def _code(
        self,
        block: Block,
        inputs: list[Input],
        flags: Sequence[bool | None],
        name: str,
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
            numerics=self.context.numerics,
            sizes=self.context.sizes,
            disable=self.context.disable,
        )
        passes.dump(self.context.name, f"{name}.plan", plan.describe)
        for note in plan.notes:
            text = f"backward: {note.text}" if arrays else note.text
            place = note.locs[0] if note.locs else place_of(block)
            self.emit(EventKind(note.kind), text, location=place, ops=list(note.ops))
        return Code(plan, inputs, flags, self.emit, name, arrays, least=least, draws=draws)


def derivative_stages(region: NativeRegion, context: passes.Context) -> dict[str, passes.Stages]:
    """The forward and the backward graph of a region before and after each pass; nothing if it has no gradients."""
    if region.backward is None:
        return {}
    wanted = [wants_gradient(given.type) for given in region.inputs]
    again = differentiate(region.block, wanted, told=region.told, name=region.name)
    return {part: passes.stages(g, context, g.name) for part, g in zip(("forward", "backward"), again.graphs)}


def _backward_input(entry: tuple[str, Any], value: Value, inputs: list[Input]) -> Input:
    kind, index = entry
    if kind == "input":
        return Input(value.type, np.ndarray, inputs[index].fixed, inputs[index].layout)
    return Input(value.type, np.ndarray)


def _without_constants(block: Block) -> list[int | tuple[Any]]:
    """Take constant outputs (gradients that never are) out of a block: the new position of each, or its constant."""
    places: list[int | tuple[Any]] = []
    kept: list[Value] = []
    for o in block.outputs:
        places.append((o.const,) if o.is_const else len(kept))
        if not o.is_const:
            kept.append(o)
    block.outputs = kept
    return places
