"""The autograd tape: nodes, and the engine that walks them.

Enters: tensors whose ops were recorded. Leaves: gradients, added to `.grad` of leaves or returned by `grad`.
Invariant: the graph points backwards only (outputs hold nodes, nodes hold the nodes and leaves of their inputs), so
it dies with the
tensors that need it. A node's `backward` runs once all gradients of its results have arrived; no recursion anywhere.

An edge is None (no gradient wanted), a `Node` with one result, an `Output` (result i of a node with several) or a
leaf Tensor.
To add a node of one's own: subclass `Node`, give it `edges`, and make its results with `tensor.wrap_node(data, node)`
(one result) or `wrap_node(data, Output(node, i))` (several).
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from specjit.tensor import state
from specjit.tensor.tensor import Tensor, wrap

FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
    "been freed). "
    "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)

Edge = Any  # None | Node | Tensor


class Node:
    """One recorded computation.

    edges      one per input that may want a gradient, in the order of what `backward` returns
    count      how many results the computation had
    hooks      functions on the gradient of the result (for one of several results: on its `Output`)
    """

    __slots__ = ("__weakref__", "_outputs", "edges", "hooks")
    count = 1
    index = 0
    # Gradients of a plain op are made by specjit; those of user code (Function) may be kept by the user.
    fresh = True

    _outputs: dict[int, weakref.ref[Output]]

    def __init__(self, edges: Iterable[Edge]) -> None:
        self.edges = tuple(edges)
        self.hooks: dict[int, Callable[[Any], Any]] | None = None

    def backward(self, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Gradients of the inputs, one per edge (None: zero), from those of the results. Runs with grad mode on only
        under
        `create_graph`. What it returns must be fresh, a view, or one of `grads`."""
        raise NotImplementedError

    def run(self, grads: Sequence[Tensor | None], needs: Sequence[bool]) -> Sequence[Tensor | None]:
        """`backward`, told which gradients are wanted; override it where leaving some out saves work."""
        return self.backward(grads)

    def release(self) -> None:
        """Drop saved values: the graph is not retained. A later `backward` must raise RuntimeError(tape.FREED)."""

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def public(self) -> Node:
        """What `grad_fn` shows."""
        return self

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return tuple((None, 0) if e is None else (getattr(e, "public", e), getattr(e, "index", 0)) for e in self.edges)

    def output(self, index: int) -> Output:
        """The node of one of several results: the same one as long as anything holds it, since the gradients of a
        result that double backward restores have to meet those of the result itself."""
        try:
            known = self._outputs
        except AttributeError:
            known = self._outputs = {}
        found = known[index]() if index in known else None
        if found is None:
            found = Output(self, index)
            known[index] = weakref.ref(found)
        return found

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Output(Node):
    """Result `index` of a node with several results."""

    __slots__ = ("_index", "parent")

    def __init__(self, parent: Node, index: int) -> None:
        self.edges = (parent,)
        self.hooks = None
        self.parent = parent
        self._index = index

    @property
    def index(self) -> int:  # type: ignore[override]
        return self._index

    @property
    def public(self) -> Node:
        return self.parent


class RemovableHandle:
    """Takes back the registration of a hook."""

    _ids = itertools.count()

    def __init__(self, hooks: dict[int, Any], changed: Callable[[], None] | None = None) -> None:
        self.id = next(RemovableHandle._ids)
        self._hooks = hooks
        self._changed = changed

    def remove(self) -> None:
        self._hooks.pop(self.id, None)
        if self._changed is not None:
            self._changed()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def node_of(t: Tensor) -> Node | None:
    """The node of a non-leaf tensor, brought up to date if `t` is a view of a tensor that was written since."""
    base = t._base
    if base is not None and t._attached != t._version[0]:
        from specjit.tensor import inplace

        inplace.refresh(t)
    node: Node | None = t._node
    return node


def edge(t: Tensor) -> Edge:
    """What a node stores for an input."""
    if not t._requires_grad:
        return None
    node = t._node if t._base is None else node_of(t)
    return t if node is None else node


# Reserved keys among the hooks of a tensor: what keeps its gradient, after all hooks have seen it, and the hooks (by
# their own ids) that run once a leaf has its gradient.
RETAIN, POST = -1, -2


def register_hook(t: Tensor, hook: Callable[[Any], Any]) -> RemovableHandle:
    if not t._requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    node = node_of(t)
    if node is None:
        hooks = getattr(t, "_hooks", None)
        if hooks is None:
            hooks = t._hooks = {}
    else:
        if node.hooks is None:
            node.hooks = {}
        hooks = node.hooks
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def retain_grad(t: Tensor) -> None:
    if not t._requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    node = node_of(t)
    if node is None or retains_grad(t):
        return
    ref = weakref.ref(t)

    def keep(g: Tensor) -> None:
        target = ref()
        if target is not None:
            target.grad = g if target.grad is None else target.grad + g

    if node.hooks is None:
        node.hooks = {}
    node.hooks[RETAIN] = keep


def retains_grad(t: Tensor) -> bool:
    node = node_of(t)
    return node is not None and node.hooks is not None and RETAIN in node.hooks


def register_post_accumulate_grad_hook(t: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    if not t._requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if node_of(t) is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if getattr(t, "_hooks", None) is None:
        t._hooks = {}
    assert t._hooks is not None
    later: Any = t._hooks.setdefault(POST, {})  # type: ignore[arg-type]
    handle = RemovableHandle(later)
    later[handle.id] = hook
    return handle


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
            if node.count == 1:
                g = pending.pop(key, None)
                if g is None:
                    continue
                g = self.hooked(key, g, node.hooks)
                grads: list[Any] = [g]
            else:
                found = gathered.pop(key, None)
                if found is None:
                    continue
                grads = found
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
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """Gradients of the sum of `outputs` (weighted by `grad_outputs`) with respect to `inputs`; `.grad` stays as it is.

    An input that was not used raises RuntimeError, unless `allow_unused` (None in its place) or `materialize_grads`
    (zeros). Batches of `grad_outputs` (`is_grads_batched`) are not supported.
    """
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
