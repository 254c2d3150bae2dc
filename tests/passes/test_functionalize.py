"""Functionalization: what is written becomes values where every name of the storage is known, and stays where not.

Every program is run before and after (`tests.golden`): equal results, equal sharing of storage among results, equal
contents of the inputs.
"""

from __future__ import annotations

import pytest

import specjit.passes as passes
from specjit.ir.graph import Graph, copy_graph
from specjit.ir.verify import verify
from tests.golden import by_name, check_pass, check_same, graph_of


def functionalized(text: str) -> tuple[Graph, list[str]]:
    """The graph after the pass, checked against the graph before, and what the pass told."""
    graph = graph_of(text)
    verify(graph, "parsing")
    before = copy_graph(graph)
    ctx = passes.Context()
    passes.run_pipeline(graph, (by_name("functionalize"),), ctx)
    verify(graph, "functionalize")
    check_same(before, graph)
    both = copy_graph(before)
    passes.optimize(both)
    check_same(before, both, exact=False)
    return graph, [fact.message for fact in ctx.facts]


def written(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.walk() if n.op.traits.writes]


# -- texts ------------------------------------------------------------------------------------------------------------


def test_a_write_to_all_of_a_tensor():
    check_pass(
        "functionalize",
        """(%x: f32[N,3]) {
          %y = tanh(%x)
          %1 = add_(%y, 1.0)
          %2 = mul_(%1, %x)
          %z = py.renew(%y, %2)
          return %z
        }""",
        """(%x: f32[N,3]) {
          %y = tanh(%x)
          %1 = add(%y, 1.0)
          %2 = mul(%1, %x)
          return %2
        }""",
    )


def test_a_write_to_a_view_and_the_names_after_it():
    check_pass(
        "functionalize",
        """(%x: f32[4,3]) {
          %y = tanh(%x)
          %r = select(%y, 0, 1)
          %1 = add_(%r, 1.0)
          %y1 = py.renew(%y, %1)
          %s = sum(%y1)
          return %y1, %s
        }""",
        """(%x: f32[4,3]) {
          %y = tanh(%x)
          %r = select(%y, 0, 1)
          %1 = add(%r, 1.0)
          %y1 = select_scatter(%y, %1, 0, 1)
          %s = sum(%y1)
          return %y1, %s
        }""",
    )


def test_a_loop_carries_what_it_writes():
    check_pass(
        "functionalize",
        """(%x: f32[T,3], %n: int<T>) {
          %out = zeros([4, 3])
          %o = loop 4, True, (%i, %o1 = %out) {
            %1 = setitem(%o1, %i, 2.0)
            %o2 = py.renew(%o1, %1)
            yield True, %o2
          }
          %y = neg(%o)
          return %y
        }""",
        """(%x: f32[T,3], %n: int<T>) {
          %out = zeros([4, 3])
          %o = loop 4, True, (%i, %o1: f32[4,3] = %out) {
            %r = select(%o1, 0, %i)
            %f = filled(%r, 2.0)
            %o2 = select_scatter(%o1, %f, 0, %i)
            yield True, %o2
          }
          %y = neg(%o)
          return %y
        }""",
    )


# -- where it fires ---------------------------------------------------------------------------------------------------

