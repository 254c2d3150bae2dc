"""How a node's arguments line up with its op's parameters.

Enters: op records by their interface (params with name, default, kwonly, variadic, required) and argument values.
Leaves: `expand` (one parameter per argument), `complete` (arguments from a call's positional and named ones, defaults
filled in).
Invariant: `len(node.args) == len(expand(op, len(node.args)))`; a variadic parameter takes all arguments that the
others leave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from specjit.ir.constants import same
from specjit.ir.graph import OpLike, Value

_lookup: list[Callable[[str], OpLike]] = []


def set_op_lookup(lookup: Callable[[str], OpLike]) -> None:
    """Say how ops are found by name (KeyError: there is none).

    `ops.records.registry` does this once, since `ir` comes before it.
    """
    _lookup[:] = [lookup]


def find_op(name: str) -> OpLike:
    if not _lookup:
        raise KeyError(name)
    return _lookup[0](name)


def expand(op: OpLike, count: int) -> list[Any]:
    """The parameter of each of `count` arguments; TypeError if the op does not take that many."""
    params = list(op.params)
    for i, param in enumerate(params):
        if param.variadic:
            params[i : i + 1] = [param] * max(count - len(params) + 1, 0)
            break
    if len(params) != count:
        raise TypeError(f"{op.name} takes {len(op.params)} arguments, got {count}")
    return params


def is_default(param: Any, value: Value) -> bool:
    """Whether leaving the argument out would fill in this very constant, of this very type."""
    optional = value.is_const and not param.required and not param.variadic
    return optional and same(value.const, param.default) and value.type == Value.constant(param.default).type


def complete(op: OpLike, args: Sequence[Value], named: Mapping[str, Value]) -> list[Value]:
    """One value per parameter, from a call's arguments; defaults become constants. TypeError says what is wrong with
    the call."""
    out: list[Value] = []
    rest, left = list(args), dict(named)
    for param in op.params:
        if param.variadic:
            out += rest
            rest = []
        elif rest and not param.kwonly:
            out.append(rest.pop(0))
        elif param.name in left:
            out.append(left.pop(param.name))
        elif not param.required:
            out.append(Value.constant(param.default))
        else:
            raise TypeError(f"{op.name}() is missing the argument {param.name!r}")
    if rest:
        raise TypeError(f"{op.name}() takes {len(out)} arguments, got {len(rest)} more")
    if left:
        raise TypeError(f"{op.name}() got an unexpected or repeated argument {next(iter(left))!r}")
    return out
