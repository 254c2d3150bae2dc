"""The minimum cut, against trying all cuts of small networks."""

from __future__ import annotations

import itertools
import random

import pytest

from specjit.passes.mincut import INFINITE, Network, Unbounded


def crossing(edges: list[tuple[int, int, int]], side: set[int]) -> int:
    return sum(c for a, b, c in edges if a not in side and b in side)


@pytest.mark.parametrize("seed", range(100))
def test_cut_is_minimal_and_nearest_to_the_sink(seed: int) -> None:
    rng = random.Random(seed)
    n = rng.randint(2, 7)
    edges = [(rng.randrange(n), rng.randrange(n), rng.randint(0, 5)) for _ in range(rng.randint(1, 15))]
    net = Network(0, n - 1)
    for a, b, c in edges:
        net.edge(a, b, c)
    side = net.sink_side()
    choices = [set(s) | {n - 1} for k in range(n - 1) for s in itertools.combinations(range(1, n - 1), k)]
    best = min((crossing(edges, s), len(s)) for s in choices)
    assert 0 not in side
    assert (crossing(edges, side), len(side)) == best  # type: ignore[arg-type]


def test_no_finite_cut_names_a_path() -> None:
    net = Network("s", "t")
    net.edge("s", "a", INFINITE)
    net.edge("a", "t", INFINITE)
    net.edge("s", "t", 3)
    with pytest.raises(Unbounded) as e:
        net.sink_side()
    assert e.value.path == ["a", "t"]


def test_a_long_chain_needs_no_recursion() -> None:
    net = Network(0, 5000)
    for k in range(5000):
        net.edge(k, k + 1, 2 if k == 3000 else 3)
    assert net.sink_side() == set(range(3001, 5001))
