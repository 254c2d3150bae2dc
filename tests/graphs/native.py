"""Random graphs with their regions compiled: the whole road from a graph to machine code.

Enters: a library of kernels. Leaves: a `Way` for `tests.graphs.check`; and which graphs are cheap to compile.
"""

from __future__ import annotations

import ctypes

import numpy as np

from specjit.codegen.abi import BUDGET, Status
from specjit.codegen.loader import KernelLibrary
from specjit.codegen.machine.native import machine
from specjit.codegen.schedule import RegionPlan
from specjit.codegen.schedule.interp import Runner
from specjit.ir.graph import Graph
from tests.graphs.check import PLANNED, Way
from tests.graphs.planned import Planned

TURNS = 3  # of loops, before the machine yields: programs are left and entered again in the middle


def native_runner(library: KernelLibrary) -> Runner:
    """Runs a plan's program on the native machine, its kernels compiled."""
    loaded = machine(library)
    enter = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(loaded.address)

    def run(plan: RegionPlan, frame: np.ndarray) -> Status:
        code = plan.code(library.get_many([*zip(plan.kernels, plan.hints)]))
        frame[BUDGET] = TURNS
        status = enter(code.words.ctypes.data, frame.ctypes.data)
        assert loaded.address, "the machine is unloaded with its last reference"
        return Status(status)

    return run


def compiled(library: KernelLibrary) -> Way:
    """Planned regions, run natively."""
    run = native_runner(library)
    return Way("compiled", lambda graph: Planned(graph, run).run)


def kernels_of(graph: Graph) -> set[str]:
    """The sources of the kernels that the graph's regions need."""
    planned = Planned(PLANNED.optimized(graph))
    return {source for plan, _ in planned.plans.values() for source in plan.kernels}
