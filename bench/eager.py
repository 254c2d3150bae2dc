"""Eager overhead: each row of tests/opinfo/ on 4x4 tensors against the bare NumPy computation, without and with
gradient recording.

`python -m bench.eager [row or glob ...] [--all]` prints the worst rows first; the limits are 2.5 without and 6 with
recording, for ops that compute. (A NumPy view costs 60 ns, so views are listed without a limit.) Times are minima of
interleaved rounds.

Bare is the fastest of: NumPy's function of the same name, where it gives a fresh array of the same elements, shape and
dtype for the sample's arguments (`np.flip` gives a view, `np.deg2rad` other last bits); and what the op itself calls,
its eager function without checks and wrapping (of a composite those of all ops that it records). `DIFFERS` names the
NumPy functions that give the same only for the sample. Creation is timed as a user writes it in both libraries.
"""

from __future__ import annotations

import argparse
import functools
import sys
import timeit
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from typing import Any, NamedTuple

import numpy as np

import specjit
from specjit.dtypes import DType, bool_, float32, int64
from specjit.ops.records import call
from specjit.ops.records.registry import Op
from specjit.tensor import state
from specjit.tensor.tensor import Tensor
from tests.opinfo import FUNCTIONS, OPINFO, Make, OpInfo

PLAIN, RECORDED = 2.5, 6.0
OPERATORS: dict[str, tuple[str, str, str]] = {
    "x + y": ("np.add(a, b)", "x + y", "g + y"),
    "x + 2.0": ("np.add(a, 2.0)", "x + 2.0", "g + 2.0"),
    "x @ y": ("np.matmul(a, b)", "x @ y", "g @ y"),
    "x == y": ("np.equal(a, b)", "x == y", "x == y"),
    "x.sum()": ("np.sum(a)", "x.sum()", "g.sum()"),
    "x[1]": ("a[1]", "x[1]", "g[1]"),
    "stack([x, y])": ("np.stack([a, b])", "sj.stack([x, y])", "sj.stack([g, y])"),
}
CREATION: dict[str, tuple[str, str]] = {
    "zeros": ("np.zeros((4, 4), dtype=np.float32)", "sj.zeros((4, 4), dtype=sj.float32)"),
    "zeros(4, 4)": ("np.zeros((4, 4), np.float32)", "sj.zeros(4, 4)"),
    "ones": ("np.ones((4, 4), dtype=np.float32)", "sj.ones((4, 4), dtype=sj.float32)"),
    "empty": ("np.empty((4, 4), dtype=np.float32)", "sj.empty((4, 4), dtype=sj.float32)"),
    "full": ("np.full((4, 4), 2.0, dtype=np.float32)", "sj.full((4, 4), 2.0, dtype=sj.float32)"),
    "Tensor.new_zeros": ("np.zeros((4, 4), dtype=a.dtype)", "x.new_zeros((4, 4))"),
    "Tensor.new_ones": ("np.ones((4, 4), dtype=a.dtype)", "x.new_ones((4, 4))"),
    "Tensor.new_empty": ("np.empty((4, 4), dtype=a.dtype)", "x.new_empty((4, 4))"),
    "Tensor.new_full": ("np.full((4, 4), 2.0, dtype=a.dtype)", "x.new_full((4, 4), 2.0)"),
}
# What NumPy's function does otherwise than the row, though not for the sample.
DIFFERS = {
    "sign": "np.sign leaves NaN, where PyTorch gives 0",
    "heaviside": "np.heaviside leaves NaN, where PyTorch gives 0",
}
# Rows that stay over the limit, and what binds them.
KNOWN: dict[str, str] = {
    "zeros(4, 4)": "a call with sizes one by one and options by name costs 160 ns in Python, as much as np.zeros",
    "zeros": "three options by name cost 80 ns in Python",
    "Tensor.new_zeros": "three options by name cost 80 ns in Python",
    "add": "the option `alpha` costs 45 ns in Python; x + y has none",
    "inner": "with recording it is two recorded ops, a transposed view and a product, beside one np.inner",
}
NUMPY_NAMES = {"cat": "concatenate", "repeat": "tile", "row_stack": "vstack", "clamp": "clip", "permute": "transpose"}


