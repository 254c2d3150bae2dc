"""The walk over the autograd tape: `backward` and `grad`.

Enters: tensors whose ops were recorded (`tape`). Leaves: gradients, added to `.grad` of leaves or returned by `grad`.
Invariant: a node's `backward` runs once all gradients of its results have arrived; no recursion anywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specjit.tensor import state
from specjit.tensor.tape import POST, RETAIN, Edge, Node, Output, edge
from specjit.tensor.tensor import Tensor, wrap


class _Plan:
    """The nodes between roots and targets, in an order in which every node comes after all that feed it gradients."""

    def __init__(self, roots: Sequence[Edge], targets: Sequence[Edge] | None) -> None:
        order: list[Edge] = []
        seen: set[int] = set()
        wanted = None if targets is None else {id(t) for t in targets}
        stack: list[tuple[Edge, int]] = []
        for root in roots:
            if id(root) in seen:
                continue
            seen.add(id(root))
            stack.append((root, 0))
            while stack:
                node, position = stack.pop()
                edges = () if isinstance(node, Tensor) else node.edges
                while position < len(edges):
                    child = edges[position]
                    position += 1
                    if child is not None and id(child) not in seen:
                        seen.add(id(child))
                        stack.append((node, position))
                        stack.append((child, 0))
                        break
                else:
                    order.append(node)
        self.useful: set[int] | None = None
        if wanted is not None:
            self.useful = set()
            for node in order:
                edges = () if isinstance(node, Tensor) else node.edges
                if id(node) in wanted or any(e is not None and id(e) in self.useful for e in edges):
                    self.useful.add(id(node))
        order.reverse()
        self.order = order

    def needs(self, node: Node) -> list[bool]:
        if self.useful is None:
            return [e is not None for e in node.edges]
        return [e is not None and id(e) in self.useful for e in node.edges]


class _Run:
    """One walk. `owned` holds ids of pending gradients whose storage nothing else refers to: these may be added to in
    place and kept."""

    def __init__(self, plan: _Plan, retain: bool, create: bool) -> None:
        self.plan = plan
        self.retain = retain
        self.create = create
        self.pending: dict[int, Any] = {}
        self.owned: set[int] = set()

    def put(self, key: int, g: Tensor, owned: bool) -> None:
        have = self.pending.get(key)
        if have is None:
            self.pending[key] = g
            if owned:
                self.owned.add(key)
        elif self.create:
            self.pending[key] = have + g
        elif key in self.owned and have._data is not None and have._data.dtype == g._data.dtype:
            np.add(have._data, g._data, out=have._data)
        else:
            self.pending[key] = have + g
            self.owned.add(key)

    def hooked(self, key: int, g: Tensor, hooks: dict[int, Callable[[Any], Any]] | None) -> Tensor:
        if hooks:
            self.owned.discard(key)
            for number, hook in list(hooks.items()):
                replaced = hook(g) if number >= 0 else None
                if replaced is not None:
                    if replaced.shape != g.shape:
                        name = getattr(hook, "__name__", type(hook).__name__)
                        raise RuntimeError(f"hook '{name}' has changed the size of value")
                    g = replaced
            if RETAIN in hooks:
                hooks[RETAIN](g)
        return g

    def walk(self, leaf: Callable[[Tensor, Tensor, bool], None], captured: dict[int, Any]) -> None:
        pending, owned = self.pending, self.owned
        gathered: dict[int, list[Any]] = {}
        for node in self.plan.order:
            key = id(node)
            if isinstance(node, Tensor):
                g = pending.pop(key, None)
                if g is not None:
                    g = self.hooked(key, g, getattr(node, "_hooks", None))
                    if key in captured:
                        captured[key] = g
                    else:
                        leaf(node, g, key in owned)
                continue
            # Of several results (a split may also give a single one), their gradients were gathered.
            grads = gathered.pop(key, None)
            if grads is None:
                g = pending.pop(key, None)
                if g is None:
                    continue
                grads = [self.hooked(key, g, node.hooks)]
            if key in captured:
                captured[key] = grads[0]
                owned.discard(key)
            needs = self.plan.needs(node)
            if not any(needs):
                continue
            if type(node) is Output:
                slots = gathered.setdefault(id(node.parent), [None] * node.parent.count)
                slots[node.index] = grads[0]
                owned.discard(key)
                continue
            self.spread(node, grads, node.run(grads, needs), needs, key in owned)
            owned.discard(key)
            if not self.retain:
                node.release()

    def spread(self, node: Node, grads: list[Any], found: Sequence[Any], needs: list[bool], had: bool) -> None:
        if len(found) != len(node.edges):
            raise RuntimeError(f"{node.name} returned {len(found)} gradients for {len(node.edges)} inputs")
        for i, (target, g, need) in enumerate(zip(node.edges, found, needs)):
            if not need or g is None:
                continue
            passed_on = any(g is h for h in grads)
            twice = any(g is h for k, h in enumerate(found) if k != i)
            fresh = had if passed_on else g._data is not None and g._base is None and g._data.base is None
            self.put(id(target), g, fresh and not twice and node.fresh)


def _accumulate(create: bool) -> Callable[[Tensor, Tensor, bool], None]:
    def leaf(t: Tensor, g: Tensor, owned: bool) -> None:
        have = t.grad
        if g._data is not None and g._data.dtype != t._data.dtype:
            g = g.to(t.dtype)
        if have is None:
            t.grad = g if create or (owned and g._data.flags.c_contiguous) else g.detach().clone()
        elif create or have._node is not None or have._base is not None or not have._data.flags.writeable:
            t.grad = have + g
        else:
            np.add(have._data, g._data, out=have._data)
            have._version[0] += 1
            state.bump_write_epoch()
        hooks = getattr(t, "_hooks", None)
        if hooks and POST in hooks:
            for hook in list(hooks[POST].values()):
                hook(t)

    return leaf


def _start(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None], what: str) -> list[tuple[Edge, Tensor]]:
    roots = []
    for out, g in zip(outputs, gradients):
        if not isinstance(out, Tensor):
            raise TypeError(f"{what}: outputs must be Tensors, not {type(out).__name__}")
        if g is None:
            if not out._requires_grad:
                raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
            if out.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            g = wrap(np.ones(out._data.shape, out._data.dtype))
        elif not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif g.shape != out.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[0] has a shape of {g.shape} and output[0] has a shape of {out.shape}."
            )
        if not out._requires_grad:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        roots.append((edge(out), g))
    return roots


def _tensors(x: Any) -> list[Any]:
    return [x] if isinstance(x, Tensor) or x is None else list(x)


def _walk(
    roots: list[tuple[Edge, Tensor]],
    targets: list[Edge] | None,
    retain: bool | None,
    create: bool,
    captured: dict[int, Any],
    leaf: Callable[[Tensor, Tensor, bool], None],
) -> None:
    state.refuse("a gradient is computed within the function", "trace what is differentiated, or use specjit.optimize")
    run = _Run(_Plan([r for r, _ in roots], targets), create if retain is None else retain, create)
    with state.set_grad_enabled(create), state.recording(None):
        for root, g in roots:
            run.put(id(root), g, False)
        run.walk(leaf, captured)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` to the `.grad` of leaves (or only of `inputs`)."""
    outputs = _tensors(tensors)
    gradients = [None] * len(outputs) if grad_tensors is None else _tensors(grad_tensors)
    if len(gradients) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(gradients)} gradients")
    roots = _start(outputs, gradients, "backward")
    if inputs is None:
        _walk(roots, None, retain_graph, create_graph, {}, _accumulate(create_graph))
        return
    wanted = _tensors(inputs)
    if not wanted:
        raise RuntimeError("'inputs' argument to backward cannot be empty.")
    targets = [edge(t) for t in wanted]
    captured: dict[int, Any] = {id(e): None for e in targets if e is not None}
    _walk(roots, targets, retain_graph, create_graph, captured, _accumulate(create_graph))
    add = _accumulate(create_graph)
    for t, e in zip(wanted, targets):
        if e is not None and captured[id(e)] is not None:
            add(t, captured[id(e)], False)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """Gradients of the sum of `outputs` (weighted by `grad_outputs`) with respect to `inputs`; `.grad` stays as it is.

    An input that was not used raises RuntimeError, unless `allow_unused` (None in its place) or `materialize_grads`
    (zeros). Batches of `grad_outputs` (`is_grads_batched`) are not supported; `only_inputs` is ignored, as in PyTorch.
    """
    if not only_inputs:
        warnings.warn(
            "grad(): only_inputs=False is ignored. To accumulate gradients of other tensors, use autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    if is_grads_batched:
        raise NotImplementedError("grad(): is_grads_batched=True needs vectorization, which specjit does not have")
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got False.")
    outs, wanted = _tensors(outputs), _tensors(inputs)
    gradients = [None] * len(outs) if grad_outputs is None else _tensors(grad_outputs)
    roots = _start(outs, gradients, "grad")
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    for t in wanted:
        if not t._requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    targets = [edge(t) for t in wanted]
    captured: dict[int, Any] = {id(e): None for e in targets}
    _walk(roots, targets, retain_graph, create_graph, captured, lambda *_: None)
    found = [captured[id(e)] for e in targets]
    for i, (t, g) in enumerate(zip(wanted, found)):
        if g is None and materialize_grads:
            found[i] = wrap(np.zeros(t.shape, t.dtype.numpy))
        elif g is None and not allow_unused:
            raise RuntimeError(
                f"The differentiated Tensor at index {i} appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
    return tuple(found)
