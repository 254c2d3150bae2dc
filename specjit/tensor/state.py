"""Process-wide and per-thread state of eager mode: grad mode, the recorder of `jit.trace`, and the epochs others watch.

Enters: context managers and in-place writes. Leaves: cheap reads for the op call path.
Invariant: an epoch only ever takes values it never had before, so `epoch != seen` is a complete test for "something
moved".
`recorders` is 0 unless some thread records; then every op call takes the slow path and looks at its own thread.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any

from specjit import locks

write_epoch = 0
"""Moves with every in-place write to a tensor and with every array handed out (`numpy()`, `__array__`, DLPack)."""

module_epoch = 0
"""Moves with every change of a module's structure, attributes or hooks."""

recorders = 0
"""How many threads record a trace now."""

next_write = itertools.count(1).__next__
"""The next value of `write_epoch`; who calls it stores it there."""
_modules = itertools.count(1)
_lock = locks.lock()


def bump_write_epoch() -> None:
    global write_epoch
    write_epoch = next_write()


def bump_module_epoch() -> None:
    global module_epoch
    module_epoch = next(_modules)


class _Thread(threading.local):
    grad = True
    inference = False
    recorder: Any = None


thread = _Thread()
"""`thread.grad`, `thread.inference`, `thread.recorder` of the running thread."""


def is_grad_enabled() -> bool:
    """Whether ops on tensors that require grad are recorded, in this thread."""
    return thread.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode()`."""
    return thread.inference


class recording:
    """Sends every op call of this thread to `recorder.call(op, args)` (bound arguments in schema order) inside the
    `with` block.

    `recording(None)` suspends it, for the recorder's own eager execution.
    """

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder
        self._before: list[Any] = []

    def __enter__(self) -> Any:
        global recorders
        self._before.append(thread.recorder)
        with _lock:
            recorders += (self.recorder is not None) - (thread.recorder is not None)
        thread.recorder = self.recorder
        return self.recorder

    def __exit__(self, *_: object) -> None:
        global recorders
        before = self._before.pop()
        with _lock:
            recorders += (before is not None) - (self.recorder is not None)
        thread.recorder = before


def reads(tensor: Any, name: str, seen: Any, *args: Any) -> None:
    """Tell this thread's recorder that Python is handed `tensor.name(*args)`, which is `seen`."""
    if recorders and thread.recorder is not None:
        thread.recorder.reads(tensor, name, seen, *args)


def refuse(what: str, hint: str) -> None:
    """Tell this thread's recorder that something happens which ops cannot repeat."""
    if recorders and thread.recorder is not None:
        thread.recorder.refuse(what, hint)


class _GradMode:
    """Base of the grad-mode switches: a context manager and a decorator."""

    _grad = False
    _inference: bool | None = None

    def __init__(self) -> None:
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((thread.grad, thread.inference))
        thread.grad = self._grad
        if self._inference is not None:
            thread.inference = self._inference

    def __exit__(self, *_: object) -> None:
        thread.grad, thread.inference = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        switch = type(self)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with switch():
                return function(*args, **kwargs)

        return wrapped


class _GradSetting(_GradMode):
    """Base of the switches that are told which way."""

    _mode: bool

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        switch: Callable[[bool], _GradMode] = type(self)
        mode = self._mode

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with switch(mode):
                return function(*args, **kwargs)

        return wrapped


class no_grad(_GradMode):
    """Ops inside do not record gradients. A context manager and a decorator (`@no_grad()` or `@no_grad`)."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__()


class enable_grad(no_grad):
    """Ops inside record gradients again."""

    _grad = True


class inference_mode(_GradSetting):
    """Like `no_grad`; `mode=False` switches back to recording."""

    def __new__(cls, mode: Any = True) -> Any:
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._mode = mode
        self._grad = not mode
        self._inference = mode


class set_grad_enabled(_GradSetting):
    """Switch recording on or off: at once when called, and back again when used as a context manager."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._grad = self._mode = bool(mode)
        self._outside = (thread.grad, thread.inference)
        thread.grad = self._grad

    def __enter__(self) -> None:
        self._before.append(self._outside)
        thread.grad = self._grad

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # As a decorator, the switch belongs to the calls and not to the line that decorates.
        thread.grad = self._outside[0]
        return super().__call__(function)