A = "%a = tanh(%x); "
G = "%a: f64[4,3]! = neg(%x); "
HEAD = "(%x: f32[4,3], %y: f32[3], %n: int<K>, %c: bool, %m: bool[4,3])"
FIRES = {
    "slice": A + "%v = slice(%a, 0, 1, 3); %1 = mul_(%v, 2.0); return %a",
    "strided slice": A + "%v = slice(%a, 0, 0, 4, 2); %1 = mul_(%v, 2.0); return %a, %v",
    "narrow": A + "%v = narrow(%a, 0, 1, 2); %1 = mul_(%v, 2.0); return %a",
    "view of a view": A + "%v = select(%a, 0, 1); %w = slice(%v, 0, 1, 3); %1 = neg_(%w); return %a, %v",
    "permuted": A + "%v = permute(%a, [1, 0]); %w = select(%v, 0, 2); %1 = neg_(%w); return %a, %w",
    "t, all of it": A + "%v = t(%a); %1 = neg_(%v); %2 = exp(%a); return %2, %v",
    "unsqueezed": A + "%v = unsqueeze(%a, 1); %1 = neg_(%v); return %a",
    "chunks": A + "%v, %w = chunk(%a, 2, 0); %1 = mul_(%w, %v); return %a, %v",
    "parts": A + "%v, %w = split(%a, [1, 3], 0); %1 = neg_(%w); return %a, %v, %w",
    "rows": A + "%p, %q, %r = unbind(%a, 1); %1 = mul_(%q, %p); return %a, %q, %r",
    "reshaped zeros": "%a = zeros([4, 3]); %v = reshape(%a, [12]); %w = slice(%v, 0, 3, 9); %1 = neg_(%w); return %a",
    "view of zeros": "%a = zeros([4, 3]); %v = view(%a, [2, 6]); %1 = add_(%v, 1.0); return %a, %v",
    "two names": A + "%v = select(%a, 0, 0); %w = select(%a, 1, 0); %1 = neg_(%v); %2 = add_(%w, 1); return %a, %v",
    "overlapping views": A + "%v = slice(%a, 0, 0, 3); %w = slice(%a, 0, 1, 4); %1 = add_(%v, %w); return %w",
    "itself": A + "%1 = mul_(%a, %a); return %1",
    "half into float": A + "%h = cast(%x, f64); %1 = add_(%a, %h); return %a",
    "broadcast operand": A + "%1 = add_(%a, %y); return %a",
    "fill": A + "%v = select(%a, 1, 0); %1 = fill_(%v, 3); %2 = neg(%a); return %2",
    "zero": A + "%v = select(%a, 0, 0); %1 = zero_(%v); return %a",
    "copy": A + "%v = slice(%a, 0, 1, 3); %1 = copy_(%v, %y); return %a",
    "item": A + "%1 = setitem(%a, 2, %y); return %a",
    "item of a run-time position": "%a = zeros([9, 3]); %1 = setitem(%a, %n, %y); return %a",
    "items": A + "%1 = setitem(%a, (slice(1, 3, None), 0), 5.0); return %a",
    "items with dots": A + "%1 = setitem(%a, (..., None, slice(None, None, 2)), 5.0); return %a",
    "all items": A + "%1 = setitem(%a, ..., %y); return %a",
    "masked items": A + "%1 = setitem(%a, %m, 0.0); %2 = neg(%a); return %2",
    "items at positions": A + "%1 = setitem(%a, array([2, 0], i64), %y); return %a",
    "scattered": A + "%b = slice(%x, 0, 0, 2); %1 = index_add_(%a, 0, array([1, 1], i64), %b); return %a",
    "read between writes": A + "%1 = add_(%a, 1.0); %s = sum(%a); %2 = mul_(%a, %s); return %a, %s",
    "a list of rows": A + "%v = select(%a, 0, 1); %1 = neg_(%v); %l = py.list(%v, %y); %r = stack(%l); return %r",
    "another is written too": A + "%b = exp(%x); %1 = add_(%a, %b); %2 = add_(%b, %a); return %a, %b",
    "returned twice": A + "%1 = add_(%a, 1.0); return %a, %1",
    "in a branch": A + "if %c { %1 = neg_(%a) } else { }; return %a",
    "in both branches": A + """%v = select(%a, 0, 0)
        if %c { %1 = neg_(%v) } else { %2 = add_(%a, 1.0) }
        %b = neg(%a); return %b, %v""",
    "a branch hands it on": """%a = tanh(%x)
        %b = if %c { %1 = neg_(%a); yield %a } else { yield %a }
        %2 = add_(%b, 1.0); return %a, %b""",
    "a branch makes it": """%b = if %c { %a = tanh(%x); %1 = neg_(%a); yield %a } else { %d = exp(%x); yield %d }
        %2 = add_(%b, 1.0); return %b""",
    "without grad mode": A + "with () {grad=False} { %1 = neg_(%a) }; return %a",
    "rows in a loop": """%a = zeros([4, 3])
        loop 4, True, (%i) { %v = select(%a, 0, %i); %u = select(%x, 0, %i); %1 = add_(%v, %u); yield True }
        return %a""",
    "what the turn before wrote": """%a = zeros([5, 3])
        loop 4, True, (%i) {
          %u = select(%a, 0, %i); %v = add(%u, %y); %j = py.add(%i, 1); %1 = setitem(%a, %j, %v); yield True
        }
        return %a""",
    "a loop in a loop": """%a = zeros([4, 3])
        loop 4, True, (%i) {
          %v = select(%a, 0, %i)
          loop 3, True, (%j) { %1 = setitem(%v, %j, 2.0); yield True }
          yield True
        }
        return %a""",
    "carried and written": """%a = tanh(%x)
        %h = loop 3, True, (%i, %h1 = %a) { %1 = mul_(%h1, 0.5); yield True, %h1 }
        return %h, %a""",
    "made anew in each turn": """%a = tanh(%x)
        %h = loop 3, True, (%i, %h1 = %a) { %b = mul(%h1, 2.0); %1 = add_(%b, 1.0); yield True, %b }
        %d = neg(%h); return %d""",
    "swapped by a loop": A + """%b = exp(%x)
        %p, %q = loop 3, True, (%i, %p1 = %a, %q1 = %b) { %1 = neg_(%p1); yield True, %q1, %p1 }
        return %p, %q""",
    "a loop of no turns": """%a = tanh(%x)
        %h = loop 0, True, (%i, %h1 = %a) { %1 = mul_(%h1, 0.5); yield True, %h1 }
        return %h, %a""",
    "a while loop": """%a = tanh(%x)
        %k = loop None, True, (%i, %k1 = 0) {
          %1 = mul_(%a, 0.5); %k2 = py.add(%k1, 1); %go = py.lt(%k2, 3); yield %go, %k2
        }
        return %a""",
    "written in a branch of a loop": """%a = tanh(%x)
        loop 4, True, (%i) {
          %z = py.lt(%i, 2)
          if %z { %1 = setitem(%a, %i, 0.0) } else { }
          yield True
        }
        return %a""",
    "stacked while another is written": """%a = zeros([3])
        %s = loop 4, True, (%i) {
          %u = select(%x, 0, %i); %1 = add_(%a, %u); %t = tanh(%a); yield True | stacked %t
        }
        return %s, %a""",
}  # fmt: skip


