"""Comprehensions and generator arguments: conditions, several generators, scopes, walrus, effects."""

# ruff: noqa: F821
from __future__ import annotations

from specjit import stack, tensor
from tests.capture.programs.table import prog


@prog((4,), (0,))
def list_comprehensions(n):
    return (
        [i for i in range(n)],
        [i * j for i in range(n) for j in range(i)],
        [(i, j) for i in range(n) if i % 2 for j in range(n) if j > i],
        [[j for j in range(i)] for i in range(n)],
        [i if i % 2 else -i for i in range(n) if i if i != 3],
    )


@prog((["a", "bb", ""],), ([],))
def dict_comprehensions(words):
    lengths = {w: len(w) for w in words}
    return lengths, {v: k for k, v in lengths.items()}, {i: {w: i for w in words if w} for i in range(2)}


@prog(([1, 2, 2, 3],), ([],))
def set_comprehensions(xs):
    return {x % 2 for x in xs}, {(x, y) for x in xs for y in xs if x < y}, len({x for x in xs})


@prog(([3, 1, 2],), ([],), opaque=True)
def generator_arguments(xs):
    return (
        [sum(x * x for x in xs), sum((x for x in xs), 100), max((x for x in xs), default=None)],
        [any(x > 2 for x in xs), all(x > 0 for x in xs), any(False for _ in xs), all(x for x in [])],
        [list(x + 1 for x in xs), tuple(x for x in xs if x > 1), set(x for x in xs), sorted(-x for x in xs)],
        [dict((x, x * 2) for x in xs), ",".join(str(x) for x in xs), min((-x for x in xs), default=0)],
        [len(list(x for x in xs)), [*(x for x in xs)], list(enumerate(x for x in xs)), list(zip((x for x in xs), xs))],
    )


@prog(([0, 1, 0],), ([],), ([0],))
def any_and_all_stop_early(xs):
    seen = []

    def see(x):
        seen.append(x)
        return x

    return any(see(x) for x in xs), all(see(x + 1) for x in xs), any([see(x) for x in xs]), seen


@prog((3,))
def the_first_iterable_comes_from_outside(n):
    i = 2
    xs = [i for i in range(i)]
    ys = [i + n for n in range(i) for i in range(n + 1)]
    return i, n, xs, ys


@prog(([1, 5, 2, 8],), ([],))
def walrus_in_comprehensions(xs):
    y = None
    big = [y for x in xs if (y := x * 2) > 4]
    first = any((found := x) > 4 for x in xs)
    return big, y, first, found if xs else None


@prog((0, [1, 2]), (2, [1, 2]), (9, [1, 0]))
def comprehension_that_fails(n, xs):
    out = []
    r = [out.append(x) or n // x for x in xs if x != n]
    return r, [10 // (x - n) for x in xs], out


@prog((3,), dynamic=True)
def closures_in_comprehensions(n):
    fs = [lambda k=i: k * n for i in range(n)]
    return [f() for f in fs], [(lambda: i)() for i in range(n)]


@prog((3,), opaque=True)
def late_binding(n):
    fs = [lambda: i for i in range(n)]
    return [f() for f in fs]


@prog(([[1, 2], [], [3]],))
def flattens(rows):
    return [x for row in rows for x in row], [row[0] for row in rows if row], sum([len(r) for r in rows])


@prog(([(1, 2), (3, 4)],), ([],))
def unpacks_in_comprehensions(pairs):
    return (
        [a * b for a, b in pairs],
        {a: b for a, b in pairs},
        [i + a for i, (a, b) in enumerate(pairs)],
        [x for x, *_ in pairs],
    )


@prog((tensor([1.0, 2.0, 3.0]), 3), (tensor([1.0, 2.0, 3.0]), 1), traced=True)
def comprehensions_of_tensors(x, n):
    rows = [x * i + i for i in range(n)]
    return stack(rows), [r.sum() for r in rows], sum(r[0] for r in rows), [v for v in x if v > 1]


@prog(([tensor([1.0]), tensor([2.0])],), ([],), traced=True)
def dict_of_new_tensors(xs):
    return {i: x + 1 for i, x in enumerate(xs)}, [(x, x) for x in xs], {f"k{i}": [x] for i, x in enumerate(xs)}


@prog((3,))
def comprehension_over_itself(n):
    xs = list(range(n))
    xs = [x + len(xs) for x in xs]
    xs += [x for x in xs if x % 2]
    return xs


@prog(({"a": [1, 2], "b": []},))
def comprehensions_nest(d):
    return {k: [x * 2 for x in v if x] for k, v in d.items()}, [{k} | {len(v)} for k, v in d.items()]


@prog((2,))
def unbound_in_a_comprehension(n):
    ys = [x for x in range(n) if x > later]
    later = 1
    return ys, later
