"""The autograd node of a native region.

Enters: a region's inputs and the arrays its forward code returned (results, then saved values). Leaves: gradients,
from the native backward code; under create_graph from a region that computes the gradients and has gradients itself
(`Deeper`); or from the tape over the region's generic block, until that is there or where neither can answer.
Invariant: what backward reads is what forward saw: saved values belong to the node alone, and inputs and results that
it reads are those that eager's tape would keep, version-checked as eager does; two forwards before one backward and
`retain_graph` are therefore plain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from specjit.dtypes import dtype_of
from specjit.ir.dims import Poly, evaluate
from specjit.ops.shape import alias
from specjit.passes.autodiff.derivative import Derivative
from specjit.passes.autodiff.when import Given
from specjit.runtime.code import Code, Failed
from specjit.tensor import Tensor, engine, state, tape
from specjit.tensor.recorded import modified
from specjit.tensor.tensor import wrap

if TYPE_CHECKING:
    from specjit.passes.autodiff.when import Fact
    from specjit.runtime.native import NativeRegion


@dataclass
class Gradients:
    """What becomes of the results of code that computes gradients.

    outputs  of the derivative's backward block: each one's place among the results of the code, or its constant in a
             tuple
    unsure   which gradients may be absent although there is code for them
    """

    derivative: Derivative
    outputs: list[int | tuple[Any]]

    def __post_init__(self) -> None:
        present = self.derivative.present
        self.unsure = [k for k, p in enumerate(present) if frozenset() not in p.terms and type(self.outputs[k]) is int]

    def found(
        self, out: Sequence[Any], known: Callable[[Fact], bool], make: Callable[[Any], Tensor]
    ) -> list[Tensor | None]:
        """The gradients; None for one that is not there, given the facts that are `known`."""
        places = self.outputs[: len(self.derivative.present)]
        tensors = [make(o) for o in out[: sum(isinstance(at, int) for at in places)]]
        found = [tensors[at] if isinstance(at, int) else None for at in places]
        for k in self.unsure:
            present = self.derivative.present[k]
            if not (present.flag is not None and self._flag(out, present.flag)) and not present.holds(known):
                found[k] = None
        return found

    def _flag(self, out: Sequence[Any], flag: int) -> bool:
        at = self.outputs[flag]
        return bool(out[at] if isinstance(at, int) else at[0])


@dataclass
class Backward(Gradients):
    """The native backward code of a region.

    reads   which results of the region the code reads
    apart   whether no two gradients share storage
    deeper  the regions of the gradients, for create_graph, by the results whose gradients come. Once somebody asked:
            `PENDING` until it is there, `NONE` if there can be none
    """

    code: Code

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reads = [i for kind, i in self.derivative.saved if kind == "output"]
        places = [(o.of, o.storage) for o in self.code.plan.outputs if o.kind == "tensor"]
        self.apart = len(set(places)) == len(places)
        self.deeper: dict[tuple[int, ...], Deeper | str] = {}


PENDING, NONE = "pending", "none"


@dataclass
class Deeper(Gradients):
    """The gradients of a region as a region: rooms, inputs and gradients of results in, gradients out."""

    region: NativeRegion


class Taped:
    """What a `Deeper` computes, from the tape over the first region's own block."""

    def __init__(self, region: NativeRegion, derivative: Derivative, outputs: list[int | tuple[Any]]) -> None:
        self.region, self.derivative, self.outputs = region, derivative, outputs

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        region, rooms = self.region, len(self.derivative.rooms)
        inputs = args[rooms : rooms + len(region.inputs)]
        given = dict(zip(self.derivative.arriving, args[rooms + len(inputs) :], strict=True))
        found = on_the_tape(region, inputs, [given.get(j) for j in region.differentiable], create=True)
        out: list[Any] = [None] * sum(isinstance(at, int) for at in self.outputs)
        for k, (g, i) in enumerate(zip(found, region.wanted, strict=True)):
            at, flag = self.outputs[k], self.derivative.present[k].flag
            if isinstance(at, int):
                out[at] = wrap(np.zeros_like(inputs[i]._data)) if g is None else g
            where = None if flag is None else self.outputs[flag]
            if isinstance(where, int):
                out[where] = bool(out[where]) or g is not None
        return tuple(out)


