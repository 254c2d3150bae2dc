"""Eager overhead: one op on 4x4 tensors against the bare NumPy call, without and with gradient recording.

`python -m bench.eager` prints a table; the limits are 2.5 without and 6 with recording, for ops that compute. (A NumPy
view costs 60 ns, so views are listed without a limit.) Times are minima of interleaved rounds.
"""

from __future__ import annotations

import timeit

import numpy as np

import specjit

ROUNDS, LOOPS = 100, 300
A = np.random.default_rng(0).random((4, 4), np.float32)
NAMES = {
    "np": np,
    "sj": specjit,
    "a": A,
    "b": A.copy(),
    "x": specjit.from_numpy(A.copy()),
    "y": specjit.from_numpy(A.copy()),
    "g": specjit.tensor(A, requires_grad=True),
}
ROWS = [
    ("add", "np.add(a, b)", "x + y", "g + y"),
    ("mul", "np.multiply(a, b)", "x * y", "g * y"),
    ("add number", "np.add(a, 2.0)", "x + 2.0", "g + 2.0"),
    ("tanh", "np.tanh(a)", "x.tanh()", "g.tanh()"),
    ("matmul", "np.matmul(a, b)", "x @ y", "g @ y"),
    ("sum", "np.sum(a)", "x.sum()", "g.sum()"),
    ("eq", "np.equal(a, b)", "x == y", "x == y"),
    ("stack", "np.stack([a, b])", "sj.stack([x, y])", "sj.stack([g, y])"),
    ("transpose (view)", "np.transpose(a)", "x.transpose(0, 1)", "g.transpose(0, 1)"),
    ("select (view)", "a[1]", "x[1]", "g[1]"),
    ("chunk (view)", "np.split(a, 4, 1)", "x.chunk(4, 1)", "g.chunk(4, 1)"),
]


def main() -> None:
    print(f"{'op':18}{'NumPy ns':>9}{'specjit':>9}{'ratio':>7}{'with grad':>11}{'ratio':>7}")
    for name, *texts in ROWS:
        timers = [timeit.Timer(t, globals=NAMES) for t in texts]
        best = [float("inf")] * len(timers)
        for _ in range(ROUNDS):
            best = [min(b, t.timeit(LOOPS) / LOOPS * 1e9) for b, t in zip(best, timers)]
        bare, plain, recorded = best
        print(f"{name:18}{bare:9.0f}{plain:9.0f}{plain / bare:7.1f}{recorded:11.0f}{recorded / bare:7.1f}")


if __name__ == "__main__":
    main()