@pytest.mark.parametrize("name", FIRES)
def test_fires(name):
    graph, told = functionalized(f"{HEAD} {{ {FIRES[name]} }}")
    assert written(graph) == []
    assert told
    assert all("give new values" in message for message in told)


# -- where it must not ------------------------------------------------------------------------------------------------

STAYS = {
    "the caller's": ("%1 = add_(%x, 1.0); return %x", "it may belong to the caller"),
    "a view of the caller's": ("%v = select(%x, 0, 0); %1 = neg_(%v); return %x", "it may belong to the caller"),
    "maybe the caller's": (
        "%a = if %c { yield %x } else { %b = tanh(%x); yield %b }; %1 = neg_(%a); return %x",
        "it may belong to the caller",
    ),
    "a repeated view": (
        "%a = tanh(%y); %v = expand(%a, [4, 3]); %b = neg_(%a); %s = sum(%v); return %s, %a",
        "it is written through expand, which is not exactly a view",
    ),
    "a layout that is not known": (
        A + "%v = reshape(%a, [12]); %1 = neg_(%v); return %a",
        "it is written through reshape, whose layout decides whether it is a view",
    ),
    "a permuted reshape": (
        "%a = zeros([4, 3]); %p = permute(%a, [1, 0]); %v = reshape(%p, [12]); %1 = add_(%v, 1.0); return %a",
        "it is written through reshape, whose layout decides whether it is a view",
    ),
    "code that is not known": (
        A + "py.print(' ', '', %a); %2 = add_(%a, 1.0); return %a",
        "code that cannot be seen into may hold it",
    ),
    "a list that was made before": (
        "%a = tanh(%y); %l = py.list(%a, %y); %1 = neg_(%a); %s = stack(%l); return %s",
        "a list holds it while it is written",
    ),
    "a list that the caller gets": (
        "%a = tanh(%y); %1 = neg_(%a); %l = py.list(%a, %y); return %l",
        "it may belong to the caller",
    ),
    "one of two storages": (
        A + "%b = exp(%x); %d = if %c { yield %a } else { yield %b }; %1 = neg_(%d); return %a, %b",
        "which storage it is depends on a branch",
    ),
    "two names out of a branch": (
        """%p, %q = if %c { %a = tanh(%x); %v = select(%a, 0, 0); yield %a, %v } else {
             %b = exp(%x); %w = select(%b, 0, 0); yield %b, %w }
           %1 = neg_(%q); return %p""",
        "which storage it is depends on a branch",
    ),
    "swapped by a loop, and known by another name": (
        A
        + """%b = exp(%x)
           %p, %q = loop 3, True, (%i, %p1 = %a, %q1 = %b) { %1 = neg_(%p1); yield True, %q1, %p1 }
           return %p, %q, %a""",
        "a loop writes it under another name",
    ),
    "handed on by a loop that may not turn": (
        """%a = tanh(%x)
           %h = loop %n, True, (%i, %h1 = %a) { %b = mul(%h1, 2.0); yield True, %b }
           %1 = neg_(%h); return %h, %a""",
        "a loop may have handed it on or not, and it is written after that",
    ),
    "rows of what is written later": (
        """%a = zeros([3])
           %s = loop 4, True, (%i) { %u = select(%x, 0, %i); %1 = add_(%a, %u); yield True | stacked %a }
           return %s""",
        "a list of rows holds it while it is written",
    ),
}


