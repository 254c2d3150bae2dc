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


@prog((0,), (1,), (2,), dynamic=True)
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


@prog((2,))
def with_stmt(n):

    with contextlib.suppress(ValueError):
        x = int("7")
        y = int("q")
    return x + n


@prog(*((k,) for k in range(-1, 8)))
def errors_in_branches_that_may_not_run(k):
    if k == 0:
        return 3 in "abc"
    if k == 1:
        return (3).nope
    if k == 2:
        setattr(3, "x", 1)
    if k == 3:
        return getattr(k, "class")
    if k == 4:
        return tuple(range(0, 5, 0))
    if k == 5:
        return 1 << -1
    if k == 6:
        p, q, r = (1, 2)
    return k


@prog((0,), (1,))
def numbers_too_large_to_write_down(k):
    if k == 2:
        return len("x" * 10**9), 2**10**9, 1 << 10**9
    x = 3**10_000
    return x % 1000, (3).real, k


@prog((0,), (1,))
def conversions_that_fail(k):
    if k:
        return int("x")
    return float("1.5")