class Small(Make):
    """Makes the tensors of a sample 4 wide."""

    def __call__(self, *shape: int, **options: Any) -> Tensor:
        return super().__call__(*(4 if n > 1 else n for n in shape), **{**options, "layout": "C"})


class Timing(NamedTuple):
    name: str
    bare: float
    plain: float
    recorded: float | None
    view: bool

    @property
    def worst(self) -> float:
        """How far over the limits: 1 is on the limit."""
        with_grad = 0.0 if self.recorded is None else self.recorded / self.bare / RECORDED
        return 0.0 if self.view else max(self.plain / self.bare / PLAIN, with_grad)


class Calls:
    """A recorder that keeps the eager calls behind a function."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], list[Any]]] = []

    def call(self, op: Op, args: Sequence[Any]) -> Any:
        with state.recording(None):
            found = call.dispatch(op, args)
        ready = call.checked(op, args)
        self.calls.append((getattr(op.eager, "raw", op.eager), [call.unwrapped(a) for a in ready]))
        return found


class Statement(NamedTuple):
    """What is timed: a call as a user writes it."""

    text: str
    names: dict[str, Any]


def said(fn: Callable[..., Any], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Statement:
    named = kwargs or {}
    names = {f"a{i}": a for i, a in enumerate(args)} | {f"k_{k}": v for k, v in named.items()} | {"fn": fn}
    call = ", ".join([*(f"a{i}" for i in range(len(args))), *(f"{k}=k_{k}" for k in named)])
    return Statement(f"fn({call})", names)


def best(statements: Sequence[Statement], rounds: int, loops: int) -> list[float]:
    """Nanoseconds of each, interleaved."""
    timers = [timeit.Timer(s.text, globals=s.names) for s in statements]
    found = [float("inf")] * len(timers)
    for _ in range(rounds):
        found = [min(b, t.timeit(loops) / loops * 1e9) for b, t in zip(found, timers)]
    return found


def sample_of(info: OpInfo, grad: bool) -> tuple[Any, Any] | None:
    """The first sample of tensors of a few elements that works at 4x4, else the first one that works."""
    dtype: DType = next((d for d in (float32, int64, bool_) if d in info.dtypes), info.dtypes[0])
    for kind in (Small, Make):
        try:
            found = list(info.sample(kind(dtype, grad, info.name)))
        except Exception:  # shapes that belong together came apart: the row's own sizes will do
            continue
        for args, kwargs in sorted(found, key=lambda s: -min(_numel(s[0]), 16)):
            try:
                info.fn(*args, **kwargs)
            except Exception:
                continue
            return args, kwargs
    return None


def _numel(args: Any) -> int:
    first = next((a for a in args if isinstance(a, Tensor)), None)
    return 0 if first is None or first.numel() > 64 else first.numel()


def bare_of(info: OpInfo, args: Any, kwargs: Any) -> list[Statement]:
    """The NumPy computations that are to be compared with; the fastest counts."""
    recorder = Calls()
    with state.recording(recorder):
        info.fn(*args, **kwargs)
    calls = recorder.calls
    if len(calls) == 1:
        ((fn, given),) = calls
        found = [said(fn, given)]
    else:

        def run() -> None:
            for fn, given in calls:
                fn(*given)

        found = [said(run)]
    same = _same_in_numpy(info, args, kwargs)
    return found if same is None else [*found, same]


def _same_in_numpy(info: OpInfo, args: Any, kwargs: Any) -> Statement | None:
    """The call of NumPy's function of that name, if it gives what the row gives."""
    name = info.name.removeprefix("Tensor.")
    holder = np.linalg if name.startswith("linalg.") else np
    fn = getattr(holder, NUMPY_NAMES.get(name, name.removeprefix("linalg.")), None)
    if fn is None or name in DIFFERS:
        return None
    given = [call.unwrapped(a) for a in args]
    named = {k: call.unwrapped(v) for k, v in kwargs.items()}
    try:
        found, wanted = fn(*given, **named), call.unwrapped(info.fn(*args, **kwargs))
        same = type(found) is np.ndarray and found.dtype == wanted.dtype and found.shape == wanted.shape
        a_view = any(np.shares_memory(found, a) for a in given if isinstance(a, np.ndarray))
        return said(fn, given, named) if same and not a_view and np.array_equal(found, wanted) else None
    except Exception:  # other parameters than ours
        return None


