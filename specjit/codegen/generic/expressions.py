"""Nodes as Python expressions.

Enters: a node and the texts of its arguments. Leaves: `Text` (source with its precedence), or None where it takes a
statement.
Invariant: the text evaluates the arguments in the order that `order` gives, each exactly once.
"""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from specjit.dtypes import DType
from specjit.ir.constants import LITERAL_BITS, same
from specjit.ir.graph import Node, Value
from specjit.ir.signature import expand

# Precedence of Python's operators, loosest first.
LAMBDA, TERNARY, OR, AND, NOT, COMPARE, BITOR, BITXOR, BITAND, SHIFT, SUM, PRODUCT, UNARY, POWER, ATOM = range(15)


class Text(NamedTuple):
    """A piece of source and how tightly it binds.

    truth: of `bool(x)`, the text of `x`. negated: of `not x`, the text of `x`."""

    text: str
    level: int = ATOM
    truth: Any = None
    negated: Any = None

    def at(self, level: int) -> str:
        """The text where an operator of this level is needed."""
        return self.text if self.level >= level else f"({self.text})"

    def dot(self, name: str) -> str | None:
        """The attribute `name` of this, as syntax; None for a name that syntax cannot say."""
        if not name.isidentifier() or keyword.iskeyword(name):
            return None
        owner = f"({self.text})" if self.text.isdigit() else self.at(ATOM)  # `3.real` would be a number
        return f"{owner}.{name}"


_BINARY = {
    "or": ("|", BITOR),
    "xor": ("^", BITXOR),
    "and": ("&", BITAND),
    "lshift": ("<<", SHIFT),
    "rshift": (">>", SHIFT),
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "truediv": ("/", PRODUCT),
    "floordiv": ("//", PRODUCT),
    "mod": ("%", PRODUCT),
    "matmul": ("@", PRODUCT),
}
AUGMENTED = {f"py.i{name}": symbol for name, (symbol, _) in _BINARY.items()} | {"py.ipow": "**"}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "is": "is", "is_not": "is not"}
# Tensor records that are what the operator calls.
_TENSOR = {"add": "add", "sub": "sub", "mul": "mul", "div": "truediv", "matmul": "matmul"}
_TENSOR |= {name: name for name in ("eq", "ne", "lt", "le", "gt", "ge")}
_TENSOR |= {"floor_divide": "floordiv", "remainder": "mod", "pow": "pow"}
_FUNCTIONS = ("int", "float", "str", "len", "abs", "min", "max", "sum", "range", "iter", "bool", "slice")
_PLACE = {"py.contains": (1, 0)}
STATEMENTS = frozenset(AUGMENTED) | frozenset(
    f"py.{name}"
    for name in (
        "setattr",
        "setitem",
        "delitem",
        "delattr",
        "append",
        "print",
        "raise",
        "assert",
        "unpack",
        "unpack_star",
        "next",
        "guard",
        "store",
        "reraise",
        "set_global",
    )
)


def order(node: Node) -> list[Value]:
    """The arguments in the order in which the node's text evaluates them."""
    places = _PLACE.get(node.op.name)
    return [node.args[k] for k in places] if places else list(node.args)


class Scope:
    """The names that generated code needs from outside: objects by name."""

    def __init__(self, reserved: set[str]) -> None:
        self.objects: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._reserved = reserved

    def bind(self, obj: Any, hint: str) -> str:
        """The name of an object; a builtin is its own name, a function keeps its name if that is free."""
        if getattr(builtins, hint, self) is obj:
            return hint
        if id(obj) in self._names:
            return self._names[id(obj)]
        base = re.sub(r"\W", "_", hint) or "obj"
        if base[0].isdigit():
            base = f"_{base}"
        name, n = base, 1
        while name in self._reserved:
            n += 1
            name = f"{base}_{n}"
        self.objects[name] = obj
        self._reserved.add(name)
        self._names[id(obj)] = name
        return name

    def constant(self, value: Any) -> Text:
        kind = type(value)
        if kind in (bool, str, bytes, type(None)) or value is ...:
            return Text("..." if value is ... else repr(value))
        if kind is int and value.bit_length() <= LITERAL_BITS:
            return Text(repr(value), ATOM if value >= 0 else UNARY)
        if kind is float:
            if math.isfinite(value):
                return Text(repr(value), ATOM if math.copysign(1, value) > 0 else UNARY)
            return Text(self.bind(value, "nan" if math.isnan(value) else "inf" if value > 0 else "minus_inf"))
        if kind is tuple:
            inner = ", ".join(self.constant(v).at(TERNARY) for v in value)
            return Text(f"({inner}{',' if len(value) == 1 else ''})")
        if kind is list:
            return Text(f"[{', '.join(self.constant(v).at(TERNARY) for v in value)}]")
        if kind is dict and not value:
            return Text("{}")
        if kind is slice:
            parts = (value.start, value.stop, value.step)
            return Text(f"slice({', '.join(self.constant(v).at(TERNARY) for v in parts)})")
        if isinstance(value, DType):
            return Text(self.bind(value, value.name))
        hint = getattr(value, "__name__", None) or kind.__name__.lower()
        return Text(self.bind(value, hint if isinstance(hint, str) else "obj"))


