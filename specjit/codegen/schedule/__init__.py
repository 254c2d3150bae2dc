"""From a typed block to kernels, a frame and a machine program.

Enters: the block of a region in typed form (every tensor has a dtype and dims) and what the caller knows of its
inputs.
Leaves: `RegionPlan` (`plan.py`): kernel sources, the program that calls them, and how inputs, outputs and workspace
are bound. The road: `build` (ops become array computations and scalar instructions) -> `fuse` (computations become
groups, one kernel each) -> `emit` (groups become kernel specs) -> `lower_loop` (carried storage) -> `spread` (products
that loops take along) -> `memory` -> `code`.
Invariant: nothing here knows a model; every decision follows from shapes, uses and index maps.
"""

from specjit.codegen.schedule.errors import NotSchedulable
from specjit.codegen.schedule.plan import OutputPlan, RegionPlan, StoragePlan

__all__ = ["NotSchedulable", "OutputPlan", "RegionPlan", "StoragePlan", "schedule"]


def schedule(*args: object, **named: object) -> RegionPlan:
    """Plan one region: see `driver.schedule`."""
    from specjit.codegen.schedule.driver import schedule as run

    return run(*args, **named)  # type: ignore[arg-type]
