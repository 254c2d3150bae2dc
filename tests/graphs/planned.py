"""A graph as it runs natively, but with kernels in plain Python: regions are planned, and every plan is run by its
references.

Enters: an optimized graph. Leaves: `Planned`, whose `run` takes the graph's inputs. A region that leaves with a failure
status runs generically from the same inputs, as it does in a program; where it cannot be planned, or an input has
another layout than it was planned for, it runs generically too, and that is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from specjit import passes
from specjit.codegen import regions
from specjit.codegen.machine.instructions import verify
from specjit.codegen.schedule import NotSchedulable, RegionPlan, schedule
from specjit.codegen.schedule.interp import RegionFailed, Runner, bind_symbols
from specjit.codegen.schedule.interp import interpret as run_plan
from specjit.ir.dims import evaluate
from specjit.ir.graph import Block, Graph, Node, copy_block, copy_graph
from specjit.ir.structure import REGION
from specjit.passes import draws
from specjit.passes.autodiff.derivative import dissolve_grad_modes
from specjit.tensor.random import default_generator
from tests.graphs.rounding import Limited


class Planned:
    """Runs of one graph. `statuses` counts how its regions ended, or why they were not native."""

    def __init__(self, graph: Graph, runner: Runner | None = None) -> None:
        self.graph = copy_graph(graph)
        self.runner = runner
        self.statuses: Counter[str] = Counter()
        self.plans: dict[Node, tuple[RegionPlan, draws.Explicit | None]] = {}
        regions.partition(self.graph)
        params = self.graph.attrs.get("params", set())
        for node in [n for n in self.graph.walk() if n.op is REGION]:
            fixed = {k for k, a in enumerate(node.args) if a in params}
            try:
                self.plans[node] = self.plan(node.blocks[0], fixed)
            except NotSchedulable as refused:
                self.statuses[f"not planned: {refused.reason}"] += 1

    def plan(self, block: Block, fixed: set[int]) -> tuple[RegionPlan, draws.Explicit | None]:
        made, explicit = copy_block(block, {}), None
        if draws.draws(made):
            explicit = draws.explicit(made)
            made = copy_block(explicit.block, {})
            passes.optimize(Graph("explicit", made))
        dissolve_grad_modes(made)
        plan = schedule(made, name="planned", params={made.params[k] for k in fixed})
        verify(plan.assemble(range(1, len(plan.specs) + 1)), plan.frame_size)
        return plan, explicit

    def run(self, *inputs: Any) -> list[Any]:
        return _Run(self).run(self.graph, *inputs)


class _Run(Limited):
    def __init__(self, planned: Planned) -> None:
        super().__init__()
        self.planned = planned

    def enclosed(self, node: Node, args: list[Any]) -> Sequence[Any]:
        if node not in self.planned.plans:
            return super().enclosed(node, args)
        if not all(a.flags.c_contiguous for a in args if isinstance(a, np.ndarray)):
            self.planned.statuses["another layout"] += 1
            return super().enclosed(node, args)
        plan, explicit = self.planned.plans[node]
        try:
            out = run_plan(plan, args, self.planned.runner) if explicit is None else self.drawing(plan, explicit, args)
        except RegionFailed as failed:
            self.planned.statuses[failed.status.name] += 1
            return super().enclosed(node, args)
        self.planned.statuses["OK"] += 1
        return out

    def drawing(self, plan: RegionPlan, explicit: draws.Explicit, args: list[Any]) -> list[Any]:
        """A run that succeeds has drawn what it says."""
        with default_generator.held() as held:
            args = [*args, held.seed, held.first]
            out = run_plan(plan, args, self.planned.runner)
            if explicit.taken is None:
                end = out.pop()
            else:
                symbols = bind_symbols(plan, args)
                end = held.first + eval(draws.blocks_taken(explicit.taken, lambda size: str(evaluate(size, symbols))))
            held.take_up_to(end)
        return out