def index_text(arg: Text, value: Value, scope: Scope) -> str:
    """An index inside brackets: constant slices read as slices."""
    if value.is_const and not isinstance(value.const, str):
        items = value.const if type(value.const) is tuple and value.const else (value.const,)
        inner = ", ".join(_slice_text(v, scope) for v in items)
        return inner + ("," if type(value.const) is tuple and len(items) == 1 else "")
    if arg.text.startswith("slice(") and value.node is not None and value.node.op.name == "py.slice":
        return slice_text(arg.text[6:-1])
    if value.node is not None and value.node.op.name == "py.tuple" and arg.text.startswith("("):
        return arg.text[1:-1]
    return arg.text


def slice_text(inside: str) -> str:
    parts = split(inside)
    start, stop, step = ("" if p == "None" else p for p in parts)
    return f"{start}:{stop}" + (f":{step}" if step else "")


def split(text: str) -> list[str]:
    """Split at commas outside brackets and strings."""
    out, depth, quote, start = [], 0, "", 0
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote and text[i - 1] != "\\" else quote
        elif c in "'\"":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and depth == 0:
            out.append(text[start:i].strip())
            start = i + 1
    return [*out, text[start:].strip()]


def _slice_text(value: Any, scope: Scope) -> str:
    if type(value) is not slice:
        return scope.constant(value).at(TERNARY)
    part = lambda v: "" if v is None else scope.constant(v).at(TERNARY)  # noqa: E731
    return f"{part(value.start)}:{part(value.stop)}" + (f":{part(value.step)}" if value.step is not None else "")


def _defaults(node: Node, start: int) -> bool:
    """Whether the arguments from `start` on are the parameters' defaults."""
    params = expand(node.op, len(node.args))
    return all(
        a.is_const and not p.required and same(a.const, p.default) for p, a in zip(params[start:], node.args[start:])
    )


def call_text(function: str, names: Any, args: Sequence[Text]) -> Text:
    """A call whose last arguments are named."""
    names = tuple(names or ())
    texts = [a.at(TERNARY) for a in args]
    split_at = len(texts) - len(names)
    texts[split_at:] = [f"{n}={t}" for n, t in zip(names, texts[split_at:])]
    return Text(f"{function}({', '.join(texts)})")


def expression(node: Node, args: list[Text], scope: Scope) -> Text | None:
    """`node` as an expression of its arguments' texts; None for what needs a statement."""
    name = node.op.name
    if name.startswith("py."):
        handler = _PY.get(name)
        text = handler(node, args, scope) if handler is not None else _operator(name[3:], args)
        if text is None and len(node.results) == 1 and (name not in STATEMENTS or name in AUGMENTED):
            return call_text(scope.bind(node.op.eager, name[3:]), (), args)  # type: ignore[attr-defined]
        return text
    if name in _TENSOR and _defaults(node, 2) and _operands(name, node.args[:2]):
        return _operator(_TENSOR[name], args[:2])
    if name == "neg":
        return Text(f"-{args[0].at(UNARY)}", UNARY)
    if name == "getitem":
        return Text(f"{args[0].at(ATOM)}[{index_text(args[1], node.args[1], scope)}]")
    if name == "size" and node.args[1].is_const and type(node.args[1].const) is int:
        return Text(f"{args[0].at(ATOM)}.shape[{node.args[1].const}]")
    return _op_call(node, args, scope)


def _operands(name: str, values: Sequence[Value]) -> bool:
    """Whether the operator is the tensor record for such values. For others only a call is: it raises the record's own
    errors."""
    others = [v.type.kind for v in values if not v.type.is_tensor]
    return len(others) < 2 and all(kind in ("int", "float", "bool") and name != "matmul" for kind in others)


