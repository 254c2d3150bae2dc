"""The capture table once more, under `optimize`: specialized runs do what plain Python does.

Every program runs its cases in turn, each several times, so that calls go through observation, specialization, guard
misses and generalized variants; results, exceptions, prints and mutated arguments are compared at every call.
"""

from __future__ import annotations

import pytest

import specjit
from tests.capture.programs import PROGRAMS
from tests.capture.test_programs import run


@pytest.mark.parametrize(("fn", "cases"), PROGRAMS, ids=lambda p: getattr(p, "__name__", ""))
def test_optimized_does_what_python_does(fn, cases) -> None:
    program = specjit.optimize(fn, warmup=1, background=False)
    for args in (*cases, *cases):
        for _ in range(2):
            assert run(program, args) == run(fn, args), program.code
    broken = [e for e in program.events("SPECIALIZE_FAILED") if "traceback" in e.facts]
    assert not broken, broken[0].facts["traceback"]