@pytest.mark.parametrize("name", STAYS)
def test_near_miss(name):
    lines, reason = STAYS[name]
    text = f"{HEAD} {{ {lines} }}"
    graph, told = functionalized(text)
    assert str(graph) == str(graph_of(text))
    assert [message.split("stay: ")[-1] for message in told] == [reason]


# -- gradients: what eager mode refuses must be refused ---------------------------------------------------------------

GRAD = "(%x: f64[4,3]!, %y: f64[3])"
KEPT = {
    "a leaf": ("%a = zeros([4, 3], dtype=f64, requires_grad=True); %1 = add_(%a, 1.0); return %a", "it is a leaf"),
    "a saved result": (
        "%a: f64[4,3]! = tanh(%x); %1: f64[4,3]! = mul_(%a, 2.0); return %1",
        "backward needs what is overwritten",
    ),
    "a saved argument": (
        G + "%b: f64[4,3]! = mul(%a, %a); %1: f64[4,3]! = add_(%a, 1.0); return %b, %a",
        "backward needs what is overwritten",
    ),
    "a saved view": (
        G
        + """%v: f64[3]! = select(%a, 0, 0); %b: f64[3]! = mul(%v, %v)
           %w: f64[3]! = select(%a, 0, 1); %1: f64[3]! = add_(%w, 1.0); return %b, %a""",
        "backward needs what is overwritten",
    ),
    "its own factor": (
        G + "%1: f64[4,3]! = mul_(%a, %x); return %a",
        "backward needs what is overwritten",
    ),
    "saved in the turn before": (
        """%a: f64[4,3]! = neg(%x)
           %s: f64[4,4,3]! = loop 4, True, (%i) {
             %1: f64[4,3]! = add_(%a, 1.0); %b: f64[4,3]! = mul(%a, %a); yield True | stacked %b
           }
           return %s""",
        "backward needs what the next turn overwrites",
    ),
    "without grad mode": (
        G + "with () {grad=False} { %1: f64[4,3]! = mul_(%a, 2.0) }; return %a",
        "it requires grad and is written without grad mode",
    ),
    "detached": (
        G + "%d: f64[4,3] = detach(%a); %1: f64[4,3] = mul_(%d, 2.0); return %a",
        "it is written through detach while it requires grad",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_writes_that_eager_mode_refuses_stay(name):
    lines, reason = KEPT[name]
    graph, told = functionalized(f"{GRAD} {{ {lines} }}")
    assert written(graph)
    assert len(told) == 1
    assert reason in told[0]


FLOWS = {
    "not saved": G + "%1: f64[4,3]! = mul_(%a, 2.0); %2: f64[4,3]! = add_(%a, %x); return %a",
    "saved after the write": G + "%1: f64[4,3]! = add_(%a, 1.0); %b: f64[4,3]! = mul(%a, %a); return %b",
    "a buffer of rows": """%a = zeros([4, 3], dtype=f64)
        loop 4, True, (%i) {
          %u: f64[3]! = select(%x, 0, %i); %v: f64[3]! = tanh(%u); %1 = setitem(%a, %i, %v); yield True
        }
        return %a""",
}


@pytest.mark.parametrize("name", FLOWS)
def test_writes_that_gradients_flow_through(name):
    graph, _ = functionalized(f"{GRAD} {{ {FLOWS[name]} }}")
    assert written(graph) == []
    assert all(o.type.requires_grad is not False for o in graph.outputs)


def test_limits_count_storages():
    text = "(%x: f32[3]) { %a = tanh(%x); %1 = neg_(%a); %b = exp(%x); %2 = neg_(%b); return %a, %b }"
    for limit, left in enumerate([2, 1, 0]):
        graph = graph_of(text)
        passes.run_pipeline(graph, (by_name("functionalize"),), passes.Context(limits={"functionalize": limit}))
        assert len(written(graph)) == left
        check_same(graph_of(text), graph)
