"""Branches, early exits, and conditions that are expressions."""

# ruff: noqa: F821
from __future__ import annotations

from tests.capture.programs.table import prog


@prog((1,), (5,), (0,), (-3,))
def early_returns(x):
    if x > 4:
        return "big"
    elif x == 0:
        return None
    y = x * 2
    if y < 0:
        return y, "neg"
    return y


@prog((4, 2), (0, 0), (7, 9))
def return_in_nested(n, t):
    for i in range(n):
        for j in range(n):
            if i * j == t:
                return i, j
    return None


@prog((1, 2, 3), (3, 2, 1), (2, 2, 2))
def many_exits(a, b, c):
    for x in (a, b, c):
        if x == 1:
            for y in range(x, 4):
                if y == b:
                    return "found", y
                if y == c:
                    break
            else:
                continue
            x = 10
        elif x == 3:
            continue
        else:
            x += 1
        if x > 5:
            return "big", x
    return "end", x


@prog((3,))
def deep_nesting(n):
    r = 0
    for a in range(n):
        for b in range(a, n):
            for c in range(b, n):
                if (a + b + c) % 2:
                    if c > 1:
                        r += a * 100 + b * 10 + c
                        if r > 50:
                            break
                    else:
                        r -= 1
                else:
                    continue
    return r


@prog(
    (3,),
)
def flow_flags(n):
    seen = []
    done = False
    while not done:
        for k in range(10):
            if k == n:
                done = True
                break
            if k == 1:
                continue
            seen.append(k)
        n -= 1
    return seen, n


@prog((None,), (3,))
def optional(x):
    if x is None:
        x = 10
    y = None
    for i in range(x):
        if y is None:
            y = i
        else:
            y = y + i
    return y


@prog((2,), (0,))
def walrus(n):
    if (m := n * 2) > 3:
        return m
    return -m


@prog(
    (5,),
)
def ternaries(n):
    return ("a" if n > 3 else "b"), (n if n else 0), [k if k % 2 else -k for k in range(n)]


@prog((0,), (1,), (2,), (3,))
def and_or(x):
    a = x and 5
    b = x or "zero"
    c = (x > 1 and x < 3) or None
    d = (not x and []) or {}
    return a, b, c, d


@prog((1, 2, 3), (3, 2, 1), (2, 2, 5))
def chained(a, b, c):
    return a < b < c, a == b != c, 0 < a <= b < c < 10, 1 < a > b


@prog(
    (3,),
)
def del_var(n):
    a = n
    del a
    return a


@prog((1.5,), (3,))
def isinst(x):
    if isinstance(x, int):
        return "int"
    if isinstance(x, (float, str)):
        return "float"
    return "?"


@prog((-3,), (4,), (0,))
def sign(x):
    assert isinstance(x, int), "an int"
    if x < 0:
        return -1
    elif x > 0:
        return 1
    else:
        return 0
