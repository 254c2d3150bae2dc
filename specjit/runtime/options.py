"""The options of `optimize`, checked.

Enters: keyword arguments. Leaves: `Options`, or ValueError with what the option may be. Invariant: an `Options` is
valid, and `Options(**o.to_dict())` equals it.
"""

from __future__ import annotations

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


class Options:
    """The checked options of `optimize`."""

    def __init__(
        self,
        *,
        warmup: int = 3,
        dynamic: Dynamic = "auto",
        max_specializations: int = 8,
        background: bool = True,
        strict: bool = False,
        numerics: Numerics = "exact",
        name: str | None = None,
    ) -> None:
        if type(warmup) is not int or warmup < 0:
            raise ValueError(f"warmup is a number of calls >= 0, got {warmup!r}")
        if dynamic not in ("auto", True, False):
            raise ValueError(
                f"dynamic is 'auto', True (all sizes symbolic) or False (all sizes constant), got {dynamic!r}"
            )
        if type(max_specializations) is not int or max_specializations < 1:
            raise ValueError(f"max_specializations is a number >= 1, got {max_specializations!r}")
        if numerics not in ("exact", "fast"):
            raise ValueError(f"numerics is 'exact' or 'fast', got {numerics!r}")
        self.warmup = warmup
        self.dynamic = dynamic
        self.max_specializations = max_specializations
        self.background = bool(background)
        self.strict = bool(strict)
        self.numerics = numerics
        self.name = name

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)
