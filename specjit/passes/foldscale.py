"""Scales and shifts of channels folded into the weights of the product before them, where rounding may change.

    y = ((x @ w + b) - mean) * scale + beta        ->        y = x @ (w * scale) + ((b - mean) * scale + beta)

Enters: the outermost block of a typed graph. Leaves: products (of linear layers, and of the window matrices of a
convolution) with no more than one addition behind them, where a chain of additions and multiplications by values that
depend on parameters alone stood: batch normalization in evaluation. What is made of parameters alone is computed when
a parameter changes, not per call.
Legality: the products are rounded after the scale and not before it, so this is for `numerics="fast"` only; under
"exact" a fact says what is not done. Each factor is one number per column of the result (per row, where the weights
stand on the left).
"""

from __future__ import annotations

from specjit.ir.builder import Builder
from specjit.ir.dims import Dim, product
from specjit.ir.graph import Block, Graph, Node, Value, replace_uses
from specjit.ops.records.lowering import Contraction
from specjit.passes.aliases import Aliases
from specjit.passes.concat import parameter_values
from specjit.passes.manager import Context
from specjit.passes.rows import uses_in

AFFINE = ("add", "sub", "mul", "div")
SCALES = ("mul", "div")
SAME_ORDER = ("reshape", "view", "flatten", "unsqueeze", "squeeze")  # views whose elements keep their order


def run(graph: Graph, ctx: Context) -> None:
    aliases = Aliases(graph)
    fixed = parameter_values(graph, aliases)
    for node in list(graph.block.nodes):
        if not isinstance(getattr(node.op, "lower", None), Contraction):
            continue
        chain = _Chain(graph.block, node, fixed, aliases)
        if not chain.scales:
            continue
        loc = chain.nodes[-1].loc
        if ctx.numerics != "fast":
            ctx.refuse("no scale of channels in the weights: it would round otherwise (numerics='fast' allows it)", loc)
        elif ctx.fire("scale and shift of channels in the weights: sums are rounded after the scale, not before", loc):
            chain.fold(ctx)


class _Chain:
    """What follows a product: views, and arithmetic with one number per channel, each read by the next alone."""

    def __init__(self, block: Block, first: Node, fixed: set[Value], aliases: Aliases) -> None:
        self.block, self.first, self.fixed, self.aliases = block, first, fixed, aliases
        self.left = first.args[0] in fixed
        self.nodes: list[Node] = []
        weights = first.args[0 if self.left else 1]
        if weights not in fixed or len(weights.type.dims or ()) < 2 or (not self.left and len(weights.type.dims) != 2):  # type: ignore[arg-type]
            return
        if self.left and len(first.args[1].type.dims or ()) < 2:
            return  # the product of a vector has rows, no channels
        value = first.result
        while (node := self._next(value)) is not None:
            self.nodes.append(node)
            value = node.result

    @property
    def scales(self) -> bool:
        return any(n.op.name in SCALES for n in self.nodes)

    def _next(self, value: Value) -> Node | None:
        if self.aliases.written(value) or uses_in(self.block, value) != 1:
            return None
        node = next((n for n in self.block.nodes if any(a is value for a in n.args)), None)
        if node is None or node.blocks:
            return None
        if node.op.name in SAME_ORDER:
            begun = any(n.op.name in AFFINE for n in self.nodes)  # what follows has one shape
            return node if node.args[0] is value and not begun else None
        return node if node.op.name in AFFINE and self._affine(node, value) else None

    def _affine(self, node: Node, value: Value) -> bool:
        other = node.args[1] if node.args[0] is value else node.args[0]
        plain = all(a.is_const and a.const == p.default for p, a in zip(node.op.params[2:], node.args[2:], strict=True))
        if not plain or (node.op.name in ("sub", "div") and node.args[0] is not value):
            return False
        if (node.result.type.dtype, node.result.type.dims) != (value.type.dtype, value.type.dims):
            return False
        return other in self.fixed and other.type.dtype == value.type.dtype and self._per_channel(other, value)

    def _per_channel(self, other: Value, value: Value) -> bool:
        """Whether `other` has one element per channel, or one for all, and meets the channels of `value`."""
        own, dims = other.type.dims or (), value.type.dims or ()
        wide = [d - len(own) for d, size in enumerate(own) if size != 1]
        if not wide:
            return True
        result = self.first.result.type.dims or ()
        channels, after = (product(result[-3:-1]), result[-1]) if self.left else (result[-1], 1)
        if self.left and len(self.first.args[0].type.dims or ()) == 2:
            channels = result[-2]
        inner: Dim = product(dims[len(dims) + wide[0] + 1 :])
        return len(wide) == 1 and own[wide[0]] == dims[wide[0]] == channels and inner == after

    # the rewrite

    def fold(self, ctx: Context) -> None:
        """Put the scale into the weights, and the shift behind the product, in place of the chain."""
        last = self.nodes[-1]
        self.block.nodes.sort(key=lambda node: not (node.results and all(r in self.fixed for r in node.results)))
        made = Block()
        builder = ctx.builder(made, last.loc)
        scale, shift = self._totals(builder)
        weights = self.first.args[0 if self.left else 1]
        width = weights.type.dims or ()
        sizes = list(width[:-1]) + [1] if self.left else [width[-1]]
        count = product(scale.type.dims or ())
        if count != 1:
            scale = builder.call("reshape", scale, sizes)
        elif scale.type.dims:
            scale = builder.call("reshape", scale, [1])
        scaled = builder.call("mul", weights, scale)
        before = len(made.nodes)
        self.fixed.update(r for n in made.nodes for r in n.results)
        args = list(self.first.args)
        args[0 if self.left else 1] = scaled
        value = builder.emit(self.first.op, args).result
        for node in self.nodes:
            if node.op.name in SAME_ORDER:
                value = builder.emit(node.op, [value, *node.args[1:]]).result
        if shift is not None:
            value = builder.call("add", value, shift)
        value.hint = last.result.hint
        at = self.block.nodes.index(last)
        gone = {self.first, *self.nodes}
        self.block.nodes[at : at + 1] = made.nodes[before:]
        self.block.nodes[:] = [n for n in self.block.nodes if n not in gone]
        start = next((k for k, n in enumerate(self.block.nodes) if not all(r in self.fixed for r in n.results)), 0)
        self.block.nodes[start:start] = made.nodes[:before]
        replace_uses(self.block, {last.result: value})

    def _totals(self, builder: Builder) -> tuple[Value, Value | None]:
        """The chain as a scale and a shift of the product, made of parameters alone."""
        scale: Value | None = None
        shift: Value | None = None
        value = self.first.result
        for node in self.nodes:
            name = node.op.name
            if name in AFFINE:
                other = node.args[1] if node.args[0] is value else node.args[0]
                if name in SCALES:
                    scale = builder.call(name, scale, other) if scale is not None else _factor(builder, name, other)
                    shift = builder.call(name, shift, other) if shift is not None else None
                elif name == "add":
                    shift = builder.call("add", shift, other) if shift is not None else other
                else:
                    shift = builder.call("sub", shift, other) if shift is not None else builder.call("neg", other)
            value = node.result
        assert scale is not None
        return scale, shift


def _factor(builder: Builder, name: str, other: Value) -> Value:
    return other if name == "mul" else builder.call("reciprocal", other)
