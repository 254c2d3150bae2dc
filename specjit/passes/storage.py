"""What functionalization knows of a storage: its names, and its present content.

Invariant: a `Root` is one storage in every run; two roots never share.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from specjit.ir.graph import Value
from specjit.passes.paths import Step, keeps_row_major


@dataclass(eq=False)
class Root:
    """One storage. row_major: its layout is known; leaf: it requires grad and comes of nothing; barred: why it must
    not be written any more; lost: why it must not even be read any more."""

    row_major: bool = False
    leaf: bool = False
    barred: str = ""
    lost: str = ""
    partners: list[Root] = field(default_factory=list)


@dataclass(frozen=True)
class Now:
    """The present content of a storage: `value`, all of it, in the new graph; `epoch` differs for different contents.
    saved: a backward pass will read it."""

    value: Value
    epoch: int
    saved: bool = False

    def kept(self) -> Now:
        return replace(self, saved=True)


@dataclass(frozen=True)
class Member:
    """A name of a storage: the views by which it was made."""

    root: Root
    steps: tuple[Step, ...] = ()

    @property
    def row_major(self) -> bool:
        return self.root.row_major and all(keeps_row_major(s.op) for s in self.steps)
