"""The order of kernels: what it saves, what it must not do, and that results stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.abi import Status
from specjit.codegen.schedule.interp import RegionFailed
from specjit.codegen.schedule.order import Load, cost, search
from tests.codegen.plans import calls, check, f32, plan_of, run_plan

RNG = np.random.default_rng(11)


def breadth_first(n: int) -> str:
    """n hidden layers, then n products of them: as the program stands all layers are alive together."""
    params = "".join(f", %w{k}: f32[64,64], %v{k}: f32[64,4]" for k in range(n))
    lines = [f"graph @f(%x: f32[B,64]{params}) -> f32[B,4] {{"]
    for k in range(n):
        lines.append(f"  %h{k}: f32[B,64] = matmul(%x, %w{k})")
        lines.append(f"  %t{k}: f32[B,64] = tanh(%h{k})")
    for k in range(n):
        lines.append(f"  %y{k}: f32[B,4] = matmul(%t{k}, %v{k})")
        before = f"%s{k - 1}" if k > 1 else "%y0"
        if k:
            lines.append(f"  %s{k}: f32[B,4] = maximum({before}, %y{k})")
    return "\n".join([*lines, f"  return %s{n - 1}", "}"])


def layers(n: int, rows: int) -> list[np.ndarray]:
    return [f32(RNG, rows, 64), *(a for _ in range(n) for a in (f32(RNG, 64, 64), f32(RNG, 64, 4)))]


def names(n: int) -> tuple[str, ...]:
    return tuple(f"{c}{k}" for k in range(n) for c in "wv")


def test_layers_run_one_after_another():
    plan = check(breadth_first(6), *layers(6, 3), params=names(6))
    assert plan.memory_before is not None
    sizes = {"B": 32}
    assert plan.memory_before.live(sizes) >= 6 * 32 * 64 * 4
    assert plan.memory.live(sizes) < 2.5 * 32 * 64 * 4
    (note,) = [n for n in plan.notes if n.kind == "REORDERED"]
    assert f"{plan.memory.live(sizes):,} bytes alive, not {plan.memory_before.live(sizes):,}" in note.text
    assert "B = 32" in note.text


def test_a_chain_keeps_its_order():
    text = """graph @f(%x: f32[B,64], %w: f32[64,64], %v: f32[64,4]) -> f32[B,4] {
      %h: f32[B,64] = matmul(%x, %w)
      %t: f32[B,64] = tanh(%h)
      %y: f32[B,4] = matmul(%t, %v)
      return %y
    }"""
    plan = check(text, f32(RNG, 3, 64), f32(RNG, 64, 64), f32(RNG, 64, 4), params=("w", "v"))
    assert plan.memory_before is None
    assert calls(plan) == [0, 1]
    assert not [n for n in plan.notes if n.kind == "REORDERED"]


def test_what_all_wait_for_keeps_its_order():
    """Every layer is needed by a product of all of them: no order has fewer alive."""
    text = (
        breadth_first(4)
        .replace("matmul(%t0, %v0)", "matmul(%all, %v0)")
        .replace(
            "  %y0:",
            "  %a: f32[B,64] = maximum(%t0, %t1)\n  %b: f32[B,64] = maximum(%t2, %t3)\n"
            "  %all: f32[B,64] = maximum(%a, %b)\n  %y0:",
        )
    )
    plan = check(text, *layers(4, 3), params=names(4))
    assert plan.memory_before is None


def test_orders_of_a_loops_body():
    text = f"""graph @f(%n: int<T>, %c0: f32[B,4], %x: f32[B,64]{
        "".join(f", %w{k}: f32[64,64], %v{k}: f32[64,4]" for k in range(4))
    }) -> f32[B,4] {{
      %c: f32[B,4] = loop %n, True, (%i: int, %c1: f32[B,4] = %c0) {{
        %m: f32[B,1] = sum(%c1, [1], True)
        %z: f32[B,64] = mul(%x, %m)
        %h0: f32[B,64] = matmul(%z, %w0)
        %h1: f32[B,64] = matmul(%z, %w1)
        %h2: f32[B,64] = matmul(%z, %w2)
        %h3: f32[B,64] = matmul(%z, %w3)
        %t0: f32[B,64] = tanh(%h0)
        %t1: f32[B,64] = tanh(%h1)
        %t2: f32[B,64] = tanh(%h2)
        %t3: f32[B,64] = tanh(%h3)
        %y0: f32[B,4] = matmul(%t0, %v0)
        %y1: f32[B,4] = matmul(%t1, %v1)
        %y2: f32[B,4] = matmul(%t2, %v2)
        %y3: f32[B,4] = matmul(%t3, %v3)
        %s1: f32[B,4] = sub(%y0, %y1)
        %s2: f32[B,4] = sub(%s1, %y2)
        %s3: f32[B,4] = sub(%s2, %y3)
        %s4: f32[B,4] = tanh(%s3)
        yield True, %s4
      }}
      return %c
    }}"""
    given = layers(4, 3)
    plan = check(text, 3, f32(RNG, 3, 4), *given, params=names(4))
    assert plan.memory_before is not None
    assert plan.memory.live({"B": 32}) < plan.memory_before.live({"B": 32})


def test_reads_stay_behind_the_checks_of_their_bounds():
    """The slice that a check keeps in bounds is not read before the check, although that would save memory."""
    text = """graph @f(%x: f32[T,64], %k: int<N>, %w: f32[64,64]) -> (f32[T,64], f32[]) {
      %h: f32[T,64] = matmul(%x, %w)
      %t: f32[T,64] = tanh(%h)
      %c: f32[T,64] = cumsum(%t, 0)
      %row: f32[64] = select(%x, 0, %k)
      %s: f32[] = sum(%row, [0], False)
      return %c, %s
    }"""
    args = [f32(RNG, 3, 64), 2, f32(RNG, 64, 64)]
    check(text, *args, params=("w",))
    with pytest.raises(RegionFailed) as caught:
        run_plan(plan_of(text, params=("w",)), [args[0], 7, args[2]])
    assert caught.value.status is Status.INDEX


def test_an_order_that_costs_a_second_buffer_is_not_better():
    """Group 0 writes what group 1 still reads, unless group 1 runs before it."""
    loads = [
        Load(spoils=[(0b10, 100)]),
        Load(makes={"b": 10}, uses={"b"}),  # type: ignore[dict-item]
    ]
    assert cost(loads, (0, 1)).peak == 110
    assert search(loads) == (1, 0)


def test_groups_wait_for_what_they_need():
    big, small = "big", "small"
    loads = [
        Load(makes={big: 100}, uses={big}),  # type: ignore[dict-item]
        Load(makes={small: 1}, uses={small}),  # type: ignore[dict-item]
        Load(needs=0b11, uses={big, small}),  # type: ignore[arg-type]
    ]
    assert search(loads) == (1, 0, 2) or cost(loads, search(loads)).peak == 101
    assert search(loads)[-1] == 2


def test_what_is_needed_while_a_group_runs_counts():
    """Two groups with work space of their own, and a value that only the end needs: it is made last."""
    loads = [
        Load(makes={"kept": 50}, uses={"kept"}),  # type: ignore[dict-item]
        Load(makes={"a": 1}, uses={"a"}, during=100),  # type: ignore[dict-item]
        Load(needs=0b11, uses={"kept", "a"}),  # type: ignore[arg-type]
    ]
    assert search(loads) == (1, 0, 2)
    assert cost(loads, (0, 1, 2)).peak == 151
    assert cost(loads, (1, 0, 2)).peak == 101
