"""Steps of the library's families, which load when first named: blends, parts of matrices, windows, positions from
data, orders, pools, convolutions.

Enters: a `Maker`. Leaves: nodes as of `steps.py`; they take part in graphs of the flavor `LIBRARY`. What sorts, rounds
or picks takes only what does not depend on how sums round.
"""

from __future__ import annotations

from collections.abc import Callable

from specjit import dtypes
from tests.graphs.maker import K, Maker, broadcasts
from tests.graphs.steps import Row, Step, positions

STEPS: list[Row] = []

FUNCTIONS = ("asinh", "atan", "cosh", "sinh", "erfc", "lgamma", "logit", "sinc", "signbit", "frac", "nan_to_num")
PAIRS = ("fmax", "fmin", "fmod", "copysign", "nextafter", "heaviside", "atan2", "hypot", "logaddexp", "xlogy")
ORDERS = ("argsort", "cummax_indices", "cummin_indices", "median_indices", "mode_indices", "nanmedian_indices")


def step(weight: float) -> Callable[[Step], Step]:
    def add(made: Step) -> Step:
        STEPS.append(Row(made, "library", weight, smooth=False))
        return made

    return add


@step(3)
def function(m: Maker) -> None:
    m.call(m.rng.choice(FUNCTIONS), m.floating(exact=True))


@step(3)
def pair(m: Maker) -> None:
    x = m.floating(exact=True)
    other = m.pick(lambda t: t.dtype is x.type.dtype and broadcasts(t.dims, x.type.dims), exact=True)
    name = m.rng.choice(PAIRS)
    m.call(name, x, m.constant(x.type.dtype) if name in ("fmod", "copysign") and m.rng.random() < 0.4 else other)


@step(1)
def whole_pair(m: Maker) -> None:
    x = m.pick(lambda t: t.dtype.category == 1)
    name = m.rng.choice(["bitwise_left_shift", "bitwise_right_shift", "fmod"])
    m.call(name, x, m.rng.choice([0, 1, 3]) if name != "fmod" or m.rng.random() < 0.7 else m.constant(x.type.dtype))


@step(3)
def blend(m: Maker) -> None:
    x = m.floating()
    y, z = (m.floating(lambda t: t.dtype is x.type.dtype and broadcasts(t.dims, x.type.dims)) for _ in range(2))
    way = m.rng.choice(["lerp", "lerp", "addcmul", "addcdiv"])
    if way == "lerp":
        m.call("lerp", x, y, z if m.rng.random() < 0.5 else m.rng.choice([0.25, 0.75, 1.0]))
    elif way == "addcmul":
        m.call(way, x, y, z, value=m.rng.choice([1, 0.5, -2]))
    else:
        m.call(way, x, y, m.call("add", m.call("square", z), 1.5))


@step(3)
def part(m: Maker) -> None:
    """A triangle, a diagonal, windows, a rotation, a border."""
    name = m.rng.choice(["tril", "triu", "diagonal", "unfold", "roll", "constant_pad"])
    x = m.pick(lambda t: len(t.dims) >= (1 if name in ("unfold", "roll", "constant_pad") else 2))
    rank = len(x.type.dims)
    d = m.axis(x)
    if name in ("tril", "triu"):
        m.call(name, x, m.rng.randint(-2, 2))
    elif name == "diagonal":
        a, b = m.rng.sample(range(rank), 2)
        m.call(name, x, m.rng.randint(-1, 1), a, b)
    elif name == "unfold":
        m.call(name, x, d, m.rng.choice([1, 2, 3]), m.rng.choice([1, 2]))
    elif name == "roll":
        m.call(name, x, [m.rng.randint(-3, 3)], *m.rng.choice([[[d]], []]))
    else:
        pad = [m.rng.randint(-1, 2) for _ in range(2 * m.rng.randint(1, min(rank, 2)))]
        m.call(name, x, pad, m.constant(x.type.dtype))


