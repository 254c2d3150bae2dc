"""Statements, as lines of source.

Enters: how deep a statement stands. Leaves: lines, and what they define.
Invariant: those of `Writer`.
"""

from __future__ import annotations

from tests.capture.whole.grammar import (
    BOOL,
    COUNTS,
    FLOAT,
    INT,
    INTS,
    KEY,
    MATRIX,
    MAYBE,
    NOISY,
    OBJECT,
    PAIR,
    SCALAR,
    STR,
    TENSORS,
    VALUES,
    VECTOR,
    WHOLE,
)
from tests.capture.whole.writer import Writer

ERRORS = ("ValueError", "ZeroDivisionError", "IndexError", "KeyError", "TypeError")
CAUGHT = (
    "ZeroDivisionError", "IndexError", "ValueError", "(KeyError, IndexError)", "ArithmeticError", "LookupError",
    "Exception",
)  # fmt: skip
WRITES = {
    VECTOR: (
        "{}.add_($int)", "{}.mul_(2).clamp_(-9, 9)", "{} += $VECTOR", "{} -= $int", "{}[0] = $int", "{}[1:] = $int",
        "{}[-1] += $int", "{}.copy_($VECTOR)", "{}.zero_()", "{}[{} > $int] = $int", "{}.fill_($int)", "{}[:2].neg_()",
        "{}[$int] = $scalar", "{}.clamp_(«min=0|-2, 2»)",
    ),
    MATRIX: (
        "{}[0] = $VECTOR", "{} += $VECTOR", "{}[:, 1] = $int", "{}.add_($MATRIX)", "{}[0, 2] += $int",
        "{}.t()[0] = $int", "{}[$int].add_($VECTOR)", "{}.clamp_(-9, 9)", "{}[{} < 0] = 0", "{}.view(-1)[0] = $int",
        "{}[:, :2] -= 1",
    ),
    SCALAR: ("{} += $int", "{}.zero_()", "{}.copy_($SCALAR)"),
    WHOLE: ("{} += 1", "{}[0] = $int % 5", "{} //= 2", "{}.clamp_(-3, 3)"),
}  # fmt: skip
GROWS = ("{}.append($INT)", "{}.insert($int, $INT)", "{} += [$INT]", "{}.extend($ints[:2])", "{} += $ints[:1]")
CHANGES = ("{}[$int] = $INT", "{}[0] = $INT", "{}[-1] += $INT", "{}.reverse()", "{}.sort()", "{}[:1] = [$INT]")
SHRINKS = ("{}.pop()", "del {}[0]", "{}.pop($int)", "{}.remove($int)", "{}.clear()", "del {}[1:]")
OF_COUNTS = (
    "{}[%s] = $INT", "{}[%s] += $INT", "{}.update(a=$INT)", "{}.setdefault(%s, $INT)", "{}.pop(%s, None)", "del {}[%s]",
)  # fmt: skip
OF_OBJECT = ("{}.value = $INT", "{}.bump($INT)", "{}.seen.append($INT)", "{}.value -= $int", "{}[$int] = $INT")


