"""Jumps instead of flags: where a branch ends, what follows it may already be decided, and come to `return`, `break` or
`continue`.

Enters: a block (a whole function). Leaves: `threaded(block)`, a copy in which such a branch ends in a node `return`,
`break` or `continue` (`EXITS`), followed by nothing; and in which conditions, flags and constants that every remaining
way agrees on are gone.
Invariant: every node with an effect is copied once, in order. A jump replaces only nodes that choose between values,
and only where each choice is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from specjit.codegen.generic.jumps import BREAK, CONTINUE, RETURN, After, Env, Facts, Jump, Road, equal, learn
from specjit.codegen.generic.leftovers import drop_unused
from specjit.codegen.generic.turns import FALSE, TRUE, is_false, settle
from specjit.ir.graph import Block, Location, Node, Value, copy_block, free_values
from specjit.ir.structure import IF, LOOP

MAX_ATTEMPTS = 4


@dataclass
class Turns:
    """One loop while its body is copied."""

    owner: Node
    jumps: list[Node] = field(default_factory=list)


def threaded(block: Block, expressions: set[Node]) -> Block:
    """The copy. `expressions`: `if` nodes that read better as one expression if nothing is won by a jump."""
    out = Block(block.params)
    env: Env = {p: p for p in block.params}
    facts: Facts = {}
    copier = _Copier(expressions)
    if copier.run(block.nodes, 0, out, env, facts, After(block)):
        out.outputs = copier.values(block.outputs, env, facts)
    drop_unused(out)
    return out


class _Copier:
    def __init__(self, expressions: set[Node]) -> None:
        self.expressions = expressions
        self.loops: list[Turns] = []
        self.testing = 0  # inside the test of a `while`, which is its header in the end

    def values(self, wanted: Iterable[Value], env: Env, facts: Facts) -> list[Value]:
        return [settle(env.get(v, v), facts) for v in wanted]

    def run(self, nodes: list[Node], start: int, out: Block, env: Env, facts: Facts, after: After) -> bool:
        """Copy `nodes[start:]`, which `after` follows. Returns whether their end is reached."""
        for k in range(start, len(nodes)):
            node = nodes[k]
            rest = After(Block(), node, nodes, k + 1, after)
            test = "_again" in node.attrs and not _asks_to_stop(node)
            self.testing += test
            if node.op is IF:
                falls = self.branch(node, out, env, facts, rest)
            elif node.op is LOOP:
                falls = self.loop(node, out, env, facts, rest)
            else:
                falls = self.plain(node, out, env, facts)
            self.testing -= test
            if not falls:
                return False
        return True

    def plain(self, node: Node, out: Block, env: Env, facts: Facts) -> bool:
        args = self.values(node.args, env, facts)
        if node.op.name == "py.bound" and args[2].is_const and args[2].const is True:
            env[node.result] = args[0]
            return True
        new = Node(node.op, args, [r.type for r in node.results], attrs=dict(node.attrs), loc=node.loc)
        for r, s in zip(node.results, new.results):
            s.hint = r.hint
            env[r] = s
        for inner in node.blocks:
            copy = Block(Value(p.type, None, p.hint) for p in inner.params)
            inside = {**env, **dict(zip(inner.params, copy.params))}
            known = dict(facts)
            self.run(inner.nodes, 0, copy, inside, known, After(inner, closed=True))
            copy.outputs = self.values(inner.outputs, inside, known)
            new.blocks.append(copy)
        out.nodes.append(new)
        return True

    # branches

    def branch(self, node: Node, out: Block, env: Env, facts: Facts, rest: After) -> bool:
        (cond,) = self.values(node.args, env, facts)
        if cond.is_const:
            return self.decided(node, node.blocks[0 if cond.const else 1], out, env, facts, rest)
        sides = []
        for block, holds in zip(node.blocks, (TRUE, FALSE)):
            side, inside, known = Block(), dict(env), dict(facts)
            learn(cond, holds, known)
            test = "_again" in node.attrs and not is_false(block)
            self.testing += test
            falls = self.run(block.nodes, 0, side, inside, known, rest._replace(block=block))
            self.testing -= test
            if falls:
                outputs = self.values(block.outputs, inside, known)
                jump = self.jump(node, outputs, inside, known, rest)
                if jump is not None:
                    self.leave(side, jump, node)
                    falls = False
                elif node in self.expressions:  # `a and b` gives back what it tests
                    side.outputs = [cond if inside.get(o) is cond else v for o, v in zip(block.outputs, outputs)]
                else:
                    side.outputs = outputs
            sides.append((side, known, falls))
        asks = "_again" in node.attrs and _asks_to_stop(node)
        new = Node(IF, [cond], [], attrs=dict(node.attrs), loc=_asked_at(cond, node) if asks else node.loc)
        new.blocks = [side for side, _, _ in sides]
        if all(falls for _, _, falls in sides):
            self.join(node, new, out, env)
            return True
        out.nodes.append(new)
        again = new.attrs.pop("_again", False)
        for k, (side, known, falls) in enumerate(sides):
            if falls:
                # The side that goes on is written after the branch.
                for n in side.nodes if again else ():
                    n.attrs["_again"] = True
                new.blocks[k] = Block()
                out.nodes += side.nodes
                facts.update(known)
                env.update(zip(node.results, side.outputs))
                return True
        return False

    def decided(self, node: Node, block: Block, out: Block, env: Env, facts: Facts, rest: After) -> bool:
        begin = len(out.nodes)
        test = "_again" in node.attrs
        self.testing += test
        falls = self.run(block.nodes, 0, out, env, facts, rest._replace(block=block))
        self.testing -= test
        if test:
            for n in out.nodes[begin:]:
                n.attrs["_again"] = True
        if falls:
            env.update(zip(node.results, self.values(block.outputs, env, facts)))
        return falls

    def join(self, node: Node, new: Node, out: Block, env: Env) -> None:
        """Both sides go on: results on which they agree are what they agree on."""
        then, other = new.blocks
        kept = [k for k, (a, b) in enumerate(zip(then.outputs, other.outputs)) if not equal(a, b)]
        for r, a in zip(node.results, then.outputs):
            env[r] = a
        new.results = [Value(node.results[k].type, new, node.results[k].hint) for k in kept]
        env.update((node.results[k], r) for k, r in zip(kept, new.results))
        for side in new.blocks:
            side.outputs = [side.outputs[k] for k in kept]
        if kept or then.nodes or other.nodes:
            out.nodes.append(new)

    def leave(self, side: Block, jump: Jump, owner: Node) -> None:
        side.nodes += jump.before
        exit = Node(jump.op, jump.values, [], loc=owner.loc)
        side.nodes.append(exit)
        side.outputs = []
        if jump.op is not RETURN:
            self.loops[-1].jumps.append(exit)

    def jump(self, node: Node, outputs: list[Value], env: Env, facts: Facts, rest: After) -> Jump | None:
        """What the end of a side of `node` comes to, if a jump there says it better."""
        if self.testing:
            return None
        found = Road(facts).follow(rest, {**env, **dict(zip(node.results, outputs))})
        if found is None or (found.op is CONTINUE and not found.skips):
            return None
        if found.op is RETURN and not self.loops and not found.skips and node in self.expressions:
            return None
        return found

    # loops

    def loop(self, node: Node, out: Block, env: Env, facts: Facts, rest: After) -> bool:
        args = self.values(node.args, env, facts)
        carried = len(args) - 2
        (body,) = node.blocks
        steady = {k for k in range(carried) if args[2 + k].is_const and _may_stay(body, k)}
        for _ in range(MAX_ATTEMPTS):
            new, turns = self.attempt(node, args, steady, env, facts, rest)
            moved = {k for k in steady if not _stays(new, turns, k, args[2 + k])}
            if not moved:
                break
            steady -= moved
        else:
            steady = set()
            new, turns = self.attempt(node, args, steady, env, facts, rest)
        out.nodes.append(new)
        return self.after_loop(node, new, turns, steady, env, facts, rest)

    def attempt(
        self, node: Node, args: list[Value], steady: set[int], env: Env, facts: Facts, rest: After
    ) -> tuple[Node, Turns]:
        """The loop, if the carried values in `steady` keep their first value in every turn."""
        (body,) = node.blocks
        new = Node(LOOP, args, [r.type for r in node.results], attrs=dict(node.attrs), loc=node.loc)
        for r, s in zip(node.results, new.results):
            s.hint = r.hint
        copy = Block(Value(p.type, None, p.hint) for p in body.params)
        inside = {**env, **dict(zip(body.params, copy.params))}
        inside.update((body.params[1 + k], args[2 + k]) for k in steady)
        if "_header" in node.attrs:
            new.attrs["_header"] = copy_block(node.attrs["_header"], dict(inside))
            if not set(free_values(new.attrs["_header"])) <= set(inside.values()):
                del new.attrs["_header"]
        turns = Turns(node)
        self.loops.append(turns)
        known = dict(facts)
        if self.run(body.nodes, 0, copy, inside, known, rest._replace(block=body)):
            self.stop(body, copy, inside, known, rest)
            outputs = self.values(body.outputs, inside, known)
        else:
            outputs = [TRUE, *copy.params[1:], *self.values(body.outputs[len(args) - 1 :], inside, known)]
        for k in steady:
            if equal(outputs[1 + k], args[2 + k]):
                outputs[1 + k] = copy.params[1 + k]
        copy.outputs = outputs
        new.blocks.append(copy)
        self.loops.pop()
        return new, turns

    def stop(self, body: Block, copy: Block, env: Env, facts: Facts, rest: After) -> None:
        """A turn that ends with `not stop`: a jump where it is stopped."""
        (go_on,) = self.values(body.outputs[:1], env, facts)
        if go_on.node is None or go_on.node.op.name != "py.not" or "_again" in go_on.node.attrs:
            return
        cond = go_on.node.args[0]
        known = dict(facts)
        learn(cond, TRUE, known)
        end = rest._replace(block=body)
        found = Road(known).follow(After(Block(), parent=end), env)
        if found is not None:
            new = Node(IF, [cond], [], loc=_asked_at(cond, go_on.node))
            new.blocks = [Block(), Block()]
            self.leave(new.blocks[0], found, new)
            copy.nodes.append(new)
            learn(cond, FALSE, facts)

    def after_loop(
        self, node: Node, new: Node, turns: Turns, steady: set[int], env: Env, facts: Facts, rest: After
    ) -> bool:
        env.update(zip(node.results, new.results))
        breaks = [n for n in turns.jumps if n.op is BREAK]
        trip, cond = new.args[:2]
        (body,) = new.blocks
        endless = trip.is_const and trip.const is None and cond.is_const and bool(cond.const)
        endless = endless and body.outputs[0].is_const and bool(body.outputs[0].const)
        normal = [new.args[2 + k] if k in steady else r for k, r in enumerate(new.results)]
        if not breaks:
            env.update(zip(node.results, normal))
            if endless:
                new.attrs["_endless"] = True
            return not endless
        if not endless and _may_have_else(new):
            # In the `else` clause the loop's variables stand for its results.
            last = [new.args[2 + k] if k in steady else p for k, p in enumerate(body.params[1:])]
            found = Road(facts).follow(rest, {**env, **dict(zip(node.results, last))})
            if found is not None and found.skips:
                otherwise = Block()
                self.leave(otherwise, found, node)
                new.attrs["_else"] = otherwise
                new.blocks.append(otherwise)
                endless = True
        for k in range(len(new.args) - 2):
            ends = [n.args[k] for n in breaks] + ([] if endless else [normal[k]])
            if ends[0].is_const and all(equal(e, ends[0]) for e in ends):
                env[node.results[k]] = ends[0]
        return True


def _may_have_else(loop: Node) -> bool:
    """Whether only jumps are written as `break`, so that an `else` clause runs where none was taken."""
    trip, cond = loop.args[:2]
    go_on = loop.blocks[0].outputs[0]
    if len(loop.results) > len(loop.args) - 2:
        return False
    if not (trip.is_const and trip.const is None):
        return cond.is_const and go_on.is_const and bool(cond.const and go_on.const)
    return not cond.is_const and not (go_on.node is not None and go_on.node.op is IF and is_false(go_on.node.blocks[0]))


def _asks_to_stop(node: Node) -> bool:
    """Whether a node in the test of a `while` asks if the turn before it has left the loop."""
    return node.op is IF and is_false(node.blocks[0])


def _asked_at(cond: Value, node: Node) -> Location | None:
    """The place of a `break`: where its condition is, not the head of the loop."""
    return cond.node.loc if cond.node is not None else node.loc


def _may_stay(body: Block, k: int) -> bool:
    """Whether a turn may leave a carried constant as it is: a first guess, which `_stays` confirms."""
    out = body.outputs[1 + k]
    chosen = out.node is None or out.node.op in (IF, LOOP) or out.type.kind == "bool"
    return out.is_const or out is body.params[1 + k] or chosen


def _stays(new: Node, turns: Turns, k: int, constant: Value) -> bool:
    param = new.blocks[0].params[1 + k]
    ends = [new.blocks[0].outputs[1 + k], *(n.args[k] for n in turns.jumps if n.op is CONTINUE)]
    return all(e is param or equal(e, constant) for e in ends)
