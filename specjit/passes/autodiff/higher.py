"""Higher orders: the gradients of a block as a block of its own, to be differentiated again.

Enters: a `Derivative` as `differentiate` made it. Leaves: one block that computes the gradients from the parameters
of the forward block and the gradients of its outputs; what the forward block saved is computed on the way, so nothing
of a former run is needed.
Invariant: it computes what forward and backward compute one after the other, and where gradients stopped in the
original block, they stop here.
"""

from __future__ import annotations

from collections.abc import Callable

from specjit.ir.builder import Builder
from specjit.ir.dims import Poly
from specjit.ir.graph import Block, OpLike, Value, copy_block, replace_uses
from specjit.ir.types import Type
from specjit.passes.autodiff.derivative import Derivative


def joined(d: Derivative, lookup: Callable[[str], OpLike]) -> Block:
    """Parameters: those of forward, then a gradient for each of `d.arriving`, all of which are there. Outputs: those of
    backward."""
    block = copy_block(d.forward, {})
    count = len(block.outputs) - len(d.kept())
    outputs = list(block.outputs)
    inputs = block.params[len(d.rooms) :]
    builder = Builder(block, lookup)
    grads = {j: block.param(outputs[j].type, f"d{outputs[j].hint}") for j in d.arriving}
    find: dict[str, Callable[..., Value]] = {
        "input": lambda i: inputs[i],
        "output": lambda j: outputs[j],
        "saved": lambda k: outputs[count + k],
        "size": lambda dim: _size(dim, block.params, builder),
        "grad": lambda j: grads[j],
        "given": lambda j: Value.constant(True),
    }
    backward = copy_block(d.backward, {})
    mapping = {param: find[kind](which) for param, (kind, which) in zip(backward.params, d.saved)}
    replace_uses(backward, mapping)
    block.nodes += backward.nodes
    # A result that is a parameter as it came becomes a view of it, as every result of a call is a tensor of its own.
    params = set(block.params)
    block.outputs = [builder.call("alias", o) if o in params else o for o in backward.outputs]
    _forget_grad_flags(block)
    return block


def _forget_grad_flags(block: Block) -> None:
    """What requires a gradient is not known here, but for what comes from ops that stop them."""
    for p in block.params:
        p.type = _flagged(p.type, None)
    for node in block.nodes:
        stops = not node.blocks and not getattr(node.op, "differentiable", False)
        for result in node.results:
            result.type = _flagged(result.type, False if stops else None)
        for inner in node.blocks:
            _forget_grad_flags(inner)


def _flagged(type: Type, flag: bool | None) -> Type:
    return type.with_(requires_grad=flag) if type.is_tensor else type


def _size(dim: Poly, params: list[Value], builder: Builder) -> Value:
    """The size that is this symbol."""
    for p in params:
        if p.type.kind == "int" and p.type.dim == dim:
            return p
        if p.type.is_tensor and dim in (p.type.dims or ()):
            return builder.call("size", p, (p.type.dims or ()).index(dim))
    raise AssertionError(f"no parameter has the size {dim}")
