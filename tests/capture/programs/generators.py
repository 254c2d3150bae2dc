"""Generator expressions: who takes the items, and how many of them."""

from __future__ import annotations

from tests.capture.programs.table import prog


@prog(([1, 2, 3], 2), ([], 0), ([4], 4), ([0, 0], -1))
def stops_when_an_item_decides(xs, k):
    seen = []
    some = any(seen.append(x) or x > k for x in xs)
    every = all(x > k for x in xs if x % 2)
    return some, every, seen


@prog(([5, 0], 1), ([5, 0], 9), ([0, 5], 1))
def raises_only_if_it_comes_so_far(xs, k):
    return any(10 // x > k for x in xs)


@prog(([[1, 2], [3], []],), ([],), ([[]],))
def inside_each_other(rows):
    return (
        [any(y == 3 for y in row) for row in rows],
        all(any(y > 0 for y in row) for row in rows),
        any(x == y for row in rows for x in row if x > 1 for y in (2, 7)),
        [sum(a * b for a in range(b)) for row in rows for b in row],
    )


@prog((3,), (0,))
def sees_the_variables_around(n):
    k = n + 1
    return all(i < k for i in range(n)), any(i == j for i in range(n) for j in [k, n - 1]), k


@prog((1,), (0,))
def a_variable_without_a_value(n):
    if n:
        y = 2
    return any(y for _ in range(2))


@prog((1,), (0,))
def a_function_reads_a_variable_without_a_value(n):
    if n:
        y = 2

    def inner():
        return y

    return inner()


@prog(([3, 1, 2],), ([],))
def takes_all_items(xs):
    out = [0]
    out.extend(x + 1 for x in xs)
    s = {0}
    s.update(-x for x in xs)
    return (
        sum((x for x in xs), 10),
        sorted((x for x in xs), reverse=True),
        min((x for x in xs), default=None),
        tuple(x for x in xs),
        dict((x, str(x)) for x in xs),
        "-".join(str(x) for x in xs),
        out,
        sorted(s),
    )


def lengths(items):
    return len(items)


@prog(([1],), opaque=True)
def takes_no_generator(xs):
    return len(x for x in xs)


@prog(([1, 2],), opaque=True)
def a_function_that_takes_a_generator(xs):
    return [next(x + 1 for x in xs), lengths([x for x in xs])]


@prog(([1, 2],), ([],))
def binds_a_name_outside(xs):
    found = any((y := x) > 1 for x in xs)
    return found, y
