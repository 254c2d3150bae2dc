"""The autograd tape: its nodes and edges, and hooks on them.

Enters: tensors whose ops are recorded. Leaves: the graph that `engine` walks.
Invariant: the graph points backwards only (outputs hold nodes, nodes hold the nodes and leaves of their inputs), so it
dies with the tensors that need it.

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

from specjit.tensor.tensor import Tensor

FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
    "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
    "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access saved "
    "tensors after calling backward."
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
        under `create_graph`. What it returns must be fresh, a view, or one of `grads`."""
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
