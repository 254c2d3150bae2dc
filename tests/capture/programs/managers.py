"""`with` statements over context managers of the user and of the library."""

from __future__ import annotations

import contextlib

import specjit
from tests.capture.programs.table import prog


class Log:
    """Notes what happens to it; `swallow` says which errors it suppresses."""

    def __init__(self, lines, name, swallow=()):
        self.lines, self.name, self.swallow = lines, name, swallow

    def __enter__(self):
        self.lines.append(f"enter {self.name}")
        return self.name

    def __exit__(self, kind, error, traceback):
        self.lines.append(f"exit {self.name} {kind.__name__ if kind else None} {error}")
        return kind is not None and issubclass(kind, tuple(self.swallow))


@prog((1,), (0,), dynamic=True)
def enters_and_exits(n):
    lines = []
    with Log(lines, "a") as a, Log(lines, "b", [ZeroDivisionError]) as b:
        x = 10 // n
        lines.append((a, b, x))
    return lines


@prog((1,), (0,), dynamic=True)
def suppressed_leaves_unbound(n):
    lines = []
    with Log(lines, "s", [ZeroDivisionError]):
        before = "x"
        x = 10 // n
    print(lines, before)
    return x


@prog((1,), (0,), dynamic=True)
def exit_sees_the_error(n):
    lines = []
    try:
        with Log(lines, "p"):
            1 // n
    except ZeroDivisionError:
        lines.append("outside")
    return lines


@prog((0,), (1,), (2,), (3,), dynamic=True)
def leaves_in_every_way(k):
    lines = []
    for i in range(3):
        with Log(lines, i):
            if k == 0 and i == 1:
                return lines
            if k == 1 and i == 1:
                break
            if k == 2 and i == 1:
                continue
            lines.append("end")
    else:
        lines.append("else")
    return lines


@prog(("7", "8"), ("q", "8"), ("7", "q"))
def library_manager(a, b):
    x = y = None
    with contextlib.suppress(ValueError):
        x = int(a)
        y = int(b)
    return x, y


@prog((2,), (0,), dynamic=True)
def manager_with_a_target_in_a_tuple(n):
    lines = []
    with Log(lines, ("p", "q")) as (p, q):
        lines.append(p + q)
    with contextlib.nullcontext([1, 2]) as got:
        got.append(n)
    return lines, got


@prog((1,), (2,))
def shapes_and_open_names_leave_a_mode(n):
    with specjit.no_grad():
        if n > 1:
            y = n
        s = (specjit.ones(n, 2) + 1).shape
        rows = enumerate(s)
    return s[0], list(rows), y


@prog((0,), (2,))
def shapes_in_a_handler(n):
    try:
        s = (specjit.ones(n, 2) + 1).shape
        k = 6 // n
    except ZeroDivisionError:
        return "empty"
    return s[0], s[1], k
