"""Generated programs: generic, specialized, scripted and traced, they do what plain Python does.

Each test takes as many programs as its share of the time allows, always the same first ones, and no seeds that nobody
has run before; a failure prints the seed and the smallest program that fails. `python -m tests.fuzz` goes on for as
long as one likes.
"""

from __future__ import annotations

import time

import pytest

from tests.capture.whole import first_problem
from tests.capture.whole.check import OUTCOMES, WAYS

SECONDS = 22.0
BATCH = 10  # programs between two looks at the clock
SEEDS, NATIVE_SEEDS = 34, 58  # at most, from each first one: a faster machine does not go beyond what was looked at


@pytest.mark.parametrize("first", [0, 1000])
def test_generated_programs_do_what_python_does(first) -> None:
    end = time.monotonic() + SECONDS
    OUTCOMES.clear()
    for seed in range(first, first + SEEDS):
        if seed > first and time.monotonic() >= end:
            break
        problem = first_problem(seed, BATCH)
        if problem is not None:
            pytest.fail(problem, pytrace=False)
    for way in WAYS:  # else the test would prove nothing
        assert OUTCOMES[f"{way} compared"], OUTCOMES


def test_compiled_programs_do_what_python_does() -> None:
    """With native kernels."""
    end = time.monotonic() + SECONDS / 2
    for seed in range(2000, 2000 + NATIVE_SEEDS):
        if seed > 2000 and time.monotonic() >= end:
            break
        problem = first_problem(seed, 2, ("specialized", "scripted"), native=True)
        if problem is not None:
            pytest.fail(problem, pytrace=False)
