"""Generated programs: generic, specialized, scripted and traced, they do what plain Python does.

Each test takes as many programs as its share of the time allows, always the same first ones; a failure prints the seed
and the smallest program that fails. `python -m tests.fuzz` goes on for as long as one likes.
"""

from __future__ import annotations

import time

import pytest

from tests.capture.whole import first_problem
from tests.capture.whole.check import OUTCOMES, WAYS

SECONDS = 22.0
BATCH = 10  # programs between two looks at the clock


@pytest.mark.parametrize("first", [0, 1000])
def test_generated_programs_do_what_python_does(first) -> None:
    end = time.monotonic() + SECONDS
    seed = first
    OUTCOMES.clear()
    while seed == first or time.monotonic() < end:
        problem = first_problem(seed, BATCH)
        if problem is not None:
            pytest.fail(problem, pytrace=False)
        seed += 1
    for way in WAYS:  # else the test would prove nothing
        assert OUTCOMES[f"{way} compared"], OUTCOMES


def test_compiled_programs_do_what_python_does() -> None:
    """With native kernels."""
    end = time.monotonic() + SECONDS / 2
    seed = 2000
    while seed == 2000 or time.monotonic() < end:
        problem = first_problem(seed, 2, ("specialized", "scripted"), native=True)
        if problem is not None:
            pytest.fail(problem, pytrace=False)
        seed += 1
