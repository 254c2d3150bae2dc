"""`python -m bench.generic`: the generic path against the code it was made from.

Three tables: the programs of the capture tests (`tests/capture/programs`), as `Program.code` against the user's
function; the recurrent nets of this folder, through a whole `Program` that never specializes; and what a call through a
Program costs before any of the user's code runs, in nanoseconds.
Invariant: both sides get equal, fresh arguments, made outside the timing. A program that raises is measured with its
exception, in a group of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

import specjit
from bench import models
from bench.harness import Case, Contender, Measured, geometric_mean, measure, seconds_text
from bench.models import Shape
from specjit import nn
from specjit.capture.script import Captured
from specjit.codegen.generic.python import generate
from tests.capture.programs import PROGRAMS, modes

PLAIN, GENERIC = "plain Python", "generic"
LIMIT = 1.10  # the promise: at most this multiple of the plain code's time
REPEATS = 4
SHOWN = 15
SHAPES = [Shape(1, 1, 128, 128), Shape(100, 1, 128, 128), Shape(50, 32, 64, 64)]


class Row(NamedTuple):
    """Both times in seconds, and the generic one as a multiple of the plain one."""

    name: str
    plain: float
    generic: float

    @property
    def ratio(self) -> float:
        return self.generic / self.plain


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    specjit.set_num_threads(1)
    rounds = 2 if options.quick else 10
    console = Console()
    programs = [(case, raises) for case, raises in _program_cases(options.only)]
    returning = [_row(case, rounds) for case, raises in programs if not raises]
    raising = [_row(case, rounds) for case, raises in programs if raises]
    _print(console, "programs that return: generated code against the function", returning, options.all)
    if raising:
        _print(console, "programs that raise", raising, options.all)
    if not options.only:
        nets = [_row(case, rounds) for case in _net_cases()]
        _print(console, "recurrent nets: a Program that stays generic against the module", nets, True)
        _print_overhead(console, [_row(case, rounds) for case in _call_cases()])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.generic", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--all", action="store_true", help=f"every program, not only the {SHOWN} worst")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these programs of the table")
    return parser


# -- what is measured -------------------------------------------------------------------------------------------------


def _program_cases(only: Sequence[str] | None) -> Iterator[tuple[Case, bool]]:
    """Every function of the table that takes its arguments by position, with every case; whether that raises."""
    for program in PROGRAMS:
        if (only and program.name not in only) or program.is_module or program.whole:
            continue
        captured: Captured | None = None
        for case in program.cases:
            arguments = tuple(program.examples(case).values())
            if program.fn.__code__.co_argcount < len(arguments):
                continue  # some are given by name only, or in a tuple
            if captured is None or not captured.checks.all(*arguments):
                captured = modes.captured(program, case)
            generic = generate(captured.graph, name=program.name).fn
            yield _program_case(program.fn, generic, arguments)


def _program_case(fn: Callable[..., Any], generic: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Case, bool]:
    fresh = lambda: copy.deepcopy(arguments)  # noqa: E731
    raises = _raises(fn, fresh())
    pair = [(PLAIN, fn), (GENERIC, generic)]
    quiet = [Contender(name, _quiet(call, raises), arguments=fresh) for name, call in pair]
    shown = ", ".join(repr(a) for a in arguments)
    return Case(f"{fn.__name__}({shown})", quiet), raises


def _raises(fn: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            fn(*arguments)
    except Exception:
        return True
    return False


def _quiet(fn: Callable[..., Any], raises: bool) -> Callable[..., Any]:
    """`fn`, or `fn` with its exception caught."""
    if not raises:
        return fn

    def caught(*args: Any) -> None:
        try:
            fn(*args)
        except Exception:
            return

    return caught


def _net_cases() -> Iterator[Case]:
    for name, make in (("LSTM", _lstm), ("peephole LSTM", _peephole), ("GRU", _gru)):
        for shape in SHAPES:
            for recorded in (False, True):
                model, inputs = make(shape)
                program = _generic_program(model, inputs)
                mode = specjit.enable_grad if recorded else specjit.no_grad
                pair = [(PLAIN, model), (GENERIC, program)]
                contenders = [Contender(n, _in_mode(call, inputs, mode)) for n, call in pair]
                yield Case(f"{name} {shape}{' recorded' if recorded else ''}", contenders)


def _in_mode(call: Callable[..., Any], inputs: Sequence[Any], mode: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with mode():
            return call(*inputs)

    return run


def _generic_program(model: Any, inputs: Sequence[Any]) -> Any:
    """A Program that has captured and is told to stay generic."""
    program = specjit.optimize(model)
    with specjit.stance("generic"):
        program(*inputs)
    return program


def _lstm(shape: Shape) -> tuple[nn.Module, list[Any]]:
    return models.LSTM(models.LSTMCell(models.lstm_weights(shape))), _inputs(shape)


def _peephole(shape: Shape) -> tuple[nn.Module, list[Any]]:
    return models.LSTM(models.PeepholeCell(models.peephole_weights(shape))), _inputs(shape)


def _gru(shape: Shape) -> tuple[nn.Module, list[Any]]:
    return models.GRU(models.GRUCell(models.gru_weights(shape))), _inputs(shape)[:2]


def _inputs(shape: Shape) -> list[Any]:
    return [specjit.tensor(a) for a in models.inputs_of(shape)]


class Holder(nn.Module):
    """A module that does nothing, with two layers that guards must look at."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        return x


