"""Every program of the table, as plain Python and as generic code: what a caller can see is the same, call by call.

Also: which programs are captured whole, and that their graphs print, parse and verify.
"""

from __future__ import annotations

import pytest

import specjit
from specjit.capture.errors import CaptureError
from specjit.ir.text import GraphPrinter, parse, print_graph
from specjit.ir.verify import verify
from tests.capture.programs import PROGRAMS, modes
from tests.capture.programs.observe import run

EACH = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)


@EACH
def test_generic_code_does_what_python_does(program):
    plain, generic = program.make(), modes.generic(program)
    with specjit.stance("generic"):
        for case in (*program.cases, *program.cases):
            assert run(generic, case) == run(plain, case), generic.code
    assert (generic.stats()["eager"] == 0) != program.whole, generic.events("FALLBACK")


@EACH
def test_only_what_says_so_is_opaque(program):
    opaque = program.whole
    for case in program.cases if not program.whole else ():
        captured = modes.captured(program, case)
        verify(captured.graph)
        printer = GraphPrinter()
        text = printer.graph(captured.graph)
        assert print_graph(parse(text, table=printer.opaque)) == text
        opaque |= bool(captured.opaque)
        if captured.opaque:
            with pytest.raises(CaptureError):
                modes.captured(program, case, strict=True)
        else:
            modes.captured(program, case, strict=True)
    assert opaque == (program.opaque or program.dynamic), captured.opaque
