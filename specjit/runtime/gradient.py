"""The autograd node of a native region.

Enters: a region's inputs and the arrays its forward code returned (results, then saved values). Leaves: gradients,
from the native backward code, or from the tape over the region's generic block where that is asked for (create_graph)
or needed. Invariant: what backward reads is what forward saw: saved inputs and results are version-checked as eager
does, saved values belong to the node alone; two forwards before one backward and `retain_graph` are therefore plain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjit.ir.dims import evaluate
from specjit.runtime.code import Failed
from specjit.tensor import Tensor, engine, state, tape
from specjit.tensor.tensor import wrap

if TYPE_CHECKING:
    from specjit.runtime.native import NativeRegion

_CHANGED = (
    "one of the variables needed for gradient computation has been modified by an inplace operation: {what} of the "
    "native region {name} is at version {now}; expected version {then} instead."
)


class RegionNode(tape.Node):
    """One call of a differentiable region on the tape."""

    __slots__ = ("_inputs", "_kept", "_region", "_results", "_versions", "count")

    def __init__(self, region: NativeRegion, inputs: tuple[Any, ...], out: tuple[Any, ...]) -> None:
        super().__init__(tape.edge(inputs[i]) for i in region.wanted)
        self._region: NativeRegion | None = region
        self._inputs = inputs
        self._kept = out[region.outputs :]
        self._results: list[Any] = list(out[: region.outputs])
        self._versions: dict[tuple[str, int], tuple[list[Any], int]] = {}
        self.count = len(region.differentiable)
        assert region.derivative is not None
        for kind, i in region.derivative.saved:
            if kind == "input" and isinstance(inputs[i], Tensor):
                self._versions[kind, i] = (inputs[i]._version, inputs[i]._version[0])

    def made(self, j: int, result: Tensor) -> None:
        """Output `j` became this tensor: if backward reads its storage, its version is watched from now on."""
        assert self._region is not None
        assert self._region.derivative is not None
        if j in self._region.derivative.watched:
            self._versions["output", j] = (result._version, result._version[0])

    @property
    def name(self) -> str:
        return f"Region[{self._region.name if self._region else 'released'}]"

    def release(self) -> None:
        self._region = None
        self._inputs = self._kept = ()
        self._results = []

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        region = self._region
        if region is None:
            raise RuntimeError(tape.FREED)
        if state.is_grad_enabled():
            why = "create_graph=True"
            region.fell_back(f"backward under {why}: gradients come from the tape", region.place, why)
            return self._generic(region, grads, create=True)
        for (kind, i), (version, then) in self._versions.items():
            if version[0] != then:
                what = f"{kind} {i}"
                raise RuntimeError(_CHANGED.format(what=what, name=region.name, now=version[0], then=then))
        assert region.backward is not None
        out = region.backward.call(*self._arguments(region, grads))
        if out is None or type(out) is Failed:
            why = "a gradient of another layout" if out is None else out.why
            region.fell_back(f"backward stopped at {why}: the tape answers", region.place, why)
            return self._generic(region, grads, create=False)
        return [None if k is None else wrap(out[k]) for k in region.returned]

    def _arguments(self, region: NativeRegion, grads: Sequence[Tensor | None]) -> list[Any]:
        assert region.derivative is not None
        place = {j: k for k, j in enumerate(region.differentiable)}
        out: list[Any] = []
        for kind, i in region.derivative.saved:
            if kind == "input":
                given = self._inputs[i]
                out.append(given._data if isinstance(given, Tensor) else given)
            elif kind == "output":
                out.append(self._results[i])
            elif kind == "saved":
                out.append(self._kept[i])
            elif kind == "size":
                out.append(evaluate(i, self._symbols(region)))
            else:
                g = grads[place[i]]
                like = self._results[i]
                out.append(
                    np.zeros_like(like) if g is None else np.ascontiguousarray(g._data, like.dtype).reshape(like.shape)
                )
        return out

    def _symbols(self, region: NativeRegion) -> dict[str, int]:
        """Sizes of this call, by symbol."""
        found: dict[str, int] = {}
        for given, known in zip(self._inputs, region.inputs, strict=True):
            if isinstance(given, Tensor) and known.type.dims is not None:
                for d, size in zip(known.type.dims, given.shape, strict=True):
                    if d is not None and not isinstance(d, int) and len(d.symbols()) == 1 and repr(d) in d.symbols():
                        found[repr(d)] = size
        return found

    def _generic(self, region: NativeRegion, grads: Sequence[Tensor | None], create: bool) -> Sequence[Tensor | None]:
        """The tape over the generic block, from the same inputs and with the same random numbers."""
        with state.enable_grad():
            results = region.replay(*self._inputs)
        pairs = [
            (results[j], g)
            for j, g in zip(region.differentiable, grads, strict=True)
            if g is not None and results[j].requires_grad
        ]
        wanted = [self._inputs[i] for i in region.wanted]
        if not pairs:
            return [None] * len(wanted)
        outs, given = zip(*pairs, strict=True)
        return engine.grad(list(outs), wanted, list(given), create_graph=create, allow_unused=True)