def on_the_tape(
    region: NativeRegion, inputs: Sequence[Any], grads: Sequence[Tensor | None], create: bool
) -> Sequence[Tensor | None]:
    """The gradients of the inputs, from the region's own block and with the same random numbers.

    The block runs on aliases: what one input depends on another for is the business of the tape around."""
    asked = [i for i in region.wanted if inputs[i].requires_grad]
    with state.enable_grad():
        apart = {i: alias(inputs[i]) for i in asked}
        results = region.replay(*(apart.get(i, given) for i, given in enumerate(inputs)))
    pairs = [
        (results[j], g)
        for j, g in zip(region.differentiable, grads, strict=True)
        if g is not None and results[j].requires_grad
    ]
    if not pairs or not asked:
        return [None] * len(region.wanted)
    outs, given = zip(*pairs, strict=True)
    found = engine.grad(list(outs), list(apart.values()), list(given), create_graph=create, allow_unused=True)
    by_input = dict(zip(asked, found, strict=True))
    return [by_input.get(i) for i in region.wanted]


class RegionNode(tape.Node):
    """One call of a differentiable region on the tape. `rooms` are the sizes that `while` loops of the forward code
    had room for."""

    __slots__ = ("_inputs", "_kept", "_like", "_made", "_region", "_results", "_rooms", "_versions", "count")

    def __init__(
        self, region: NativeRegion, inputs: tuple[Any, ...], out: tuple[Any, ...], rooms: Sequence[int]
    ) -> None:
        super().__init__(tape.edge(inputs[i]) for i in region.wanted)
        self._region: NativeRegion | None = region
        self._inputs = inputs
        self._rooms = rooms
        self._kept = out[region.outputs :]
        assert region.backward is not None
        self._results = {j: out[j] for j in region.backward.reads}
        self._like = [(out[j].shape, out[j].dtype) for j in region.differentiable]
        self._versions = [t._version[0] if isinstance(t, Tensor) else 0 for t in inputs]
        self._made: list[tuple[np.ndarray, list[Any], int]] = []  # watched results: data, version, its count
        self.count = len(region.differentiable)

    def made(self, j: int, result: Tensor) -> None:
        """Output `j` became this tensor: if eager would keep it, its version is watched from now on."""
        assert self._region is not None
        if j in self._region.watched.outputs:
            self._made.append((result._data, result._version, result._version[0]))

    @property
    def fresh(self) -> bool:  # type: ignore[override]
        """Whether each gradient has storage of its own, which may then be added to in place."""
        return self._region is None or self._region.backward is None or self._region.backward.apart

    @property
    def name(self) -> str:
        return f"Region[{self._region.name if self._region else 'released'}]"

    def release(self) -> None:
        self._region = None
        self._inputs = self._kept = ()
        self._results, self._like, self._versions, self._made = {}, [], [], []

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        region = self._region
        if region is None:
            raise RuntimeError(tape.FREED)
        self._check(region)
        if state.is_grad_enabled():
            return self._create_graph(region, grads)
        assert region.backward is not None
        out = region.backward.code.call(*self._arguments(region, grads))
        if out is None or type(out) is Failed:
            why = "a gradient of another layout" if out is None else out.why
            region.fell_back(f"backward stopped at {why}: the tape answers", region.place, why)
            return self._generic(region, grads, create=False)
        return region.backward.found(out, lambda fact: self._known(fact, region, grads), wrap)

    def _create_graph(self, region: NativeRegion, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Gradients that have gradients: from a region of their own, once there is one."""
        backward = region.backward
        assert backward is not None
        self._check_all()
        of = tuple(j for j, g in zip(region.differentiable, grads, strict=True) if g is not None)
        if of not in backward.deeper and region.deepen is not None:
            region.deepen(of)
        deeper = backward.deeper.get(of)
        if isinstance(deeper, Deeper):
            arriving = [self._as_result(k, g) for k, g in enumerate(grads) if g is not None]
            out = deeper.region(*self._rooms, *self._inputs, *arriving)
            return deeper.found(out, lambda fact: self._known(fact, region, grads), lambda t: t)
        why = "create_graph=True"
        then = ", until they have native code of their own" if deeper == PENDING else ""
        region.fell_back(f"backward under {why}: gradients come from the tape{then}", region.place, why)
        return on_the_tape(region, self._inputs, grads, create=True)

    def _as_result(self, k: int, g: Tensor) -> Tensor:
        """The gradient of differentiable result `k` as native code takes it."""
        _, dtype = self._like[k]
        return g.contiguous() if g._data.dtype == dtype else g.to(dtype_of(dtype)).contiguous()

    def _check(self, region: NativeRegion) -> None:
        """The error that eager raises, if something that it would have kept was written since."""
        for i in region.watched.inputs:
            given, then = self._inputs[i], self._versions[i]
            if isinstance(given, Tensor) and given._version[0] != then:
                raise modified(given._data, self.name, given._version[0], then)
        for data, version, then in self._made:
            if version[0] != then:
                raise modified(data, self.name, version[0], then)

    def _arguments(self, region: NativeRegion, grads: Sequence[Tensor | None]) -> list[Any]:
        assert region.backward is not None
        place = {j: k for k, j in enumerate(region.differentiable)}
        out: list[Any] = []
        for kind, i in region.backward.derivative.saved:
            if kind == "input":
                given = self._inputs[i]
                out.append(given._data if isinstance(given, Tensor) else given)
            elif kind == "output":
                out.append(_row_major(self._results[i]))
            elif kind == "saved":
                out.append(_row_major(self._kept[i]))  # it may be a view, a part of a wider product
            elif kind == "size":
                out.append(evaluate(i, self._symbols(region)))
            elif kind == "given":
                out.append(grads[place[i]] is not None)
            else:
                g, (shape, dtype) = grads[place[i]], self._like[place[i]]
                out.append(np.zeros(shape, dtype) if g is None else _row_major(g._data.astype(dtype, copy=False)))
        return out

    def _known(self, fact: Fact, region: NativeRegion, grads: Sequence[Tensor | None]) -> bool:
        if isinstance(fact, Given):
            return grads[region.differentiable.index(fact.output)] is not None
        return evaluate(fact.size, self._symbols(region)) > 0

    def _symbols(self, region: NativeRegion) -> dict[str, int]:
        """Sizes of this call, by symbol."""
        assert region.backward is not None
        found = dict(zip(region.backward.derivative.rooms, self._rooms, strict=True))
        for given, known in zip(self._inputs, region.inputs, strict=True):
            dims = known.type.dims if isinstance(given, Tensor) else (known.type.dim,)
            sizes = given.shape if isinstance(given, Tensor) else (given,)
            for d, size in zip(dims or (), sizes, strict=True):
                if isinstance(d, Poly) and repr(d) in d.symbols():
                    found[repr(d)] = size
        return found

    def _generic(self, region: NativeRegion, grads: Sequence[Tensor | None], create: bool) -> Sequence[Tensor | None]:
        self._check_all()
        return on_the_tape(region, self._inputs, grads, create)

    def _check_all(self) -> None:
        """What runs again runs from the inputs, all of which must be what they were."""
        for given, then in zip(self._inputs, self._versions, strict=True):
            if isinstance(given, Tensor) and given._version[0] != then:
                raise modified(given._data, self.name, given._version[0], then)


def _row_major(array: np.ndarray) -> np.ndarray:
    return array if array.flags.c_contiguous else array.copy()