def _op_call(node: Node, args: list[Text], scope: Scope) -> Text:
    """A call of the op's public function; trailing defaults are left out, keyword-only arguments named."""
    op: Any = node.op
    params = expand(op, len(node.args))
    texts: list[str] = []
    keep = [
        not (a.is_const and not p.required and not p.variadic and same(a.const, p.default))
        for p, a in zip(params, node.args)
    ]
    last = max((k for k, p in enumerate(params) if keep[k] and not p.kwonly), default=-1)
    for k, (p, text) in enumerate(zip(params, args)):
        if p.kwonly:
            if keep[k]:
                texts.append(f"{p.name}={text.at(TERNARY)}")
        elif k <= last:
            texts.append(text.at(TERNARY))
    return Text(f"{scope.bind(op.fn, op.name)}({', '.join(texts)})")


def _operator(name: str, args: list[Text]) -> Text | None:
    if name in _BINARY and len(args) == 2:
        symbol, level = _BINARY[name]
        return Text(f"{args[0].at(level)} {symbol} {args[1].at(level + 1)}", level)
    if name == "pow":
        return Text(f"{args[0].at(ATOM)} ** {args[1].at(UNARY)}", POWER)
    if name in _COMPARE:
        return Text(f"{args[0].at(BITOR)} {_COMPARE[name]} {args[1].at(BITOR)}", COMPARE)
    if name in ("neg", "pos", "invert"):
        return Text(f"{ {'neg': '-', 'pos': '+', 'invert': '~'}[name] }{args[0].at(UNARY)}", UNARY)
    return None


Handler = Callable[[Node, list[Text], Scope], Text | None]


def _getattr(node: Node, args: list[Text], scope: Scope) -> Text:
    attr = node.args[1].const
    dotted = args[0].dot(attr)
    if dotted is not None:
        return Text(dotted)
    if attr.isdigit():
        return Text(f"{args[0].at(ATOM)}._modules[{attr!r}]")
    return Text(f"getattr({args[0].at(TERNARY)}, {attr!r})")


def _getitem(node: Node, args: list[Text], scope: Scope) -> Text:
    return Text(f"{args[0].at(ATOM)}[{index_text(args[1], node.args[1], scope)}]")


def _sequence(opening: str, closing: str, empty: str) -> Handler:
    def handler(node: Node, args: list[Text], scope: Scope) -> Text:
        if not args:
            return Text(empty)
        comma = "," if opening == "(" and len(args) == 1 else ""
        return Text(f"{opening}{', '.join(a.at(TERNARY) for a in args)}{comma}{closing}")

    return handler


def _dict(node: Node, args: list[Text], scope: Scope) -> Text:
    return Text(f"{{{', '.join(f'{k.at(TERNARY)}: {v.at(TERNARY)}' for k, v in zip(args[::2], args[1::2]))}}}")


def _method(node: Node, args: list[Text], scope: Scope) -> Text:
    names = node.args[2].const
    dotted = args[0].dot(node.args[1].const)
    assert dotted is not None, "methods are named by syntax"
    return call_text(dotted, names, args[3:])


def _call(node: Node, args: list[Text], scope: Scope) -> Text:
    return call_text(args[0].at(ATOM), node.args[1].const, args[2:])


def _function(name: str) -> Handler:
    def handler(node: Node, args: list[Text], scope: Scope) -> Text:
        given = list(args)
        if name == "range" and _is(node.args[2], 1):
            given = given[:2]
            if _is(node.args[0], 0):
                given = given[1:]
        if name == "sum" and _is(node.args[1], 0):
            given = given[:1]
        return Text(f"{name}({', '.join(a.at(TERNARY) for a in given)})")

    return handler


def _is(v: Value, constant: Any) -> bool:
    return v.is_const and same(v.const, constant)


def _round(node: Node, args: list[Text], scope: Scope) -> Text:
    given = args[:1] if _is(node.args[1], None) else args
    return Text(f"round({', '.join(a.at(TERNARY) for a in given)})")


def _not(node: Node, args: list[Text], scope: Scope) -> Text:
    return Text(f"not {truth(args[0]).at(NOT)}", NOT, negated=truth(args[0]))


def truth(t: Text) -> Text:
    """What may stand for a text where only the truth value matters."""
    return t if t.truth is None else t.truth