class Statements(Writer):
    """`block(depth)` writes some statements; one method for each sort, `do_<sort>`."""

    def block(self, depth: int) -> None:
        self.statement(depth)
        while self.budget > 0 and self.chance(70):
            self.statement(depth)

    def statement(self, depth: int) -> None:
        rows = [(12, self.do_assign), (5, self.do_augment), (6, self.do_write), (6, self.do_container)]
        rows += [(2, self.do_unpack), (2, self.do_print), (1, self.do_assert), (1, self.do_scope), (1, self.do_delete)]
        rows += [(2, self.do_object), (1, self.do_global), (1, self.do_view)]
        if depth < 3 and self.budget > 0:
            rows += [(7, self.do_if), (4, self.do_for), (2, self.do_while), (3, self.do_try), (1, self.do_with)]
            rows += [(2, self.do_function), (1, self.do_match)]
        if depth:
            rows += [(1, self.do_return), (1, self.do_raise)]
        if self.loops:
            rows += [(3, self.do_leave)]
        rows += [(2, self.do_return_if)]
        self.often(rows)(depth)

    # simple ones

    def target(self, kind: str) -> str:
        """A name for a value of this kind: a new one, or one of that kind, or, rarely, of another."""
        found = self.writable(kind)
        if found and self.chance(50):
            return str(self.pick(found))
        return self.fresh()

    def do_assign(self, depth: int) -> None:
        kind = self.pick(VALUES)
        value, name = self.expr(kind, 2), self.target(kind)
        self.put(f"{name} = {value}")
        self.define(name, kind)

    def do_augment(self, depth: int) -> None:
        found = self.writable(INT, FLOAT, STR, VECTOR, MATRIX, SCALAR)
        if not found:
            return self.do_assign(depth)
        name = self.pick(found)
        kind = self.names[name]
        if kind == STR:
            return self.put(f"{name} = ({name} + {self.expr(STR, 1)})[-8:]")
        if kind in (INT, FLOAT):
            op = self.pick(("+=", "-=", "//=", "%="))
            return self.put(f"{name} {op} {self.expr(kind, 1)}")
        self.put(f"{name} = {name} {self.pick('+-')} {self.expr(self.pick((INT, SCALAR, kind)), 1)}")
        if self.turning:
            self.put(f"{name} = {name}.clamp(-9, 9)")
        return None

    def do_write(self, depth: int) -> None:
        found = self.having(*WRITES)
        if found:
            name = self.pick(found)
            self.put(self.fill(self.pick(WRITES[self.names[name]]).replace("{}", name)))
            if self.turning:
                self.put(f"{name}.clamp_(-9, 9)")

    def do_view(self, depth: int) -> None:
        """A name for a part of a tensor."""
        found = self.having(MATRIX, VECTOR)
        if found:
            base = self.pick(found)
            text, kind = self.pick(
                ((f"{base}[0]", {MATRIX: VECTOR, VECTOR: SCALAR}[self.names[base]]), (f"{base}[:]", self.names[base]))
            )
            name = self.fresh()
            self.put(f"{name} = {text}")
            self.define(name, kind)

    def do_container(self, depth: int) -> None:
        found = self.having(INTS, COUNTS, TENSORS)
        if not found:
            return self.do_assign(depth)
        name = self.pick(found)
        kind = self.names[name]
        if kind == COUNTS:
            return self.put(self.fill(self.pick(OF_COUNTS).replace("%s", KEY).replace("{}", name)))
        if kind == TENSORS:
            if self.turning:
                return self.put(self.fill(f"{name} = [*{name}, $VECTOR][-3:]"))
            return self.put(self.fill(self.pick(("{}.append($VECTOR)", "{}[0] = $VECTOR", "{}.pop()")).format(name)))
        rows = (*CHANGES, *(() if self.fixed else (*GROWS, *GROWS, *SHRINKS)))
        return self.put(self.fill(self.pick(rows).replace("{}", name)))

    def do_object(self, depth: int) -> None:
        found = self.having(OBJECT)
        if found and not self.chance(25):
            self.put(self.fill(self.pick(OF_OBJECT).replace("{}", self.pick(found))))
        elif self.has_class:
            name = self.target(OBJECT)
            self.put(f"{name} = {self.expr(OBJECT, 2)}")
            self.define(name, OBJECT)

    has_class = False

    def do_unpack(self, depth: int) -> None:
        one, two = self.fresh(), self.fresh()
        ints, pair = self.expr(INTS, 1), self.expr(PAIR, 1)
        kinds = {one: INT, two: INT}
        text = self.pick((f"{one}, {two} = {pair}", f"{one}, {two} = {ints}"))
        if self.chance(30):
            text, kinds = f"{one}, *{two} = {ints}", {one: INT, two: INTS}
        elif self.chance(30):
            text = f"{one} = {two} = {self.expr(INT, 1)}"
        found = self.writable(INT)
        if len(found) > 1 and self.chance(20):
            text, kinds = f"{found[0]}, {found[1]} = {found[1]}, {found[0]}", {}
        elif self.chance(15):
            text = f"({one}, {two}), v0 = {pair}, {self.expr(VECTOR, 1)}"
            kinds["v0"] = VECTOR
        self.put(text)
        for name, kind in kinds.items():
            self.define(name, kind)

    def do_print(self, depth: int) -> None:
        if self.quiet:
            return self.do_assign(depth)
        self.unseen = True
        values = [self.expr(self.pick((INT, STR, FLOAT, INTS, BOOL, COUNTS, PAIR, MAYBE)), 1) for _ in range(2)]
        end = self.pick(("", ", sep='-'", ", end=';'"))
        return self.put(f"print({', '.join(values)}{end})")

    def do_assert(self, depth: int) -> None:
        self.put(self.fill("assert $BOOL or $BOOL«|, $str|, 'no'»", 2))

    def do_delete(self, depth: int) -> None:
        found = [n for n in self.names if n.startswith("v")]
        if found and self.chance(50):
            name = self.pick(found)
            self.put(f"del {name}")
            self.maybe[name] = self.names.pop(name)

    def do_global(self, depth: int) -> None:
        if "LIMIT" in self.names and self.chance(50):
            self.unseen = True
            self.put(self.fill(self.pick(("LOG.append($INT)", "TABLE['a'] = $INT"))))

    def do_leave(self, depth: int) -> None:
        word = self.pick(("break", "continue"))
        if self.chance(80):
            word = f"if {self.expr(BOOL, 1)}:\n{'    ' * (self.indent + 1)}{word}"
        self.put(word)

    def result(self) -> str:
        if self.returns is not None:
            return self.expr(self.returns, 1)
        found = [n for n in self.having(*VALUES, NOISY, OBJECT) if not n.isupper()]
        return ", ".join([*(self.pick(found) for _ in range(self.upto(2) if found else 0)), self.expr(INT, 1)])

    def do_return(self, depth: int) -> None:
        self.put(f"return {self.result()}")

    def do_return_if(self, depth: int) -> None:
        self.put(f"if {self.expr(BOOL, 1)}:")
        self.put(f"    return {self.result()}")

    def do_raise(self, depth: int) -> None:
        error = self.fill(f"{self.pick(ERRORS)}(«'r'|$str|'r', $int»)")
        self.put(f"raise {error}" if not self.chance(15) else f"raise {error} from None")

    def do_scope(self, depth: int) -> None:
        """A name gets a value of another kind."""
        found = [n for n in self.having(INT, FLOAT) if n.startswith("v")]
        if found and not self.turning:
            name, kind = self.pick(found), self.pick((FLOAT, MAYBE, STR, VECTOR))
            self.put(f"{name} = {self.expr(kind, 1)}")
            self.define(name, kind)

    # blocks

    def do_if(self, depth: int) -> None:
        with self.inside(f"if {self.expr(BOOL, 2)}:"):
            self.block(depth + 1)
        while self.chance(25):
            with self.inside(f"elif {self.expr(BOOL, 1)}:"):
                self.block(depth + 1)
        if self.chance(50):
            with self.inside("else:"):
                self.block(depth + 1)

    def do_for(self, depth: int) -> None:
        i, j = self.fresh("i"), self.fresh("j")
        n, m = self.upto(3) + 1, self.expr(INT, 1)
        ints = self.expr(INTS, 1)
        target, kinds, fixed = self.pick(
            (
                (f"{i} in range({n})", {i: INT}, False),
                (f"{i} in range({m} % 4)", {i: INT}, False),
                (f"{i} in {ints}[:4]", {i: INT}, False),
                (f"{i} in {ints}", {i: INT}, True),
                (f"{i}, {j} in enumerate({ints}[:4])", {i: INT, j: INT}, False),
                (f"{i}, {j} in zip({ints}[:4], range({n}))", {i: INT, j: INT}, False),
                (f"{i} in range({n}, -2, -{self.upto(1) + 1})", {i: INT}, False),
                (f"{i} in {self.expr(MATRIX, 1)}", {i: VECTOR}, False),
                (f"{i} in list({self.expr(TENSORS, 1)})", {i: VECTOR}, False),
                (f"{i}, {j} in enumerate({self.expr(MATRIX, 1)})", {i: INT, j: VECTOR}, False),
                (f"{i}, {j} in sorted({self.atom(COUNTS)}.items())", {i: STR, j: INT}, False),
                (f"{i} in reversed({ints}[:4])", {i: INT}, False),
                (f"{i} in ({self.atom(INT)}, {m})", {i: INT}, False),
                (f"{i} in list({self.atom(COUNTS)})", {i: STR}, False),
                (f"{i} in {self.atom(STR)}[:4]", {i: STR}, False),
                (f"{i}, ({j}, q) in enumerate(zip({ints}[:3], {ints}))", {i: INT, j: INT, "q": INT}, False),
                (f"{i} in {self.atom(VECTOR)}", {i: SCALAR}, False),
            )
        )
        with self.looping(f"for {target}:", fixed):
            for name, kind in kinds.items():
                self.define(name, kind)
            self.block(depth + 1)
        self.orelse(depth)

    def do_while(self, depth: int) -> None:
        w = self.fresh("w")
        self.put(f"{w} = {self.upto(3) + 1}")
        extra = f" and {self.expr(BOOL, 1)}" if self.chance(40) else ""
        with self.looping(f"while {w} > 0{extra}:" if not self.chance(20) else "while True:"):
            forever = self.lines[-1].endswith("True:")
            self.put(f"{w} -= 1")
            if forever:
                self.put(f"if {w} < 0:")
                self.put("    break")
            self.block(depth + 1)
        self.orelse(depth)

    def orelse(self, depth: int) -> None:
        if self.chance(15):
            with self.inside("else:"):
                self.block(depth + 1)

    def do_try(self, depth: int) -> None:
        with self.inside("try:"):
            self.block(depth + 1)
        handlers = self.upto(1) + (not self.chance(15))
        for _ in range(handlers):
            named = self.chance(40)
            e = self.fresh("e")
            with self.inside(f"except {self.pick(CAUGHT)}{f' as {e}' if named else ''}:"):
                if named and not self.quiet and self.chance(60):
                    self.unseen = True
                    self.put(f"print(type({e}).__name__, {self.pick((f'str({e})', f'{e}.args'))})")
                self.block(depth + 1)
                if self.chance(10):
                    self.put("raise")
        if handlers and self.chance(15):
            with self.inside("else:"):
                self.block(depth + 1)
        if not handlers or self.chance(20):
            with self.inside("finally:"):
                self.block(depth + 1)

    def do_with(self, depth: int) -> None:
        with self.inside("with specjit.no_grad():"):
            self.block(depth + 1)

    def do_match(self, depth: int) -> None:
        with self.inside(f"match {self.expr(INT, 1)}:"):
            for case in ("case 0 | 1:", f"case {self.fresh('m')} if {self.expr(BOOL, 1)}:", "case _:"):
                with self.inside(case):
                    self.block(depth + 1)

    def do_function(self, depth: int) -> None:
        """A function in this one, that reads, and perhaps writes, its names; called at once, and for some time."""
        name, parameter = self.fresh("f"), self.fresh("p")
        takes, gives = self.pick((INT, VECTOR, INTS)), self.pick((INT, VECTOR, FLOAT))
        if self.chance(40):
            seen = {**self.names}
            self.names[parameter] = takes
            self.put(f"{name} = lambda {parameter}: {self.expr(gives, 2)}")
            self.names = seen
        else:
            outer, held = {**self.names}, [n for n in self.writable(INT) if "." not in n and n not in self.globals]
            with self.function(name, {parameter: takes}, None):
                if held and self.chance(50):
                    counted = self.pick(held)
                    self.put(f"nonlocal {counted}")
                    self.put(self.fill(f"{counted} = {counted} + «1|2|-1»"))
                self.names |= {n: k for n, k in outer.items() if n not in self.names}
                if self.chance(40):
                    self.put(f"if {self.expr(BOOL, 1)}:")
                    self.put(f"    return {self.expr(gives, 1)}")
                self.put(f"return {self.expr(gives, 2)}")
        result = self.fresh()
        self.put(f"{result} = {name}({self.expr(takes, 1)})")
        self.define(result, gives)
        if self.chance(30):
            self.put(self.fill(f"{result} = [{name}(k) for k in [${takes}, ${takes.upper()}]][-1]"))
