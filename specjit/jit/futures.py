"""`fork` and `wait`: calls that run beside the caller.

Enters: a callable and its arguments. Leaves: a `Future`. Invariant: what the call raises is raised by `wait`, each time
anew, never lost in a thread; the call sees the grad mode of the place that forked it.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from specjit.capture.frame import Frame
from specjit.capture.pycalls import BUILTINS
from specjit.capture.values import Abstract, Known, Method, const
from specjit.jit.script import ScriptFunction
from specjit.tensor import state

T = TypeVar("T")


class Future(Generic[T]):
    """The result of a call that runs in a thread of its own."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Whether `wait` would return (or raise) at once."""
        return self._done.is_set()

    def wait(self) -> T:
        """What the call returned; raises what it raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value

    def value(self) -> T:
        """As `wait`, of a call that is done; RuntimeError if it is not."""
        if not self._done.is_set():
            raise RuntimeError("Future.value() before the call is done; wait() waits for it")
        return self.wait()

    def then(self, callback: Callable[[Future[T]], Any]) -> Future[Any]:
        """The future of `callback(self)`, called when this one is done."""
        return fork(lambda: callback(_settled(self)))

    def _run(self, function: Callable[..., Any], args: Any, kwargs: Any, grad: bool) -> None:
        try:
            with state.set_grad_enabled(grad):
                self._value = function(*args, **kwargs)
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()


def _settled(future: Future[T]) -> Future[T]:
    future._done.wait()
    return future


def fork(func: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
    """Start `func(*args, **kwargs)` in a thread; `wait` gives its result. Within `trace` it runs at once."""
    future: Future[T] = Future()
    grad = state.is_grad_enabled()
    if state.recorders and state.thread.recorder is not None:  # a trace records the calls of its own thread
        future._run(func, args, kwargs, grad)
    else:
        thread = threading.Thread(target=future._run, args=(func, args, kwargs, grad), name="specjit-fork", daemon=True)
        thread.start()
    return future


def wait(future: Future[T]) -> T:
    """The result of a forked call, when it is there; raises what the call raised."""
    return future.wait()


# in captured code: calls of Python's, which need no more


def _fork_node(f: Frame, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    callee, *rest = args or [const(None)]
    target = callee.obj if isinstance(callee, Known) and callee.value is None else None
    if isinstance(callee, Method) and isinstance(callee.owner, Known):
        callee = f.emit("py.getattr", callee.owner, callee.name)
    elif f.session.scripting and isinstance(target, types.FunctionType):
        callee = Known(ScriptFunction(target))  # what a script forks is scripted, too
    f.session.touched = True  # it may change attributes at any time from now on
    return f.emit("py.call", Known(fork), tuple(kwargs) or None, callee, *rest, *kwargs.values())


def _wait_node(f: Frame, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    f.session.touched = True
    return f.emit("py.call", Known(wait), tuple(kwargs) or None, *args, *kwargs.values())


BUILTINS[id(fork)] = _fork_node
BUILTINS[id(wait)] = _wait_node
