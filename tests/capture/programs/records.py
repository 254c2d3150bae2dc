"""NamedTuple, dataclass, Enum: made, read, compared, changed."""

# ruff: noqa: UP042
from __future__ import annotations

import collections
import dataclasses
import enum
from typing import NamedTuple

import specjit
from specjit import Tensor, tensor
from tests.capture.programs.table import prog


class Point(NamedTuple):
    x: int
    y: int = 2

    def norm(self):
        return abs(self.x) + abs(self.y)

    @property
    def swapped(self):
        return Point(self.y, self.x)


class Output(NamedTuple):
    value: Tensor
    aux: dict[str, int]


Old = collections.namedtuple("Old", ["a", "b"])


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    BLUE = 3

    def next(self):
        return Color(self.value % 3 + 1)

    @property
    def is_warm(self):
        return self is Color.RED


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Mode(str, enum.Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclasses.dataclass
class Config:
    size: int
    rate: float = 0.5
    tags: list[str] = dataclasses.field(default_factory=list)

    def scaled(self, k):
        return Config(self.size * k, self.rate, self.tags)


@dataclasses.dataclass(frozen=True, order=True)
class Version:
    major: int
    minor: int = 0

    def __post_init__(self):
        if self.major < 0:
            raise ValueError("a version below zero")


@dataclasses.dataclass
class Derived(Config):
    depth: int = 1
    total: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.total = self.size * self.depth


@dataclasses.dataclass
class State:
    h: Tensor
    c: Tensor
    step: int = 0


@prog((3, 4), (-1, 0))
def named_tuples(a, b):
    p, q = Point(a, b), Point(y=b, x=a)
    x, y = p
    return (
        p,
        p.x,
        p[1],
        x + y,
        p == q,
        p == (a, b),
        p.norm(),
        p.swapped,
        Point(a).y,
        len(p),
        list(p),
        p + (1,),
        p < (0, 0),
    )


@prog((Point(1, 5),), (Point(0),))
def named_tuple_arguments(p):
    return (
        p._replace(x=9),
        p._asdict(),
        p._fields,
        p.norm() if p.x else "zero",
        p[::-1],
        max(p),
        p.count(5),
        hash(p) == hash((p.x, p.y)),
    )


@prog(
    (1,),
)
def named_tuple_cannot_change(n):
    p = Point(n)
    p.x = 5
    return p


@prog((1, 2), ("a", None))
def old_named_tuples(a, b):
    o = Old(a, b)
    return o, o.a, o.b, Old(b=a, a=b), Old._make([b, a]), isinstance(o, tuple), o._replace(a=0)


@prog(([Point(1, 2), Point(3)],), ([],))
def lists_of_named_tuples(points):
    return (
        [p.x for p in points],
        sum(p.norm() for p in points),
        sorted(points, reverse=True),
        {p: i for i, p in enumerate(points)},
    )


@prog((tensor([1.0, 2.0]), 3), (tensor([1.0, 2.0]), 0), traced=True)
def named_tuples_of_tensors(x, n):
    out = Output(x, {"n": n})
    for k in range(n):
        out = Output(out.value * 2 + k, {**out.aux, str(k): k})
    return out, out.value.sum()


@prog((Color.RED,), (Color.GREEN,))
def enums(c):
    if c is Color.RED:
        name = "red"
    elif c == Color.GREEN:
        name = "green"
    else:
        name = "?"
    return (
        name,
        c.name,
        c.value,
        c.next(),
        c.is_warm,
        Color(3),
        Color["BLUE"],
        [k.name for k in Color],
        c in Color,
        len(Color),
    )


@prog((4,), (1,))
def enum_without_such_a_value(n):
    return Color(n)


@prog((Level.LOW, 5), (Level.HIGH, 5))
def int_enums(level, n):
    return (
        level < n,
        level + n,
        level * 2,
        max(level, n),
        level is Level.HIGH,
        {level: 1}[1 if level == 1 else 10],
        f"{level:>4}",
        sorted(Level),
    )


@prog((Mode.FAST,), (Mode.SLOW,))
def string_enums(mode):
    return mode == "fast", mode.upper(), mode.value, {"fast": 1, "slow": 2}[mode], mode + "!", mode is Mode.FAST


@prog((Color.RED, tensor([1.0])), (Color.BLUE, tensor([1.0])), traced=True)
def enums_choose_operations(c, x):
    table = {Color.RED: 1.0, Color.GREEN: 2.0, Color.BLUE: 3.0}
    return x * table[c] + (c.value if c is not Color.RED else 0)


@prog((3,), (0,))
def data_classes(n):
    c, d = Config(n), Config(rate=0.5, size=n)
    c.tags.append("t")
    c.size += 1
    e = c.scaled(2)
    return c, d, c == d, Config(1) == Config(1), e.tags is c.tags, d.tags, repr(d), c.rate * 2


@prog((Config(2, tags=["a"]),), (Config(5),))
def data_class_arguments(c):
    c.size, c.rate = c.size * 2, c.size / 4
    c.tags += ["new"]
    return dataclasses.replace(c, rate=1.0), dataclasses.asdict(c), [f.name for f in dataclasses.fields(c)]


@prog((1, 2), (2, 0), (-1, 0))
def ordered_and_frozen(a, b):
    v, w = Version(a, b), Version(2)
    return v < w, v <= w, sorted([w, v])[0], hash(v) == hash(Version(a, b)), {v: 1}[Version(a, b)], max(v, w).minor


@prog((1,))
def frozen_cannot_change(n):
    v = Version(n)
    v.major = 2
    return v


@prog((2, 3), (0, 1))
def derived_data_class(a, b):
    d = Derived(a, depth=b)
    d.tags.append("x")
    return d.total, d, d.scaled(2), isinstance(d, Config)


@prog((1,))
def data_class_called_wrongly(n):
    return Config(n, 0.5, [], n)


@prog((tensor([1.0, 2.0]), 3), (tensor([1.0, 2.0]), 0))
def state_in_a_data_class(x, n):
    s = State(x * 0, x)
    for _ in range(n):
        s = State(s.h + s.c * x, s.c * 0.5, s.step + 1)
    return s, s.h.sum()


@prog(
    (State(tensor([1.0]), tensor([2.0])), tensor([3.0])),
)
def data_class_of_tensors(s, x):
    s.h = s.h + x
    s.c *= x
    s.step += 1
    return s.h * s.c


@prog((specjit.float32, "cpu"), (specjit.float64, "cpu"))
def dtypes_and_devices(dtype, device):
    x = specjit.zeros(2, dtype=dtype, device=device)
    return x, x.dtype == dtype, x.dtype is specjit.float32, str(x.device), dtype.is_floating_point, x.device.type


@prog((tensor([1, 2]), 1), (tensor([1, 2]), 0), traced=True)
def dtype_of_a_choice(x, n):
    dtype = specjit.float64 if n else specjit.int32
    y = x.to(dtype)
    return y, y.dtype, y.element_size(), y.float().dtype, y + 0.5
