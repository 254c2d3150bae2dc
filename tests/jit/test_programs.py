"""The table of programs scripted and traced: what a caller can see is what plain Python shows.

Traces are made from every case, and meet all other cases: a decision that went otherwise runs the function itself.
"""

from __future__ import annotations

import pytest

from specjit import jit
from tests.capture.programs import PROGRAMS, modes
from tests.capture.programs.observe import run
from tests.plain_kernels import plain_kernels

SCRIPTED = [p for p in PROGRAMS if p.typed and not p.opaque]


@pytest.mark.parametrize("program", SCRIPTED, ids=lambda p: p.name)
def test_scripted_does_what_python_does(program) -> None:
    plain, scripted = program.make(), modes.scripted(program)
    with plain_kernels():
        for case in (*program.cases, *program.cases, *program.cases):
            assert run(scripted, case) == run(plain, case), scripted.code


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.typed and p.opaque], ids=lambda p: p.name)
def test_what_is_opaque_is_an_error_under_script(program) -> None:
    with pytest.raises(jit.Error):
        for case in program.cases:
            modes.scripted(program)(*case)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.has_tensors or p.traced], ids=lambda p: p.name)
def test_traced_does_what_python_does(program) -> None:
    """A call that raises raises while it is traced; what is not `traced` may be refused, with a place and a way out."""
    for example in program.cases:
        plain = program.make()
        first, *_ = run(plain, example)
        try:
            traced = modes.traced(program, example)
        except jit.Error as error:
            assert not program.traced, error
            assert error.location is not None
            assert error.hint
            continue
        except Exception as error:
            assert first[0][:3] == ("raised", type(error).__qualname__, str(error))
            continue
        for case in program.cases:
            assert run(traced, case) == run(plain, case), traced.code