def _nothing(x):
    return x


def _call_cases() -> Iterator[Case]:
    x = specjit.zeros(2)
    for name, model, inputs in (
        ("a function of a number", _nothing, [3]),
        ("a function of a tensor", _nothing, [x]),
        ("a function of a list of 10 tensors", _nothing, [[x] * 10]),
        ("a module of a tensor", Holder(), [x]),
    ):
        program = _generic_program(model, inputs)
        yield Case(name, [Contender(PLAIN, _bind(model, inputs)), Contender(GENERIC, _bind(program, inputs))])


def _bind(call: Callable[..., Any], inputs: Sequence[Any]) -> Callable[[], Any]:
    (x,) = inputs
    return lambda: call(x)


# -- tables -----------------------------------------------------------------------------------------------------------


def _row(case: Case, rounds: int) -> Row:
    """Minima of `rounds` rounds; a row over the limit is measured again, for a busy machine only ever adds time."""
    plain = generic = float("inf")
    for _ in range(REPEATS):
        with contextlib.redirect_stdout(io.StringIO()), specjit.stance("generic"):
            by_name: dict[str, Measured] = {m.contender.name: m for m in measure(case, rounds)}
        plain, generic = min(plain, by_name[PLAIN].best), min(generic, by_name[GENERIC].best)
        if generic <= LIMIT * plain:
            break
    return Row(case.name, plain, generic)


def _print(console: Console, title: str, rows: list[Row], every: bool) -> None:
    rows = sorted(rows, key=lambda r: -r.ratio)
    over = [r for r in rows if r.ratio > LIMIT]
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("program", overflow="fold")
    for column in (PLAIN, GENERIC, "ratio"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in rows if every else rows[:SHOWN]:
        mark = "[red]" if r.ratio > LIMIT else ""
        table.add_row(
            r.name.replace("[", r"\["), seconds_text(r.plain), seconds_text(r.generic), f"{mark}{r.ratio:.3f}"
        )
    table.caption = (
        f"{len(rows)} rows, geometric mean {geometric_mean(r.ratio for r in rows):.3f}; "
        f"over {LIMIT:.2f}: {len(over)}; worst: {rows[0].name} {rows[0].ratio:.3f}"
    )
    console.print(table)


def _print_overhead(console: Console, rows: list[Row]) -> None:
    table = Table(title="what a call of a generic Program adds to the call of a model that does nothing")
    table.add_column("call")
    table.add_column("ns", justify="right")
    for r in rows:
        table.add_row(r.name, f"{(r.generic - r.plain) * 1e9:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
