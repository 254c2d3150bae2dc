"""Symbolic sizes: integers, or polynomials over named symbols.

Enters: ints, symbol names, arithmetic on dims.
Leaves: canonical values: a polynomial that is constant is a plain int, so `dim == 3` and hashing just work.
Invariant: two dims that are equal as polynomials with integer coefficients compare equal. What a polynomial cannot say
(floor division by something that does not divide) is None, "unknown", which every rule must accept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

Monomial = tuple[str, ...]  # sorted symbol names, repeated for powers; () is the constant term


class Poly:
    """A non-constant polynomial with integer coefficients over named sizes, such as `T*B + 1`."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms = dict(sorted(terms.items(), key=lambda kv: (-len(kv[0]), kv[0])))
        self._hash = hash(tuple(self.terms.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Poly) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Size) -> Size:
        return _combine(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Size) -> Size:
        return _combine(self, other, -1)

    def __rsub__(self, other: Size) -> Size:
        return _combine(_normal({(): other}) if isinstance(other, int) else other, self, -1)

    def __mul__(self, other: Size) -> Size:
        out: dict[Monomial, int] = {}
        for a, x in self.terms.items():
            for b, y in terms_of(other).items():
                key = tuple(sorted(a + b))
                out[key] = out.get(key, 0) + x * y
        return _normal(out)

    __rmul__ = __mul__

    def __neg__(self) -> Size:
        return self * -1

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The size for given symbol values; KeyError names a symbol that has none."""
        total = 0
        for mono, coef in self.terms.items():
            for name in mono:
                coef *= values[name]
            total += coef
        return total

    def symbols(self) -> frozenset[str]:
        return frozenset(name for mono in self.terms for name in mono)

    def __repr__(self) -> str:
        text = ""
        for mono, coef in self.terms.items():
            sign = "-" if coef < 0 else "+" if text else ""
            factors = [str(abs(coef))] if abs(coef) != 1 or not mono else []
            text += sign + "*".join([*factors, *mono])
        return text


Size = int | Poly
Dim = Size | None


def terms_of(size: Size) -> dict[Monomial, int]:
    """The coefficient of every product of symbols; of () the constant term."""
    return size.terms if isinstance(size, Poly) else {(): size}


def term(mono: Monomial, coefficient: int) -> Size:
    return _normal({mono: coefficient})


def _normal(terms: Mapping[Monomial, int]) -> Size:
    kept = {mono: coef for mono, coef in terms.items() if coef}
    if not kept:
        return 0
    if set(kept) == {()}:
        return kept[()]
    return Poly(kept)


def _combine(a: Size, b: Size, sign: int) -> Size:
    out = dict(terms_of(a))
    for mono, coef in terms_of(b).items():
        out[mono] = out.get(mono, 0) + sign * coef
    return _normal(out)


def least_for_one(size: Size) -> dict[str, int] | None:
    """Lower bounds of its symbols under which a size is at least 1; None where bounds of single symbols do not say
    so."""
    terms = dict(terms_of(size))
    constant = terms.pop((), 0)
    if any(coef < 0 for coef in terms.values()):
        return None
    if constant >= 1:
        return {}
    names = sorted({name for mono in terms for name in mono})
    if sum(terms.values()) + constant >= 1:
        return dict.fromkeys(names, 1)
    if len(terms) != 1 or len(next(iter(terms))) != 1:
        return None
    (coef,) = terms.values()
    return {names[0]: -((constant - 1) // coef)}


def least_for_ones(sizes: Iterable[Size]) -> dict[str, int]:
    """Lower bounds under which every size that has such bounds is at least 1."""
    out: dict[str, int] = {}
    for size in sizes:
        for name, least in (least_for_one(size) or {}).items():
            out[name] = max(least, out.get(name, 0))
    return out


def symbol(name: str) -> Poly:
    """The size called `name`."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ValueError(f"a symbol is an identifier, got {name!r}")
    return Poly({(name,): 1})


def parse(text: str) -> Dim:
    """Read what `str` of a dim printed; `?` is unknown."""
    text = text.strip().replace(" ", "")
    if text == "?":
        return None
    if not re.fullmatch(r"[+-]?[^+-]+([+-][^+-]+)*", text):
        raise ValueError(f"not a size: {text!r}")
    total: Size = 0
    for sign, term in re.findall(r"([+-]?)([^+-]+)", text):
        product: Size = -1 if sign == "-" else 1
        for factor in term.split("*"):
            product = product * (int(factor) if factor.isdigit() else symbol(factor))
        total = total + product
    return total


def show(dim: Dim) -> str:
    return "?" if dim is None else repr(dim)


def product(dims: tuple[Dim, ...] | list[Dim]) -> Dim:
    """Number of elements; unknown as soon as one dim is unknown (even beside a 0)."""
    total: Size = 1
    for dim in dims:
        if dim is None:
            return None
        total = total * dim
    return total


def divide(a: Dim, b: Dim) -> Dim:
    """a // b where the division is exact for every value of the symbols (or both are ints); otherwise unknown."""
    if a is None or b is None or b == 0:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    lead, factor = _leading(b)
    quotient, rest = dict[Monomial, int](), a
    while rest != 0:
        mono, coef = _leading(rest)
        left = Counter(mono)
        left.subtract(lead)
        if coef % factor or min(left.values(), default=0) < 0:
            return None
        term = tuple(sorted(left.elements()))
        quotient[term] = coef // factor
        rest = rest - _normal({term: coef // factor}) * b
    return _normal(quotient)


def _leading(size: Size) -> tuple[Monomial, int]:
    """The first term in an order that multiplication keeps (by degree, then by name): an exact division takes these
    apart one after another."""
    return next(iter(terms_of(size).items()))


def evaluate(dim: Size, values: Mapping[str, int]) -> int:
    return dim if isinstance(dim, int) else dim.evaluate(values)