def time_row(info: OpInfo, rounds: int, loops: int) -> Timing | None:
    plain = sample_of(info, False)
    if plain is None or info.random or info.name in CREATION:
        return None
    args, kwargs = plain
    writes = info.name in OPINFO and info.op.traits.writes
    statements = [said(info.fn, args, kwargs), *bare_of(info, args, kwargs)]
    recorded = sample_of(info, True) if info.grad and not writes else None
    if recorded is not None:
        statements.insert(0, said(info.fn, *recorded))
    with np.errstate(all="ignore"):
        times = best(statements, rounds, loops)
    rest = [times.pop(0)] if recorded is not None else []
    ours, *bares = times
    bare = min(bares)
    view = info.op.traits.view_of is not None if info.name in OPINFO else info.view is not False
    return Timing(info.name, bare, ours, rest[0] if rest else None, view)


def time_texts(name: str, texts: Sequence[str], rounds: int, loops: int) -> Timing:
    """NumPy's statement, ours, and ours with recording (if there is one)."""
    a = np.random.default_rng(0).random((4, 4), np.float32)
    names = {"np": np, "sj": specjit, "a": a, "b": a.copy(), "x": specjit.tensor(a), "y": specjit.tensor(a)}
    names["g"] = specjit.tensor(a, requires_grad=True)
    bare, ours, *rest = best([Statement(text, names) for text in texts], rounds, loops)
    return Timing(name, bare, ours, rest[0] if rest else None, name == "x[1]")


def measurements(patterns: Sequence[str]) -> Iterator[Callable[[int, int], Timing | None]]:
    """What times one row, given rounds and loops."""
    rows = {**OPINFO, **FUNCTIONS}
    for name in sorted(rows):
        if not patterns or any(fnmatch(name, p) for p in patterns):
            yield functools.partial(time_row, rows[name])
    for name, texts in {**OPERATORS, **CREATION}.items():
        if not patterns or any(fnmatch(name, p) for p in patterns):
            yield functools.partial(time_texts, name, texts)


def measured(measure: Callable[[int, int], Timing | None], rounds: int, loops: int) -> Timing | None:
    """A row over the limit is timed again, for longer: what a neighbour on the machine does must not count."""
    found = measure(rounds, loops)
    if found is None or found.worst <= 1:
        return found
    again = measure(4 * rounds, loops)
    return again if again is not None and again.worst < found.worst else found


def show(t: Timing) -> None:
    recorded = f"{t.recorded:11.0f}{t.recorded / t.bare:7.1f}" if t.recorded is not None else " " * 18
    over = "" if t.worst <= 1 else f"   over the limit {t.worst:.2f}x"
    if over and t.name in KNOWN:
        over = f"   known ({t.worst:.2f}x): {KNOWN[t.name]}"
    print(f"{t.name:34}{t.bare:9.0f}{t.plain:9.0f}{t.plain / t.bare:7.1f}{recorded}{' view' if t.view else over}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="names or globs; all without")
    parser.add_argument("--all", action="store_true", help="every row, not only the worst")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--loops", type=int, default=100)
    options = parser.parse_args(argv)
    times = (measured(m, options.rounds, options.loops) for m in measurements(options.rows))
    timings = [t for t in times if t is not None]
    timings.sort(key=lambda t: -t.worst)
    print(f"{'row':34}{'NumPy ns':>9}{'specjit':>9}{'ratio':>7}{'with grad':>11}{'ratio':>7}")
    for t in timings if options.all or options.rows else timings[:40]:
        show(t)
    over = [t.name for t in timings if t.worst > 1]
    known = len(set(over) & set(KNOWN))
    limits = f"the limit of {PLAIN} without and {RECORDED} with recording"
    print(f"{len(timings)} rows, {len(over) - known} over {limits}, {known} over it for a known reason")
    return 0


if __name__ == "__main__":
    sys.exit(main())
