"""Methods that are composite functions, where only specialization knows that their object is a tensor.

Enters: a composite function and abstract arguments. Leaves: the ops it is made of, emitted one by one.
Invariant: the body runs on tracers, so what it decides follows from types and constants; where that does not suffice,
the call is refused, and the program stays generic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.ir.builder import Builder
from specjit.ir.graph import Block, Value
from specjit.ops.records import registry
from specjit.ops.records.composites import CompositeFunction
from specjit.ops.records.results import NAMED
from specjit.specialize.abstract import Abstract, Known, Obj, Refused, Seq
from specjit.tensor.tracer import TraceError, argument, recording, wrap

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer


def composed(spec: Specializer, composite: CompositeFunction, args: list[Any], named: dict[str, Any]) -> Abstract:
    """`composite(*args, **named)` as the ops of its body."""
    scratch = Block()
    builder = Builder(scratch, registry.get)

    def traced(a: Any) -> Any:
        if isinstance(a, Value):
            return wrap(a, builder)
        if isinstance(a, (Known, Obj)):
            return a.value
        if isinstance(a, Seq) and a.plain:
            items = [traced(i) for i in a.items]
            return tuple(items) if a.is_tuple else items
        raise Refused(f"an argument of {composite.name} that is not modelled", spec.loc)

    try:
        with recording(builder):
            out = composite.fn(*map(traced, args), **{k: traced(a) for k, a in named.items()})
        made = result(builder, out)
    except TraceError as error:
        raise Refused(f"{composite.name}: {error}", spec.loc) from error
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise Refused(f"{composite.name} raises {type(error).__name__}: {error}", spec.loc) from error
    known: dict[Value, Any] = {}
    for node in scratch.nodes:
        found = spec.tensor_op(node.op, [_abstract(known, a) for a in node.args])
        items = found.items if isinstance(found, Seq) and len(node.results) > 1 else [found]
        known.update(zip(node.results, items, strict=True))
    return _of(known, made)


def result(builder: Builder, out: Any) -> Any:
    """What the body returned, with values for tracers."""
    if isinstance(out, (list, tuple)):
        items = [result(builder, o) for o in out]
        return type(out)(*items) if isinstance(out, NAMED) else type(out)(items)
    return argument(builder, out)


def _abstract(known: dict[Value, Any], a: Value) -> Any:
    return Known(a.const) if a.is_const else known.get(a, a)


def _of(known: dict[Value, Any], made: Any) -> Abstract:
    if isinstance(made, (list, tuple)):
        items = [_of(known, m) for m in made]
        return Seq("list" if isinstance(made, list) else "tuple", items, names=getattr(made, "_fields", ()))
    found: Abstract = _abstract(known, made)
    return found
