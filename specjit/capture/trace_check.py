"""What makes a trace trustworthy: a second run under the same conditions, compared call by call.

Enters: recorded graphs, results, and the state that the runs see. Leaves: nothing, or `TracingCheckError`.
Invariant: a check leaves tensors and the random generator as it found them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from specjit.capture.errors import CaptureError
from specjit.ir.constants import same
from specjit.ir.graph import Graph, Value
from specjit.ops.records.results import NAMED
from specjit.tensor import state
from specjit.tensor.random import get_rng_state, set_rng_state
from specjit.tensor.tensor import Tensor


class TracingCheckError(CaptureError):
    """A second run of the function did something else than the recorded one."""


def copies(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments, with tensors of their own (the same tensor twice stays one)."""
    made: dict[int, Tensor] = {}

    def copy(x: Any) -> Any:
        if isinstance(x, Tensor):
            if id(x) not in made:
                made[id(x)] = x.detach().clone().requires_grad_(x.requires_grad)
            return made[id(x)]
        if type(x) in (list, tuple):
            return type(x)(copy(i) for i in x)
        return {k: copy(i) for k, i in x.items()} if type(x) is dict else x

    return tuple(map(copy, inputs))


@contextlib.contextmanager
def as_before(held: Sequence[Tensor], values: Sequence[Tensor], seed: Any) -> Iterator[None]:
    """Run from the given state of the module's tensors and of the generator, and leave both as they are now."""
    now, drawn = [t.detach().clone() for t in held], get_rng_state()
    _restore(held, values)
    set_rng_state(seed)
    try:
        yield
    finally:
        _restore(held, now)
        set_rng_state(drawn)


def _restore(held: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with state.no_grad():
        for t, value in zip(held, values):
            if t._data.tobytes() != value._data.tobytes():  # only what a run wrote gets a new version
                t.copy_(value)


def has_effects(graph: Graph) -> bool:
    """Whether running the graph can be noticed otherwise than by its result."""
    return any(
        n.op.traits.writes or n.op.traits.random or n.op.traits.io for n in graph.walk() if n.op.name != "py.guard"
    )


def calls_python(graph: Graph) -> bool:
    """Whether a scripted function is called that has effects, which a second run would repeat."""
    called = (n.args[0].const for n in graph.walk() if n.op.name == "py.call")
    return any(has_effects(function.graph) for function in called if function not in NAMED)


def compare_graphs(a: Graph, b: Graph) -> None:
    for x, y in zip(a.block.nodes, b.block.nodes):
        if (
            x.op is not y.op
            or [v.type for v in x.results] != [v.type for v in y.results]
            or not _same_constants(x.args, y.args)
        ):
            raise TracingCheckError(
                "trace",
                f"a second run called {y.op.name} where the trace has {x.op.name}, or with other constants",
                location=y.loc,
            )
    if len(a.block.nodes) != len(b.block.nodes):
        longer = a.block.nodes if len(a.block.nodes) > len(b.block.nodes) else b.block.nodes
        node = longer[min(len(a.block.nodes), len(b.block.nodes))]
        raise TracingCheckError(
            "trace", f"the number of calls differs between two runs, from {node.op.name} on", location=node.loc
        )


def _same_constants(a: Sequence[Value], b: Sequence[Value]) -> bool:
    for x, y in zip(a, b):
        if x.is_const != y.is_const:
            return False
        if x.is_const and not isinstance(x.const, Tensor) and not same(x.const, y.const):
            return False
    return len(a) == len(b)


def compare(where: str, a: Any, b: Any, tolerance: float) -> None:
    if isinstance(a, Tensor):
        if not isinstance(b, Tensor) or tuple(a.shape) != tuple(b.shape):
            raise TracingCheckError("trace", f"{where}: traced code gives another kind of result")
        x, y = a.detach().numpy(), b.detach().numpy()
        if not np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True):
            raise TracingCheckError("trace", f"{where}: traced code differs by {np.abs(x - y).max()}")
    elif isinstance(a, list | tuple):
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            compare(f"{where}[{k}]", x, y, tolerance)
    elif isinstance(a, Mapping):
        for k in a:
            compare(f"{where}[{k!r}]", a[k], b[k], tolerance)
