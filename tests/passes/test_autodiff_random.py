"""Gradients of random graphs with branches and loops inside one another, against finite differences and the tape.

Every tensor is f64[2,2] (or a stack of such), so any value fits anywhere; functions are smooth and bounded.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from specjit.ir.text import print_graph
from specjit.ir.verify import verify
from specjit.passes import optimize
from tests.passes.gradients import check, run, run_backward, run_forward

GRAPHS = int(os.environ.get("AUTODIFF_GRAPHS", "25"))
M, STACK = "f64[2,2]", "f64[T,2,2]"


class Generator:
    """Writes one graph as text; `scope` holds the names of matrices that may be read."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def pick(self, scope: list[str]) -> str:
        """A value, the recent ones more often."""
        return scope[max(0, len(scope) - 1 - int(self.rng.geometric(0.3)))]

    def block(self, scope: list[str], loops: list[str], depth: int, length: int, pad: str) -> list[str]:
        """Lines of a block; `scope` grows by what they define."""
        lines: list[str] = []
        for _ in range(length):
            kind = self.rng.choice(["op", "loop", "if"], p=[0.7, 0.18, 0.12]) if depth < 3 else "op"
            make = {"op": self.op, "loop": self.loop, "if": self.branch}[str(kind)]
            lines += make(scope, loops, depth, pad)
        return lines

    def op(self, scope: list[str], loops: list[str], depth: int, pad: str) -> list[str]:
        out, a, b = self.name(), self.pick(scope), self.pick(scope)
        choices = [
            f"tanh({a})", f"sigmoid({a})", f"add({a}, {b})", f"sub({a}, {b})", f"mul({a}, {b})",
            f"transpose({a}, 0, 1)", "matmul", "mean", "parts",
        ]  # fmt: skip
        choice = str(self.rng.choice(choices + ["row"] * 3 if loops else choices))
        lines: list[str] = []
        if choice == "matmul":
            lines = [f"{out}p: {M} = matmul({a}, {b})"]
            choice = f"tanh({out}p)"
        elif choice == "mean":
            lines = [f"{out}m: f64[1,2] = mean({a}, [0], True)"]
            choice = f"mul({b}, {out}m)"
        elif choice == "parts":
            lines = [
                f"{out}l: f64[1,2], {out}r: f64[1,2] = chunk({a}, 2)",
                f"{out}k: list[f64[1,2]] = py.list({out}r, {out}l)",
            ]
            choice = f"cat({out}k)"
        elif choice == "row":
            index = str(self.rng.choice(loops))
            way = self.rng.integers(0, 3)
            if way == 1:
                lines = [f"{out}i: int = py.sub(%last, {index})"]
            elif way == 2:
                lines = [f"{out}i: int = py.sub({index}, 1)"]
            choice = f"select(%xs, 0, {out + 'i' if way else index})"
        scope.append(out)
        return [pad + line for line in [*lines, f"{out}: {M} = {choice}"]]

    def branch(self, scope: list[str], loops: list[str], depth: int, pad: str) -> list[str]:
        outs = [self.name() for _ in range(int(self.rng.integers(1, 3)))]
        cond = "%flag"
        lines: list[str] = []
        if self.rng.integers(0, 2):
            cond = f"{outs[0]}c"
            lines = [
                f"{pad}{outs[0]}s: f64[] = sum({self.pick(scope)})",
                f"{pad}{outs[0]}g: bool[] = gt({outs[0]}s, 0.03)",
                f"{pad}{cond}: bool = py.bool({outs[0]}g)",
            ]
        lines.append(f"{pad}{', '.join(f'{o}: {M}' for o in outs)} = if {cond} {{")
        for side in range(2):
            inner = list(scope)
            lines += self.block(inner, loops, depth + 1, int(self.rng.integers(0, 4)), pad + "  ")
            lines.append(f"{pad}  yield {', '.join(self.pick(inner) for _ in outs)}")
            lines.append(pad + ("} else {" if side == 0 else "}"))
        scope += outs
        return lines

    def loop(self, scope: list[str], loops: list[str], depth: int, pad: str) -> list[str]:
        index = self.name()
        carried = [self.name() for _ in range(int(self.rng.integers(1, 3)))]
        params = [f"{c}p: {M} = {self.pick(scope)}" for c in carried]
        symbolic = bool(self.rng.integers(0, 2))
        ends = self.rng.integers(0, 3) == 0  # on a condition
        stacked = [self.name() for _ in range(int(self.rng.integers(0, 2)))] if symbolic and not ends else []
        trip = "%n" if symbolic else str(self.rng.choice(["None", "2"])) if ends else str(self.rng.integers(0, 3))
        reverse = " reverse" if self.rng.integers(0, 3) == 0 and not ends else ""
        inner = scope + [f"{c}p" for c in carried]
        body = self.block(
            inner, [*loops, index] if symbolic else loops, depth + 1, int(self.rng.integers(1, 5)), pad + "  "
        )
        results = ", ".join([f"{c}: {M}" for c in carried] + [f"{s}: {STACK}" for s in stacked])
        kept = f" | stacked {', '.join(self.pick(inner) for _ in stacked)}" if stacked else ""
        if ends:
            body += [
                f"{pad}  {index}s: f64[] = sum({self.pick(inner)})",
                f"{pad}  {index}g: bool[] = lt({index}s, 0.4)",
                f"{pad}  {index}b: bool = py.bool({index}g)",
                f"{pad}  {index}f: bool = py.lt({index}, 2)",
                f"{pad}  {index}c: bool = py.and({index}b, {index}f)",
            ]
        tail = f"{pad}  yield {f'{index}c' if ends else 'True'}, {', '.join(self.pick(inner) for _ in carried)}{kept}"
        head = f"{pad}{results} = loop {trip}, True, ({', '.join([f'{index}: int', *params])}){reverse} {{"
        scope += carried
        after = [f"{pad}{s}m: {M} = sum({s}, [0])" for s in stacked]
        scope += [f"{s}m" for s in stacked]
        return [head, *body, tail, pad + "}", *after]

    def graph(self) -> str:
        scope = ["%a", "%b", "%w", "%zero"]
        lines = self.block(scope, [], 0, int(self.rng.integers(4, 9)), "  ")
        outs = list(dict.fromkeys([scope[-1], self.pick(scope)]))
        header = (
            f"graph @random(%xs: {STACK}, %a: {M}, %b: {M}, %w: {M}, %flag: bool) -> ({', '.join(M for _ in outs)}) {{"
        )
        sizes = [
            "  %n: int<T> = size(%xs, 0)",
            "  %last: int<T-1> = py.sub(%n, 1)",
            f"  %zero: {M} = zeros([2, 2], dtype=f64)",
        ]
        return "\n".join([header, *sizes, *lines, f"  return {', '.join(outs)}", "}"])


def inputs(seed: int) -> list[object]:
    rng = np.random.default_rng(seed)
    shapes = [(int(rng.integers(0, 4)), 2, 2), (2, 2), (2, 2), (2, 2)]
    return [*(rng.uniform(-0.8, 0.8, s) for s in shapes), bool(rng.integers(0, 2))]


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_random_graphs_with_control_flow(seed: int) -> None:
    text = Generator(seed).graph()
    given = inputs(seed)
    wanted = [bool(w) for w in np.random.default_rng(seed).integers(0, 4, 4)] + [False]
    try:
        derivative = check(text, *given, wanted=wanted, tol=2e-6)
        _, grads, expected = run(derivative, given)
        # The pipeline that such code goes through next must keep the gradients.
        forward, backward = derivative.graphs
        for made in (forward, backward):
            optimize(made)
            verify(made)
        found_inputs, kept = run_forward(derivative, forward, given, check=False)
        found = run_backward(derivative, backward, found_inputs, kept, grads, check=False)
    except Exception as e:
        e.add_note(f"seed {seed}\n{text}\n")
        raise
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=print_graph(backward))
