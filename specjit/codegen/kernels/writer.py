"""Writing kernel source: indented lines, sizes, addresses, and the instructions of a body as statements.

Enters: the pieces of a spec. Leaves: Python text in the vocabulary of `simd`, `vecmath`, `tiles` and `philox`.
Invariant: the text depends on nothing but the spec and the lane counts, and names nothing but the frame, the operands
and the vocabulary.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from specjit.codegen.kernels.spec import Access, Arg, DTypeName, Extent, Inst
from specjit.codegen.vectors.lanes import FLOATS, ITEMSIZE

# Functions that take tens of machine instructions.
HEAVY = frozenset(
    ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sigmoid", "tanh", "sinh", "cosh", "pow", "sin", "cos")
    + ("tan", "erf", "fmod")
)


@dataclass(frozen=True)
class Size:
    """A product: a number times the integers in some operands' slots."""

    factor: int
    args: tuple[int, ...] = ()

    @staticmethod
    def of(extent: Extent | Size) -> Size:
        if isinstance(extent, Size):
            return extent
        return Size(1, (extent.index,)) if isinstance(extent, Arg) else Size(extent)

    def __mul__(self, other: Extent | Size) -> Size:
        other = Size.of(other)
        if not (self.factor and other.factor):
            return Size(0)
        return Size(self.factor * other.factor, tuple(sorted(self.args + other.args)))

    @property
    def fixed(self) -> int | None:
        """The number, when it is known."""
        return None if self.args else self.factor

    def __str__(self) -> str:
        names = [f"n{a}" for a in self.args]
        if self.factor != 1 or not names:
            names.append(str(self.factor))
        return " * ".join(names)


class Writer:
    """Lines of a function body under construction."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 1

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.line(head)
        self.depth += 1
        yield
        self.depth -= 1


def add(*terms: str) -> str:
    return " + ".join(t for t in terms if t != "0") or "0"


def times(name: str, size: Size) -> str:
    """name * size as text, "0" when nothing is left."""
    if size.factor == 0 or name == "0":
        return "0"
    return name if size == Size(1) else f"{name} * {size}"


def parenthesized(text: str) -> str:
    return text if text.replace("_", "").isalnum() or text[0] == "(" else f"({text})"


def product(name: str, factor: str) -> str:
    """name * factor as text, "0" when either is."""
    if name == "0" or factor == "0":
        return "0"
    return f"{parenthesized(name)} * {parenthesized(factor)}"


def address(access: Access, position: Iterable[tuple[str, Extent]]) -> str:
    """The address of an element: `position` pairs an index's text with the stride of its dimension."""
    item = ITEMSIZE[access.dtype]
    offset = Size.of(access.offset) * item
    terms = [times(index, Size.of(stride) * item) for index, stride in position]
    return add(f"x{access.base}", str(offset), *terms)


def class_name(dtype: str) -> str:
    return dtype.upper()


def literal(value: float | int | bool | None, dtype: str) -> str:
    if dtype == "bool":
        return "True" if value else "False"
    if dtype not in FLOATS:
        return str(int(value or 0))
    number = float(value or 0.0) if value is not None else 0.0
    if math.isnan(number):
        return "math.nan"
    if math.isinf(number):
        return "math.inf" if number > 0 else "-math.inf"
    return repr(number)


def statement(inst: Inst, name: str, args: list[str]) -> str:
    """The statement of an instruction that reads no memory (const, scalar, apply, cast)."""
    cls = class_name(inst.dtype)
    if inst.kind == "const":
        return f"{name} = simd.splat({cls}, {literal(inst.value, inst.dtype)})"
    if inst.kind == "scalar":
        slot = f"frame[ops[{inst.operand}]]"
        if inst.dtype in FLOATS:
            return f"{name} = simd.splat_bits({cls}, {slot})"
        return f"{name} = simd.splat({cls}, {slot}{' != 0' if inst.dtype == 'bool' else ''})"
    if inst.kind == "cast":
        return f"{name} = simd.cast({cls}, {args[0]})"
    return f"{name} = {inst.text.format(*args)}"


def is_heavy(inst: Inst) -> bool:
    """Whether an instruction costs tens of machine instructions."""
    if inst.kind != "apply":
        return False
    return "//" in inst.text or "%" in inst.text or not HEAVY.isdisjoint(re.findall(r"\w+", inst.text))


def operands_of(extents: Iterable[Extent]) -> set[int]:
    return {e.index for e in extents if isinstance(e, Arg)}


def describe_extent(extent: Extent) -> str:
    return f"n{extent.index}" if isinstance(extent, Arg) else str(extent)


def describe_access(access: Access) -> str:
    strides = ", ".join(describe_extent(s) for s in access.strides)
    offset = "" if access.offset == 0 else f" + {describe_extent(access.offset)}"
    return f"{access.dtype} at x{access.base}{offset}, strides ({strides})"


def describe_body(body: tuple[Inst, ...]) -> list[str]:
    """One comment line per load and reduction of a body, for a kernel's header."""
    lines = []
    for i, inst in enumerate(body):
        if inst.kind == "load" and inst.access is not None:
            lines.append(f"#   v{i} = {describe_access(inst.access)}")
        elif inst.kind == "reduce":
            lines.append(f"#   v{i} = {inst.text} of v{inst.args[0]}")
    return lines


def prologue(extents: Iterable[Extent], bases: Iterable[int]) -> list[str]:
    """Statements that read sizes and addresses from the frame."""
    lines = [f"n{i} = frame[ops[{i}]]" for i in sorted(operands_of(extents))]
    return lines + [f"x{b} = frame[ops[{b}]]" for b in sorted(set(bases))]


def module_text(header: list[str], classes: Mapping[DTypeName, int], globals_: list[str], body: list[str]) -> str:
    """The whole source file of a kernel. `classes` maps each dtype in use to its lane count."""
    tops = [f'{class_name(d)} = simd.vector("{d}", {n})' for d, n in sorted(classes.items())]
    return "\n".join([*header, "", *tops, *globals_, "", "", "def kernel(frame, ops):", *body, "    return 0", ""])
