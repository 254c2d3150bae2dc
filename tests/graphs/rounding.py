"""What may differ between two ways to compute one graph, and how far: judged by running it with noise.

Sums in another order, and another exp, round differently. How far that carries depends on the graph and its inputs,
so no constant tolerance is right. `Noisy` runs a graph with errors of a few units in the last place wherever an op may
round as it likes; how far the outputs of such runs lie apart is how far two right answers may. What noise does not
reach must agree to the bit.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from specjit.ir.graph import Block, Node
from specjit.ir.interpret import Interpreter
from specjit.ops.records.lowering import Composite, Contraction, Pointwise, Reduction

# Elementwise functions that IEEE does not define to the bit.
FUNCTIONS = re.compile(r"\b(exp|exp2|expm1|log|log2|log10|log1p|sigmoid|a?(sin|cos|tan)h?|erf|erfc)\(|1 / sqrt")
SUMS = ("cumsum", "index_add", "scatter_add", "embedding_backward", "getitem_backward", "index_put", "conv2d")
EXACT_COMPOSITES = ("clamp", "to_dtype", "sign", "round")
UNITS = 4.0  # of the last place: the error of an op, relative to what it adds up


def rounds(node: Node) -> bool:
    """Whether two right answers of this node may differ."""
    floats = [r for r in node.results if r.type.is_tensor and (r.type.dtype is None or r.type.dtype.is_floating_point)]
    return bool(floats) and not node.blocks and (adds_up(node) or _approximates(node))


def _functional(node: Node) -> Any:
    return getattr(node.op, "functional", None) or node.op


def adds_up(node: Node) -> bool:
    op = _functional(node)
    lower = getattr(op, "lower", None)
    if isinstance(lower, Reduction):
        return lower.kind in ("sum", "prod")
    if isinstance(lower, Composite):
        return op.name not in EXACT_COMPOSITES
    return isinstance(lower, Contraction) or op.name.startswith(SUMS)


def _approximates(node: Node) -> bool:
    lower = getattr(_functional(node), "lower", None)
    return isinstance(lower, Pointwise) and FUNCTIONS.search(lower.text) is not None


class Endless(Exception):
    """A run takes so many turns that it may never end."""


class Limited(Interpreter):
    """The reference interpreter for graphs whose loops may be endless, as those that a failing one is tried to shrink
    to."""

    LIMIT = 5000
    blocks = 0

    def block(self, block: Block) -> list[Any]:
        self.blocks += 1
        if self.blocks > self.LIMIT:
            raise Endless(f"{self.LIMIT} blocks were run")
        return super().block(block)


class Noisy(Limited):
    """A run in which every node that `rounds` has errors of its own. Every other seed adds up in more than the
    operands' precision: a part of a sum that overflows in one order does not in another."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.wide = seed % 2 == 1

    def operation(self, node: Node, args: list[Any]) -> Any:
        if not rounds(node):
            return super().operation(node, args)
        if adds_up(node):
            args = [self.noisy(a) if k not in node.op.traits.writes else a for k, a in enumerate(args)]
        out = self.widely(node, args) if self.wide and adds_up(node) else super().operation(node, args)
        made = self.noisy(np.asarray(out))
        if adds_up(node):  # a sum that is 0 may be of either sign
            tiny = self.rng.choice([-1, 1], made.shape) * np.finfo(made.dtype).smallest_subnormal
            made = np.where(made == 0, tiny.astype(made.dtype), made)
        if not node.op.traits.writes:
            return made
        out[...] = made
        return out

    def widely(self, node: Node, args: list[Any]) -> Any:
        """A sum or product whose parts are float64."""
        lower = getattr(node.op, "lower", None)
        if not isinstance(lower, Contraction | Reduction):
            return super().operation(node, args)
        wide = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args]
        return np.asarray(super().operation(node, wide), node.result.type.dtype.numpy)  # type: ignore[union-attr]

    def noisy(self, data: Any) -> Any:
        if not isinstance(data, np.ndarray) or data.dtype.kind != "f":
            return data
        factors = 1 + np.finfo(data.dtype).eps * self.rng.uniform(-UNITS, UNITS, data.shape)
        return np.asarray(data * factors, data.dtype)


class Judge:
    """Whether two outcomes of a graph may both be right. `rerun(seed)` is how a noisy run ends (its error, the random
    numbers drawn), and its arrays and numbers, in the order in which they are compared."""

    RUNS = 5
    FACTOR = 8.0  # the farthest of a few random runs is not the farthest that is right

    def __init__(self, rerun: Callable[[int], tuple[Any, list[Any]]]) -> None:
        self.rerun = rerun

    @functools.cached_property
    def runs(self) -> list[tuple[Any, list[Any]]]:
        return [self.rerun(seed) for seed in range(self.RUNS)]

    def may_end_otherwise(self, end: Any) -> bool:
        """Whether it depends on rounding how a run ends."""
        return any(other != end for other, _ in self.runs)

    def allows(self, k: int, x: Any, y: Any) -> bool:
        """Whether result k may be y where another run gave x, both of one shape and dtype."""
        a, b = np.asarray(x), np.asarray(y)
        runs = [np.asarray(values[k]) for _, values in self.runs if k < len(values)]
        if any(r.shape != a.shape or r.dtype != a.dtype for r in runs):
            return True
        if all(same_bits(a, r) for r in runs):
            return False  # noise does not reach it
        if a.dtype.kind != "f":
            return True
        both = np.isfinite(a) & np.isfinite(b)
        if not same_bits(np.where(both, 0, a), np.where(both, 0, b)):
            return any(not same_bits(np.where(np.isfinite(r), 0, r), np.where(np.isfinite(a), 0, a)) for r in runs)
        with np.errstate(all="ignore"):
            distances = [np.abs(np.where(np.isfinite(r), r, a) - a) for r in runs]
            spread = max((np.max(d, initial=0, where=both) for d in distances), default=0)
            # The last bit of a number that rounding reaches is never certain.
            last = np.max(np.spacing(np.abs(a)), initial=0, where=both)
            return bool((np.abs(a - b) <= self.FACTOR * spread + last)[both].all())


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal, the sign of zero included; any NaN equals any other."""
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    return bool(np.array_equal(a, b, equal_nan=True)) and bool((np.signbit(a) == np.signbit(b))[~np.isnan(a)].all())
