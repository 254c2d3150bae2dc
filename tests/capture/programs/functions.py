"""Functions inside functions: closures, defaults, keywords, star arguments."""

# ruff: noqa: E731
from __future__ import annotations

from tests.capture.programs.table import prog


@prog((3,))
def closures(n):
    k = n * 2

    def inner(a, b=1, *, c=2):
        return a + b + c + k

    add = lambda u, v=3: u * v + k
    k = 100
    return inner(1), inner(1, 5, c=7), add(2), add(2, v=5)


@prog(
    (1, 2),
)
def kwcalls(a, b):
    def f(x, y, z=3):
        return x * 100 + y * 10 + z

    return f(a, b), f(y=a, x=b), f(a, y=b, z=a), f(*(a, b))


@prog(
    (1, 2, 3),
)
def star_args(a, b, c):
    def gather(*args, **kwargs):
        return args, kwargs, len(args), sorted(kwargs)

    rest = (b, c)
    x, *y = rest
    *p, q = [a, b, c]
    return gather(a, *rest, k=a, **{"z": b}), x, y, p, q


@prog((5,))
def nested_functions_in_loops(n):
    out = []
    for i in range(n):

        def square(v, k=i):
            return v * v + k

        if i % 2:
            continue
        out.append(square(i) + (lambda a: a + i)(1))
    return out


@prog((0, 3), (1, 3), (2, 3), (3, 3), (4, 3), (5, 3), (6, 3), (7, 3))
def builtins_called_wrongly(k, x):
    if k == 0:
        return len()
    if k == 1:
        return list(reversed())
    if k == 2:
        return isinstance(x)
    if k == 3:
        return getattr()
    if k == 4:
        return sum()
    if k == 5:
        return abs(x=x)
    if k == 6:
        return hasattr(x)
    return range(1, 2, 3, 4)


@prog(([3, 1, 2],))
def builtins_with_keywords(xs):
    pairs = [p for p in enumerate(xs, start=4)]
    return (
        pairs,
        sum(xs, start=1),
        max(xs, key=lambda v: -v),
        min(xs, default=0),
        dict(f=1, x=2),
        sorted(xs, reverse=True),
    )
