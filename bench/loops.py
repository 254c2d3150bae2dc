"""`python -m bench.loops`: loops as users write them, optimized against plain Python.

A row per way to write a loop over a sequence: into a preallocated buffer, into lists, with state that starts as None,
with exits in the middle. Columns: seconds per call of the plain function and of the Program, how many times faster that
is, what stays in Python, and the workspace beside what is alive at most.
Invariant: both give the same result, which is checked first.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

import specjit
from bench.harness import Case, Contender, measure, seconds_text
from specjit import Tensor, stack, zeros

STEPS, BATCH, WIDTH = 100, 4, 32
RNG = np.random.default_rng(0)
W, U = (specjit.tensor(RNG.uniform(-0.3, 0.3, (WIDTH, WIDTH)).astype(np.float32)) for _ in range(2))


def rows(x: Tensor) -> Tensor:
    out, h = zeros(x.shape), zeros(x.shape[1], x.shape[2])
    for t in range(x.shape[0]):
        h = (x[t] @ W + h @ U).tanh()
        out[t] = h
    return out


def rows_from_the_end(x: Tensor) -> Tensor:
    out, h = zeros(x.shape), zeros(x.shape[1], x.shape[2])
    for t in range(x.shape[0]):
        h = (x[x.shape[0] - 1 - t] @ W + h @ U).tanh()
        out[x.shape[0] - 1 - t] = h
    return out


def rows_read_back(x: Tensor) -> Tensor:
    out = zeros(x.shape)
    for t in range(x.shape[0]):
        before = out[t - 1] if t > 0 else zeros(x.shape[1], x.shape[2])
        out[t] = (x[t] @ W + before @ U).tanh()
    return out


def halves(x: Tensor) -> Tensor:
    steps, batch, width = x.shape
    out = zeros(steps, batch, 2 * width)
    h, g = zeros(batch, width), zeros(batch, width)
    for t in range(steps):
        h = (x[t] @ W + h @ U).tanh()
        g = (x[steps - 1 - t] @ W + g @ U).tanh()
        out[t, :, :width] = h
        out[steps - 1 - t, :, width:] = g
    return out


def best_paths(x: Tensor) -> Tensor:
    back = zeros(x.shape, dtype=specjit.int64)
    score = x[0]
    for t in range(1, x.shape[0]):
        score, where = (score.unsqueeze(2) + W).max(1)
        score = score + x[t]
        back[t] = where
    return back


def listed(x: Tensor) -> Tensor:
    h, out = None, []
    for t in range(x.shape[0]):
        if h is None:
            h = zeros(x.shape[1], x.shape[2])
        h = (x[t] @ W + h @ U).tanh()
        out.append(h)
    return stack(out)


def listed_in_two_loops(x: Tensor) -> Tensor:
    out = []
    for t in range(x.shape[0]):
        h = x[t]
        for _ in range(3):
            h = (h @ W).tanh()
            out.append(h)
    return stack(out)


def listed_sometimes(x: Tensor) -> Tensor:
    h, out = x[0], []
    for t in range(x.shape[0]):
        h = (x[t] @ W + h @ U).tanh()
        if h.sum() > 0:
            out.append(h)
    return stack(out)


def listed_until(x: Tensor) -> Tensor:
    h, out = x[0], []
    for t in range(x.shape[0]):
        h = (x[t] @ W + h @ U).tanh()
        out.append(h)
        if h.abs().sum() < 1e-3:
            break
    return stack(out)


def repeated(x: Tensor) -> Tensor:
    h, n = x[0], 0
    while n < 50 and h.abs().sum() > 1e-3:
        h, n = h @ W * 0.5, n + 1
    return h


def returning(x: Tensor) -> Tensor:
    h = zeros(x.shape[1], x.shape[2])
    for t in range(x.shape[0]):
        h = (x[t] @ W + h @ U).tanh()
        if h.sum() > 1e6:
            return h * t
    return h


def listed_while(x: Tensor) -> Tensor:
    h, out = x[0], []
    while h.abs().sum() > 1e-3:
        h = h @ W * 0.5
        out.append(h)
    return stack(out)


LOOPS: dict[str, Callable[[Tensor], Tensor]] = {
    f.__name__: f
    for f in (
        rows,
        rows_from_the_end,
        rows_read_back,
        halves,
        best_paths,
        listed,
        listed_in_two_loops,
        listed_sometimes,
        listed_until,
        listed_while,
        repeated,
        returning,
    )
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.loops", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--only", nargs="+", choices=sorted(LOOPS), metavar="NAME", help="only these loops")
    options = parser.parse_args(arguments)
    specjit.set_num_threads(1)
    table = Table(title=f"loops over {STEPS} x {BATCH} x {WIDTH}", title_justify="left")
    for column in ("loop", "plain", "optimized", "faster", "in Python", "workspace / alive"):
        table.add_column(column, justify="left" if column == "loop" else "right", no_wrap=True)
    for name in options.only or LOOPS:
        table.add_row(name, *_cells(LOOPS[name], 2 if options.quick else 10))
    Console().print(table)


def _cells(function: Callable[[Tensor], Tensor], rounds: int) -> list[str]:
    program = specjit.optimize(function, warmup=1, background=False)
    x = specjit.tensor(RNG.uniform(-1, 1, (STEPS, BATCH, WIDTH)).astype(np.float32))
    for _ in range(3):
        program(x)
    case = Case(
        function.__name__,
        [
            Contender("plain", lambda: function(x), lambda r: [r.numpy()]),
            Contender("optimized", lambda: program(x), lambda r: [r.numpy()]),
        ],
        [function(x).numpy()],
    )
    plain, fast = (m.median for m in measure(case, rounds))
    left = sum(v.python_nodes for v in program.specializations) if program.specializations else "all"
    return [seconds_text(plain), seconds_text(fast), f"{plain / fast:.1f}x", f"{left}", _memory(program)]


def _memory(program: specjit.Program) -> str:
    """The largest workspace of a region, beside the most bytes that are alive in it."""
    plans = [r.forward.plan.memory for v in program.specializations for r in v.regions]
    sizes = [(p.planned(p.usual({})), p.live(p.usual({}))) for p in plans if p is not None]
    return "-" if not sizes else "{:,} / {:,}".format(*max(sizes))


if __name__ == "__main__":
    main()
