"""Gradients of straight-line graphs: against finite differences, the tape, and what is kept for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.passes.gradients import check, derive, refusal, run

rng = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def line(signature: str, result: str, *nodes: str) -> str:
    """A graph whose last node's result is returned."""
    last = nodes[-1].split(":")[0]
    return f"graph @f({signature}) -> {result} {{\n" + "\n".join(f"  {n}" for n in nodes) + f"\n  return {last}\n}}"


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (0, 4)])
def test_broadcast_operands_get_summed_gradients(shape: tuple[int, int]) -> None:
    text = line(
        "%x: f64[N,1], %y: f64[4], %s: f64[]",
        "f64[N,4]",
        "%a: f64[N,4] = add(%x, %y)",
        "%b: f64[N,4] = mul(%a, %s)",
        "%c: f64[N,4] = sub(%b, %x)",
        "%d: f64[N,4] = div(%c, 3.0)",
        "%e: f64[N,4] = tanh(%d)",
    ).replace("N", str(shape[0]))
    check(text, normal(shape[0], 1), normal(4), normal())


def test_rank_zero() -> None:
    check(line("%x: f64[], %y: f64[]", "f64[]", "%a: f64[] = mul(%x, %y)", "%b: f64[] = exp(%a)"), normal(), normal())


def test_a_value_used_twice_gets_the_sum() -> None:
    text = line(
        "%x: f64[3]", "f64[3]", "%a: f64[3] = mul(%x, %x)", "%b: f64[3] = mul(%a, %x)", "%c: f64[3] = add(%b, %a)"
    )
    check(text, normal(3))


def test_chunks_and_lists() -> None:
    d = check(
        line(
            "%x: f64[B,6], %y: f64[B,6]",
            "f64[B,6]",
            "%a: f64[B,2], %b: f64[B,2], %c: f64[B,2] = chunk(%x, 3, 1)",
            "%t: f64[B,2] = tanh(%b)",
            "%l: list[f64[B,2]] = py.list(%t, %a, %t)",
            "%k: f64[B,6] = cat(%l, 1)",
            "%z: f64[B,6] = mul(%k, %y)",
        ),
        normal(3, 6),
        normal(3, 6),
    )
    # Of k only the two different parts; x itself is the caller's to change, since eager keeps nothing of its memory.
    assert [str(v.type) for v in d.kept()] == ["f64[B,2]"] * 2


def test_stack_select_and_views() -> None:
    check(
        line(
            "%x: f64[4,B,3], %w: f64[B,3]",
            "f64[2,3,B]",
            "%a: f64[B,3] = select(%x, 0, 1)",
            "%b: f64[B,3] = select(%x, 0, -1)",
            "%c: f64[B,3] = mul(%a, %w)",
            "%l: list[f64[B,3]] = py.list(%c, %b)",
            "%s: f64[2,B,3] = stack(%l)",
            "%t: f64[2,3,B] = transpose(%s, 1, 2)",
            "%e: f64[2,3,B] = exp(%t)",
        ),
        normal(4, 2, 3),
        normal(2, 3),
    )


def test_reshape_narrow_expand_with_symbols() -> None:
    check(
        line(
            "%x: f64[B,4,T], %w: f64[T]",
            "f64[B,2,T]",
            "%n: f64[B,2,T] = narrow(%x, 1, 1, 2)",
            "%v: f64[1,1,T] = reshape(%w, [1, 1, -1])",
            "%m: f64[B,2,T] = mul(%n, %v)",
            "%s: f64[B,2,T] = sigmoid(%m)",
        ),
        normal(2, 4, 3),
        normal(3),
    )


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        ((3, 4), (4, 2), "3,2"),
        ((2, 3, 4), (4, 2), "2,3,2"),
        ((2, 3, 4), (2, 4, 2), "2,3,2"),
        ((1, 3, 4), (2, 4, 2), "2,3,2"),
    ],
)
def test_products(a: tuple[int, ...], b: tuple[int, ...], c: str) -> None:
    x, y = (",".join(map(str, s)) for s in (a, b))
    check(line(f"%x: f64[{x}], %y: f64[{y}]", f"f64[{c}]", f"%z: f64[{c}] = matmul(%x, %y)"), normal(*a), normal(*b))


