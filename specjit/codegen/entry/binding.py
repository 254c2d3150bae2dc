"""The way in from Python: `bind` checks a call's objects and fills the frame, `run` runs the machine on it.

Enters: a `KernelLibrary` and the classes whose slots guards will read. Leaves: an `Entry`, native where the layout of
this interpreter is one we have verified, plain Python and ctypes where it is not.
Invariant: both kinds give the same results and the same frames (`tests/codegen/test_entry.py`); a table handle belongs
to the kind that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from specjit import locks
from specjit.codegen import loader
from specjit.codegen.entry import layout
from specjit.codegen.entry import native as entry_native
from specjit.codegen.entry import plain as entry_plain
from specjit.codegen.entry.guard_table import GuardTable
from specjit.codegen.entry.output_table import OutputTable
from specjit.codegen.loader import KernelLibrary
from specjit.codegen.machine.native import machine


class Entry(NamedTuple):
    """How generated code enters native regions.

    bind(frame, guards, *objects) -> int
        0: every guard holds, and the frame is filled. i + 1: object i is the first that fails, and the frame's free
        slots hold anything. Sets frame[PC] = 0. Never raises.
    run(frame, code, outputs, *arrays) -> int
        A `Status`. Puts the arrays' data addresses in the frame, gives the machine its budget and runs it from
        frame[PC]. After YIELD or GROW, call again with the same arguments.
    address(array) -> int
        The data address of an exact ndarray, 0 for anything else.

    `frame` and `code` are int64 arrays; `guards` and `outputs` are handles from `guards()` and `outputs()`.
    """

    bind: Callable[..., int]
    run: Callable[..., int]
    address: Callable[[np.ndarray], int]
    native: bool
    layout: layout.Layout | None

    def guards(self, table: GuardTable) -> Any:
        """The handle of a guard table. Keep the table as long: it holds the objects that are compared with."""
        return table.encode(self.layout) if self.native and self.layout else table

    def outputs(self, table: OutputTable) -> Any:
        """The handle of an output table."""
        return table.encode() if self.native else table


def make_entry(library: KernelLibrary, slots: Iterable[tuple[type, str]] = (), plain: bool = False) -> Entry:
    """An entry. `slots` lists every (class, slot name) that guards will read; it is plain if one has no fixed place."""
    code = machine(library)
    known = None if plain else layout.probe()
    if known is not None:
        try:
            for cls, name in slots:
                layout.slot_offset(cls, name, known)
        except layout.LayoutError:
            known = None
    if known is None:
        return Entry(entry_plain.bind, entry_plain.make_run(code), entry_plain.address, False, None)
    bind, run, address = entry_native.make(library, known, code)
    return Entry(bind, run, address, True, known)


_lock = locks.lock()
_entry: Entry | None = None


def entry(slots: Iterable[tuple[type, str]] = ()) -> Entry:
    """The process's entry, made at the first call (whose `slots` count)."""
    global _entry
    with _lock:
        if _entry is None:
            _entry = make_entry(loader.library(), slots)
        return _entry
