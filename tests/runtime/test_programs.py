"""The table of programs under `optimize`: specialized runs do what plain Python does.

Every program runs its cases in turn, each several times, so that calls go through observation, specialization, guard
misses and generalized variants; what a caller can see is compared at every call. Kernels are plain Python here, but
for a sample that is compiled: TABLE_NATIVE=n compiles every n-th program (1: all).
"""

from __future__ import annotations

import contextlib
import os
import random

import pytest

from tests.capture.programs import PROGRAMS, modes
from tests.capture.programs.observe import run
from tests.plain_kernels import plain_kernels

EVERY = int(os.environ.get("TABLE_NATIVE", "12"))
WITH_KERNELS = [p for p in PROGRAMS if p.has_tensors]
COMPILED = random.Random(4).sample(WITH_KERNELS, len(WITH_KERNELS) // EVERY)


def check(program) -> None:
    plain, fast = program.make(), modes.specialized(program)
    for case in (*program.cases, *program.cases):
        for _ in range(2):
            assert run(fast, case) == run(plain, case), fast.code
    broken = [e for e in fast.events("SPECIALIZE_FAILED") if "traceback" in e.facts]
    assert not broken, broken[0].facts["traceback"]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_optimized_does_what_python_does(program) -> None:
    with plain_kernels() if program.has_tensors else contextlib.nullcontext():
        check(program)


@pytest.mark.parametrize("program", COMPILED, ids=lambda p: p.name)
def test_compiled_does_what_python_does(program) -> None:
    check(program)