@pytest.mark.parametrize("kind", ["sum", "mean"])
@pytest.mark.parametrize(("args", "dims"), [("", ""), (", [0]", "3"), (", [1], True", "B,1"), (", [0, 1]", "")])
def test_reductions(kind: str, args: str, dims: str) -> None:
    text = line("%x: f64[B,3]", f"f64[{dims}]", "%y: f64[B,3] = mul(%x, %x)", f"%z: f64[{dims}] = {kind}(%y{args})")
    check(text, normal(4, 3))


def test_layer_norm_and_softmax_of_parts() -> None:
    check(
        line(
            "%x: f64[B,5], %w: f64[5], %b: f64[5]",
            "f64[B,5]",
            "%m: f64[B,1] = mean(%x, [1], True)",
            "%c: f64[B,5] = sub(%x, %m)",
            "%q: f64[B,5] = mul(%c, %c)",
            "%v: f64[B,1] = mean(%q, [1], True)",
            "%e: f64[B,1] = add(%v, 1e-05)",
            "%r: f64[B,1] = rsqrt(%e)",
            "%n: f64[B,5] = mul(%c, %r)",
            "%s: f64[B,5] = mul(%n, %w)",
            "%y: f64[B,5] = add(%s, %b)",
            "%z: f64[B,5] = softmax(%y, 1)",
        ),
        normal(3, 5),
        normal(5),
        normal(5),
    )


def test_an_input_that_is_the_result() -> None:
    check("graph @f(%x: f64[3], %y: f64[3]) -> (f64[3], f64[3]) {\n  return %x, %x\n}", normal(3), normal(3))


def test_gradients_stop_at_detach_integers_and_comparisons() -> None:
    text = line(
        "%x: f64[3], %n: i64[3]",
        "f64[3]",
        "%d: f64[3] = detach(%x)",
        "%g: bool[3] = gt(%x, 0.0)",
        "%a: f64[3] = mul(%x, %d)",
        "%w: f64[3] = where(%g, %a, %x)",
        "%z: f64[3] = mul(%w, %n)",
    )
    _, d = derive(text)
    x, n = normal(3), np.array([1, 2, 3])
    _, grads, (dx,) = run(d, [x, n])
    np.testing.assert_allclose(dx, grads[0] * n * np.where(x > 0, x, 1.0))


def test_outputs_without_gradient_and_inputs_without_use() -> None:
    text = (
        "graph @f(%x: f64[3], %y: f64[3], %z: f64[3]) -> (f64[3], bool[3], f64[3]) {\n"
        "  %a: f64[3] = mul(%x, 2.0)\n  %b: bool[3] = gt(%y, 0.0)\n  return %a, %b, %y\n}"
    )
    _, d = derive(text, [True, False, True])
    assert d.saved == [("grad", 0)]
    _, _, (dx, dz) = run(d, [normal(3), normal(3), normal(3)])
    assert dz is None
    assert dx.shape == (3,)


def test_only_wanted_gradients_are_computed() -> None:
    text = line("%x: f64[B,4], %w: f64[4,2]", "f64[B,2]", "%y: f64[B,2] = matmul(%x, %w)")
    _, d = derive(text, [False, True])
    assert [n.op.name for n in d.backward.nodes].count("matmul") == 1
    assert d.saved == [("input", 0), ("grad", 0)]


def test_only_types_are_kept_where_a_rule_needs_only_types() -> None:
    text = line("%x: f64[T,B], %b: f64[B]", "f64[]", "%a: f64[T,B] = add(%x, %b)", "%s: f64[] = sum(%a)")
    _, d = derive(text)
    assert [kind for kind, _ in d.saved] == ["size", "size", "grad"]
    assert {str(dim) for kind, dim in d.saved if kind == "size"} == {"T", "B"}
    check(text, normal(3, 2), normal(2))


def test_sizes_are_read_from_tensors_that_are_there_anyway() -> None:
    text = line("%x: f64[B,4], %w: f64[4,2]", "f64[2]", "%y: f64[B,2] = matmul(%x, %w)", "%z: f64[2] = sum(%y, [0])")
    assert [kind for kind, _ in check(text, normal(3, 4), normal(4, 2)).saved] == ["input", "input", "grad"]


