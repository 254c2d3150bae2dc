"""A native region as the code around it sees it: tensors in, tensors out, gradients included.

Enters: the codes that `making` made of a block. Leaves: `NativeRegion`: `guarded(*inputs)` gives results, or None if a
guard on an input fails; calling it never says no, it runs the block generically instead.
Invariant: a region has no outside effect before it succeeds. On a failure status its own block runs generically from
the same inputs, so the true exception rises at the user's own line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjit.codegen.abi import Status
from specjit.ir.graph import Block, Location
from specjit.ir.types import Type as IrType
from specjit.ops.records.call import attach_view
from specjit.passes.autodiff.watch import NOTHING, Told
from specjit.runtime.code import Code, Failed
from specjit.runtime.gradient import Backward, Deeper, RegionNode
from specjit.tensor import Tensor
from specjit.tensor.tensor import type_of_tensor, wrap, wrap_node

FIRST_ROOM, LAST_ROOM = 64, 1 << 24  # turns of a `while` loop for which there is room at first, and at most


@dataclass
class Input:
    """What is known of one region input: `type`; `fixed` is the parameter itself; `cls` the exact tensor class;
    `layout` its strides in elements, "contiguous", or None for any; `unmarked`: it may require a gradient in one call
    and not in another."""

    type: IrType
    cls: Any = Tensor
    fixed: Any = None
    layout: Any = "contiguous"
    unmarked: bool = False

    @property
    def kind(self) -> str:
        return "tensor" if self.type.is_tensor else self.type.kind

    @property
    def marked(self) -> bool | None:
        """The requires_grad that calls which are recorded must have; None: any."""
        return wants_gradient(self.type) if self.type.is_tensor and not self.unmarked else None


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
        # Starts to make the region of the gradients of these results.
        self.deepen: Callable[[tuple[int, ...]], None] | None = None
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
        found = {"forward": self.forward}
        if self.backward is not None:
            found["backward"] = self.backward.code
            for deeper in self.backward.deeper.values():
                codes = deeper.region.codes.values() if isinstance(deeper, Deeper) else ()
                found |= {code.name.removeprefix(f"{self.name}_"): code for code in codes}
        return found

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
