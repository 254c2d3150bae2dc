"""`fork`, `wait` and `Future`: results, errors, grad mode, and the same from scripted code."""

from __future__ import annotations

import threading

import pytest

import specjit
from specjit import jit, nn


def work(x, n: int = 2):
    return x * n + (1 if jit.is_scripting() else 0)


def both(x):
    futures = [jit.fork(work, x), jit.fork(work, x, n=3)]
    return jit.wait(futures[0]) + jit.wait(futures[1])


def test_fork_and_wait():
    x = specjit.ones(2)
    assert both(x).tolist() == [5.0, 5.0]
    assert jit.script(both)(x).tolist() == [7.0, 7.0]  # what a script forks is scripted
    assert jit.script(both)(x).tolist() == [7.0, 7.0]


def test_it_runs_in_another_thread_beside_the_caller():
    started, go_on = threading.Event(), threading.Event()

    def waits():
        started.set()
        assert go_on.wait(30)
        return threading.get_ident()

    future = jit.fork(waits)
    assert started.wait(30)
    assert not future.done()
    with pytest.raises(RuntimeError, match="before the call is done"):
        future.value()
    go_on.set()
    assert jit.wait(future) not in (None, threading.get_ident())
    assert future.done()
    assert future.value() == future.wait()
    assert future.then(lambda f: f.value() is not None).wait() is True


def divides(n: int):
    return 1 // n


def recovers(n: int):
    future = jit.fork(divides, n)
    return jit.wait(future)


@pytest.mark.parametrize("run", [recovers, jit.script(recovers)], ids=["plain", "scripted"])
def test_errors_rise_at_wait(run):
    assert run(1) == 1
    with pytest.raises(ZeroDivisionError):
        run(0)
    failed = jit.fork(divides, 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failed.wait()


def test_the_callers_grad_mode_holds():
    w = nn.Parameter(specjit.ones(2))
    with specjit.no_grad():
        assert not jit.fork(lambda: w * 2).wait().requires_grad
    jit.fork(lambda: w * 2).wait().sum().backward()
    assert w.grad.tolist() == [2.0, 2.0]


class Towers(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

    def tower(self, x):
        return specjit.tanh(self.a(x))

    def forward(self, x):
        future = jit.fork(self.tower, x)
        other = jit.fork(self.b, x)
        return self.b(x) + jit.wait(future) + jit.wait(other)


def test_methods_and_modules_are_forked():
    model, x = Towers(), specjit.ones(1, 2)
    expected = model(x)[0].tolist()
    assert jit.script(model)(x)[0].tolist() == pytest.approx(expected)
    traced = jit.trace(model, (x,))
    assert traced(x * 2)[0].tolist() == pytest.approx(model(x * 2)[0].tolist())
    assert traced.misses == 0
