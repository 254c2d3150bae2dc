"""Measure several ways to compute one thing in one run, fairly; print ratios; write pyperf JSON.

Enters: `Case`s of `Contender`s. Leaves: tables on a console and a `pyperf.BenchmarkSuite`.
Invariants: nothing is timed before its output was checked against a float64 reference. Contenders take turns in blocks
of random order, each block warmed by untimed calls, because whoever runs after a cache-hungry peer looks slower than
it is, and because absolute speed drifts during a run: only ratios inside one run mean something.
"""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyperf
from rich.console import Console
from rich.table import Table

SAMPLE_SECONDS = 2e-3  # short calls are timed in loops at least this long
SLOW_CALL_SECONDS = 0.1  # longer calls are warm after one, and need fewer samples


@dataclass
class Contender:
    """One way to do it. `call` does the whole work; `output` turns its result into arrays outside the timing.

    arguments: makes the arguments of one call, outside the timing."""

    name: str
    call: Callable[..., Any]
    output: Callable[[Any], Sequence[np.ndarray]] = lambda result: result
    note: str = ""
    arguments: Callable[[], tuple[Any, ...]] | None = None


@dataclass
class Case:
    """Contenders for one computation. Errors are relative to the largest element of the float64 `reference`."""

    name: str
    contenders: list[Contender]
    reference: Sequence[np.ndarray] = ()
    tolerance: float = 2e-5
    metadata: dict[str, str | int] = field(default_factory=dict)


@dataclass
class Measured:
    """Seconds per call: `values[round]` are one block's samples."""

    contender: Contender
    error: float
    loops: int
    values: list[list[float]] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(value for block in self.values for value in block)

    @property
    def median(self) -> float:
        return statistics.median(value for block in self.values for value in block)


class WrongOutput(Exception):
    """A contender does not compute what the others compute."""


def error_of(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """The largest difference, in units of the reference's largest element."""
    if len(outputs) < len(reference):
        return math.inf
    worst = 0.0
    for got, wanted in zip(outputs, reference):
        if got.shape != wanted.shape:
            return math.inf
        scale = max(float(np.abs(wanted).max(initial=0.0)), 1e-30)
        worst = max(worst, float(np.abs(got.astype(np.float64) - wanted).max(initial=0.0)) / scale)
    return worst


def measure(case: Case, rounds: int, seed: int = 0) -> list[Measured]:
    """Check every contender, then time all of them in `rounds` blocks each, in random order."""
    measured = []
    for contender in case.contenders:
        error = 0.0
        if len(case.reference):
            error = error_of(contender.output(contender.call(*_arguments(contender))), case.reference)
        if not error <= case.tolerance:  # NaN is wrong too
            raise WrongOutput(f"{case.name}: {contender.name} differs from the reference by {error:.2g} of its scale")
        measured.append(Measured(contender, error, _calibrate(contender)))
    order = np.random.default_rng(seed)
    for _ in range(rounds):
        for index in order.permutation(len(measured)):
            one = measured[index]
            first = _sample(one.contender, one.loops)
            slow = one.loops == 1 and first > SLOW_CALL_SECONDS
            if not slow:
                _sample(one.contender, one.loops)
            one.values.append([_sample(one.contender, one.loops) for _ in range(2 if slow else 4)])
    return measured


def _arguments(contender: Contender) -> tuple[Any, ...]:
    return () if contender.arguments is None else contender.arguments()


def _sample(contender: Contender, loops: int) -> float:
    call = contender.call
    if contender.arguments is None:
        start = time.perf_counter()
        for _ in range(loops):
            call()
        return (time.perf_counter() - start) / loops
    prepared = [contender.arguments() for _ in range(loops)]
    start = time.perf_counter()
    for arguments in prepared:
        call(*arguments)
    return (time.perf_counter() - start) / loops


def _calibrate(contender: Contender) -> int:
    """How many calls fill a sample, once the contender is warm."""
    warm_until = time.perf_counter() + 0.2
    for _ in range(5):
        contender.call(*_arguments(contender))
        if time.perf_counter() > warm_until:
            break
    seconds = _sample(contender, 1)
    while (loops := math.ceil(SAMPLE_SECONDS / max(seconds, 1e-9))) > 1:
        again = _sample(contender, loops)
        if again > 0.5 * seconds:  # a first call that is slower than the rest must not decide
            return math.ceil(SAMPLE_SECONDS / again)
        seconds = again
    return 1


def names_of(results: Iterable[Sequence[Measured]]) -> list[str]:
    """Every contender's name, in order of first appearance."""
    return list(dict.fromkeys(one.contender.name for result in results for one in result))


def ratios(results: dict[str, list[Measured]], base: str) -> dict[str, dict[str, float]]:
    """For every contender: by case, its median time over that of `base` (above 1: `base` is faster)."""
    found: dict[str, dict[str, float]] = {name: {} for name in names_of(results.values())}
    for case, result in results.items():
        medians = {one.contender.name: one.median for one in result}
        if base in medians:
            for name, median in medians.items():
                found[name][case] = median / medians[base]
    return found


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def print_table(console: Console, title: str, results: dict[str, list[Measured]], base: str) -> None:
    """A row per contender, a column per case: median time, and how many times `base` it took."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.caption = f"median time per call, and that time as a multiple of {base}'s; error: largest seen, of full scale"
    table.add_column("contender", no_wrap=True)
    for case in results:
        table.add_column(case, justify="right", no_wrap=True)
    table.add_column("geo. mean", justify="right", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    by_contender = ratios(results, base)
    for name, of_case in by_contender.items():
        cells, errors = [], []
        for case, result in results.items():
            one = next((one for one in result if one.contender.name == name), None)
            ratio = f" {of_case[case]:6.2f}x" if case in of_case else ""
            cells.append("-" if one is None else f"{seconds_text(one.median)}{ratio}")
            errors += [] if one is None else [one.error]
        mean = geometric_mean(of_case.values())
        table.add_row(name, *cells, "-" if math.isnan(mean) else f"{mean:.2f}x", f"{max(errors):.0e}")
    console.print(table)


def seconds_text(seconds: float) -> str:
    """`12.3 us`, `4.56 ms`, `1.20 s`: three digits."""
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")):
        if seconds >= unit or unit == 1e-9:
            scaled = seconds / unit
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {name}"
    raise AssertionError("unreachable: the last unit always answers")


def suite(groups: dict[str, dict[str, list[Measured]]], metadata: dict[str, str]) -> pyperf.BenchmarkSuite:
    """One pyperf benchmark per contender and case, one pyperf run per block."""
    common = {"platform": platform.platform(), "python_version": platform.python_version(), **metadata}
    benchmarks = []
    for group, results in groups.items():
        for case, result in results.items():
            for one in result:
                facts = {
                    **common,
                    "name": f"{group} {case}: {one.contender.name}",
                    "contender": one.contender.name,
                    "case": case,
                    "unit": "second",
                    "loops": one.loops,
                    "error": f"{one.error:.3g}",
                    "note": one.contender.note,
                }
                runs = [
                    pyperf.Run(block, metadata={k: v for k, v in facts.items() if v != ""}, collect_metadata=False)
                    for block in one.values
                ]
                benchmarks.append(pyperf.Benchmark(runs))
    return pyperf.BenchmarkSuite(benchmarks)
