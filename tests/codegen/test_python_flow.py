"""Jumps in generated Python: what functions read like after capture, and that both compute the same."""

from __future__ import annotations

import textwrap

import pytest

from specjit.capture.script import capture
from specjit.codegen.generic.python import generate
from tests.capture.programs.branches import early_returns, return_in_nested
from tests.capture.programs.loops import for_else


def else_clause_that_returns(xs, t):
    for x in xs:
        if x == t:
            break
    else:
        return "none"
    xs.append(t)
    return xs


def while_with_break(n, stop):
    k = 0
    while k < n:
        k += 2
        if k == stop:
            break
        print(k)
    return k


def forever(n):
    k = 0
    while True:
        k += 1
        if k * k > n:
            return k


def continue_over_code(xs):
    total = 0
    for x in xs:
        if x > 2:
            if x > 4:
                continue
            total += 1
        total += x
        print(total)
    return total


def a_condition_and_its_value(a, b):
    while a and b > 0:
        b -= 1
        a = b % 3
    return a, b


def maybe_unbound(n):
    for i in range(n):
        y = i
    return y


def flag_of_the_user(n):
    done = False
    while not done:
        n -= 1
        if n < 3:
            done = True
    return n


def append_in_place(xs, ys):
    xs += ys
    return xs


def header_reads_a_value_made_once(xs):
    q = xs[0]
    w = 2
    while w > 0 and (q or w == 7):
        w -= 1
        if True:
            break
    return w


def break_beside_a_test_of_two_parts(xs):
    w = 4
    while w > 0 and True:
        w -= 1
        if len(xs) < w <= len(xs):
            break
    return w


SAMPLES = [
    (
        header_reads_a_value_made_once,
        [([1],), ([0],)],
        """
        q = xs[0]
        w = 2
        while w > 0 and (q or w == 7):
            w = w - 1
            break
        return w
        """,
    ),
    (
        break_beside_a_test_of_two_parts,
        [([1],), ([],)],
        """
        w = 4
        while w > 0 and True:
            w = w - 1
            if len(xs) < w and w <= len(xs):
                return w
        return w
        """,
    ),
    (
        early_returns,
        [(1,), (5,), (0,), (-3,)],
        """
        if x > 4:
            return 'big'
        if x == 0:
            return None
        y = x * 2
        return (y, 'neg') if y < 0 else y
        """,
    ),
    (
        return_in_nested,
        [(4, 2), (0, 0), (7, 9)],
        """
        for i in range(n):
            for i2 in range(n):
                if i * i2 == t:
                    return (i, i2)
        return None
        """,
    ),
    (
        for_else,
        [([1, 2, 3], 3), ([1], 3)],
        """
        for i, x in enumerate(xs):
            if x == t:
                return i
        return -1
        """,
    ),
    (
        else_clause_that_returns,
        [([1, 2, 3], 3), ([1], 3)],
        """
        for x in xs:
            if x == t:
                break
        else:
            return 'none'
        xs.append(t)
        return xs
        """,
    ),
    (
        while_with_break,
        [(9, 4), (9, 5), (0, 0)],
        """
        k = 0
        while k < n:
            k = k + 2
            if k == stop:
                return k
            print(k)
        return k
        """,
    ),
    (
        forever,
        [(3,), (30,)],
        """
        k = 0
        while True:
            k = k + 1
            if k * k > n:
                return k
        """,
    ),
    (
        continue_over_code,
        [([1, 3, 5, 2],), ([5],)],
        """
        total = 0
        for x in xs:
            if x > 2:
                if x > 4:
                    continue
                total = total + 1
            total = total + x
            print(total)
        return total
        """,
    ),
    (
        a_condition_and_its_value,
        [(1, 6), (0, 2), (2, 0)],
        """
        while a and b > 0:
            b = b - 1
            a = b % 3
        return (a, b)
        """,
    ),
    (
        maybe_unbound,
        [(3,), (0,)],
        """
        y = unbound
        for y in range(n):
            pass
        return y if n > 0 else _unbound('y')
        """,
    ),
    (
        flag_of_the_user,
        [(7,), (1,)],
        """
        while True:
            n = n - 1
            if n < 3:
                return n
        """,
    ),
    (
        append_in_place,
        [([1], [2]), ([], [])],
        """
        xs += ys
        return xs
        """,
    ),
]


def outcome(fn, args, capsys):
    try:
        result = fn(*args)
    except UnboundLocalError as error:
        result = str(error)
    return result, args, capsys.readouterr().out


def fresh(args):
    return tuple(list(a) if isinstance(a, list) else a for a in args)


@pytest.mark.parametrize(("fn", "cases", "text"), SAMPLES, ids=lambda v: getattr(v, "__name__", ""))
def test_it_jumps_where_the_user_does(fn, cases, text, capsys):
    names = fn.__code__.co_varnames[: fn.__code__.co_argcount]
    captured = capture(fn, dict(zip(names, fresh(cases[0]))))
    code = generate(captured.graph, name=fn.__name__)
    assert code.source.partition("\n")[2] == textwrap.indent(textwrap.dedent(text).strip(), "    ") + "\n"
    for args in cases:
        if captured.check(*fresh(args)) is None:
            assert outcome(code.fn, fresh(args), capsys) == outcome(fn, fresh(args), capsys)
