"""What makes a trace trustworthy: a second run under the same conditions, compared call by call.

Enters: recorded graphs, results, and the state that the runs see. Leaves: nothing, or `TracingCheckError`.
Invariant: a check leaves tensors and the random generator as it found them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from specjit.capture.errors import CaptureError
from specjit.ir.constants import same
from specjit.ir.graph import Graph, Location, Node, Value
from specjit.tensor import state
from specjit.tensor.random import get_rng_state, set_rng_state
from specjit.tensor.tensor import Tensor


class TracingCheckError(CaptureError):
    """A second run of the function did something else than the recorded one."""


def copies(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments, with tensors, lists and dicts of their own (the same object twice stays one)."""
    made: dict[int, Any] = {}

    def copy(x: Any) -> Any:
        if id(x) not in made:
            made[id(x)] = _copied(x, copy)
        return made[id(x)]

    return tuple(map(copy, inputs))


def _copied(x: Any, copy: Callable[[Any], Any]) -> Any:
    if isinstance(x, Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    if type(x) in (list, tuple):
        return type(x)(copy(i) for i in x)
    return {k: copy(i) for k, i in x.items()} if type(x) is dict else x


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
    graphs = [getattr(function, "graph", None) for function in called if not hasattr(function, "_fields")]
    return any(graph is None or has_effects(graph) for graph in graphs)


WAY_OUT = (
    "a trace repeats what it has recorded: decide on the inputs only, make what changes an argument, or use "
    "specjit.jit.script"
)


def compare_graphs(a: Graph, b: Graph) -> None:
    """Raise at the first node of `b`, a second run, that is not that of `a`."""
    nodes, again = list(a.walk()), list(b.walk())
    for x, y in zip(nodes, again):
        if x.op is not y.op:
            raise _differs(f"a second run called {y.op.name} where the trace has {x.op.name}", y)
        if [v.type for v in x.results] != [v.type for v in y.results]:
            raise _differs(f"{y.op.name} gave a result of another type in a second run", y)
        if not _same_constants(x.args, y.args):
            raise _differs(f"a second run called {y.op.name} with other constants than the trace has", y)
    if len(nodes) != len(again):
        longer = nodes if len(nodes) > len(again) else again
        node = longer[min(len(nodes), len(again))]
        raise _differs(f"the number of calls differs between two runs, from {node.op.name} on", node)


def _differs(what: str, node: Node) -> TracingCheckError:
    return TracingCheckError("trace", what, location=node.loc, hint=WAY_OUT)


def _same_constants(a: Sequence[Value], b: Sequence[Value]) -> bool:
    for x, y in zip(a, b):
        if x.is_const != y.is_const:
            return False
        if x.is_const and not isinstance(x.const, Tensor) and not same(x.const, y.const):
            return False
    return len(a) == len(b)


def compare(where: str, a: Any, b: Any, tolerance: float, place: Location | None = None) -> None:
    """Raise where the results `a` of the function and `b` of the traced code differ. place: of the function."""

    def differs(what: str) -> TracingCheckError:
        return TracingCheckError("trace", f"{where}: traced code {what}", location=place, hint=WAY_OUT)

    if isinstance(a, Tensor):
        if not isinstance(b, Tensor) or tuple(a.shape) != tuple(b.shape):
            raise differs("gives another kind of result")
        x, y = a.detach().numpy(), b.detach().numpy()
        if not np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True):
            raise differs(f"differs by {np.abs(x - y).max()}")
    elif isinstance(a, list | tuple):
        if not isinstance(b, list | tuple) or len(a) != len(b):
            raise differs("gives another kind of result")
        for k, (x, y) in enumerate(zip(a, b)):
            compare(f"{where}[{k}]", x, y, tolerance, place)
    elif isinstance(a, Mapping):
        if not isinstance(b, Mapping) or list(a) != list(b):
            raise differs("gives another kind of result")
        for k in a:
            compare(f"{where}[{k!r}]", a[k], b[k], tolerance, place)
    elif isinstance(a, bool | int | float | str) and not (same(a, b) or _near(a, b, tolerance)):
        raise differs(f"gives {b!r} instead of {a!r}")


def _near(a: Any, b: Any, tolerance: float) -> bool:
    return type(a) is float and type(b) is float and bool(np.isclose(a, b, tolerance, tolerance))
