"""Loops: what they leave behind, where they stop, what is bound after them."""

# ruff: noqa: F821, F841
from __future__ import annotations

from tests.capture.programs.table import prog


@prog((3,), (0,), (-2,))
def loop_var_after(n):
    i = "none"
    for i in range(n):
        pass
    return i


@prog((3,), (0,))
def unbound_after(n):
    for i in range(n):
        y = i * 2
    return y


@prog((2, 9, 3), (9, 2, -3), (0, 0, 1), (1, 5, 0))
def range3(a, b, c):
    out = []
    for k in range(a, b, c):
        out.append(k)
    return out


@prog((5,), (-5,))
def range_affine(n):
    out = []
    for k in range(2, n):
        out.append(k)
    for k in range(n, 0, -1):
        out.append(k)
    for k in range(10, 20, 3):
        out.append(k)
    for k in reversed(range(n)):
        out.append(k)
    return out


@prog(([1, 2, 3, 4], 3), ([], 3), ([3], 3), ([1, 2], 9))
def for_else(xs, t):
    for i, x in enumerate(xs):
        if x == t:
            found = i
            break
    else:
        found = -1
    return found


@prog((10,), (0,))
def while_else(n):
    k = 0
    while k < n:
        k += 1
        if k == 5:
            break
    else:
        return "done", k
    return "broke", k


@prog((4,), (0,))
def nested_loops(n):
    total = 0
    rows = []
    for i in range(n):
        row = []
        for j in range(i):
            if (i + j) % 3 == 0:
                continue
            if j > 2:
                break
            total += i * j
            row.append((i, j))
        rows.append(row)
    return total, rows


@prog((5,), (1,))
def swap_loop(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a, b


@prog(
    (3,),
)
def while_true(n):
    k = 0
    while True:
        k += 1
        if k > n:
            return k


@prog((0,), (1,), (2,))
def maybe_bound(n):
    if n == 1:
        z = 5
    if n > 0:
        return z
    return "none"


@prog((4,), (0,), (1,))
def reads_previous_turn(n):
    out = []
    for i in range(n):
        if i > 0:
            out.append(last)
        last = i * 2
    return out


@prog((4,), (0,), (1,))
def reads_previous_turn_unguarded(n):
    out = []
    for i in range(n):
        if i > 1:
            last = i
        if i > 2:
            out.append(last)
    return out, last


@prog((3,), (0,))
def same_value_twice(n):
    h = -1
    for i in range(n):
        h = h + i
        y = h
    return y, h


@prog((3, 2), (3, 9), (0, 0))
def break_leaves_a_value(n, t):
    for i in range(n):
        k = i * 10
        if i == t:
            break
        k = -k
    return k


@prog((0, 2), (3, 2), (1, 0))
def break_in_else_of_an_inner_loop(a, b):
    out = []
    for i in range(3):
        for x in (a, b):
            if x == i:
                break
            out.append(x)
        else:
            out.append("else")
            if a:
                break
        for k in range(b):
            if k == 1:
                break
        else:
            if i:
                break
        out.append(i)
    else:
        out.append("end")
    return out


@prog((3,), (1,), (0,))
def deletes_in_a_loop(n):
    x = n
    for i in range(n):
        if i == 2:
            print(x)
        del x
        x = i
        if i == 1:
            del x
    return x


@prog((7, 3), (3, 7), (1, 1))
def gcd(a, b):
    while b:
        a, b = b, a % b
    return a


@prog((0,), (3,), (10,))
def collatz(n):
    steps = 0
    while n != 1 and steps < 20:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps, n
