"""A run of native code that draws from the default generator.

Enters: what the runs of a code take, and the lines of its generated call that run it. Leaves: those lines with the
generator's part around them: the frame gets the key and the first free block, a run that succeeds counts as drawn, one
that fails has drawn nothing.
Invariant: no two runs get the same block. Where the amount is known before, the range is reserved at once and threads
run side by side; else nobody else draws meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from specjit.ir.dims import Size
from specjit.passes.draws import Taken, blocks_taken
from specjit.tensor.random import default_generator


@dataclass(frozen=True)
class Draws:
    """taken    what every run takes; None: it takes the blocks before the one that output `end` of the plan names"""

    taken: list[Taken] | None
    end: int = -1

    def around(self, run: str, plan: Any, size: Callable[[Size], str], names: dict[str, Any]) -> list[str]:
        """Lines that set `status`, `seed` and `first`. The last two inputs of the plan are the key and the first
        block."""
        names["generator"] = default_generator
        given = [
            f"frame[{i.slot}] = {name}"
            for i, name in zip(plan.inputs[-2:], ("seed", "first"), strict=True)
            if i.slot is not None
        ]
        if self.taken is not None:
            reserved = [f"count = {blocks_taken(self.taken, size)}", "seed, first = generator.reserve_blocks(count)"]
            return [*reserved, *given, *until_done(run, "generator.give_back(seed, first, count)")]
        body = ["seed, first = held.seed, held.first", *given, *until_done(run)]
        body.append(f"held.take_up_to(int(frame[{plan.outputs[self.end].slot}]))")
        return ["with generator.held() as held:", *(f"    {line}" for line in body)]


def until_done(run: str, *undo: str) -> list[str]:
    """Lines that run the machine until it ends, growing its workspace as it asks; on a failure they `undo`."""
    lines = [f"status = {run}", "while status:", "    if status == 2: f.grow()", "    elif status != 1:"]
    lines += [f"        {line}" for line in (*undo, "pool.append(f)", "return Failed(status)")]
    return [*lines, f"    status = {run}"]
