"""Least values of int arguments: what makes a loop whose number of turns is an argument run its first turns.

Enters: ints and conditions of the typed graph. Leaves: `spec.bounds`, the least value of each number argument, which
become guards of the variant.
Invariant: a bound is noted only for what is an int argument, or differs from one by a constant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.ir.graph import Value
from specjit.specialize.abstract import Known

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer

# A comparison that a constant and an int take part in: how much larger than the constant the int is at least, where it
# is the second operand, and where it is the first.
_ABOVE = {"py.lt": (1, None), "py.le": (0, None), "py.gt": (None, 1), "py.ge": (None, 0)}


def at_least(spec: Specializer, number: Value, least: int) -> bool:
    """Whether the int is certainly `least` or more, which an argument is then guarded for."""
    while number not in spec.numbers:
        node = number.node
        if node is None or node.op.name not in ("py.add", "py.sub") or type(_constant(node.args[1])) is not int:
            return False
        step = _constant(node.args[1])
        least += step if node.op.name == "py.sub" else -step
        number = node.args[0]
    spec.bounds[number] = max(least, spec.bounds.get(number, least))
    return True


def holds(spec: Specializer, cond: Any) -> bool:
    """Whether a condition certainly holds, which an argument is then guarded for."""
    if isinstance(cond, Known):
        return bool(cond.value)
    node = cond.node if isinstance(cond, Value) else None
    if node is None or node.op.name not in _ABOVE:
        return False
    a, b = node.args
    for known, number, above in ((a, b, _ABOVE[node.op.name][0]), (b, a, _ABOVE[node.op.name][1])):
        if above is not None and type(_constant(known)) is int:
            return at_least(spec, number, _constant(known) + above)
    return False


def _constant(v: Value) -> Any:
    return v.const if v.is_const else None
