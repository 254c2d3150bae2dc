"""What cannot be compiled: an error under `script` and `strict`; under `optimize` the smallest enclosing statement (or
the whole function) runs in Python, with the same results.

Each says the reason and the way out of its error, and the source text under the caret.
"""

# ruff: noqa: F821
from __future__ import annotations

import contextlib
import functools
import json
import types

import numpy as np

from specjit import tensor
from tests.capture.programs.table import ASK_IGNORE, odd

LIMIT = 3


def counts_up(n):
    for i in range(n):
        yield i * 2


@odd(
    "the call of counts_up (counts_up is a generator function)",
    "use @specjit.jit.ignore to run it in Python",
    "counts_up(n)",
    (3,),
    (0,),
)
def calls_a_generator_function(n):
    total = 0
    for x in counts_up(n):
        total += x
    return total, list(counts_up(n + 1))


@odd("a generator function", ASK_IGNORE, "def inner():", (3,))
def defines_a_generator_function(n):
    def inner():
        yield n

    return list(inner())


@odd("GeneratorExp expressions", ASK_IGNORE, "(x * 2 for x in xs)", ([1, 2],), ([],))
def generator_as_a_value(xs):
    g = (x * 2 for x in xs)
    first = next(g, "none")
    return first, list(g)


@odd("a class that is defined in a function", "define the class at the top of the module", "class Local:", (3,))
def defines_a_class(n):
    class Local:
        size = n

        def double(self):
            return self.size * 2

    return Local().double()


@odd("a decorated nested function", ASK_IGNORE, "def inner(x):", (3,))
def decorates_a_nested_function(n):
    @functools.cache
    def inner(x):
        return x + n

    return inner(2)


@odd("an async function", "make it a plain function", "async def inner():", (3,))
def defines_a_coroutine(n):
    async def inner():
        return n

    c = inner()
    c.close()
    return n


@odd("except*", "use except", "try:", (1,), (0,))
def handles_a_group(n):
    try:
        x = 1 // n
    except* ZeroDivisionError:
        x = 7
    return x


@odd("import inside a function", "import at the top of the module", "import colorsys", (3,))
def imports_a_module(n):
    import colorsys

    return colorsys.rgb_to_hsv(0, 0, n)


@odd("a call of dumps", ASK_IGNORE, "json.dumps([n])", (3,), ("x",))
def calls_a_library(n):
    text = json.dumps([n])
    return text, len(text)


@odd("a call of sin", ASK_IGNORE, "np.sin(x)", (0.0,))
def calls_numpy(x):
    return float(np.sin(x)) + x


@functools.cache
def cached(n):
    return n * n


@odd("a call of cached", ASK_IGNORE, "cached(n)", (3,), (4,))
def calls_a_cached_function(n):
    m = cached(n)
    return m + cached(n)


@odd("a call of eval", ASK_IGNORE, 'eval("n * 2", {"n": n})', (3,))
def evaluates_text(n):
    m = eval("n * 2", {"n": n})
    return m


class Positive:
    """A descriptor."""

    def __get__(self, instance, owner=None):
        return instance.raw + 1

    def __set__(self, instance, value):
        instance.raw = abs(value)


class Measured:
    size = Positive()

    def __init__(self, raw):
        self.raw = raw


@odd("an attribute that a descriptor computes", ASK_IGNORE, "m.size", (Measured(3),))
def reads_a_descriptor(m):
    a = m.size
    m.size = -5
    return a, m.raw


class Missing:
    def __getattr__(self, name):
        if name.startswith(("no", "__")):
            raise AttributeError(f"nothing called {name}")
        return f"made {name}"


@odd("an attribute that __getattr__ computes", ASK_IGNORE, "d.other", (Missing(),))
def reads_what_getattr_makes(d):
    return d.other, hasattr(d, "nope")


class Once:
    made: list[object] = []

    def __new__(cls, n):
        made = super().__new__(cls)
        made.n = n
        return made


@odd("a call of Once", ASK_IGNORE, "Once(n)", (3,))
def makes_objects_its_own_way(n):
    once = Once(n)
    return once.n


@odd("an object that changes its class", "make an object of the other class", "x.__class__", (Missing(),), whole=True)
def changes_the_class_of_an_object(x):
    x.__class__ = Changed
    return x.name()


class Changed:
    def name(self):
        return "changed"


class Computes:
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{name} of {self.n}"


@odd("an attribute that __getattr__ computes", ASK_IGNORE, "c.other", (3,))
def reads_what_getattr_of_a_new_object_makes(n):
    c = Computes()
    c.n = n
    x = c.other
    return x, c.n


class Guarded:
    def __init__(self, raw):
        self.raw = raw

    size = Positive()


@odd("an attribute that a descriptor sets", ASK_IGNORE, "g.size", (3,))
def sets_a_descriptor(n):
    g = Guarded("text")
    g.size = -n
    return g.raw + 1, g.size


@odd("a class pattern whose class is not known", ASK_IGNORE, "kind()", (1, {"k": int}), ("a", {"k": int}), whole=True)
def matches_an_unknown_class(n, kinds):
    kind = kinds["k"]
    match n:
        case kind():
            return "of the kind"
    return "other"


@odd("a generator expression here", "write a list comprehension", "(x for x in xs)", ([3, 1],))
def gives_a_generator_away(xs):
    ys = collect(x for x in xs)
    return ys


def collect(items):
    return [*items]


@odd(
    "the function '<lambda>' as a value: it captures 'i' of a comprehension",
    "pass the variable as a default argument",
    "[lambda: i for i in range(n)]",
    (3,),
)
def late_binding_in_a_comprehension(n):
    fs = [lambda: i for i in range(n)]
    return [f() for f in fs]


@odd("raise without an exception, outside a handler", ASK_IGNORE, "raise", (1,), (0,))
def raises_nothing(n):
    if n:
        raise
    return n


@odd("a function that filter calls", ASK_IGNORE, "filter(is_small, xs)", ([1, 5, 2],))
def filters_with_a_function(xs):
    ys = filter(is_small, xs)
    return list(ys)


def is_small(x):
    return x < LIMIT


@contextlib.contextmanager
def logged(lines):
    lines.append("in")
    try:
        yield lines
    finally:
        lines.append("out")


@odd("a call of logged", ASK_IGNORE, "logged(lines)", (3,))
def manager_from_a_generator(n):
    lines = []
    with logged(lines) as held:
        held.append(n)
    return lines


@odd("a call of open", ASK_IGNORE, "open(path)", ("/dev/null",))
def opens_a_file(path):
    with open(path) as f:
        return f.read()


@odd("a call of SimpleNamespace", ASK_IGNORE, "types.SimpleNamespace(a=n)", (3,))
def library_object(n):
    s = types.SimpleNamespace(a=n)
    return s.a


@odd("a call of ones", ASK_IGNORE, "np.ones(2)", (tensor([1.0, 2.0]),), traced=True)
def one_odd_line_among_tensors(x):
    y = x * 2 + 1
    z = (y * y).sum()
    k = int(np.ones(2).sum())
    w = x - z * k
    return w * w, y


def restored(value):
    global LIMIT
    LIMIT = value


@odd("del of 'LIMIT', which is not a local variable", ASK_IGNORE, "del LIMIT", (3,), whole=True)
def deletes_a_global(n):
    global LIMIT
    del LIMIT
    restored(3)
    return LIMIT * n


@odd(
    "locals looks at the variables of the function that calls it",
    "pass it what it needs as arguments",
    "locals()",
    (3,),
    whole=True,
)
def looks_at_its_variables(n):
    m = n + 1
    return sorted(locals()), m
