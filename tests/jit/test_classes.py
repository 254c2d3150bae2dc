"""User classes in scripted code: made, called and changed there, with Python's results."""

from __future__ import annotations

import copy
import dataclasses
from typing import List, NamedTuple, Tuple  # noqa: UP035 (both spellings are tested)

import pytest

import specjit
from specjit import Tensor, jit


class Pair(NamedTuple):
    a: Tensor
    b: int = 3


@dataclasses.dataclass
class Scaled:
    x: Tensor
    n: int = 2
    log: List[int] = dataclasses.field(default_factory=list)  # noqa: UP006

    def total(self):
        self.log.append(self.n)
        return self.x * self.n

    @property
    def double(self):
        return self.n * 2


class Counter:
    step = 1

    def __init__(self, start: int):
        self.count = start
        self.history = []

    def add(self, by: int):
        self.count += by * self.step
        self.history.append(self.count)
        return self

    @staticmethod
    def twice(v):
        return v * 2

    @classmethod
    def name(cls):
        return cls.__name__

    @property
    def total(self):
        return sum(self.history)

    def __len__(self):
        return len(self.history)

    def scripted(self):
        return jit.is_scripting()


class Faster(Counter):
    step = 10

    def __init__(self, start: int):
        super().__init__(start + 1)

    def add(self, by: int):
        super().add(by)
        return self


def named(x):
    p = Pair(x, 2)
    q = Pair(b=5, a=x + 1)
    a, b = q
    return p.a * p.b + a * b, p._replace(b=9).b if False else q


def data(x):
    d = Scaled(x)
    first = d.total()
    d.n += 5
    return first + d.total(), d.log, d.double


def counts(n: int):
    c = Counter(n)
    for k in range(n):
        c.add(k)
    if n > 3:
        c.add(100).add(200)
    return c.count, c.history, c.total, len(c), c.twice(4), c.name(), bool(c)


def inherits(n: int):
    c = Faster(n) if n > 2 else Faster(n * 100)
    c.add(2)
    return c.count, c.history, isinstance(c, Counter), type(c).__name__


def two_of_a_kind(n: int):
    a, b = Counter(n), Counter(n)
    a.add(1)
    same = a
    return a is b, a is same, a.count, b.count


def returns_one(n: int):
    c = Counter(n)
    c.add(3)
    return [c], Pair(specjit.ones(1), c.count)


def goes_wrong(n: int):
    c = Counter(n)
    return c.missing


def wrong_call(n: int):
    return Counter(n, n)


def outcome(fn, args):
    """What a call gives or raises, with the attributes of objects in place of their addresses."""
    try:
        return shown(fn(*copy.deepcopy(args)))
    except Exception as error:
        return type(error), str(error)


def shown(value):
    if isinstance(value, tuple | list):
        return type(value).__name__, [shown(v) for v in value]
    return (type(value), vars(value)) if isinstance(value, Counter) else repr(value)


@pytest.mark.parametrize(
    ("fn", "calls"),
    [
        (named, [(specjit.ones(2),)]),
        (data, [(specjit.ones(2),)]),
        (counts, [(0,), (2,), (5,)]),
        (inherits, [(1,), (7,)]),
        (two_of_a_kind, [(4,)]),
        (returns_one, [(4,)]),
        (goes_wrong, [(4,)]),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_objects_do_what_python_does(fn, calls):
    scripted = jit.script(fn)
    for args in calls * 2:
        assert outcome(scripted, args) == outcome(fn, args)


def test_methods_of_objects_made_in_a_script_are_scripted():
    def made(n: int):
        return Counter(n).scripted()

    assert jit.script(made)(1) is True
    assert made(1) is False


class Shadowed:
    """Not what it becomes."""


class Asks:
    def __init__(self):
        import os

        self.home = os.getcwd()


def shadows(x):
    shown = Shadowed()
    shown.__class__ = Asks
    return shown


def asks(x):
    return Asks().home


def test_what_cannot_be_known_is_an_error_with_a_place():
    with pytest.raises(jit.Error) as caught:
        jit.script(shadows)
    text = str(caught.value)
    assert "an object that changes its class\n    shown.__class__ = Asks\n    ^^^^^^^^^^^^^^^" in text
    assert text.endswith("make an object of the other class")
    with pytest.raises(jit.Error):
        jit.script(asks)
    with pytest.raises(TypeError, match=r"takes 2 positional arguments but 3 were given"):
        jit.script(wrong_call)(1)


def test_a_method_that_is_replaced_is_seen():
    class Own:
        def __init__(self, n):
            self.n = n

        def value(self):
            return self.n

    def reads(n: int) -> Tuple[int, int]:  # noqa: UP006
        return Own(n).value(), n

    scripted = jit.script(reads)
    assert scripted(2) == (2, 2)
    Own.value = lambda self: self.n + 10
    assert scripted(2) == (12, 2)
    Own.__init__ = lambda self, n: setattr(self, "n", 100)
    assert scripted(2) == (110, 2)
