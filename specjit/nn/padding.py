"""Padding layers: `F.pad` with fixed amounts.

Enters: an int, or the amounts before and after each dim, last dim first. Leaves: modules without parameters.
"""

from __future__ import annotations

from typing import Any

from specjit.nn import functional as F
from specjit.nn.module import Module


class _Pad(Module):
    """`dims` padded dims; `mode` of F.pad."""

    dims = 0
    mode = ""

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.dims) if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """`value` around the last dim."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """`value` around the last two dims."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """`value` around the last three dims."""

    dims = 3


class ZeroPad1d(_ZeroPad):
    """Zeros around the last dim."""

    dims = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two dims."""

    dims = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three dims."""

    dims = 3


class ReflectionPad1d(_Pad):
    """The last dim mirrored at its edges."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The last two dims mirrored at their edges."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The last three dims mirrored at their edges."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The edges of the last dim repeated."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The edges of the last two dims repeated."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The edges of the last three dims repeated."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The last dim continued from its other end."""

    dims, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The last two dims continued from their other ends."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The last three dims continued from their other ends."""

    dims, mode = 3, "circular"
