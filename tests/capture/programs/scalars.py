"""Numbers and strings."""

# ruff: noqa: UP031
from __future__ import annotations

from tests.capture.programs.table import prog


@prog((1, 2), (2.5, 0.5), ("a", "b"), ([1], [2]), (True, False), typed=False)
def add_any(a, b):
    return a + b


@prog((7, 2), (-7, 2), (7, -2), (7, 0))
def integer_ops(a, b):
    return a // b, a % b, a**2, divmod(a, b), a & b, a | b, a ^ b, ~a, -a, +a, abs(a), a << 3


@prog((7.5, 2), (-7.5, 0.0))
def float_ops(a, b):
    return a / b, a // b, round(a), round(a, 1), int(a), str(b), max(a, b), min(a, b, 1)


@prog((3.7, 2), (-1.5, 3))
def numbers(x, n):
    import math

    return (
        math.floor(x),
        math.sqrt(n),
        x // 1,
        divmod(x, n),
        pow(2, n),
        float("inf") > x,
        1e308 * 10,
        -0.0 + x * 0,
        n / 4,
    )


@prog(
    (6,),
)
def big_ints(n):
    x = 1
    for i in range(n):
        x = x * (2**40) + i
    return x


@prog(("x",), (3,), (2.5,), (None,), ([1],))
def fstrings(v):
    w = "in"
    return f"{v} {v!r:>10} {w:{'<'}5}|{{}} '{w}'", "plain", f"{v}tail"


@prog(
    ("hello world",),
)
def strings(s):
    out = ""
    for c in s:
        if c in "lo":
            out += c.upper()
        else:
            out += c
    return (
        out,
        s.split(),
        s[::-1],
        s.replace("l", "L"),
        "%s-%d" % (s, 3),
        f"{s:>5}",
        ",".join([s, s]),
        len(s),
        s * 2,
    )


@prog(("(a[b]c)",), ("(]",), ("",), ("((",))
def brackets(text):
    stack = []
    for c in text:
        if c in "([":
            stack.append(c)
        elif c in ")]":
            if not stack:
                return False
            top = stack.pop()
            if top + c not in ("()", "[]"):
                return False
    return not stack
