"""One Program called from several threads at once, while it compiles and afterwards, and from a forked child."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import specjit
from tests.runtime.models import LSTM, arguments, lstm_float64


def test_threads_share_a_program() -> None:
    model = LSTM(6, 10)
    program = specjit.optimize(model, warmup=2)
    wrong: list[str] = []

    def work(seed: int) -> None:
        with specjit.no_grad():
            for k in range(60):
                x, (h, c) = arguments(1 + (seed + k) % 5, 3, 6, 10, seed=seed * 100 + k)
                y, _ = program(x, (h, c))
                expected = lstm_float64(model, x._data, h._data, c._data)[0]
                if not np.allclose(y._data, expected, rtol=2e-5, atol=2e-5):
                    wrong.append(f"thread {seed} call {k}")
                if k == 20:
                    program.wait(120)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert program.stats()["fast"] > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on() -> None:
    """The child runs the parent's native code, and can specialize anew in a process of its own."""
    model = LSTM(4, 6)
    x, (h, c) = arguments(3, 2, 4, 6)
    program = specjit.optimize(model, warmup=1)
    with specjit.no_grad():
        for _ in range(2):
            program(x, (h, c))
        program.wait(120)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                y, _ = program(x, (h, c))
                fine = np.allclose(y._data, lstm_float64(model, x._data, h._data, c._data)[0], rtol=2e-5, atol=2e-5)
                other = specjit.optimize(LSTM(4, 6), warmup=1)
                for _ in range(2):
                    other(x, (h, c))
                status = 0 if fine and other.wait(60) and other.specializations else 2
            finally:
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
