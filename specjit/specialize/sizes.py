"""Sizes as run-time numbers.

Enters: a size, which may be an expression over the symbols of the program's arguments. Leaves: an abstract int of that
value, wherever the program is.
Invariant: the int is computed from arguments alone, so it is there in every block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit.ir.dims import Dim, symbol, terms_of
from specjit.ir.graph import Value
from specjit.specialize.abstract import Abstract, Known, each_value

if TYPE_CHECKING:
    from specjit.specialize.specializer import Specializer


class Sizes:
    """The sizes that the arguments of a program have."""

    def __init__(self, spec: Specializer) -> None:
        self.spec = spec
        self._inputs: list[Value] = []

    def enter(self, inputs: list[Abstract]) -> None:
        for a in inputs:
            each_value(a, self._inputs.append)

    def value(self, dim: Dim) -> Any:
        """An abstract int; None if the size is not known before the program runs."""
        if dim is None or isinstance(dim, int):
            return None if dim is None else Known(dim)
        found = self._read(dim)
        if found is not None:
            return found
        total: Any = Known(0)
        for mono, coefficient in terms_of(dim).items():
            product: Any = Known(coefficient)
            for name in mono:
                factor = self._read(symbol(name))
                if factor is None:
                    return None
                product = self.spec.call("py.mul", product, factor)
            total = self.spec.call("py.add", total, product)
        return total

    def _read(self, dim: Dim) -> Any:
        for v in self._inputs:
            if v.type.kind == "int" and v.type.dim == dim:
                return v
            if v.type.is_tensor and dim in (v.type.dims or ()):
                return self.spec.call("size", v, (v.type.dims or ()).index(dim))
        return None
