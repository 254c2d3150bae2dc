"""The steps that random graphs are made of: each appends an op or a few, on operands that fit.

Enters: a `Maker`. Leaves: nodes in its block, their results in scope. A step that does not fit raises.
`choices` is the table that a flavor picks from: every step has a family and a weight; a smooth one has derivatives
everywhere and works on floats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from specjit import dtypes
from specjit.ir.dims import Poly
from specjit.ir.graph import Value
from specjit.ir.types import Type
from tests.graphs import control
from tests.graphs.maker import Flavor, K, Maker, NoFit, broadcasts

Step = Callable[[Maker], Any]


@dataclass(frozen=True)
class Row:
    step: Step
    family: str
    weight: float
    smooth: bool


STEPS: list[Row] = []
SMOOTH = ("tanh", "neg", "sigmoid", "clone", "square", "erf")
CONTINUOUS = ("relu", "abs", "contiguous", "alias", "detach")
JUMPY = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tan",
    "floor", "ceil", "trunc", "rint", "round", "sign",
)  # fmt: skip
OVERWRITING: list[tuple[Any, ...]] = [
    ("exp_",), ("sqrt_",), ("floor_",), ("ceil_",), ("round_",), ("pow_", 2), ("cumsum_", -1), ("hardtanh_", -1, 1),
    ("threshold_", 0, 20),
]  # fmt: skip
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def step(family: str, weight: float, *, smooth: bool = False) -> Callable[[Step], Step]:
    def add(made: Step) -> Step:
        STEPS.append(Row(made, family, weight, smooth))
        return made

    return add


def choices(flavor: Flavor, in_loop: bool, blocks: bool) -> list[tuple[Step, float]]:
    """The steps of a flavor with their weights."""
    from tests.graphs import library

    rows = [*STEPS, *library.STEPS, *(Row(*r) for r in control.rows(in_loop, blocks))]
    return [(r.step, r.weight) for r in rows if r.family in flavor.families and (r.smooth or not flavor.smooth)]


# -- elementwise -------------------------------------------------------------------------------------------------------


@step("math", 5, smooth=True)
def unary(m: Maker) -> None:
    m.call(m.rng.choice(SMOOTH if m.flavor.smooth else SMOOTH + CONTINUOUS), m.floating())


@step("math", 7, smooth=True)
def binary(m: Maker) -> None:
    x = m.pick(lambda t: t.dtype.category)
    names = ("add", "add", "sub", "mul") if m.flavor.smooth else ("add", "add", "sub", "mul", "maximum", "minimum")
    name = m.rng.choice(names)
    other = m.operand(x.type.dtype, x.type.dims)
    pair = [x, other] if m.rng.random() < 0.8 else [other, x]
    if not all(isinstance(v, Value) and v.type.is_tensor for v in pair) and name in ("maximum", "minimum"):
        raise NoFit("two tensors")
    named = {"alpha": 2} if name in ("add", "sub") and m.rng.random() < 0.05 else {}
    m.call(name, *pair, **named)


@step("math", 2)
def jumpy(m: Maker) -> None:
    """Functions with jumps, poles or fast growth, of what does not depend on rounding."""
    m.call(m.rng.choice(JUMPY), m.floating(exact=True))


@step("math", 0.5)
def clipped(m: Maker) -> None:
    name, *bounds = m.rng.choice([("hardtanh", -1, 1), ("threshold", 0.1, 20)])
    m.call(name, m.floating(exact=name == "threshold"), *bounds)


@step("math", 1, smooth=True)
def bounded(m: Maker) -> None:
    """The same of what does, where it is tame."""
    x = m.call("tanh", m.floating())
    name = m.rng.choice(["exp", "expm1", "sin", "cos", "sqrt", "rsqrt", "reciprocal", "log", "div"])
    if name in ("sqrt", "rsqrt", "reciprocal", "log", "div"):
        x = m.call("add", m.call("square", x), 1.5)
    m.call(name, *([m.floating(lambda t: broadcasts(t.dims, x.type.dims)), x] if name == "div" else [x]))


@step("math", 1)
def divided(m: Maker) -> None:
    x = m.pick(exact=True)
    name = m.rng.choice(["div", "div", "floor_divide", "trunc_divide", "remainder", "pow"])
    constants = [2, 3, -2, 4, 1, 7] if x.type.dtype.category < 2 else [2, 0.5, 3, 1, -4.0, 0.25, 0.0]
    if name == "pow" and x.type.dtype.category == 2:
        constants = [2, 1, 0.5, -1, 3, 0, 2.5]
    other = m.rng.choice(constants) if m.rng.random() < 0.7 else m.operand(x.type.dtype, x.type.dims, exact=True)
    if name == "pow" and x.type.dtype.category < 2:
        other = m.rng.choice([0, 1, 2, 3])
    m.call(name, x, other)


@step("math", 1)
def whole_numbers(m: Maker) -> None:
    x = m.pick(lambda t: t.dtype.category < 2)
    name = m.rng.choice(["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "neg", "abs", "square"])
    if name == "bitwise_not" or (name in ("neg", "abs", "square") and x.type.dtype.category):
        m.call(name, x)
    elif name.startswith("bitwise"):
        m.call(name, x, m.operand(x.type.dtype, x.type.dims))


@step("math", 2)
def compare(m: Maker) -> None:
    x = m.pick(exact=True)
    m.call(m.rng.choice(COMPARISONS), x, m.operand(x.type.dtype, x.type.dims, exact=True))


@step("math", 1)
def logic(m: Maker) -> None:
    x = m.pick(exact=True)
    name = m.rng.choice(["logical_and", "logical_or", "logical_xor", "logical_not", "isnan", "isinf", "isfinite"])
    if name in ("logical_not", "isnan", "isinf", "isfinite"):
        m.call(name, x)
    else:
        m.call(name, x, m.pick(lambda t: broadcasts(t.dims, x.type.dims), exact=True))


@step("math", 2)
def where(m: Maker) -> None:
    mask = m.pick(lambda t: t.dtype is dtypes.bool_)
    x = m.pick(lambda t: broadcasts(t.dims, mask.type.dims))
    if m.rng.random() < 0.2:
        m.call("masked_fill", x, mask, m.constant(x.type.dtype))
    else:
        m.call("where", mask, *m.rng.choice([(x, m.operand(x.type.dtype, x.type.dims)), (0, x), (x, x)]))


@step("math", 1)
def cast(m: Maker) -> None:
    """Any float may become another float; a whole number only what does not depend on rounding."""
    to = m.rng.choice(m.flavor.dtypes)
    x = m.pick(exact=not to.is_floating_point)
    if x.type.dtype.is_floating_point and to.category == 1:
        x = m.call("clamp", m.call("where", m.call("isnan", x), 0.0, x), 0, 100)
    name = m.rng.choice(["cast", "to_dtype", "widen"])
    m.call(name, x, *([] if name == "widen" else [to]))


# -- sums and products -------------------------------------------------------------------------------------------------


def _dims(m: Maker, x: Value) -> Any:
    rank = len(x.type.dims or ())
    if not rank or m.rng.random() < 0.15:
        return None
    return [d - m.rng.choice([0, rank]) for d in m.rng.sample(range(rank), m.rng.randint(1, min(rank, 2)))]


@step("math", 3, smooth=True)
def reduce(m: Maker) -> None:
    x = m.floating() if m.flavor.smooth else m.pick()
    names = (
        ("sum", "sum", "mean") if m.flavor.smooth else ("sum", "sum", "mean", "amax", "amin", "any", "all", "variance")
    )
    name = m.rng.choice(names)
    if name in ("any", "all") and x in m.rough:
        raise NoFit("decides by rounding")
    dims, keep = _dims(m, x), m.rng.random() < 0.5
    m.call(name, x, dims, 1, keep) if name == "variance" else m.call(name, x, dims, keep)


@step("math", 1)
def position(m: Maker) -> None:
    x = m.pick(lambda t: t.dims, exact=True)
    dim = None if m.rng.random() < 0.2 else m.axis(x)
    m.call(m.rng.choice(["argmax", "argmin"]), x, dim, dim is not None and m.rng.random() < 0.5)


@step("math", 1.5, smooth=True)
def normalized(m: Maker) -> None:
    x = m.call("tanh", m.floating(lambda t: t.dims)) if m.rng.random() < 0.7 else m.floating(lambda t: t.dims)
    name = m.rng.choice(["softmax", "log_softmax", "logsumexp", "cumsum"])
    m.call(name, x, [m.axis(x)] if name == "logsumexp" else m.axis(x))


@step("math", 4, smooth=True)
def product(m: Maker) -> None:
    x = m.floating(lambda t: t.dims)
    weights = m.rng.random() < 0.7

    def fits(t: Type) -> bool:
        known = t.dtype is x.type.dtype and t.dims and t.dims[-2 if len(t.dims) > 1 else -1] == x.type.dims[-1]
        return known and (not weights or len(t.dims) == 2)

    y = m.floating(fits)
    name = {2: "mm", 3: "bmm"}.get(len(x.type.dims), "") if len(x.type.dims) == len(y.type.dims) else ""
    out = m.call(name if name and m.rng.random() < 0.2 else "matmul", x, y)
    if m.rng.random() < 0.5:
        m.call("tanh", out)
    elif m.rng.random() < 0.5:
        m.call("add", out, m.floating(lambda t: broadcasts(t.dims, out.type.dims)))


@step("math", 0.5)
def limited(m: Maker) -> None:
    x = m.pick(lambda t: t.dtype.category)
    low, high = sorted(m.constant(x.type.dtype) for _ in range(2))
    m.call("clamp", x, *m.rng.choice([(low, high), (low, None), (None, high)]))


# -- views and their opposites -----------------------------------------------------------------------------------------


@step("view", 7, smooth=True)
def view(m: Maker) -> None:
    x = m.floating() if m.flavor.smooth else m.pick()
    dims = x.type.dims
    rank = len(dims)
    d = m.axis(x) if rank else 0
    size = dims[d] if rank else 1
    order = m.rng.sample(range(rank), rank)
    name, *args = m.rng.choice(
        [
            ("permute", order),
            ("transpose", d, m.rng.randint(-rank, rank - 1) if rank else 0),
            ("t",),
            ("unsqueeze", m.rng.randint(-rank - 1, rank)),
            ("squeeze", [d] if isinstance(size, int) or m.rng.random() < 0.2 else []),
            ("squeeze", None if m.rng.random() < 0.2 else [0] if dims[:1] == (1,) else []),
            ("select", d, m.rng.randint(-size, size - 1) if isinstance(size, int) and size else 0),
            ("slice", d, *_bounds(m, size)),
            ("slice", d, *_bounds(m, size)),
            ("narrow", d, 0, m.rng.randint(0, size) if isinstance(size, int) else 1),
            ("reshape", [-1]),
            ("reshape", [-1, K]),
            ("reshape", [*dims[: d % rank], 2, size // 2, *dims[d % rank + 1 :]])
            if isinstance(size, int) and rank
            else ("flatten",),
            ("view", [-1, 1]),
            ("flatten", *sorted((d % rank, m.rng.randrange(rank)))) if rank else ("flatten",),
            ("expand", [m.rng.choice([2, 3]), *([-1] * rank)]),
            ("expand", [K if s == 1 else -1 for s in dims]),
        ]
    )
    if name in ("reshape",) and any(isinstance(a, Poly) for a in args[0]):
        args = [[m.call("size", x, k) if isinstance(a, Poly) else a for k, a in enumerate(args[0])]]
    m.call(name, x, *args)


def _bounds(m: Maker, size: Any) -> tuple[Any, ...]:
    """Start, end and step of a slice."""
    if not isinstance(size, int):
        return m.rng.choice([(0, None, 1)] * 3 + [(0, 1, 1), (None, 2, 1), (1, None, 1), (-1, None, 1)])
    low, high = m.rng.randint(-size - 1, size), m.rng.randint(-size, size + 1)
    return m.rng.choice([(low, high, 1), (0, high, 1), (low, None, 1), (None, None, 2), (0, size, m.rng.randint(1, 3))])


@step("view", 2, smooth=True)
def pieces(m: Maker) -> None:
    """Equal or unequal parts of a tensor; some of them meet again."""
    x = m.floating(lambda t: t.dims) if m.flavor.smooth else m.pick(lambda t: t.dims)
    d = m.axis(x)
    size = x.type.dims[d]
    if not isinstance(size, int) or not size:
        raise NoFit("a constant size")
    name, how = m.rng.choice([("chunk", 2), ("chunk", 4), ("split", 2), ("split", [1, size - 1]), ("unbind", None)])
    parts = m.call(name, x, d) if name == "unbind" else m.call(name, x, how, d)
    if isinstance(parts, list) and parts and m.rng.random() < 0.5:
        m.call(m.rng.choice(["cat", "stack"]), [m.rng.choice(parts) for _ in range(m.rng.randint(1, 3))], d)


@step("view", 1.5, smooth=True)
def join(m: Maker) -> None:
    x = m.floating() if m.flavor.smooth else m.pick()
    name = m.rng.choice(["cat", "stack"])
    if name == "cat" and not x.type.dims:
        raise NoFit("a dimension to join along")
    same = m.rng.random() < 0.9
    parts = [x] + [
        m.pick(lambda t: t.dims == x.type.dims and (not same or t.dtype is x.type.dtype))
        for _ in range(m.rng.randint(0, 2))
    ]
    m.call(name, parts, m.axis(x) if x.type.dims else 0)


@step("view", 0.5)
def flip(m: Maker) -> None:
    x = m.pick(lambda t: t.dims)
    m.call("flip", x, [m.axis(x)])


# -- positions from data -----------------------------------------------------------------------------------------------


def positions(m: Maker, x: Value, dim: int, rank: int | None = None) -> Value:
    """A tensor of positions along a dimension; seldom one that may be out of range."""
    if rank is not None and m.rng.random() < 0.5:  # of a float tensor's shape
        like = m.pick(lambda t: t.dtype.category and len(t.dims) == rank, exact=True)
        whole = m.call("cast", m.call("gt", like, 0), dtypes.int64)
    else:
        whole = m.pick(lambda t: t.dtype.category == 1 and rank in (None, len(t.dims)), exact=True)
    size = x.type.dims[dim]  # type: ignore[index]
    if isinstance(size, int) and not size:
        raise NoFit("nothing to pick from")
    wide = m.call("cast", whole, dtypes.int64)
    if m.rng.random() < 0.03:
        return wide
    return m.call("remainder", wide, size if isinstance(size, int) else m.call("size", x, dim))


@step("index", 2)
def looked_up(m: Maker) -> None:
    x = m.pick(lambda t: t.dims)
    way = m.rng.choice(["embedding", "index_select", "gather", "index", "getitem", "item"])
    d = 0 if way in ("embedding", "index", "getitem") else m.axis(x)
    if way == "item":
        m.call("select", x, d, m.call("item", positions(m, x, d, 0)))
        return
    at = positions(m, x, d, 1 if way == "index_select" else len(x.type.dims) if way == "gather" else None)
    if way == "embedding":
        m.call("embedding", m.floating(lambda t: t is x.type), at)
    elif way in ("index_select", "gather"):
        m.call(way, x, d, at)
    elif way == "index":
        m.call("index", x, [at])
    else:
        m.call("getitem", x, m.rng.choice([at, (at, slice(None)), (slice(None, 1), None)]))


@step("index", 1, smooth=True)
def part_written(m: Maker) -> None:
    """New content for all of a tensor, or for a part of it."""
    x = m.floating(lambda t: t.dims)
    d = m.axis(x)
    way = m.rng.choice(["select_scatter", "slice_scatter", "filled", "overwritten"])
    if way == "select_scatter":
        at = m.rng.randint(-1, 1)
        m.call(way, x, m.call("neg", m.call("select", x, d, at)), d, at)
    elif way == "slice_scatter":
        where = [m.rng.choice([None, 0, 1]), m.rng.choice([None, 2, -1]), m.rng.choice([1, 1, 2])]
        m.call(way, x, m.call("neg", m.call("slice", x, d, *where)), d, *where)
    elif way == "filled":
        m.call(way, x, m.constant(x.type.dtype))
    else:
        m.call(way, x, m.call("slice", x, d, 0, 1))


@step("index", 2)
def scattered(m: Maker) -> None:
    """The gradients of reads, and adding at positions."""
    x = m.floating(lambda t: t.dims)
    way = m.rng.choice(
        ["embedding_backward", "index_add", "scatter_add", "index_put", "index_write"]
        + ["select_backward", "slice_backward", "getitem_backward"]
    )
    if way == "embedding_backward":
        at = m.call("remainder", m.call("cast", m.pick(lambda t: t.dtype.category == 1, exact=True), dtypes.int64), 5)
        g = m.floating(lambda t: len(t.dims) == len(at.type.dims) + 1 and t.dims[:-1] == at.type.dims)
        m.call(way, g, at, 5, m.rng.choice([-1, 2]))
    elif way == "index_write":
        m.call(way, x, m.rng.choice([0, slice(None, 2), (Ellipsis, 0)]), m.constant(x.type.dtype))
    elif way == "getitem_backward":
        at = m.rng.choice([0, slice(None, 2), positions(m, x, 0)])
        sizes = [s if isinstance(s, int) else m.call("size", x, k) for k, s in enumerate(x.type.dims)]
        m.call(way, m.call("getitem", x, at), sizes, at)
    elif way == "index_add":
        d = m.axis(x)
        at = positions(m, x, d, 1)
        m.call(way, x, d, at, m.call("index_select", x, d, at))
    elif way == "scatter_add":
        d = m.axis(x)
        at = positions(m, x, d, len(x.type.dims))
        m.call(way, x, d, at, m.call("gather", x, d, at))
    elif way == "index_put":
        at = positions(m, x, 0)
        m.call(way, x, [at], m.call("index", x, [at]), m.rng.random() < 0.5)
    else:
        d = m.axis(x)
        sizes = [s if isinstance(s, int) else m.call("size", x, k) for k, s in enumerate(x.type.dims)]
        more = [m.rng.randint(0, 2)] if way == "select_backward" else [0, 1, 1]
        part = m.call("select", x, d, more[0]) if way == "select_backward" else m.call("slice", x, d, *more)
        m.call(way, part, sizes, d, *more)


# -- numbers -----------------------------------------------------------------------------------------------------------


@step("number", 1.5, smooth=True)
def size_of(m: Maker) -> None:
    x = m.pick(lambda t: t.dims)
    m.call("size", x, m.axis(x))


@step("number", 1.5, smooth=True)
def whole(m: Maker) -> None:
    a = m.number("int")
    b = m.number("int") if m.rng.random() < 0.5 else m.rng.choice([0, 1, 2, 3, -1])
    name = m.rng.choice(["add", "sub", "mul", "min", "max", "floordiv", "mod", "neg"])
    if name == "neg":
        m.call("py.neg", a)
    else:
        m.call(f"py.{name}", a, m.rng.choice([2, 3]) if name in ("floordiv", "mod") and m.rng.random() < 0.9 else b)


@step("number", 1)
def real(m: Maker) -> None:
    if m.rng.random() < 0.4:
        m.call("item", m.pick(lambda t: t.dims == ()))
        return
    a = m.number("float")
    name = m.rng.choice(["add", "sub", "mul", "truediv", "neg", "abs", "min", "max"])
    if name in ("neg", "abs"):
        m.call(f"py.{name}", a)
        return
    b = m.number(m.rng.choice(["int", "float"])) if m.rng.random() < 0.5 else m.constant(dtypes.float64)
    m.call(f"py.{name}", a, m.rng.choice([2, 0.5, -4.0]) if name == "truediv" else b)


@step("number", 1)
def truth(m: Maker) -> None:
    way = m.rng.random()
    if way < 0.4:
        kind = m.rng.choice(["int", "int", "float"])
        other = m.number(kind, exact=True) if m.rng.random() < 0.5 else m.rng.randint(-1, 4)
        name = m.rng.choice(["py.lt", "py.le", "py.gt", "py.ge", "py.eq", "py.ne"])
        m.call(name, m.number(kind, exact=True), other)
    elif way < 0.5:
        m.call("py.not", m.number("bool"))
    elif way < 0.7:
        x = m.pick(exact=True)
        m.call("py.bool", m.call("any", m.call("gt", x, m.constant(x.type.dtype))))
    else:
        m.call(m.rng.choice(["py.bool", "item"]), m.pick(lambda t: t.dims == () and t.dtype is dtypes.bool_))


@step("number", 1, smooth=True)
def made(m: Maker) -> None:
    """New tensors: of numbers, of the size of another."""
    dtype = m.rng.choice(m.flavor.dtypes)
    if m.rng.random() < 0.5:
        x = m.floating() if m.flavor.smooth else m.pick()
        name = m.rng.choice(["zeros_like", "ones_like", "full_like"])
        named = {} if m.flavor.smooth or m.rng.random() < 0.7 else {"dtype": dtype}
        m.call(name, x, *([m.constant(named.get("dtype", x.type.dtype))] if name == "full_like" else []), **named)
        return
    if m.rng.random() < 0.25 and dtype.category and not m.flavor.smooth:
        m.call("arange", 0, m.rng.choice([K, 3, m.number("int", exact=True)]), 1, dtype=dtype)
        return
    x = m.pick(lambda t: t.dims is not None)
    sizes = [s if isinstance(s, int) else m.call("size", x, k) for k, s in enumerate(x.type.dims)]
    name = m.rng.choice(["zeros", "ones", "full"])
    m.call(name, sizes, *([m.constant(dtype)] if name == "full" else []), dtype=dtype)


# -- effects -----------------------------------------------------------------------------------------------------------


@step("write", 3)
def write(m: Maker) -> None:
    """Into whatever is in scope: fresh, a view, an input, what a loop carries."""
    x = m.pick(lambda t: t.dtype.category)
    exact = x.type.dtype.category < 2
    name = m.rng.choice(
        ["add_", "add_", "sub_", "mul_", "fill_", "zero_", "copy_", "neg_", "clamp_", "masked_fill_", "setitem"]
        + (["tanh_", "sigmoid_", "relu_", "abs_", "div_", "other", "other"] if not exact else ["at"])
    )
    if name in ("zero_", "neg_", "tanh_", "sigmoid_", "relu_", "abs_"):
        m.call(name, x)
    elif name == "other":
        x = m.floating(exact=True)
        name, *rest = m.rng.choice(OVERWRITING)
        x = m.floating(lambda t: t.dims, exact=True) if name == "cumsum_" else x
        m.call(name, x, *rest)
    elif name == "at":
        _write_at(m)
    elif name == "fill_":
        m.call(name, x, m.constant(x.type.dtype))
    elif name == "copy_":
        m.call(name, x, m.pick(lambda t: _into(t, x.type), exact=exact))
    elif name == "clamp_":
        m.call(name, x, -1, 2)
    elif name == "masked_fill_":
        m.call(name, x, m.pick(lambda t: t.dtype is dtypes.bool_ and _into(t, x.type)), m.constant(x.type.dtype))
    elif name == "setitem":
        value = m.constant(x.type.dtype) if m.rng.random() < 0.5 else m.pick(lambda t: t.dims == (), exact=exact)
        where = m.rng.choice([0, -1, slice(None, 2), slice(None), None, (Ellipsis, 0)])
        m.call(name, x, m.number("int", exact=True) if where is None else where, value)
    elif name == "div_":
        m.call(name, x, m.rng.choice([2, 4.0, 3]))
    else:
        other = m.constant(x.type.dtype) if m.rng.random() < 0.4 else m.pick(lambda t: _into(t, x.type), exact=exact)
        m.call(name, x, other)


def _write_at(m: Maker) -> None:
    """Into positions that data says."""
    x = m.floating(lambda t: t.dims)
    d = m.axis(x)
    name = m.rng.choice(["index_put_", "scatter_add_", "index_add_"])
    if name == "index_put_":
        at = positions(m, x, 0)
        m.call(name, x, [at], m.call("clone", m.call("index", x, [at])), m.rng.random() < 0.5)
    elif name == "scatter_add_":
        at = positions(m, x, d, len(x.type.dims))
        m.call(name, x, d, at, m.call("gather", x, d, at))
    else:
        at = positions(m, x, d, 1)
        m.call(name, x, d, at, m.call("index_select", x, d, at))


def _into(t: Type, target: Type) -> bool:
    """Whether a tensor may be written into one of the target's type."""
    rank = len(t.dims or ())
    fits = rank <= len(target.dims or ()) and all(a in (b, 1) for a, b in zip(t.dims[::-1], target.dims[::-1]))  # type: ignore[index]
    return fits and t.dtype.category <= target.dtype.category  # type: ignore[union-attr]


@step("draw", 1)
def draw(m: Maker) -> None:
    x = m.floating()
    name = m.rng.choice(["rand", "bernoulli", "dropout_mask"])
    if name == "rand":
        sizes = [s if isinstance(s, int) else m.call("size", x, k) for k, s in enumerate(x.type.dims)]
        m.call("rand", sizes, dtype=m.rng.choice([dtypes.float32, dtypes.float64]))
    elif name == "bernoulli":
        m.call("bernoulli", m.call("full_like", x, m.rng.choice([0.3, 0.9])))
    else:
        m.call("dropout_mask", x, m.rng.choice([0.5, 0.1]))


@step("rare", 0.3)
def rare(m: Maker) -> None:
    """Ops that no kernel computes."""
    name = m.rng.choice(["one_hot", "randn", "randint"])
    if name == "one_hot":
        m.call(name, positions(m, m.pick(lambda t: t.dims and t.dims[0] == K), 0), K)
    elif name == "randn":
        m.call(name, [2, K], dtype=dtypes.float32)
    else:
        m.call(name, 0, K, [K])
