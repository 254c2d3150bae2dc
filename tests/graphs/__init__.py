"""Random well-typed graphs, and how a failing one gets small.

    graph = random_graph(seed)                   # of everything that a typed graph can hold
    graph = random_graph(seed, LIBRARY)          # with operators of the families that load when first named
    graph = random_graph(seed, SMOOTH)           # float64, differentiable, no writes
    small = shrink(graph, fails)

Enters: a seed and a `Flavor`. Leaves: a graph that verifies and runs on any sizes of its symbols; `tests.golden`
makes inputs for it. The same seed gives the same graph on every machine.
"""

from tests.graphs.maker import FULL, LIBRARY, PLAIN, SMOOTH, Flavor, random_graph
from tests.graphs.shrink import shrink

__all__ = ["FULL", "LIBRARY", "PLAIN", "SMOOTH", "Flavor", "random_graph", "shrink"]
