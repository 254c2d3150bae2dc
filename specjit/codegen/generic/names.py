"""Which Python variable holds which value of a graph.

Enters: a block (a whole function). Leaves: a name per value, where the values of one user variable (a loop's initial
value, its parameter, what a turn ends with, the result after the loop) share one name if they never need to exist at
the same time.
Invariant: two values with one name have live ranges that do not overlap, on any path.
"""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass, field

from specjit.codegen.generic.expressions import AUGMENTED
from specjit.codegen.generic.leftovers import is_dead, jumps_of
from specjit.codegen.generic.shapes import Shape
from specjit.ir.graph import Block, Node, Value
from specjit.ir.structure import FINALLY, IF, LOOP, TRY

# Where something happens: a position in program order, and the branches it stands in: ((if node, side), ...).
Place = tuple[int, tuple[tuple[int, int], ...]]


@dataclass
class Life:
    """Where a value is defined and where it is used. A use in a loop that does not define it lasts until the loop's
    end."""

    defined: Place
    uses: list[Place] = field(default_factory=list)


class Lives:
    """The live ranges of all values in a block and inside it."""

    def __init__(self, block: Block) -> None:
        self.of: dict[Value, Life] = {}
        self._clock = 0
        self._loops: list[tuple[int, set[Value]]] = []
        self._late: list[list[Value]] = []
        self._where: tuple[tuple[int, int], ...] = ()
        for p in block.params:
            self.of[p] = Life((0, ()))
        self._block(block)

    def _tick(self) -> Place:
        self._clock += 1
        return self._clock, self._where

    def _use(self, v: Value, at: Place) -> None:
        if v.is_const or v not in self.of:
            return
        self.of[v].uses.append(at)
        for start, late in zip(self._loops, self._late):
            if self.of[v].defined[0] < start[0]:
                late.append(v)

    def _block(self, block: Block) -> None:
        entered = self._where
        for node in block.nodes:
            at = self._tick()
            if node.op is not LOOP:
                for a in node.args:
                    self._use(a, at)
            if node.op is LOOP:
                self._loop(node, at)
            elif node.op is IF:
                outer = self._where
                for side, inner in enumerate(node.blocks):
                    self._where = (*outer, (id(node), side))
                    self._block(inner)
                self._where = outer
                gone = [is_dead(inner) for inner in node.blocks]
                if any(gone):
                    self._where = (*outer, (id(node), gone.index(True) ^ 1))  # the rest stands in the other branch
            else:
                for inner in node.blocks:
                    for p in inner.params:
                        self.of[p] = Life(at)
                    self._block(inner)
            done = self._tick() if node.blocks else at
            for r in node.results:
                self.of[r] = Life(done)
        at = self._tick()
        for o in block.outputs:
            self._use(o, at)
        self._where = entered

    def _loop(self, node: Node, at: Place) -> None:
        body = node.blocks[0]
        for a in node.args:
            self._use(a, at)
        self._loops.append((at[0] + 1, set()))
        self._late.append([])
        start = self._tick()
        for p in body.params:
            self.of[p] = Life(start)
        self._block(body)
        for clause in node.blocks[1:]:
            self._block(clause)
        self._loops.pop()
        end = self._tick()
        for v in self._late.pop():
            self.of[v].uses.append(end)

    def clash(self, a: Value, b: Value) -> bool:
        """Whether one of two values is still needed after the other one is defined."""
        first, second = sorted((self.of[a], self.of[b]), key=lambda life: life.defined[0])
        at = second.defined
        if first.defined == at:
            return bool(first.uses or second.uses)  # two variables of one loop are assigned together
        return any(u[0] > at[0] and not _exclusive(u, at) for u in first.uses)


def _exclusive(a: Place, b: Place) -> bool:
    """Whether two places stand in different branches of one `if`."""
    for (n, s), (m, t) in zip(a[1], b[1]):
        if n != m:
            return False
        if s != t:
            return True
    return False


