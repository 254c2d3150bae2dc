"""What capture says when it cannot: place, source line, caret, reason, a way out; and how little stays Python."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap

import pytest

import specjit
from specjit import jit
from specjit.capture.errors import CaptureError
from specjit.capture.script import capture
from specjit.codegen.generic.python import generate
from tests.capture.programs import PROGRAMS, modes
from tests.capture.programs.observe import run

HELP = (
    "move it into a function marked @specjit.jit.ignore, or use specjit.optimize without strict=True, which runs such "
    "lines in Python"
)


def a_generator(n):
    yield from range(n)


async def a_coroutine(n):
    return n


def a_match(n, kinds):
    kind = kinds["number"]
    match n:
        case kind():
            return "number"
    return "other"


def a_group(n):
    try:
        n = 1 // n
    except* ZeroDivisionError:
        n = 7
    return n


def a_local_coroutine(n):
    async def inner():
        return n

    return inner().close()


def a_class(n):
    class Local:
        value = n

    return Local.value


def a_context(path):
    with open(path) as f:
        text = f.read()
    return len(text)


def an_unknown_call(f, n):
    return [f[0](n)]


def inner_trouble(n):
    if n > 0:
        m = a_class(n)
    else:
        m = 0
    return m


ERRORS = {
    a_generator: (
        {"n": 1},
        """
        FILE:LINE:1: a_generator is a generator function
            def a_generator(n):
            ^
          build a list and return it, or call the function without specjit
        """,
    ),
    a_coroutine: (
        {"n": 1},
        """
        FILE:LINE:1: a_coroutine is a coroutine
            async def a_coroutine(n):
            ^
          build a list and return it, or call the function without specjit
        """,
    ),
    a_match: (
        {"n": 1, "kinds": {"number": int}},
        f"""
        FILE:LINE:14: a class pattern whose class is not known
            case kind():
                 ^^^^^^
          {HELP}
        """,
    ),
    a_group: (
        {"n": 0},
        """
        FILE:LINE:5: except*
            try:
            ^
          use except
        """,
    ),
    a_local_coroutine: (
        {"n": 0},
        """
        FILE:LINE:5: an async function
            async def inner():
            ^
          make it a plain function
        """,
    ),
    a_class: (
        {"n": 1},
        """
        FILE:LINE:5: a class that is defined in a function
            class Local:
            ^
          define the class at the top of the module
        """,
    ),
    a_context: (
        {"path": "x"},
        f"""
        FILE:LINE:10: a call of open
            with open(path) as f:
                 ^^^^^^^^^^
          {HELP}
        """,
    ),
    an_unknown_call: (
        {"f": [abs], "n": 1},
        f"""
        FILE:LINE:13: a call of an unknown function
            return [f[0](n)]
                    ^^^^^^^
          {HELP}
        """,
    ),
    inner_trouble: (
        {"n": 1},
        """
        FILE:LINE:5: a class that is defined in a function
            class Local:
            ^
          define the class at the top of the module
        """,
    ),
}


@pytest.mark.parametrize("fn", ERRORS, ids=lambda fn: fn.__name__)
def test_strict_errors(fn):
    examples, wanted = ERRORS[fn]
    with pytest.raises(CaptureError) as caught:
        capture(fn, examples, strict=True)
    text = re.sub(r":\d+:", ":LINE:", str(caught.value).replace(__file__, "FILE"), count=1)
    assert text == textwrap.dedent(wanted).strip()
    assert caught.value.location.file == __file__


@pytest.fixture
def not_imported_yet(monkeypatch):
    """Whatever ran before in this process, the module that a program imports is not loaded."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)


@pytest.mark.usefixtures("not_imported_yet")
@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.says], ids=lambda p: p.name)
def test_errors_of_the_table(program):
    reason, way_out, caret = program.says
    lines, first = inspect.getsourcelines(program.fn)
    body = next(k for k, line in enumerate(lines) if line.startswith("def ")) + 1
    at = next(k for k, line in enumerate(lines[body:], body) if caret in line)
    column = lines[at].index(caret)
    width = 1 if caret.endswith(":") else len(caret)  # of what goes on in further lines only the beginning is marked
    indent = len(lines[at]) - len(lines[at].lstrip())
    told = f"{inspect.getsourcefile(program.fn)}:{first + at}:{column + 1}: {reason}"
    shown = f"    {lines[at].strip()}\n    {' ' * (column - indent)}{'^' * width}\n  {way_out}"
    for case in program.cases:
        with pytest.raises(CaptureError) as caught:
            modes.captured(program, case, strict=True)
        assert caught.value.kind == "unsupported"
        assert str(caught.value) == f"{told}\n{shown}"


