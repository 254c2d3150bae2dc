"""Prints, exceptions, and the statements around them."""

# ruff: noqa: F841
from __future__ import annotations

import contextlib

from tests.capture.programs.table import prog


@prog((3,), (0,))
def prints(n):
    for i in range(n):
        print("row", i, end=";")
    print()
    print(f"{n:03d}", "x", sep="-")


@prog((3,), (-1,))
def raising(x):
    if x < 0:
        raise ValueError(f"negative {x}")
    assert x != 3, f"bad {x}"
    return x


@prog(([1, 2], 5), ([1, 2], 1))
def index_error(xs, i):
    y = xs[i]
    return y


@prog((0,), (1,), (2,))
def errors_in_order(k):
    out = []

    def note(x):
        out.append(x)
        return x

    try_these = [lambda: note(1) + note("a"), lambda: [note(3)][note(1)], lambda: note({})["q"]]
    return try_these[k]()


@prog(
    (4,),
)
def try_stmt(n):
    out = []
    for i in range(n):
        try:
            v = 10 // (i - 2)
        except ZeroDivisionError:
            v = "inf"
        finally:
            out.append("f")
        out.append(v)
    return out


@prog(
    (2,),
)
def with_stmt(n):

    with contextlib.suppress(ValueError):
        x = int("7")
        y = int("q")
    return x + n