def test_results_are_kept_rather_than_operands() -> None:
    """tanh reads its result: its operand, a product, is not kept, nor is anything twice."""
    text = line(
        "%x: f64[B,4], %w: f64[4,4], %u: f64[4,4]",
        "f64[B,4]",
        "%a: f64[B,4] = matmul(%x, %w)",
        "%b: f64[B,4] = tanh(%a)",
        "%c: f64[B,4] = matmul(%b, %u)",
        "%d: f64[B,4] = tanh(%c)",
    )
    d = check(text, normal(3, 4), normal(4, 4), normal(4, 4))
    assert [v.hint for v in d.kept()] == ["b"]
    assert ("output", 0) in d.saved


def test_cheap_pointwise_work_is_done_again() -> None:
    text = line(
        "%x: f64[B,4], %w: f64[4,4]",
        "f64[B,4]",
        "%a: f64[B,4] = matmul(%x, %w)",
        "%b: f64[B,4] = mul(%a, %a)",
        "%c: f64[B,4] = mul(%b, %a)",
        "%d: f64[B,4] = mul(%c, %b)",
    )
    d = check(text, normal(3, 4), normal(4, 4))
    assert [v.hint for v in d.kept()] == ["a"]


def test_views_are_taken_again_from_what_is_kept() -> None:
    text = line(
        "%x: f64[B,4], %w: f64[4,4]",
        "f64[B,4]",
        "%a: f64[B,4] = matmul(%x, %w)",
        "%l: f64[B,2], %r: f64[B,2] = chunk(%a, 2, 1)",
        "%p: f64[B,2] = mul(%l, %r)",
        "%k: list[f64[B,2]] = py.list(%p, %l)",
        "%z: f64[B,4] = cat(%k, 1)",
    )
    assert [v.hint for v in check(text, normal(3, 4), normal(4, 4)).kept()] == ["a"]


def test_outputs_that_share_storage_with_kept_tensors_are_watched() -> None:
    text = line(
        "%x: f64[B,4], %w: f64[4,4]",
        "f64[4,B]",
        "%a: f64[B,4] = matmul(%x, %w)",
        "%y: f64[B,4] = mul(%a, %a)",
        "%z: f64[4,B] = transpose(%a, 0, 1)",
    ).replace("-> f64[4,B]", "-> (f64[B,4], f64[4,B])")
    _, d = derive(text.replace("return %z", "return %y, %z"))
    assert [v.hint for v in d.kept()] == ["a"]
    assert d.watched.outputs == {1}


def test_in_place_ops_are_refused_with_their_place() -> None:
    why = refusal(
        "graph @f(%x: f64[3]) -> f64[3] {\n  %a: f64[3] = exp(%x)\n  %b: f64[3] = add_(%a, 1.0)  # m.py:7\n"
        "  return %b\n}"
    )
    assert "add_" in why
    assert "m.py:7" in why


def test_the_wrong_number_of_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 parameters but 2"):
        derive(line("%x: f64[3]", "f64[3]", "%a: f64[3] = exp(%x)"), [True, False])


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed: int) -> None:
    """Random pointwise chains, products and views on square matrices, several outputs."""
    pick = np.random.default_rng(seed)
    names = ["x", "y", "w"]
    nodes: list[str] = []
    unary = ["tanh", "sigmoid", "neg", "exp"]
    for k in range(int(pick.integers(4, 14))):
        a, b = (names[int(i)] for i in pick.integers(max(0, len(names) - 6), len(names), 2))
        choice = pick.integers(0, 6)
        if choice == 0:
            text = f"tanh(%m{k})"
            nodes.append(f"%m{k}: f64[3,3] = matmul(%{a}, %{b})")
        elif choice == 1:
            text = f"transpose(%{a}, 0, 1)"
        elif choice == 2:
            text = f"{unary[int(pick.integers(0, 3))]}(%{a})"
        else:
            text = f"{['add', 'sub', 'mul'][int(choice) - 3]}(%{a}, %{b})"
        nodes.append(f"%v{k}: f64[3,3] = {text}")
        names.append(f"v{k}")
    outs = names[-2:]
    body = "\n".join(f"  {n}" for n in nodes)
    text = (
        f"graph @f(%x: f64[3,3], %y: f64[3,3], %w: f64[3,3]) -> (f64[3,3], f64[3,3]) {{\n{body}\n"
        f"  return %{outs[0]}, %{outs[1]}\n}}"
    )
    given: list[Any] = [pick.uniform(-0.8, 0.8, (3, 3)) for _ in range(3)]
    check(text, *given, tol=1e-5)