def _bool(node: Node, args: list[Text], scope: Scope) -> Text:
    return Text(f"bool({args[0].at(TERNARY)})", ATOM, truth=truth(args[0]))


def _contains(node: Node, args: list[Text], scope: Scope) -> Text:
    return Text(f"{args[1].at(BITOR)} in {args[0].at(BITOR)}", COMPARE)


def _format(node: Node, args: list[Text], scope: Scope) -> Text:
    conversion, spec = node.args[1].const, args[2]
    value = args[0].at(TERNARY)
    if conversion:
        value = f"{ {'s': 'str', 'r': 'repr', 'a': 'ascii'}[conversion] }({value})"
    return Text(f"format({value}, {spec.at(TERNARY)})" if not _is(node.args[2], "") else f"format({value})")


def _concat(node: Node, args: list[Text], scope: Scope) -> Text:
    """An f-string where its parts fit into one, `"".join` otherwise."""
    text = ""
    for value, arg in zip(node.args, args):
        if value.is_const:
            text += _literal(value.const)
            continue
        inner = value.node
        if inner is None or inner.op.name != "py.format" or not arg.text.startswith("format("):
            text += "\0"
            continue
        spec = inner.args[2]
        parts = split(arg.text[7:-1])
        shown = parts[0]
        if any(c in shown for c in '"\\{}!#\n') or not spec.is_const or any(c in spec.const for c in "\"'\\{}\n"):
            text += "\0"
            continue
        conversion = inner.args[1].const
        if conversion:
            shown = shown[shown.index("(") + 1 : -1]
        text += f"{{{shown}{'!' + conversion if conversion else ''}{':' + spec.const if spec.const else ''}}}"
    if "\0" not in text:
        return Text(f'f"{text}"')
    return Text(f"''.join([{', '.join(a.at(TERNARY) for a in args)}])")


def _literal(text: Any) -> str:
    """Constant text inside an f-string; a NUL where it cannot be said there."""
    if not isinstance(text, str) or "\0" in text:
        return "\0"
    body = repr(text)[1:-1]
    if repr(text)[0] == "'":
        body = body.replace('"', '\\"').replace("\\'", "'")
    return body.replace("{", "{{").replace("}", "}}")


def _global(node: Node, args: list[Text], scope: Scope) -> Text:
    name, function = node.args[0].const, node.args[1].const
    names = function.__globals__
    dictionary = scope.bind(names, "g")
    return Text(f"{dictionary}[{name!r}]" if name in names else f"_global({dictionary}, {name!r})")


def _closure(node: Node, args: list[Text], scope: Scope) -> Text:
    name, function = node.args[0].const, node.args[1].const
    cell = function.__closure__[function.__code__.co_freevars.index(name)]
    where = scope.bind(cell, f"cell_{name}")
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return Text(f"_closure({where}, {name!r})")
    return Text(f"{where}.cell_contents")


def _load(node: Node, args: list[Text], scope: Scope) -> Text:
    return Text(f"_content({args[0].text})")


def _bound(node: Node, args: list[Text], scope: Scope) -> Text:
    free = ", True" if len(node.args) > 3 and _is(node.args[3], True) else ""
    value, name, has = args[0], args[1].text, args[2]
    if _is(node.args[2], False):
        return Text(f"_unbound({name}{free})")
    if value.text.isidentifier():
        return Text(f"{value.text} if {truth(has).at(OR)} else _unbound({name}{free})", TERNARY)
    return Text(f"_bound({value.at(TERNARY)}, {name}, {has.at(TERNARY)}{free})")


_PY: dict[str, Handler] = {
    **{f"py.{name}": _function(name) for name in _FUNCTIONS},
    "py.getattr": _getattr,
    "py.getitem": _getitem,
    "py.list": _sequence("[", "]", "[]"),
    "py.tuple": _sequence("(", ")", "()"),
    "py.set": _sequence("{", "}", "set()"),
    "py.dict": _dict,
    "py.method": _method,
    "py.call": _call,
    "py.round": _round,
    "py.not": _not,
    "py.bool": _bool,
    "py.contains": _contains,
    "py.format": _format,
    "py.concat": _concat,
    "py.iter_list": _function("list"),
    "py.spread": lambda node, args, scope: Text(f"[*{args[0].at(BITOR)}]"),
    "py.spread_dict": lambda node, args, scope: Text(f"{{**{args[0].at(BITOR)}}}"),
    "py.global": _global,
    "py.closure": _closure,
    "py.bound": _bound,
    "py.load": _load,
}
