"""A product and the sum that takes it in one rounding, where `numerics="fast"` allows that.

Enters: a kernel spec. Leaves: the same spec, in which a float product that only one sum or difference of the same dtype
uses is part of that sum: `simd.fma`. The product's own instruction stays, unread, so that numbers of values hold.
Invariant: operands, accesses, stores and every other instruction are untouched; exact numerics never come here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TypeVar

from specjit.codegen.kernels.spec import GemmSpec, Inst, LoopSpec, WindowSpec
from specjit.codegen.schedule.steps import Spec

PRODUCTS = {"{0} * {1}": (0, 1), "{0} * {0}": (0, 0)}
# A sum whose argument k is the product of {0} and {1}; {2} is its other argument.
SUMS = {
    ("{0} + {1}", 0): "simd.fma({0}, {1}, {2})",
    ("{0} + {1}", 1): "simd.fma({0}, {1}, {2})",
    ("{0} - {1}", 0): "simd.fma({0}, {1}, -{2})",
    ("{0} - {1}", 1): "simd.fma(-{0}, {1}, {2})",
}
WHOLE = {  # one instruction already: add(x, y, alpha=a)
    "{0} + {1} * {2}": "simd.fma({1}, {2}, {0})",
    "{0} - {1} * {2}": "simd.fma(-{1}, {2}, {0})",
}
S = TypeVar("S", bound=Spec)


def contracted(spec: S) -> S:
    """`spec` with fused multiply-adds; itself where there is nothing to fuse."""
    if not isinstance(spec, LoopSpec | GemmSpec | WindowSpec):
        return spec
    uses = Counter(a for inst in spec.body for a in inst.args) + Counter(s.value for s in spec.stores)
    body = tuple(_fused(inst, spec.body, uses) for inst in spec.body)
    return spec if body == spec.body else replace(spec, body=body)


def _fused(inst: Inst, body: tuple[Inst, ...], uses: Counter[int]) -> Inst:
    if inst.kind != "apply" or inst.dtype not in ("f32", "f64"):
        return inst
    if inst.text in WHOLE:
        return replace(inst, text=WHOLE[inst.text])
    for k, a in enumerate(inst.args):
        product, text = body[a], SUMS.get((inst.text, k))
        if text is None or product.kind != "apply" or product.dtype != inst.dtype or uses[a] != 1:
            continue
        if product.text in PRODUCTS:
            factors = tuple(product.args[i] for i in PRODUCTS[product.text])
            return replace(inst, text=text, args=(*factors, inst.args[1 - k]))
    return inst