@pytest.mark.usefixtures("not_imported_yet")
@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.says], ids=lambda p: p.name)
def test_events_of_the_table(program):
    """Under `optimize` an event names the reason and the place."""
    optimized = modes.generic(program)
    run(optimized, program.cases[0])
    (event,) = optimized.events("FALLBACK" if program.whole else "OPAQUE")[:1]
    assert program.says[0] in event.message
    assert event.location.startswith("odd.py:")


WHOLE = [a_generator, a_coroutine, a_match]


@pytest.mark.parametrize("fn", WHOLE, ids=lambda fn: fn.__name__)
def test_what_cannot_stand_alone_stays_python_as_a_whole(fn):
    with pytest.raises(CaptureError) as caught:
        capture(fn, ERRORS[fn][0])
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize("fn", [a_class, a_group, an_unknown_call, inner_trouble], ids=lambda fn: fn.__name__)
def test_one_odd_statement_stays_python(fn):
    events = []
    captured = capture(fn, ERRORS[fn][0], on_event=lambda kind, message, **facts: events.append((kind, message, facts)))
    assert generate(captured.graph, name="f").fn(*ERRORS[fn][0].values()) == fn(*ERRORS[fn][0].values())
    ((kind, message, facts),) = events
    assert kind == "OPAQUE"
    assert message.endswith(": runs in Python")
    assert facts["location"].file == __file__
    assert facts["location"].column >= 4
    assert facts["reason"] in message


def test_a_context_manager_runs_in_python(tmp_path):
    path = tmp_path / "x"
    path.write_text("four")
    captured = capture(a_context, {"path": str(path)})
    assert generate(captured.graph, name="f").fn(str(path)) == 4


def test_no_source():
    scope = {}
    exec("def made(n):\n    return n", scope)
    for fn in (scope["made"], eval("lambda n: n"), len, print):
        with pytest.raises(CaptureError) as caught:
            capture(fn, {"n": 1})
        assert caught.value.kind == "source"


def test_missing_examples():
    with pytest.raises(CaptureError, match="no example for n"):
        capture(a_class, {})


class Undoing:
    """A context manager that swallows errors: what its block would have bound may be missing."""

    def __enter__(self):
        return 7

    def __exit__(self, *_):
        return True


def swallowed(n):
    with Undoing() as x:
        y = 10 // n
    return x, y


def try_in_a_loop(xs):
    total = 0
    for x in xs:
        try:
            total += int(x)
        except ValueError as error:
            last = str(error)
            total -= 1
    return total, last


def reads_what_it_deletes(n):
    x = n
    for _ in range(2):
        try:
            del x
        except NameError:
            x = 5
    return x


@pytest.mark.parametrize(
    ("fn", "cases"),
    [
        (swallowed, [(2,), (0,)]),
        (try_in_a_loop, [(["1", "q"],), (["1"],), ([],)]),
    ],
    ids=["swallowed", "try_in_a_loop"],
)
def test_opaque_statements_may_leave_names_unbound(fn, cases):
    name = fn.__code__.co_varnames[0]
    code = generate(capture(fn, {name: cases[0][0]}).graph, name="f")
    for args in cases:
        try:
            wanted = fn(*args)
        except NameError as error:
            with pytest.raises(type(error), match="cannot access local variable"):
                code.fn(*args)
        else:
            assert code.fn(*args) == wanted


def test_names_of_outlined_statements_may_come_and_go():
    captured = capture(reads_what_it_deletes, {"n": 1})
    assert generate(captured.graph, name="f").fn(3) == reads_what_it_deletes(3) == 5


class Scripted(specjit.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = specjit.nn.Parameter(specjit.ones(3))

    def forward(self, x, n: int):
        for _ in range(n):
            x = x * self.w + self.python_only(n)
        if jit.is_scripting():
            x = x + 1
        return x

    @jit.ignore
    def python_only(self, n):
        return len(f"{n}")


def test_script_is_strict():
    with pytest.raises(jit.Error, match="a class that is defined in a function"):
        jit.script(a_class)
    with pytest.raises(jit.Error, match="takes a Python function or a Module"):
        jit.script(3)


def test_ignored_functions_run_in_python_and_scripting_is_known():
    model = Scripted()
    captured = capture(
        Scripted.forward, {"self": model, "x": specjit.ones(3), "n": 2}, root=model, scripting=True, strict=True
    )
    code = generate(captured.graph, name="f")
    assert code.fn(model, specjit.ones(3), 2).tolist() == [4.0, 4.0, 4.0]
    assert model(specjit.ones(3), 2).tolist() == [3.0, 3.0, 3.0]
    assert jit.annotate(int, 3) == 3
    assert not jit.is_scripting()
    assert not jit.is_tracing()
