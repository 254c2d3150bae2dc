"""`match` statements: every kind of pattern, guards, what is bound and when."""

from __future__ import annotations

import dataclasses
import enum
from typing import NamedTuple

import specjit
from tests.capture.programs.table import prog

X = specjit.tensor([[1.0, -2.0], [3.0, -4.0]])


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Pair(NamedTuple):
    a: int
    b: int


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Box:
    __match_args__ = ("inside",)

    def __init__(self, inside):
        self.inside = inside
        self.side = 3

    def __repr__(self):
        return f"Box({self.inside!r})"


@prog(*((s,) for s in (0, 2, -3, 5, 50, True, False)))
def numbers(subject):
    match subject:
        case 0:
            return "zero"
        case 1 | 2 | -3:
            return "few"
        case bool(b):
            return "truth", b
        case int(k) if k > 10:
            return "big", k
    return "other"


@prog(*((s,) for s in ("a", "bc", b"x", 2.5, 1 + 2j, None, True)), typed=False)
def constants(subject):
    match subject:
        case "a":
            return "text"
        case str() as s:
            return s * 2
        case float(z):
            return "float", z
        case None | True:
            return "none or true"
        case b"x" | 2j:
            return "bytes"


@prog(*((s,) for s in ([4], [1, 2], [5, 6, 7], [1, 2, 3, 4], [5, 2, 3, 4], [])))
def lists(subject):
    match subject:
        case [x]:
            return "one", x
        case [x, y] | [x, y, 7]:
            return "two", x, y
        case [1, *rest]:
            return "rest", rest
        case (a, *_, b):
            return "ends", a, b
        case []:
            return "none"


@prog(*((s,) for s in ((8, 9, 10), (), range(3), {1}, "ab", (1, [2]), X)), typed=False, traced=True)
def sequences_of_all_kinds(subject):
    match subject:
        case [a, [b]]:
            return "nested", a, b
        case [*_, c]:
            return "last", c
        case [*_]:
            return "empty"
        case _:
            return "no sequence"


@prog(*((s,) for s in ({"k": 1, "z": 2}, {"q": 3}, {}, [("k", 1)], {"k": None})), typed=False)
def dicts(subject):
    match subject:
        case {"k": None}:
            return "nothing"
        case {"k": v, **others}:
            return "dict", v, others
        case {}:
            return "any dict"


@prog(*((s,) for s in (Point(0, 5), Point(1, 2), Pair(1, 2), Color.RED, Color.BLUE, Box(5), Box(0))), typed=False)
def classes(subject):
    match subject:
        case Point(x=0, y=w):
            return "first", w
        case Point(x, y):
            return "point", x, y
        case Pair(a, b=2):
            return "pair", a
        case Color.RED:
            return "red"
        case Box(u) if u:
            return "box", u
        case Box(side=t):
            return "side", t
        case Point(wrong=1):
            return "never"
    return "other"


@prog((0, 0), (0, 3), (3, 0), (4, 4), (5, 6))
def two_at_once(n, m):
    r = 0
    match n, m:
        case 0, 0:
            r = 1
        case 0, k:
            r = k
        case k, 0:
            r = -k
        case a, b if a == b:
            r = a * 100
        case _:
            r = n + m
    return r


@prog(([1, 5, -4, 2, 9],), ([-1, 3],), ([5],), ([],))
def leaves_a_loop_from_a_case(xs):
    out = []
    y = None
    for x in xs:
        match x:
            case 1:
                continue
            case 2:
                break
            case 3:
                return "three"
            case y if y < 0:
                out.append(-y)
        out.append(x)
    return out, y


@prog(([3, 1],), ([3, 2],), ([3, 9],), (4,))
def names_are_bound_with_the_whole_pattern(v):
    y = z = 0
    match v:
        case [y, 1]:
            pass
        case [y, z] if z > 5:
            pass
        case _:
            pass
    return y, z


@prog(("go north",), ("go up",), ("drop a b",), ("",))
def words(line):
    match line.split():
        case ["go", ("north" | "south") as d]:
            return d
        case ["go", _]:
            return "?"
        case [verb, *args]:
            return verb, args


@prog(({"op": "add", "args": [1, 2]},), ({"op": "neg", "args": [4]},), ({"op": "z"},), ({},), typed=False)
def parts_of_dicts(d):
    match d:
        case {"op": "add", "args": [a, b]}:
            return a + b
        case {"op": "neg", "args": [a]}:
            return -a
        case {"op": op}:
            return op


@prog(([[1, 2], {"x": [3]}],), ([[1], 2, 3],), ([2, 3, [4]],), ([],), typed=False)
def patterns_in_patterns(v):
    match v:
        case [[a, b], {"x": [c]}]:
            return a, b, c
        case [[a], *_] | [*_, [a]]:
            return a


@prog((1,), (2,), (3,))
def only_some_cases_bind(n):
    match n:
        case 1:
            y = "one"
        case 2:
            y = "two"
    return y


@prog((X, "relu"), (X, "tanh"), (X, ""), (X, "q"))
def chooses_an_activation(x, mode):
    match mode:
        case "relu":
            y = x.relu()
        case "tanh":
            y = x.tanh()
        case "none" | "":
            y = x
        case _:
            raise ValueError(mode)
    return y * 2
