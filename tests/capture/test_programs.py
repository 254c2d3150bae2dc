"""Every program of the table, as plain Python and as generated code: same results, exceptions, prints and mutated
arguments."""

from __future__ import annotations

import copy

import pytest

from specjit.capture.errors import CaptureError
from specjit.capture.script import capture
from specjit.codegen.python import generate
from specjit.ir.text import GraphPrinter, parse, print_graph
from specjit.ir.verify import verify
from tests.capture.programs import PROGRAMS
from tests.capture.programs.table import run

# What still runs in Python, statement by statement: everything else is captured whole.
OPAQUE = {
    "with_stmt",
    "enters_and_exits",
    "suppressed_leaves_unbound",
    "exit_sees_the_error",
    "leaves_in_every_way",
    "library_manager",
    "manager_with_a_target_in_a_tuple",
    "dict_methods",
    "errors_in_order",
    "builtins_called_wrongly",
    "errors_in_branches_that_may_not_run",
    "takes_no_generator",
    "a_function_that_takes_a_generator",
    "binds_a_name_outside",
}


def names(fn):
    return fn.__code__.co_varnames[: fn.__code__.co_argcount]


CASES = [pytest.param(fn, args, id=f"{fn.__name__}-{k}") for fn, cases in PROGRAMS for k, args in enumerate(cases)]


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_generated_code_does_what_python_does(fn, args):
    captured = capture(fn, dict(zip(names(fn), copy.deepcopy(args))))
    code = generate(captured.graph, name=fn.__name__)
    assert run(code.fn, args) == run(fn, args), code.source
    assert captured.check(*args) is None
    verify(captured.graph)
    printer = GraphPrinter()
    text = printer.graph(captured.graph)
    assert print_graph(parse(text, table=printer.opaque)) == text
    assert (fn.__name__ in OPAQUE) == bool(captured.opaque)
    if not captured.opaque:
        capture(fn, dict(zip(names(fn), copy.deepcopy(args))), strict=True)
    else:
        with pytest.raises(CaptureError):
            capture(fn, dict(zip(names(fn), copy.deepcopy(args))), strict=True)


@pytest.mark.parametrize("fn", [p for p, _ in PROGRAMS], ids=lambda p: p.__name__)
def test_one_capture_serves_every_case_that_passes_its_guards(fn):
    cases = next(c for f, c in PROGRAMS if f is fn)
    captured = capture(fn, dict(zip(names(fn), copy.deepcopy(cases[0]))))
    code = generate(captured.graph, name=fn.__name__)
    for args in cases:
        if captured.check(*args) is None:
            assert run(code.fn, args) == run(fn, args), (args, code.source)