@step(2)
def order(m: Maker) -> None:
    """Positions in order of size, and what is there."""
    x = m.pick(lambda t: t.dims and t.dtype.category, exact=True)
    d = m.axis(x)
    way = m.rng.choice([*ORDERS, "topk_indices", "kthvalue_indices"])
    if way == "argsort":
        at = m.call(way, x, d, m.rng.random() < 0.5, stable=True)
    elif way == "topk_indices":
        at = m.call(way, x, m.rng.randint(0, 2), d, m.rng.random() < 0.5, True)
    elif way == "kthvalue_indices":
        at = m.call(way, x, d, m.rng.randint(1, 2))
    else:
        at = m.call(way, x, d)
    if len(at.type.dims) == len(x.type.dims):
        m.call("gather", x, d, at)


@step(2)
def running(m: Maker) -> None:
    """What adds up or multiplies along a dimension."""
    x = m.call("tanh", m.floating(lambda t: t.dims))
    m.call(m.rng.choice(["cumprod", "cumsum", "logcumsumexp"]), x, m.axis(x))


@step(3)
def put(m: Maker) -> None:
    """Copies in which elements at positions from data are others."""
    x = m.floating(lambda t: t.dims)
    d = m.axis(x)
    way = m.rng.choice(["index_copy", "index_fill", "masked_scatter", "scatter_op", "scatter_reduce", "index_put"])
    if way == "masked_scatter":
        mask = m.pick(lambda t: t.dtype is dtypes.bool_ and t.dims == x.type.dims, exact=True)
        m.call(way, x, mask, m.pick(lambda t: t.dims == x.type.dims and t.dtype is x.type.dtype))
    elif way in ("index_copy", "index_fill"):
        at = positions(m, x, d, 1)
        value = m.constant(x.type.dtype) if way == "index_fill" else m.call("index_select", m.call("neg", x), d, at)
        m.call(way, x, d, at, value)
    elif way == "index_put":
        at = positions(m, x, 0)
        m.call(way, x, [at], m.call("neg", m.call("index", x, [at])), m.rng.random() < 0.5)
    else:
        at = positions(m, x, d, len(x.type.dims))
        value = m.call("gather", m.call("neg", x), d, at)
        more = {"include_self": m.rng.random() < 0.5} if way == "scatter_reduce" else {}
        how = [m.rng.choice(["amax", "amin", "sum", "mean"])] if more else []
        m.call(way, x, d, at, m.rng.choice([value, 2.5]) if way == "scatter_op" else value, *how, **more)


@step(1)
def found(m: Maker) -> None:
    """Places in an ordered row."""
    x = m.floating(exact=True)
    row = m.call("cumsum", m.call("full", [K], m.rng.choice([0.5, 1.0]), dtype=x.type.dtype), 0)
    m.call("search_sorted", row, x, m.rng.random() < 0.3, m.rng.random() < 0.5)


@step(2)
def window(m: Maker) -> None:
    """Pools and convolutions, over the last dimension as an image of one row."""
    x = m.call("reshape", m.floating(lambda t: t.dims and t.dims[-1] == K, exact=True), [-1, 1, 1, K])
    way = m.rng.choice(["max_pool", "window_sum", "convolution"])
    if way == "max_pool":
        m.call(way, x, [1, 2], [1, m.rng.choice([1, 2])], [0, m.rng.choice([0, 1])], [1, 1], m.rng.random() < 0.3)
    elif way == "window_sum":
        m.call(way, x, [1, 2], [1, m.rng.choice([1, 2])], [0, 0], m.rng.random() < 0.3)
    else:
        weights = m.floating(lambda t: t.dims == (K, K) and t.dtype is x.type.dtype)
        kernel = m.call("reshape", weights, [2 * K, 1, 1, K // 2])
        m.call(way, x, kernel, [1, m.rng.choice([1, 2])], [0, m.rng.choice([0, 1])], [1, 1], 1)
