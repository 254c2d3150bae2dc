"""Records of what Python itself does: arithmetic on numbers, containers, attributes, calls, printing. Names begin
with `py.`.

Enters: operands of any type; capture emits these wherever the program is not a call of a tensor op.
Leaves: results as Python gives them. `infer` computes on known constants, keeps sizes as expressions (`int<T> + 1` is
`int<T+1>`), answers for tensor operands as the tensor op does, and says `any` for what it does not know.
Invariant: `eager` is Python's own behaviour, errors included. Arithmetic and comparisons are PURE: capture emits them
for
operands that are numbers, strings and tuples, and for unknown ones until their type is known; a pass that removes or
moves nodes of
unknown operand type must look at the types, because a user's class may do anything in `__add__`.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from typing import Any

from specjit.ir.traits import IO, PURE, READS, Traits, writes
from specjit.ir.types import ANY, BOOL, FLOAT, INT, NONE, STR, Type
from specjit.ops import pyinfer as rule
from specjit.ops.records.registry import NO_GRAD, Op, defop, get


def defpy(
    schema: str, eager: Callable[..., Any], infer: Callable[..., Any], traits: Traits = PURE, doc: str = ""
) -> Op:
    defop(f"py.{schema}", eager=eager, infer=infer, vjp=NO_GRAD, traits=traits, doc=doc, method=False)
    return get("py." + schema.partition("(")[0])


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
    "lshift": operator.lshift,
    "rshift": operator.rshift,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "matmul": operator.matmul,
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}

for _name, _fn in BINARY.items():
    defpy(f"{_name}(a: any, b: any) -> any", _fn, rule.binary(_name, _fn))
    defpy(
        f"i{_name}(a: any, b: any) -> any",
        getattr(operator, f"i{_name}"),
        rule.binary(_name, _fn),
        Traits(view_of=0, writes=frozenset({0})),
        doc="Augmented assignment: may change `a` in place; the result is what the name is bound to afterwards.",
    )
for _name, _fn in COMPARISONS.items():
    defpy(f"{_name}(a: any, b: any) -> any", _fn, rule.comparison(_name, _fn))

defpy("is(a: any, b: any) -> bool", operator.is_, rule.identity(operator.is_))
defpy("is_not(a: any, b: any) -> bool", operator.is_not, rule.identity(operator.is_not))
defpy("contains(container: any, item: any) -> bool", operator.contains, rule.folded(operator.contains, BOOL), READS)

defpy("neg(a: any) -> any", operator.neg, rule.unary("neg", operator.neg))
defpy("pos(a: any) -> any", operator.pos, rule.unary("pos", operator.pos))
defpy("invert(a: any) -> any", operator.invert, rule.unary("invert", operator.invert))
defpy("not(a: any) -> bool", operator.not_, rule.folded(operator.not_, BOOL), READS)
defpy("bool(a: any) -> bool", bool, rule.folded(bool, BOOL), READS, doc="The truth value of `a`.")
defpy("int(a: any) -> int", int, rule.to_int, READS)
defpy("float(a: any) -> float", float, rule.folded(float, FLOAT), READS)
defpy("str(a: any) -> str", str, rule.folded(str, STR), READS)
defpy("len(a: any) -> int", len, rule.length, READS)
defpy("abs(a: any) -> any", abs, rule.unary("abs", abs))
defpy("round(a: any, digits: any = None) -> any", round, rule.rounded)
defpy("min(*args: any) -> any", min, rule.extreme(min), READS)
defpy("max(*args: any) -> any", max, rule.extreme(max), READS)
defpy("sum(items: any, start: any = 0) -> any", sum, rule.summed, READS)

defpy("getattr(obj: any, name: str) -> any", getattr, rule.attribute, READS)
defpy("setattr(obj: any, name: str, value: any) -> None", setattr, rule.nothing, Traits(writes=frozenset({0}), io=True))


def _set_global(name: str, function: Any, value: Any) -> None:
    function.__globals__[name] = value


defpy("set_global(name: str, function: any, value: any) -> None", _set_global, rule.nothing, IO)
defpy("delattr(obj: any, name: str) -> None", delattr, rule.nothing, Traits(writes=frozenset({0}), io=True))
defpy("getitem(obj: any, index: any) -> any", operator.getitem, rule.item, Traits(view_of=0, itself=True, reads=True))
defpy("setitem(obj: any, index: any, value: any) -> None", operator.setitem, rule.nothing, writes(0))
defpy("delitem(obj: any, index: any) -> None", operator.delitem, rule.nothing, writes(0))


def _list(*items: Any) -> list[Any]:
    return list(items)


def _tuple(*items: Any) -> tuple[Any, ...]:
    return items


def _dict(*items: Any) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _set(*items: Any) -> set[Any]:
    return set(items)


# A list, dict or set has identity, so two equal ones must not be merged: READS, not PURE.
defpy("list(*items: any) -> any", _list, rule.list_of, READS)
defpy("tuple(*items: any) -> any", _tuple, rule.tuple_of)
defpy("dict(*keys_and_values: any) -> any", _dict, rule.dict_of, READS)
defpy("set(*items: any) -> any", _set, rule.set_of, READS)
defpy("slice(start: any, stop: any, step: any) -> any", slice, rule.slice_of)
defpy("range(start: any, stop: any, step: any) -> any", range, rule.range_of)


def _unpack(obj: Any, n: int) -> tuple[Any, ...]:
    items = list(obj)
    if len(items) < n:
        raise ValueError(f"not enough values to unpack (expected {n}, got {len(items)})")
    if len(items) > n:
        raise ValueError(f"too many values to unpack (expected {n})")
    return tuple(items)


defpy(
    "unpack(obj: any, n: int) -> any[]",
    _unpack,
    rule.unpacked,
    Traits(view_of=0, itself=True, reads=True),
    doc="`n` results.",
)


def _append(target: list[Any], item: Any) -> None:
    target.append(item)


defpy("append(target: any, item: any) -> None", _append, rule.nothing, writes(0))


def _named(kwnames: Any, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of a call whose last arguments are named by `kwnames`."""
    names = tuple(kwnames or ())
    split = len(args) - len(names)
    return args[:split], dict(zip(names, args[split:]))


