"""The table that the theme files fill: `PROGRAMS`, each with its cases; and `run`, what a call of one does."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable
from typing import Any

PROGRAMS: list[tuple[Callable[..., Any], tuple[tuple[Any, ...], ...]]] = []


def prog(*cases):
    """Add a program; a case is a tuple of positional arguments, copied for every run."""

    def register(fn):
        PROGRAMS.append((fn, cases))
        return fn

    return register


def run(fn, args):
    """What a caller can see of a call: the result or the exception, what was printed, and the arguments afterwards."""
    args = copy.deepcopy(args)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            result = ("returned", fn(*args))
        except Exception as error:
            result = ("raised", type(error), str(error))
    return repr(result), out.getvalue(), repr(args)
