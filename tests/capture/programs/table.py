"""The table that the theme files fill: `PROGRAMS`, each with its cases; and `run`, what a call of one does."""

from __future__ import annotations

import contextlib
import copy
import io
import pathlib
import traceback
from collections.abc import Callable
from typing import Any

FOLDER = str(pathlib.Path(__file__).parent)
PROGRAMS: list[tuple[Callable[..., Any], tuple[tuple[Any, ...], ...]]] = []


def prog(*cases):
    """Add a program; a case is a tuple of positional arguments, copied for every run."""

    def register(fn):
        PROGRAMS.append((fn, cases))
        return fn

    return register


def _line(error):
    """The line in a program of the table that raised: the last one of the traceback."""
    lines = [s.lineno for s in traceback.extract_tb(error.__traceback__) if s.filename.startswith(FOLDER)]
    return lines[-1] if lines else None


def run(fn, args):
    """What a caller can see of a call: the result, or the exception and the line of the program that raised it; what
    was printed; and the arguments afterwards."""
    args = copy.deepcopy(args)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            result = ("returned", fn(*args))
        except Exception as error:
            result = ("raised", type(error), str(error), _line(error))
    return repr(result), out.getvalue(), repr(args)
