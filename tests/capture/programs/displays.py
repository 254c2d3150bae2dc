"""Starred items in lists, tuples, sets, dicts and calls; what is evaluated first."""

from __future__ import annotations

from tests.capture.programs.table import prog


@prog(([1, 2], (3,), "ab"), ([], (), ""))
def starred_items(xs, t, s):
    a = [*xs, 0, *t]
    b = (*xs, *s, *range(2))
    c = {*a, *t}
    a[0:1] = [*a, *a]
    return a, b, sorted(c), [*xs] == xs, [*{}], (*b, 1)[-1], [*zip(xs, s)]


@prog(([1],))
def a_starred_item_is_taken_apart_at_once(xs):
    return [*xs, xs.append(2), *xs], (len(xs), *xs)


@prog((3,), (None,), ([1],))
def starred_things_that_are_no_sequence(x):
    return [0, *x]


@prog(({"a": 1}, {"a": 2, "b": [3]}), ({}, {}))
def merged_dicts(d, e):
    f = {**d, "x": 0, **e, "y": 1}
    g = {**e}
    g["new"] = 1
    f["z"] = f.pop("x")
    return f, g, {**{}}, list({"b": 0, **d}), d | e


@prog((3,), ([(1, 2)],), ({1: 2},))
def spread_things_that_are_no_dict(x):
    return {"a": 1, **x}


@prog(([1, 2, 3],), ([1],))
def repeated_and_sliced(xs):
    n = len(xs)
    return [0] * n + [1] * (n - 1), (n,) + (1,) * n, list(range(n))[::-1], [[]] * 2, 2 * [n]


@prog((2,), (0,))
def unpacked_with_a_star(n):
    a, *b = list(range(n + 1))
    *c, d = "xy" * n + "z"
    (e, *f), g = [range(n + 1), n]
    return a, b, c, d, e, f, g