class Names:
    """`names[value]`; values without an entry get one by `fresh`."""

    def __init__(self, block: Block, reserved: set[str], shape: Shape) -> None:
        self.shape = shape
        self.lives = Lives(block)
        self.used = set(reserved) | set(keyword.kwlist) | set(dir(builtins))
        self._counter = 0
        self.of: dict[Value, str] = {}
        self._own: set[str] = set()  # names that Python deletes where their block ends
        self._members: dict[str, list[Value]] = {}
        for p in block.params:
            self._give(p, self.unique(p.hint))
        self._join(block)

    def unique(self, hint: str) -> str:
        base = re.sub(r"\W", "_", hint)
        if not base or base[0].isdigit():
            self._counter += 1
            base = f"v{self._counter}"
        name, n = base, 1
        while name in self.used:
            n += 1
            name = f"{base}{n}" if not base[-1].isdigit() else f"{base}_{n}"
        self.used.add(name)
        return name

    def __getitem__(self, v: Value) -> str:
        if v not in self.of:
            self._give(v, self.unique(v.hint))
        return self.of[v]

    def _give(self, v: Value, name: str) -> None:
        self.of[v] = name
        self._members.setdefault(name, []).append(v)

    def _try(self, v: Value, name: str) -> None:
        """Let `v` live in the variable `name`, if that disturbs nobody."""
        if v.is_const or v in self.of or v not in self.lives.of or name in self._own:
            return
        if not any(self.lives.clash(v, m) for m in self._members[name]):
            self._give(v, name)

    def _join(self, block: Block) -> None:
        """Outer constructs first: they decide the names that inner ones may share."""
        for node in block.nodes:
            if node.op is LOOP:
                self._join_loop(node)
            elif node.blocks and node not in self.shape.expressions:
                if node.op is TRY:
                    (caught,) = node.blocks[1].params
                    self._give(caught, self.unique(caught.hint))
                    self._own.add(self.of[caught])
                split = len(node.blocks[0].outputs) if node.op is FINALLY else 0
                for k, r in enumerate(node.results):
                    sides = node.blocks if not split else node.blocks[k >= split :][:1]
                    for o in (b.outputs[k - split * (k >= split)] for b in sides if b.outputs):
                        self._go_on(r, o)
                    if r not in self.of:
                        self._give(r, self.unique(r.hint))
                for inner in node.blocks:
                    for o, r in zip(inner.outputs, node.results[split * (inner is node.blocks[-1]) :]):
                        self._try(o, self.of[r])
            elif node.op.name in AUGMENTED:
                self._go_on(node.result, node.args[0])
            for inner in node.blocks:
                self._join(inner)

    def _go_on(self, v: Value, before: Value) -> None:
        """Let the next value of one user variable stay in that variable."""
        if before in self.of and v.hint and v.hint == before.hint:
            self._try(v, self.of[before])

    def _join_loop(self, node: Node) -> None:
        body = node.blocks[0]
        carried = len(node.args) - 2
        for k in range(carried):
            result, param, init = node.results[k], body.params[k + 1], node.args[k + 2]
            if init in self.of and result not in self.of and self.of[init] not in self._own:
                # The variable of the initial value goes on, if it is not needed for itself.
                name = self.of[init]
                if not any(self.lives.clash(x, m) for x in (result, param) for m in self._members[name]):
                    self._give(param, name)
            if param not in self.of:
                hint = self.of.get(result)
                if hint is not None and not any(self.lives.clash(param, m) for m in self._members[hint]):
                    self._give(param, hint)
                else:
                    self._give(param, self.unique(result.hint or param.hint))
            name = self.of[param]
            if result not in self.of and any(self.lives.clash(result, m) for m in self._members[name]):
                self._give(result, self.unique(result.hint))
            elif result not in self.of:
                self._give(result, name)
            self._try(init, name)
        turn = self.shape.turns[node]
        for param, out in zip(turn.params, turn.outs):
            self._next(body, param, out)
        for jump in jumps_of(body):
            for param, out in zip(body.params[1:], jump.args):
                self._next(body, param, out)

    def _next(self, body: Block, param: Value, out: Value) -> None:
        """What a turn leaves in the variable of `param` may be computed there."""
        name = self.of[param]
        if out is body.params[0] and out not in self.of and not self.lives.of[param].uses:
            # The loop variable itself goes on after the loop: `for i in ...` assigns it.
            if not any(self.lives.clash(out, m) for m in self._members[name] if m is not param):
                self._give(out, name)
        self._try(out, name)
