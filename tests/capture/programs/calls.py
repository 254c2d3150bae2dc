"""Calls: every kind of parameter and argument, recursion, functions as values, closures."""

# ruff: noqa: E731
from __future__ import annotations

import functools
import math

from specjit import tensor
from tests.capture.programs import helpers
from tests.capture.programs.helpers import scale
from tests.capture.programs.table import Named, prog

FACTOR = 3


@prog((1, 2), (1, 2, 3), (1, Named(b=5)), (Named(b=1, a=2, c=3),))
def defaults(a, b=10, c=None):
    return a + b, c


@prog((1, 2, Named(c=3)), (1, Named(b=2, c=3, d=4)), (1, 2))
def keyword_only(a, b=0, *, c=7, d=8):
    return a, b, c, d


@prog((1, 2, Named(c=3)), (1, 2))
def positional_only(a, b, /, c=5):
    return a * b + c


@prog((), (1,), (1, 2, 3), (1, Named(k=2)), (Named(k=1, z=3),))
def gathers(*args, **kwargs):
    return args, kwargs, len(args), sum(args), list(kwargs.items())


@prog((1, 2, 3, Named(x=4)), (1,))
def gathers_the_rest(a, b=0, *rest, x=1, **others):
    return a, b, rest, x, others


def takes(a, b=2, *args, c=3, **kwargs):
    return a, b, args, c, kwargs


@prog((1, 2, 3), dynamic=True)
def passes_everything_on(a, b, c):
    t, d = (a, b), {"c": c, "k": 9}
    return (
        takes(a),
        takes(a, c=b),
        takes(b=a, a=b),
        takes(*t),
        takes(*t, c, *t, c=1),
        takes(a, **d),
        takes(*t, **d, z=0),
        takes(*[a, b, c]),
        takes(*"ab"),
        takes(**{"a": a}),
    )


@prog(([1, 2, 3],), ([1],), dynamic=True)
def passes_a_list_on(xs):
    return takes(*xs), max(*xs, 0), takes(0, *xs[1:], c=len(xs))


@prog(({"a": 1},), ({"a": 1, "z": 2},), ({"q": 1},), dynamic=True)
def passes_a_dict_on(d):
    return takes(**d)


@prog((0,), (1,), (2,), (3,), (4,))
def calls_wrongly(k):
    if k == 0:
        return takes()
    if k == 1:
        return defaults(1, 2, 3, 4)
    if k == 2:
        return defaults(1, z=2)
    if k == 3:
        return defaults(1, a=2)
    return takes(*[1], **{"a": 2})


@prog((10,), (0,), (1,))
def recursion(n):
    return n if n < 2 else recursion(n - 1) + recursion(n - 2)


@prog((7,), (0,))
def mutual_recursion(n):
    return is_even(n), is_odd(n)


def is_even(n):
    return True if n == 0 else is_odd(n - 1)


def is_odd(n):
    return False if n == 0 else is_even(n - 1)


@prog(([1, [2, [3, []]], 4],), ([],))
def recursion_over_lists(x):
    if isinstance(x, list):
        return sum(recursion_over_lists(y) for y in x)
    return x


@prog((3, tensor([1.0, 2.0])), (0, tensor([1.0, 2.0])), traced=True)
def recursion_over_tensors(n, x):
    if n == 0:
        return x
    return recursion_over_tensors(n - 1, x * 2 + n)


@prog((6, 2), (0, 0), dynamic=True)
def recursion_in_a_nested_function(n, k):
    def count(m):
        return 1 if m <= k else count(m - 1) + count(m - 2)

    return count(n)


@prog((3,), (0,), dynamic=True)
def functions_as_values(n):
    fs = {"double": lambda v: v * 2, "abs": abs, "scale": scale}
    order = [fs["double"], math.sqrt] if n else [fs["abs"]]
    out = [f(n) for f in order]
    apply = lambda f, *args: f(*args)
    return out, apply(fs["double"], 5), apply(max, 1, 2), fs["scale"](4)


@prog((scale, 3), (abs, -3), (str, 3))
def functions_as_arguments(f, x):
    return f(x), [f(y) for y in (x, x)], (f or abs)(x)


@prog((3,))
def functions_that_return_functions(n):
    def make(k):
        def inner(x):
            return x * k + n

        return inner

    double, triple = make(2), make(3)
    return double(5), triple(5), make(n)(1), (lambda a: lambda b: a - b)(10)(n)


@prog((3,), (0,), dynamic=True)
def closures_see_later_values(n):
    k = 1

    def get():
        return k

    before = get()
    k = n
    after = get()
    fs = []
    for i in range(2):
        fs.append(lambda: (i, k))
    return before, after, [f() for f in fs]


@prog((2,), dynamic=True)
def defaults_bind_early(n):
    fs = [lambda x, i=i: x + i for i in range(3)]
    return [f(n) for f in fs], (lambda a, b=n: a * b)(4), (lambda: n)(), (lambda *a, **k: (a, k))(1, z=2)


@prog((1,), (2,))
def mutable_defaults(n):
    def remember(x, seen=[]):
        seen.append(x)
        return list(seen)

    return remember(n), remember(n + 1), remember(0, [9])


def counts(x, seen={"calls": 0}):
    return {**seen, "x": x}


@prog((3,))
def global_functions_and_values(n):
    return scale(n), helpers.scale(n, 5), helpers.FACTOR * FACTOR, counts(n), helpers.nested.deep(n), math.floor(n / 2)


def twice(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs) * 2

    return wrapper


def adds(k):
    return lambda fn: lambda *args: fn(*args) + k


@twice
@adds(100)
def decorated(a, b=1):
    return a * b


@prog((3,), (0,))
def decorators(n):
    return decorated(n), decorated(n, 4)


@functools.cache
def cached(n):
    return n * n


@prog((3,), (4,), opaque=True)
def cached_functions(n):
    return cached(n) + cached(n)


@prog((3, 4), (0, 1))
def nested_scopes(a, b):
    def outer(x):
        def inner(y):
            return x + y + a

        return inner(b) * 2

    a += 1
    return outer(a), outer(b)


@prog((tensor([1.0, -2.0]), 2), (tensor([1.0, -2.0]), 0), traced=True)
def helpers_of_other_modules(x, n):
    y = helpers.scaled(x, n)
    for _ in range(n):
        y = helpers.step(y, bias=1.0)
    return y, helpers.both(x, y)[1]


@prog((5,), (0,))
def early_return_in_a_helper(n):
    return [helpers.first_divisor(k) for k in range(n)], helpers.nothing(n)


@prog(([3, 1],))
def helper_changes_its_argument(xs):
    helpers.append_twice(xs, 9)
    ys = helpers.append_twice([], xs)
    return ys[0] is xs, ys
