"""Builtin functions: every one that programs call, with every form of call."""

from __future__ import annotations

import functools
import itertools
import operator

from tests.capture.programs.table import prog


class Thing:
    size = 3

    def __init__(self):
        self.name = "t"

    def double(self, x):
        return x * 2


@prog(([1, 2, 3],), ([],), ("ab",), ((1,),), ({"a": 1},), ({5},))
def lengths(xs):
    return len(xs), len([xs]), len(range(3)), bool(len(xs)), len((xs, xs)), len(str(xs))


@prog((5,), (None,))
def length_of_nothing(x):
    return len(x)


@prog((3, -2, 1), (0, 5, 2), (5, 0, -3))
def ranges(a, b, c):
    r = range(a, b, c)
    return list(r), len(r), r.start, r.stop, r.step, 3 in r, list(reversed(r)), r == range(a, b, c), list(range(a)), r


@prog((1, 0), (1.5, 1))
def ranges_that_fail(a, c):
    return list(range(0, 5, c)), range(a)


@prog(([3, 1, 2],), (["b", "A", "c"],), ([],))
def sorts(xs):
    return (
        sorted(xs),
        sorted(xs, reverse=True),
        sorted(xs, key=str),
        sorted(xs, key=lambda v: str(v).lower(), reverse=True),
    )


@prog(([(1, "b"), (0, "a"), (1, "a")],))
def sorts_by_keys(pairs):
    return sorted(pairs), sorted(pairs, key=lambda p: p[1]), sorted(pairs, key=lambda p: (-p[0], p[1])), max(pairs)


@prog(([1, 2, 3], 2), ([], 0))
def maps(xs, n):
    return (
        list(map(str, xs)),
        list(map(lambda x: x * n, xs)),
        tuple(map(lambda a, b: a + b, xs, range(10))),
        sum(map(abs, [-x for x in xs])),
        [y for y in map(float, xs)],
        dict(map(lambda x: (x, x), xs)),
        ",".join(map(str, xs)),
    )


@prog(([0, 1, 2, None, 3],), ([],))
def filters(xs):
    return (
        list(filter(None, xs)),
        list(filter(lambda x: x is None, xs)),
        [x for x in filter(bool, xs)],
        len(list(filter(str, xs))),
    )


@prog(([1, 0, 2],), ([],), ([0],))
def any_and_all(xs):
    return any(xs), all(xs), any([]), all([]), any((xs, 0)), all((xs, 1)), any({0: 1}), all("ab")


@prog(([1, 2], "ab"), ([], ""))
def pairs_up(xs, s):
    return (
        list(enumerate(xs)),
        list(enumerate(s, 5)),
        list(zip(xs, s)),
        list(zip(xs, s, xs)),
        dict(enumerate(s)),
        list(reversed(xs)),
    )


@prog(([1, 2], [3]))
def strict_zip(xs, ys):
    return list(zip(xs, ys, strict=True))


@prog((Thing(), "name"), (Thing(), "size"), (Thing(), "nope"))
def attributes_by_name(thing, name):
    return hasattr(thing, name), getattr(thing, name, "default"), hasattr(thing, "name"), getattr(thing, "size")


@prog((Thing(), "name"), (Thing(), "nope"))
def attribute_that_may_be_missing(thing, name):
    return getattr(thing, name)


@prog((Thing(),))
def sets_attributes_by_name(thing):
    setattr(thing, "name", "new")
    setattr(thing, "other", [1])
    delattr(thing, "name")
    return thing.other, hasattr(thing, "name")


@prog((Thing(), 5))
def callables(thing, x):
    f = getattr(thing, "double")
    return callable(f), callable(x), callable(len), f(x), callable(Thing)


@prog((3,), ("a",), (2.5,), ((1, 2),), (None,))
def hashes_and_reprs(x):
    return hash(x) == hash(x), repr(x), str(x), ascii(x), [x].__len__()


@prog((5, 2), (-5, 2), (5.5, 2))
def divmods_and_pows(a, b):
    return divmod(a, b), pow(a, b), abs(a), round(a / b, 2), int(a), float(b), bool(a - a)


@prog(("abc",), ([1, 2],), ((),))
def converts(x):
    return list(x), tuple(x), set(x) == set(x), dict(enumerate(x)), bool(x), str(x), sorted(x), frozenset(x) == set(x)


@prog(("x",), ([],), (None,))
def converts_badly(x):
    return float(x)


@prog((3, [4, 5]), dynamic=True)
def partial_and_reduce(n, xs):
    add = functools.partial(operator.add, n)
    return add(1), functools.reduce(operator.mul, xs), functools.reduce(lambda a, b: a - b, xs, 100)


@prog(([1, 2, 3],), ([],), dynamic=True)
def operators_as_functions(xs):
    return (
        operator.add(1, 2),
        sorted(xs, key=operator.neg),
        operator.itemgetter(0)(xs) if xs else None,
        operator.not_(xs),
    )


@prog(([1, 2], [3]))
def itertools_calls(xs, ys):
    return list(itertools.chain(xs, ys)), list(itertools.product(xs, ys)), list(itertools.accumulate(xs))


@prog((3,))
def iterates_by_hand(n):
    it = iter([n, n + 1])
    return next(it), next(it), next(it, "end")


@prog((1, 2), ("a", "b"), dynamic=True)
def builtins_as_values(a, b):
    f = max if a else min
    fs = [len, str, abs]
    return f(a, b), fs[0]([a, b]), fs[1](a), (lambda g: g(a))(repr)


@prog((2, 3))
def shadows_a_builtin(len, sum):
    max = len * sum
    return max, len + sum


@prog((7,), dynamic=True)
def id_and_type(x):
    y = x
    return id(x) == id(y), type(x)(3), type([])((1, 2)), isinstance(type(x), type)
