"""One generated program, run in several ways: each must do what plain Python does.

    problem = find_problem(source, ways)

Enters: a `Source`. Leaves: None, or the text of the first difference: results, exceptions with their message and line,
prints, arguments and globals afterwards, the state of a module.
Invariant: every way has a module of its own, so what one does to globals is not seen by the others.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import sys
import tempfile
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import specjit
from specjit import jit
from tests.capture.programs.observe import GENERATED, Picture, run
from tests.capture.whole.programs import Source
from tests.plain_kernels import plain_kernels

Pictures = Iterator[Any]
_numbers = itertools.count()


class Loaded:
    """The module of a program, executed anew."""

    def __init__(self, path: Path) -> None:
        self.module = types.ModuleType(f"{path.stem}_{next(_numbers)}")
        self.module.__file__ = str(path)
        sys.modules[self.module.__name__] = self.module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # literals are compared with `is`
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True), self.module.__dict__)
        specjit.manual_seed(0)

    def make(self) -> Any:
        """What is called."""
        program = self.module.program
        return program() if isinstance(program, type) else program

    def close(self) -> None:
        del sys.modules[self.module.__name__]

    def play(self, fn: Callable[..., Any], calls: Any) -> Pictures:
        """What a caller sees of each call, and of the globals behind it."""
        space = self.module.__dict__
        for change, arguments in calls:
            exec(change, space)
            case = eval(arguments, space)
            seen = run(fn, case)
            yield seen, [Picture().of(copy.copy(space[name])) for name in ("LIMIT", "LOG", "TABLE")]


def _generic(loaded: Loaded, source: Source) -> Pictures:
    fn = specjit.optimize(loaded.make(), background=False)
    with specjit.stance("generic"):
        yield from loaded.play(fn, source.calls * 2)


def _specialized(loaded: Loaded, source: Source) -> Pictures:
    fn = specjit.optimize(loaded.make(), warmup=1, background=False)
    yield from loaded.play(fn, _repeated(source))
    broken = [e for e in fn.events("SPECIALIZE_FAILED") if "traceback" in e.facts]
    if broken:
        raise AssertionError(broken[0].facts["traceback"])


def _repeated(source: Source) -> tuple[tuple[str, str], ...]:
    """Every call twice, so that it meets code that was made for it, and once more when others were made."""
    twice = tuple((change, arguments) for change, arguments in source.calls for _ in range(2))
    return twice + source.calls


def _scripted(loaded: Loaded, source: Source) -> Pictures:
    fn = jit.script(loaded.make())
    yield from loaded.play(fn, _repeated(source))


def _traced(number: int) -> Callable[[Loaded, Source], Pictures]:
    def way(loaded: Loaded, source: Source) -> Pictures:
        change, arguments = source.calls[number]
        exec(change, loaded.module.__dict__)
        fn = jit.trace(loaded.make(), eval(arguments, loaded.module.__dict__))
        yield from loaded.play(fn, source.calls * 2)

    return way


def _plain(calls: Any) -> Callable[[Loaded, Source], Pictures]:
    return lambda loaded, source: loaded.play(loaded.make(), calls)


OUTCOMES: Counter[str] = Counter()  # how often a way applied, and why not
WAYS = ("generic", "specialized", "scripted", "traced")


def find_problem(source: Source, ways: tuple[str, ...] = WAYS, native: bool = False) -> str | None:
    """The first difference; native: kernels are compiled."""
    with tempfile.TemporaryDirectory(prefix=GENERATED) as folder:
        path = Path(folder, "program.py")
        path.write_text(source.text, encoding="utf-8")
        for name, way, calls in _ways(source, ways):
            with contextlib.nullcontext() if native else plain_kernels():
                problem = _compare(path, source, name, way, calls)
            if problem is not None:
                return f"{name}: {problem}"
    return None


def _ways(source: Source, names: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    if "generic" in names:
        yield "generic", _generic, source.calls * 2
    if "specialized" in names:
        yield "specialized", _specialized, _repeated(source)
    if "scripted" in names and not source.odd:
        yield "scripted", _scripted, _repeated(source)
    if "traced" in names and source.straight:
        for number in range(len(source.calls)):
            yield f"traced from call {number}", _traced(number), source.calls * 2


def _compare(path: Path, source: Source, name: str, way: Any, calls: Any) -> str | None:
    plain, fast = Loaded(path), Loaded(path)
    try:
        expected, found = _plain(calls)(plain, source), way(fast, source)
        for number, wanted in enumerate(expected):
            try:
                given = next(found)
            except jit.Error as error:
                OUTCOMES[f"{name.split(' ')[0]}: {error.reason}"] += 1
                return None if name != "generic" and error.location and error.hint else f"no place or way out: {error}"
            except Exception as error:
                if name.startswith("traced") and number == 0 and _raises(path, source, name, error):
                    return None
                raise
            if isinstance(given[0][0], list) and given[0][0][0][1] == "CaptureError":
                OUTCOMES[f"{name}: {given[0][0][0][2].splitlines()[0].split(': ')[-1]}"] += 1
                if name != "scripted":
                    return f"call {number}: {given[0][0][0][2]}"
                return None
            if given != wanted:
                return f"call {number} {calls[number]}\n  gives  {given}\n  python {wanted}"
        next(found, None)
        OUTCOMES[f"{name.split(' ')[0]} compared"] += 1
    except Exception as error:
        if type(error).__module__.startswith("tests"):
            raise
        return f"{type(error).__name__}: {error}"
    finally:
        plain.close()
        fast.close()
    return None


def _raises(path: Path, source: Source, name: str, error: Exception) -> bool:
    """Whether the call that a trace is made from raises this in plain Python too."""
    loaded = Loaded(path)
    try:
        call = source.calls[int(name.split(" ")[-1])]
        seen = next(loaded.play(loaded.make(), [call]))
        return isinstance(seen[0][0], list) and seen[0][0][0][1:3] == (type(error).__qualname__, str(error))
    finally:
        loaded.close()
