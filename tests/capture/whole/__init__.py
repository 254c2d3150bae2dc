"""Whole programs made by hypothesis, and how each is compared with plain Python.

    problem = first_problem(seed, count)      # of `count` programs; the smallest with a problem, as text

Enters: a seed. Leaves: None, or a text with the difference, the program, its calls and the seed. The same seed gives
the same programs for one version of hypothesis; the text is all that is needed to run a program again.
"""

from __future__ import annotations

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.capture.whole.check import WAYS, find_problem
from tests.capture.whole.programs import Source, programs

QUIET = settings(
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    print_blob=False,
)


class Mismatch(AssertionError):
    """A way to run a program does not do what Python does."""


def first_problem(seed: int, count: int, ways: tuple[str, ...] = WAYS, native: bool = False) -> str | None:
    """Look at `count` programs. native: their kernels are compiled."""

    @hypothesis.seed(seed)
    @settings(QUIET, max_examples=count)
    @given(programs())
    def look(source: Source) -> None:
        problem = find_problem(source, ways, native)
        if problem is not None:
            raise Mismatch(f"programs of seed {seed}: {problem}\n\n{source}")

    try:
        look()
    except Mismatch as error:
        return str(error)
    return None


__all__ = ["Mismatch", "find_problem", "first_problem", "programs"]
