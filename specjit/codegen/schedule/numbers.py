"""Python-number ops -> machine instructions, and numbers taken out of tensors.

Enters: `py.*` nodes on ints, floats and bools. Leaves: `Scalar`s: sizes stay expressions, other results are
registers.
Invariant: integer results are Python's or the region fails (OVERFLOW, ZERO_DIVISION); nothing wraps silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from specjit.codegen.abi import Status
from specjit.codegen.schedule.items import Check, Fetch, Instr, Reduce
from specjit.codegen.schedule.model import Reg, Scalar, Source, View
from specjit.ir.dims import Size

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder
    from specjit.ir.graph import Node

MAX_TERMS = 6


def size_of(s: Scalar) -> Size:
    """An int or bool as a size expression."""
    if isinstance(s.value, Reg):
        return s.value.size
    return int(s.value) if isinstance(s.value, bool) else s.value  # type: ignore[return-value]


def instr(b: Builder, name: str, kind: str, *args: Scalar) -> Scalar:
    reg = b.new_reg(kind)
    b.add(Instr(name=name, args=list(args), target=reg))
    return Scalar(kind, reg)


def as_float(b: Builder, s: Scalar) -> Scalar:
    if s.kind == "float":
        return s
    if s.is_const:
        return Scalar("float", float(s.value))  # type: ignore[arg-type]
    return instr(b, "ITOF", "float", as_int(s))


def as_int(s: Scalar) -> Scalar:
    return s if s.kind == "int" else Scalar("int", int(s.value) if s.is_const else s.value)  # type: ignore[arg-type]


def as_bool(b: Builder, s: Scalar) -> Scalar:
    if s.kind == "bool":
        return s
    if s.is_const:
        return Scalar("bool", bool(s.value))
    if s.kind == "float":
        return instr(b, "FNE", "bool", s, Scalar("float", 0.0))
    return instr(b, "NE", "bool", s, Scalar("int", 0))


def _operands(b: Builder, n: Node) -> tuple[Scalar, Scalar]:
    x, y = b.scalar(n.args[0]), b.scalar(n.args[1])
    if "float" in (x.kind, y.kind):
        return as_float(b, x), as_float(b, y)
    return as_int(x), as_int(y)


def arithmetic(name: str, fold: Callable[[Any, Any], Any]) -> Callable[[Builder, Node], None]:
    """+ - *: sizes stay expressions while they are short."""

    def rule(b: Builder, n: Node) -> None:
        x, y = _operands(b, n)
        if x.kind == "float":
            result = (
                Scalar("float", fold(x.value, y.value))
                if x.is_const and y.is_const
                else instr(b, "F" + name, "float", x, y)
            )
        else:
            size = fold(size_of(x), size_of(y))
            short = isinstance(size, int) or (len(size.terms) <= MAX_TERMS and all(len(m) <= 3 for m in size.terms))
            result = Scalar("int", size) if short else instr(b, name, "int", x, y)
        b.bind(n, result)

    return rule


def truediv(b: Builder, n: Node) -> None:
    x, y = b.scalar(n.args[0]), b.scalar(n.args[1])
    if "float" not in (x.kind, y.kind):
        for s in (x, y):
            if not s.is_const:
                _exact_as_float(b, s)
    b.bind(n, instr(b, "FDIV", "float", as_float(b, x), as_float(b, y)))


def _exact_as_float(b: Builder, s: Scalar) -> None:
    """Python divides big integers with one rounding; ours are exact as doubles or the region fails."""
    limit = Scalar("int", 1 << 53)
    for name, args in (("LE", (s, limit)), ("LE", (Scalar("int", -(1 << 53)), s))):
        b.add(Check(cond=instr(b, name, "bool", *(as_int(a) for a in args)), status=Status.OVERFLOW))


def integer_division(name: str) -> Callable[[Builder, Node], None]:
    def rule(b: Builder, n: Node) -> None:
        x, y = _operands(b, n)
        if x.kind == "float":
            raise b.fail("floor division of floats")
        b.bind(n, instr(b, name, "int", x, y))

    return rule


def comparison(name: str, swap: bool) -> Callable[[Builder, Node], None]:
    def rule(b: Builder, n: Node) -> None:
        x, y = _operands(b, n)
        x, y = (y, x) if swap else (x, y)
        b.bind(n, instr(b, ("F" if x.kind == "float" else "") + name, "bool", x, y))

    return rule


def negate(b: Builder, n: Node) -> None:
    x = b.scalar(n.args[0])
    if x.kind == "float":
        b.bind(n, Scalar("float", -x.value) if x.is_const else instr(b, "FNEG", "float", x))  # type: ignore[operator]
    else:
        b.bind(n, Scalar("int", -size_of(as_int(x))))


def invert_truth(b: Builder, n: Node) -> None:
    x = truth(b, n)
    b.bind(n, Scalar("bool", not x.value) if x.is_const else instr(b, "NOT", "bool", x))


def truth(b: Builder, n: Node) -> Scalar:
    found = b.get(n.args[0])
    return as_bool(b, fetch(b, found, "bool") if isinstance(found, View) else b.scalar(n.args[0]))


def extreme(name: str) -> Callable[[Builder, Node], None]:
    def rule(b: Builder, n: Node) -> None:
        values = [b.scalar(a) for a in n.args]
        if len(values) < 2 or any(v.kind != "int" for v in values):
            raise b.fail("only the extreme of several ints lowers")
        out = values[0]
        for v in values[1:]:
            out = instr(b, name, "int", out, v)
        b.bind(n, out)

    return rule


def fetch(b: Builder, view: View, kind: str) -> Scalar:
    """The Python number in a one-element tensor."""
    if any(d != 1 for d in view.dims):
        raise b.fail("a tensor of several elements as a number")
    dtype = view.source.dtype
    own = "float" if dtype in ("f32", "f64") else "bool" if dtype == "bool" else "int"
    reg = b.new_reg(own)
    b.add(Fetch(arg=view, target=reg))
    found = Scalar(own, reg)
    if kind == "bool":
        return as_bool(b, found)
    if kind == "float":
        return as_float(b, found)
    if kind == "int" and own == "float":
        raise b.fail("a float tensor as an int")
    return as_int(found) if kind == "int" else found


def check_all(b: Builder, truth: Source, status: Status) -> None:
    """Leave the region unless all elements are True."""
    every = truth
    if truth.dims:
        every = Source("bool", ())
        axes = tuple(range(len(truth.dims)))
        b.add(Reduce(out=every, kind="all", arg=truth.whole(), axes=axes, compute="bool"))
    b.add(Check(cond=fetch(b, every.whole(), "bool"), status=status))


def convert(kind: str) -> Callable[[Builder, Node], None]:
    def rule(b: Builder, n: Node) -> None:
        found = b.get(n.args[0])
        if isinstance(found, View):
            b.bind(n, fetch(b, found, kind))
            return
        s = b.scalar(n.args[0])
        if kind == "bool":
            b.bind(n, as_bool(b, s))
        elif kind == "float":
            b.bind(n, as_float(b, s))
        elif s.kind == "float":
            raise b.fail("a float as an int")
        else:
            b.bind(n, as_int(s))

    return rule


def item(b: Builder, n: Node) -> None:
    b.bind(n, fetch(b, b.tensor(n.args[0]), ""))


def pick(b: Builder, n: Node) -> None:
    """An item of a list or tuple whose length is known."""
    items, index = b.get(n.args[0]), b.scalar(n.args[1])
    if not isinstance(items, list) or not isinstance(index.value, int):
        raise b.fail("only a list of known length with a constant index lowers")
    try:
        b.bind(n, items[index.value])
    except IndexError as error:
        raise b.fail(str(error)) from error


def unpack(b: Builder, n: Node) -> None:
    items = b.get(n.args[0])
    if not isinstance(items, list):
        raise b.fail("only a list of known length lowers")
    b.bind(n, items)


def logic(name: str) -> Callable[[Builder, Node], None]:
    """`&` and `|` of two bools."""

    def rule(b: Builder, n: Node) -> None:
        x, y = b.scalar(n.args[0]), b.scalar(n.args[1])
        if (x.kind, y.kind) != ("bool", "bool"):
            raise b.fail(f"its operands are {x.kind} and {y.kind}")
        b.bind(n, instr(b, name, "bool", x, y))

    return rule


def check(status: Status) -> Callable[[Builder, Node], None]:
    """Leave the region with this status unless the argument is true."""

    def rule(b: Builder, n: Node) -> None:
        b.add(Check(cond=truth(b, n), status=status))

    return rule


def size(b: Builder, n: Node) -> None:
    view, dim = b.tensor(n.args[0]), b.scalar(n.args[1])
    if not isinstance(dim.value, int):
        raise b.fail("the dimension is not constant")
    b.bind(n, Scalar("int", view.dims[view.ref.axis(dim.value)]))


RULES: dict[str, Callable[[Builder, Node], None]] = {
    "py.add": arithmetic("ADD", lambda a, c: a + c),
    "py.sub": arithmetic("SUB", lambda a, c: a - c),
    "py.mul": arithmetic("MUL", lambda a, c: a * c),
    "py.truediv": truediv,
    "py.floordiv": integer_division("FLOORDIV"),
    "py.mod": integer_division("MOD"),
    "py.lt": comparison("LT", False),
    "py.le": comparison("LE", False),
    "py.gt": comparison("LT", True),
    "py.ge": comparison("LE", True),
    "py.eq": comparison("EQ", False),
    "py.ne": comparison("NE", False),
    "py.neg": negate,
    "py.not": invert_truth,
    "py.bool": convert("bool"),
    "py.int": convert("int"),
    "py.float": convert("float"),
    "py.min": extreme("MIN"),
    "py.max": extreme("MAX"),
    "py.getitem": pick,
    "py.unpack": unpack,
    "py.and": logic("AND"),
    "py.or": logic("OR"),
    "py.assert": check(Status.ASSERT),
    "py.room": check(Status.ROOM),
    "item": item,
    "size": size,
}
