"""Where the program first made something of its inputs: the places that guards on arguments show.

Enters: every op that the specializer meets, with its arguments and its place. Leaves: a text per input and aspect,
`matmul at net.py:41`.
Invariant: views are looked through: what counts is the op that computes with the data, except for the rank (indexing
reads it) and for sizes (so does reading `x.shape[d]`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specjit.ir.graph import Location, Value
from specjit.specialize.abstract import Known, each_value

LOOKS = "look"  # views and the like, which read a tensor's layout only
VALUE = "value"


class Origins:
    """First uses of values. `root` gives the value whose storage a view shares."""

    def __init__(self, root: Callable[[Value], Value]) -> None:
        self._root = root
        self._same: dict[Value, Value] = {}
        self._first: dict[tuple[Value, Any], tuple[int, str]] = {}

    def same(self, param: Value, outer: Value) -> None:
        """A block's parameter starts as this value from outside."""
        self._same[param] = outer

    def note(self, op: Any, args: list[Any], loc: Location | None) -> None:
        """`op` at `loc` uses `args` (abstract values)."""
        if loc is None:
            return
        if op.name == "size":
            aspect: Any = args[1].value if isinstance(args[1], Known) else LOOKS
        else:
            aspect = VALUE if op.traits.view_of is None else LOOKS
        text = f"{op.name.removeprefix('py.')} at {loc.user}"

        def use(v: Value) -> None:
            self._first.setdefault((self.source(v), aspect), (len(self._first), text))

        for a in args:
            each_value(a, use)

    def of(self, value: Value | None, *aspects: Any, default: str) -> str:
        """The first use in one of these aspects, else any, else `default`."""
        if value is None:
            return default
        wanted = [self._first[value, a] for a in aspects if (value, a) in self._first]
        return min(wanted or [use for (v, _), use in self._first.items() if v is value] or [(0, default)])[1]

    def source(self, v: Value) -> Value:
        """The value that holds the storage of `v`, or that a loop started with in its place."""
        v = self._root(v)
        while v in self._same:
            v = self._root(self._same[v])
        return v