def _method(obj: Any, name: str, kwnames: Any, *args: Any) -> Any:
    positional, named = _named(kwnames, args)
    return getattr(obj, name)(*positional, **named)


def _call(function: Any, kwnames: Any, *args: Any) -> Any:
    positional, named = _named(kwnames, args)
    return function(*positional, **named)


defpy("method(obj: any, name: str, kwnames: any, *args: any) -> any", _method, rule.unknown, IO)
defpy("call(function: any, kwnames: any, *args: any) -> any", _call, rule.unknown, IO)


def _needs_context(kind: str) -> Callable[[str], Any]:
    def eager(name: str, function: Any = None) -> Any:
        raise RuntimeError(f"the {kind} {name!r} is read by generated code, which knows the captured function")

    return eager


# `function` is the captured function in whose scope the name is looked up; an inlined function may come from another
# module.
defpy("global(name: str, function: any = None) -> any", _needs_context("global"), rule.unknown, READS)
defpy("closure(name: str, function: any = None) -> any", _needs_context("closure variable"), rule.unknown, READS)

CONVERSIONS: dict[str, Callable[[Any], str]] = {"s": str, "r": repr, "a": ascii}


def _format(value: Any, conversion: str, spec: str) -> str:
    return format(CONVERSIONS[conversion](value) if conversion else value, spec)


def _concat(*strings: str) -> str:
    return "".join(strings)


def _print(sep: Any, end: Any, *args: Any) -> None:
    builtins.print(*args, sep=sep, end=end)


defpy("format(value: any, conversion: str, spec: str) -> str", _format, rule.folded(_format, STR), READS)
defpy("concat(*strings: any) -> str", _concat, rule.folded(_concat, STR))
defpy("print(sep: any, end: any, *args: any) -> None", _print, rule.nothing, IO)


def _raise(exception: Any, cause: Any = None, chained: bool = False) -> None:
    if cause is None and not chained:
        raise exception
    raise exception from cause


def _assert(condition: Any, message: Any = None) -> None:
    if not condition:
        raise AssertionError(*(() if message is None else (message,)))


defpy(
    "raise(exception: any, cause: any = None, chained: bool = False) -> None",
    _raise,
    rule.nothing,
    IO,
    doc="`raise exception from cause`. chained: also where the cause is None, which hides the context.",
)
defpy("assert(condition: any, message: any = None) -> None", _assert, rule.nothing, IO)
defpy("iter_list(obj: any) -> any", list, rule.iterated, READS, doc="The list of what iterating over `obj` yields.")


def _renew(value: Any, token: Any) -> Any:
    return value


# Made by specialization: the same storage under a new name after a write, and a stacked tensor as the list of its rows.
defpy("renew(value: any, token: any) -> any", _renew, lambda value, token: value, Traits(view_of=0, itself=True))
defpy("rows(stacked: any) -> any", list, rule.iterated, Traits(view_of=0))

__all__ = ["ANY", "BINARY", "COMPARISONS", "INT", "NONE", "Type"]
