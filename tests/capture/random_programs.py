"""Random small programs: control flow, containers, numbers, exits anywhere, names that may have no value.

Enters: a seed. Leaves: the source of one function `program(a, b, xs, d)` that always ends: loops run over short
ranges and lists, and
`while` loops count down.
"""

from __future__ import annotations

import random

NAMES = ("p", "q", "r", "s")
LISTS = ("ys", "zs")


class Maker:
    """Writes statements at random; `depth` bounds nesting, `budget` the length."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.indent = 1
        self.budget = self.rng.randint(6, 28)
        self.loops = 0
        self.counter = 0

    def make(self) -> str:
        self.lines.append("def program(a, b, xs, d):")
        for name in NAMES[: self.rng.randint(1, 3)]:
            self.put(f"{name} = {self.expr(1)}")
        self.put("ys = []")
        if self.rng.random() < 0.6:
            self.put("zs = [1, 2, 3]")
        self.block(0)
        while self.budget > 0:
            self.block(0)
        if self.rng.random() < 0.9:
            self.put(f"return {', '.join(self.rng.sample(['a', 'b', 'p', 'ys', 'xs', 'd', self.expr(1)], 3))}")
        return "\n".join(self.lines) + "\n"

    def put(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)
        self.budget -= 1

    def block(self, depth: int) -> None:
        """One or more statements."""
        for _ in range(self.rng.randint(1, 3)):
            self.statement(depth)

    def inside(self, depth: int) -> None:
        self.indent += 1
        self.block(depth + 1)
        self.indent -= 1

    def statement(self, depth: int) -> None:
        kinds = (
            ["assign"] * 4 + ["augment"] * 2 + ["list"] * 2 + ["print", "dict", "unpack", "assert", "nested", "pass"]
        )
        if depth < 4 and self.budget > 0:
            kinds += ["if"] * 4 + ["for"] * 3 + ["while"] * 2
        if self.loops:
            kinds += ["break", "continue", "break_if", "break_if", "continue_if"]
        if depth:
            kinds += ["return", "raise", "del"]
        kinds += ["return_if"]
        getattr(self, f"do_{self.rng.choice(kinds)}")(depth)

    # statements

    def do_assign(self, depth: int) -> None:
        self.put(f"{self.name()} = {self.expr(2)}")

    def do_augment(self, depth: int) -> None:
        self.put(f"{self.name()} {self.rng.choice(['+=', '-=', '*='])} {self.expr(1)}")

    def do_list(self, depth: int) -> None:
        target = self.rng.choice(["ys", "ys", "zs", "xs"])
        self.put(
            self.rng.choice(
                [
                    f"{target}.append({self.expr(1)})",
                    f"{target}.append({self.expr(1)})",
                    f"{target}[{self.rng.randint(-2, 2)}] = {self.expr(1)}",
                    f"{target}.extend([{self.expr(1)}, {self.expr(0)}])",
                    f"{target}.pop()",
                    f"{target} += [{self.expr(0)}]",
                    f"{self.name()} = [{self.expr(1)} for k in {self.iterable()} if {self.cond()}]",
                    f"{self.name()} = sum([k for k in {target} if k != {self.expr(0)}])",
                    f"{self.name()} = {target}[{self.rng.choice(['1:', ':-1', '::2', '-1', '0'])}]",
                ]
            )
        )

    def do_print(self, depth: int) -> None:
        self.put(f'print(f"{{{self.atom()}}} {{{self.expr(1)}!r:>4}}", {self.expr(1)})')

    def do_dict(self, depth: int) -> None:
        self.put(
            self.rng.choice(
                [
                    f'd["{self.rng.choice("xyz")}"] = {self.expr(1)}',
                    f'{self.name()} = d.get("{self.rng.choice("xyz")}", {self.expr(0)})',
                    f'd["x"] += {self.expr(0)}',
                    f"{self.name()} = len(d)",
                ]
            )
        )

    def do_unpack(self, depth: int) -> None:
        one, two = self.rng.sample(NAMES, 2)
        self.put(
            self.rng.choice(
                [
                    f"{one}, {two} = {two}, {one}",
                    f"{one}, {two} = {self.expr(1)}, {self.expr(1)}",
                    f"{one}, *{two} = {self.expr(0)}, {self.expr(0)}, {self.expr(0)}",
                    f"{one} = {two} = {self.expr(1)}",
                ]
            )
        )

    def do_assert(self, depth: int) -> None:
        self.put(f'assert {self.cond()} or {self.cond()} or a == a, f"no {{{self.atom()}}}"')

    def do_nested(self, depth: int) -> None:
        self.counter += 1
        name = f"f{self.counter}"
        if self.rng.random() < 0.5:
            self.put(
                f"{name} = lambda u, v={self.expr(0)}: {self.rng.choice(['u', 'v', 'u + v', 'u if v else a', 'b'])}"
            )
        else:
            self.put(f"def {name}(u, *, v={self.expr(0)}):")
            self.put(f"    if {self.rng.choice(['u', 'v', 'a'])}:")
            self.put(f"        return {self.rng.choice(['u', 'v', 'a'])}")
            self.put("    return u")
        self.put(
            f"{self.name()} = {name}({self.expr(1)}) if {self.cond()} else {name}({self.expr(0)}, v={self.expr(0)})"
        )

    def do_pass(self, depth: int) -> None:
        self.put("pass")

    def do_if(self, depth: int) -> None:
        self.put(f"if {self.cond()}:")
        self.inside(depth)
        while self.rng.random() < 0.25:
            self.put(f"elif {self.cond()}:")
            self.inside(depth)
        if self.rng.random() < 0.5:
            self.put("else:")
            self.inside(depth)

    def do_for(self, depth: int) -> None:
        self.put(f"for {self.loop_target()}:")
        self.looping(depth)

    def looping(self, depth: int) -> None:
        self.loops += 1
        self.inside(depth)
        self.loops -= 1
        if self.rng.random() < 0.25:
            self.put("else:")
            self.inside(depth)

    def loop_target(self) -> str:
        i = self.rng.choice([*NAMES, "i", "j"])
        return self.rng.choice(
            [
                f"{i} in {self.iterable()}",
                f"{i} in {self.iterable()}",
                f"{i}, j in enumerate({self.iterable()})",
                f"i, {i} in zip({self.iterable()}, {self.iterable()})" if i != "i" else "i in (a, b)",
                f"{i} in reversed({self.rng.choice(['range(3)', 'list(xs)', '(a, b)'])})",
            ]
        )

    def iterable(self) -> str:
        n = self.rng.randint(0, 4)
        return self.rng.choice(
            [f"range({n})", f"range(b % {n + 1})", f"range({n}, -1, -2)", "list(xs)", "(a, b, 3)", "xs[:3]", "'ab'"]
        )

    def do_while(self, depth: int) -> None:
        self.counter += 1
        k = f"w{self.counter}"
        self.put(f"{k} = {self.rng.randint(0, 4)}")
        self.put(f"while {k} > 0{self.rng.choice(['', f' and {self.cond()}', ' and True'])}:")
        self.indent += 1
        self.put(f"{k} -= 1")
        self.indent -= 1
        self.looping(depth)

    def do_break(self, depth: int) -> None:
        self.put("break")

    def do_continue(self, depth: int) -> None:
        self.put("continue")

    def do_break_if(self, depth: int) -> None:
        self.put(f"if {self.cond()}:")
        self.put("    break")

    def do_continue_if(self, depth: int) -> None:
        self.put(f"if {self.cond()}:")
        self.put("    continue")

    def do_return(self, depth: int) -> None:
        self.put(f"return {self.expr(1)}")

    def do_return_if(self, depth: int) -> None:
        self.put(f"if {self.cond()}:")
        self.put(f"    return {self.rng.choice(['None', self.expr(1), f'{self.atom()}, {self.atom()}'])}")

    def do_raise(self, depth: int) -> None:
        self.put(f'raise ValueError("r", {self.expr(0)})')

    def do_del(self, depth: int) -> None:
        self.put(f"del {self.name()}")

    # expressions

    def name(self) -> str:
        return self.rng.choice(NAMES)

    def atom(self) -> str:
        return self.rng.choice([*NAMES, "a", "b", "a", "b", str(self.rng.randint(-3, 5)), "2.5", "None", "True", "'t'"])

    def number(self) -> str:
        return self.rng.choice(["a", "b", str(self.rng.randint(-3, 5)), "1.5", "len(xs)", "len(ys)", self.name()])

    def expr(self, depth: int) -> str:
        if depth <= 0:
            return self.atom()
        sub = lambda: self.expr(depth - 1)  # noqa: E731
        return self.rng.choice(
            [
                self.atom(),
                f"({self.number()} {self.rng.choice(['+', '-', '*', '//', '%', '/'])} {self.number()})",
                f"({self.number()} {self.rng.choice(['+', '-', '*'])} {self.number()})",
                f"({sub()} {self.rng.choice(['and', 'or'])} {sub()})",
                f"({sub()} if {self.cond()} else {sub()})",
                f"(not {sub()})",
                f"-({self.number()})",
                f"max({self.number()}, {self.number()})",
                f"(q := {sub()})",
                f"str({sub()})",
                f"[{sub()}, {sub()}][{self.rng.randint(0, 1)}]",
                f"({sub()}, {sub()})",
                f"xs[{self.rng.randint(-1, 2)}]",
            ]
        )

    def cond(self) -> str:
        return self.rng.choice(
            [
                f"{self.number()} {self.rng.choice(['<', '>', '==', '!=', '<=', '>='])} {self.number()}",
                f"{self.number()} < {self.number()} <= {self.number()}",
                f"{self.atom()} {self.rng.choice(['is None', 'is not None', 'in xs', 'in (1, 2, None)'])}",
                f"not {self.atom()}",
                self.atom(),
                f"isinstance({self.atom()}, (int, str))",
                f"({self.number()} > 1 and {self.number()} < 3)",
                f"({self.atom()} or {self.number()} == 2)",
            ]
        )


def source(seed: int) -> str:
    return Maker(seed).make()
