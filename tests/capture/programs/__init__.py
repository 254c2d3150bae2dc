"""Small programs in the style of users, each with the arguments of several runs, a file per theme.

Enters: nothing. Leaves: `PROGRAMS`, (function, cases); a case is a tuple of positional arguments, copied for every run.
"""

from tests.capture.programs import (
    branches,
    containers,
    displays,
    effects,
    finallys,
    functions,
    generators,
    handlers,
    loops,
    managers,
    outside,
    patterns,
    scalars,
)
from tests.capture.programs.table import PROGRAMS

# Importing them fills PROGRAMS.
THEMES = (
    branches,
    containers,
    displays,
    effects,
    finallys,
    functions,
    generators,
    handlers,
    loops,
    managers,
    outside,
    patterns,
    scalars,
)

__all__ = ["PROGRAMS", "THEMES"]
