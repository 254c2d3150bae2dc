"""How a region is run: where its outputs' addresses go, how long before it yields, and whether others may run
meanwhile.

Enters: the scheduler's choice. Leaves: `encode()` for the native entry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specjit.codegen.machine.instructions import Words

RELEASE_GIL = 1


@dataclass(frozen=True)
class OutputTable:
    """Array i given to `run` has its data address put into `slots[i]` of the frame (None leaves the slot alone).

    budget       work units per run before the machine yields (CONTRACTS: ENDL)
    release_gil  let other Python threads run while the machine does; costs 0.1 us, so only for work that is worth it
    """

    slots: tuple[int, ...] = ()
    budget: int = 1 << 40
    release_gil: bool = False

    def encode(self) -> Words:
        """(flags, budget, number of slots, slots)."""
        flags = RELEASE_GIL if self.release_gil else 0
        return np.array([flags, self.budget, len(self.slots), *self.slots], np.int64)
