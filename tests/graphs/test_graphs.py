"""The generator of random graphs: what it makes verifies, prints, parses back, runs, and holds every op there is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from specjit.ir.graph import Graph, copy_graph
from specjit.ir.text import parse, print_graph
from specjit.ir.types import Type
from specjit.ir.verify import verify
from specjit.ops.records import registry
from tests.golden import choices_of_sizes, make_inputs, outcome
from tests.graphs import FULL, LIBRARY, PLAIN, SMOOTH, library, random_graph
from tests.ir.random_text import shape_of

# Ops that no typed graph holds, or that need what a random graph does not have (data that decides sizes).
NOT_MADE = {
    "nonzero", "randperm", "tensor", "empty", "empty_like", "probability", "uniform", "store_", "view_dtype",
}  # fmt: skip
# The records that every program has at hand. Those of families, which load on demand, are run one by one in
# tests/runtime/test_ops_native.py and tests/ops.
OURS = "import specjit; from specjit.ops import registry; print(*registry._OPS)"


@pytest.mark.parametrize("flavor", [FULL, LIBRARY, PLAIN, SMOOTH], ids=["full", "library", "plain", "smooth"])
def test_graphs_verify_and_their_text_parses_back(flavor) -> None:
    for seed in range(100):
        graph = random_graph(seed, flavor)
        verify(graph, f"random_graph({seed})")
        text = print_graph(graph)
        assert text == print_graph(random_graph(seed, flavor)), "a seed makes one graph"
        back = parse(text, ops=registry.get)
        verify(back, "parsing")
        assert print_graph(back) == text
        assert shape_of(as_text_says(back)) == shape_of(as_text_says(graph))


def as_text_says(graph: Graph) -> Graph:
    """The text leaves out what is usual: the device cpu, and that no gradient is required."""

    def said(t: Type) -> Type:
        usual = {"device": None} if t.device == "cpu" else {}
        return t.with_(requires_grad=t.requires_grad or None, args=tuple(map(said, t.args)), **usual)

    copy = copy_graph(graph)
    for v in [*copy.inputs, *(v for n in copy.walk() for v in (*n.results, *(p for b in n.blocks for p in b.params)))]:
        v.type = said(v.type)
    return copy


@pytest.mark.parametrize("flavor", [FULL, LIBRARY, SMOOTH], ids=["full", "library", "smooth"])
def test_most_graphs_run(flavor) -> None:
    """Where an exception ends them, nothing is compared."""
    raised = 0
    for seed in range(100):
        graph = random_graph(seed, flavor)
        raised += outcome(graph, make_inputs(graph, choices_of_sizes(graph)[0], seed)).error is not None
    assert raised < 10


def test_every_op_of_typed_graphs_is_made() -> None:
    made = {node.op.name for seed in range(2000) for node in random_graph(seed).walk()}
    ours = subprocess.run([sys.executable, "-c", OURS], check=True, capture_output=True, text=True).stdout.split()
    expected = {name for name in ours if not name.startswith("py.")} - NOT_MADE
    missing = expected - made
    assert not missing


def test_operators_of_the_library_are_made() -> None:
    """Every one that a step names; one that is misspelt would raise."""
    made = {node.op.name for seed in range(600) for node in random_graph(seed, LIBRARY).walk()}
    parts = {"tril", "triu", "diagonal", "unfold", "roll", "constant_pad", "lerp", "addcmul", "addcdiv"}
    places = {
        "index_copy",
        "index_fill",
        "masked_scatter",
        "scatter_op",
        "scatter_reduce",
        "index_put",
        "search_sorted",
    }
    sorts = {*library.ORDERS, "topk_indices", "kthvalue_indices", "cumprod", "logcumsumexp"}
    windows = {"max_pool", "window_sum", "convolution", "bitwise_left_shift", "bitwise_right_shift"}
    assert not {*library.FUNCTIONS, *library.PAIRS, *parts, *places, *sorts, *windows} - made
