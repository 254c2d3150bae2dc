"""The options of `optimize`, checked.

Enters: keyword arguments. Leaves: `Options`, or ValueError with what the option may be. Invariant: an `Options` is
valid, and `Options(**o.to_dict())` equals it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Dynamic = Literal["auto", True, False]
Numerics = Literal["exact", "fast"]


class OptionValues(TypedDict, total=False):
    """The options by name, for type checkers."""

    warmup: int
    dynamic: Dynamic
    max_specializations: int
    background: bool
    strict: bool
    numerics: Numerics
    name: str | None


@dataclass(kw_only=True, eq=False)
class Options:
    """The checked options of `optimize`."""

    warmup: int = 3
    dynamic: Dynamic = "auto"
    max_specializations: int = 8
    background: bool = True
    strict: bool = False
    numerics: Numerics = "exact"
    name: str | None = None
    scripting: bool = False  # of jit.script: captured strictly, and never run as plain Python instead

    def __post_init__(self) -> None:
        if type(self.warmup) is not int or self.warmup < 0:
            raise ValueError(f"warmup is a number of calls >= 0, got {self.warmup!r}")
        if self.dynamic not in ("auto", True, False):
            raise ValueError(
                f"dynamic is 'auto', True (all sizes symbolic) or False (all sizes constant), got {self.dynamic!r}"
            )
        if type(self.max_specializations) is not int or self.max_specializations < 1:
            raise ValueError(f"max_specializations is a number >= 1, got {self.max_specializations!r}")
        if self.numerics not in ("exact", "fast"):
            raise ValueError(f"numerics is 'exact' or 'fast', got {self.numerics!r}")
        self.background = bool(self.background)
        self.strict = bool(self.strict)

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)
