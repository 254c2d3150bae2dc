"""The virtual machine as LLVM IR, generated from one short rule per instruction.

Enters: nothing. Leaves: the IR text of `int64 specjit_machine(int64* code, int64* frame)`, and `machine(library)` which
loads it.
Invariant: what each instruction does is what `python.run_python` says.

It is IR text, not kernel source for Numba: checked arithmetic and the jump table are single IR words, llvmlite alone
compiles it (0.1 s, then cached like any kernel), so a process that finds its kernels in the cache never starts a
compile worker.
"""

from __future__ import annotations

from collections.abc import Callable

from specjit.codegen.abi import BUDGET, FAULT_PC, NEEDED, PC, WORKSPACE_BYTES, Status
from specjit.codegen.loader import Kernel, KernelLibrary
from specjit.codegen.machine.instructions import OPERANDS, Op

SYMBOL = "specjit_machine"


class _Text:
    """IR lines with fresh value names. `ip` is the address of the running instruction, `pc` its position."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def __call__(self, line: str) -> None:
        self.lines.append("  " + line)

    def let(self, value: str) -> str:
        self._count += 1
        self(f"%v{self._count} = {value}")
        return f"%v{self._count}"

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def word(self, k: int) -> str:
        """The k-th word of the instruction."""
        return self.let(f"load i64, ptr {self.let(f'getelementptr i64, ptr %ip, i64 {k}')}")

    def place(self, k: int) -> str:
        """The address of the slot that the k-th word names."""
        return self.let(f"getelementptr i64, ptr %frame, i64 {self.word(k)}")

    def slot(self, k: int) -> str:
        return self.let(f"load i64, ptr {self.place(k)}")

    def real(self, k: int) -> str:
        return self.let(f"load double, ptr {self.place(k)}")

    def put(self, value: str, kind: str = "i64") -> None:
        """Store into the slot that the first operand names."""
        self(f"store {kind} {value}, ptr {self.place(1)}")

    def header(self, slot: int) -> str:
        return self.let(f"getelementptr i64, ptr %frame, i64 {slot}")

    def go(self, position: str) -> None:
        self(f"store i64 {position}, ptr %pc.var")
        self("br label %dispatch")

    def next(self, op: Op) -> None:
        self.go(self.let(f"add i64 %pc, {1 + len(OPERANDS[op])}"))

    def fail_if(self, condition: str, status: Status) -> None:
        """Leave with a failure; what follows runs otherwise."""
        self._count += 1
        self(f"br i1 {condition}, label %fail.{status.name}, label %go{self._count}, !prof !0")
        self.label(f"go{self._count}")

    def split(self) -> tuple[str, str]:
        self._count += 1
        return f"yes{self._count}", f"no{self._count}"


def _checked(name: str) -> Callable[[_Text], None]:
    def rule(t: _Text) -> None:
        both = t.let(f"call {{ i64, i1 }} @llvm.{name}.with.overflow.i64(i64 {t.slot(2)}, i64 {t.slot(3)})")
        t.fail_if(t.let(f"extractvalue {{ i64, i1 }} {both}, 1"), Status.OVERFLOW)
        t.put(t.let(f"extractvalue {{ i64, i1 }} {both}, 0"))

    return rule


def _integers(template: str) -> Callable[[_Text], None]:
    return lambda t: t.put(t.let(template.format(a=t.slot(2), b=t.slot(3))))


def _compare(instruction: str, read: Callable[[_Text, int], str]) -> Callable[[_Text], None]:
    def rule(t: _Text) -> None:
        t.put(t.let(f"zext i1 {t.let(f'{instruction} {read(t, 2)}, {read(t, 3)}')} to i64"))

    return rule


def _reals(instruction: str) -> Callable[[_Text], None]:
    return lambda t: t.put(t.let(f"{instruction} double {t.real(2)}, {t.real(3)}"), "double")


def _neg(t: _Text) -> None:
    both = t.let(f"call {{ i64, i1 }} @llvm.ssub.with.overflow.i64(i64 0, i64 {t.slot(2)})")
    t.fail_if(t.let(f"extractvalue {{ i64, i1 }} {both}, 1"), Status.OVERFLOW)
    t.put(t.let(f"extractvalue {{ i64, i1 }} {both}, 0"))


def _divide(t: _Text, quotient: bool) -> None:
    a, b = t.slot(2), t.slot(3)
    t.fail_if(t.let(f"icmp eq i64 {b}, 0"), Status.ZERO_DIVISION)
    minus = t.let(f"icmp eq i64 {b}, -1")
    if quotient:  # the one quotient that does not fit; the remainder by -1 is 0, but the processor would trap on it too
        lowest = t.let(f"icmp eq i64 {a}, -9223372036854775808")
        t.fail_if(t.let(f"and i1 {lowest}, {minus}"), Status.OVERFLOW)
        divisor = b
    else:
        divisor = t.let(f"select i1 {minus}, i64 1, i64 {b}")
    rest = t.let(f"srem i64 {a}, {divisor}")
    # C truncates and Python floors: they differ where the remainder is not 0 and its sign is not the divisor's.
    inexact = t.let(f"icmp ne i64 {rest}, 0")
    signs = t.let(f"icmp slt i64 {t.let(f'xor i64 {rest}, {divisor}')}, 0")
    adjust = t.let(f"and i1 {inexact}, {signs}")
    if quotient:
        down = t.let(f"zext i1 {adjust} to i64")
        t.put(t.let(f"sub i64 {t.let(f'sdiv i64 {a}, {b}')}, {down}"))
    else:
        up = t.let(f"select i1 {adjust}, i64 {b}, i64 0")
        t.put(t.let(f"add i64 {rest}, {up}"))


def _fdiv(t: _Text) -> None:
    a, b = t.real(2), t.real(3)
    t.fail_if(t.let(f"fcmp oeq double {b}, 0.0"), Status.ZERO_DIVISION)
    t.put(t.let(f"fdiv double {a}, {b}"), "double")


def _index(t: _Text) -> None:
    i, n = t.slot(2), t.slot(3)
    wrapped = t.let(f"select i1 {t.let(f'icmp slt i64 {i}, 0')}, i64 {t.let(f'add i64 {i}, {n}')}, i64 {i}")
    # For n >= 0 one unsigned comparison says both "not negative" and "below n"; nothing is inside a negative length.
    outside = t.let(f"icmp uge i64 {wrapped}, {n}")
    negative = t.let(f"icmp slt i64 {n}, 0")
    t.fail_if(t.let(f"or i1 {outside}, {negative}"), Status.INDEX)
    t.put(wrapped)


def _maddi(t: _Text) -> None:
    t.put(t.let(f"add i64 {t.slot(2)}, {t.let(f'mul i64 {t.slot(3)}, {t.word(4)}')}"))


# What the instructions do that compute a value and go on.
RULES: dict[Op, Callable[[_Text], None]] = {
    Op.MOV: lambda t: t.put(t.slot(2)),
    Op.SET: lambda t: t.put(t.word(2)),
    Op.ADDI: lambda t: t.put(t.let(f"add i64 {t.slot(2)}, {t.word(3)}")),
    Op.MADDI: _maddi,
    Op.ADD: _checked("sadd"),
    Op.SUB: _checked("ssub"),
    Op.MUL: _checked("smul"),
    Op.NEG: _neg,
    Op.FLOORDIV: lambda t: _divide(t, True),
    Op.MOD: lambda t: _divide(t, False),
    Op.MIN: _integers("call i64 @llvm.smin.i64(i64 {a}, i64 {b})"),
    Op.MAX: _integers("call i64 @llvm.smax.i64(i64 {a}, i64 {b})"),
    Op.LT: _compare("icmp slt i64", _Text.slot),
    Op.LE: _compare("icmp sle i64", _Text.slot),
    Op.EQ: _compare("icmp eq i64", _Text.slot),
    Op.NE: _compare("icmp ne i64", _Text.slot),
    Op.AND: _integers("and i64 {a}, {b}"),
    Op.OR: _integers("or i64 {a}, {b}"),
    Op.NOT: lambda t: t.put(t.let(f"zext i1 {t.let(f'icmp eq i64 {t.slot(2)}, 0')} to i64")),
    Op.ITOF: lambda t: t.put(t.let(f"sitofp i64 {t.slot(2)} to double"), "double"),
    Op.FADD: _reals("fadd"),
    Op.FSUB: _reals("fsub"),
    Op.FMUL: _reals("fmul"),
    Op.FDIV: _fdiv,
    Op.FNEG: lambda t: t.put(t.let(f"fneg double {t.real(2)}"), "double"),
    Op.FLT: _compare("fcmp olt double", _Text.real),
    Op.FLE: _compare("fcmp ole double", _Text.real),
    Op.FEQ: _compare("fcmp oeq double", _Text.real),
    Op.FNE: _compare("fcmp une double", _Text.real),
    Op.INDEX: _index,
}


def _branch(t: _Text, condition: str, op: Op, target_word: int) -> None:
    """To the target when the condition holds, else to the next instruction."""
    behind = t.let(f"add i64 %pc, {1 + len(OPERANDS[op])}")
    t.go(t.let(f"select i1 {condition}, i64 {t.word(target_word)}, i64 {behind}"))


def _fail(t: _Text) -> None:
    t(f"store i64 {t.word(1)}, ptr %status.var")
    t("br label %fail")


def _call(t: _Text) -> None:
    kernel = t.let(f"inttoptr i64 {t.word(1)} to ptr")
    operands = t.let("getelementptr i64, ptr %ip, i64 3")
    status = t.let(f"call i64 {kernel}(ptr %frame, ptr {operands})")
    yes, no = t.split()
    t(f"br i1 {t.let(f'icmp eq i64 {status}, 0')}, label %{yes}, label %{no}, !prof !1")
    t.label(no)
    t(f"store i64 {status}, ptr %status.var")
    t("br label %fail")
    t.label(yes)
    t.go(t.let(f"add i64 %pc, {t.let(f'add i64 3, {t.word(2)}')}"))


def _need(t: _Text) -> None:
    needed = t.slot(1)
    yes, no = t.split()
    have = t.let(f"load i64, ptr {t.header(WORKSPACE_BYTES)}")
    t(f"br i1 {t.let(f'icmp sge i64 {have}, {needed}')}, label %{yes}, label %{no}")
    t.label(no)
    t(f"store i64 {needed}, ptr {t.header(NEEDED)}")
    t(f"store i64 %pc, ptr {t.header(PC)}")
    t(f"ret i64 {Status.GROW:d}")
    t.label(yes)
    t.next(Op.NEED)


def _loop(t: _Text) -> None:
    count = t.slot(2)
    t.put(count)
    _branch(t, t.let(f"icmp sle i64 {count}, 0"), Op.LOOP, 3)


def _endl(t: _Text) -> None:
    left = t.let(f"sub i64 {t.slot(1)}, 1")
    t.put(left)
    budget_place = t.header(BUDGET)
    budget = t.let(f"sub i64 {t.let(f'load i64, ptr {budget_place}')}, {t.word(3)}")
    t(f"store i64 {budget}, ptr {budget_place}")
    again = t.let(f"icmp sgt i64 {left}, 0")
    behind = t.let(f"add i64 %pc, {1 + len(OPERANDS[Op.ENDL])}")
    position = t.let(f"select i1 {again}, i64 {t.word(2)}, i64 {behind}")
    yes, no = t.split()
    t(f"br i1 {t.let(f'icmp sgt i64 {budget}, 0')}, label %{yes}, label %{no}, !prof !1")
    t.label(no)
    t(f"store i64 {position}, ptr {t.header(PC)}")
    t(f"ret i64 {Status.YIELD:d}")
    t.label(yes)
    t.go(position)


# The instructions that decide where to go.
CONTROL: dict[Op, Callable[[_Text], None]] = {
    Op.END: lambda t: t("br label %end"),
    Op.FAIL: _fail,
    Op.CALL: _call,
    Op.JMP: lambda t: t.go(t.word(1)),
    Op.BRZ: lambda t: _branch(t, t.let(f"icmp eq i64 {t.slot(1)}, 0"), Op.BRZ, 2),
    Op.BRNZ: lambda t: _branch(t, t.let(f"icmp ne i64 {t.slot(1)}, 0"), Op.BRNZ, 2),
    Op.NEED: _need,
    Op.LOOP: _loop,
    Op.ENDL: _endl,
}


def render() -> str:
    """The machine as LLVM IR text."""
    t = _Text()
    for op in Op:
        t.label(f"op.{op.name}")
        if op in CONTROL:
            CONTROL[op](t)
        else:
            RULES[op](t)
            t.next(op)
    failures = [Status.OVERFLOW, Status.ZERO_DIVISION, Status.INDEX]
    for status in failures:
        t.label(f"fail.{status.name}")
        t(f"store i64 {status:d}, ptr %status.var")
        t("br label %fail")
    cases = "\n".join(f"    i64 {op:d}, label %op.{op.name}" for op in Op)
    body = "\n".join(t.lines)
    return f"""\
declare {{ i64, i1 }} @llvm.sadd.with.overflow.i64(i64, i64)
declare {{ i64, i1 }} @llvm.ssub.with.overflow.i64(i64, i64)
declare {{ i64, i1 }} @llvm.smul.with.overflow.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)

define i64 @{SYMBOL}(ptr noalias readonly %code, ptr %frame) nounwind {{
entry:
  %pc.var = alloca i64
  %status.var = alloca i64
  %pc.place = getelementptr i64, ptr %frame, i64 {PC}
  %fault.place = getelementptr i64, ptr %frame, i64 {FAULT_PC}
  %start = load i64, ptr %pc.place
  store i64 %start, ptr %pc.var
  br label %dispatch
dispatch:
  %pc = load i64, ptr %pc.var
  %ip = getelementptr i64, ptr %code, i64 %pc
  %opcode = load i64, ptr %ip
  switch i64 %opcode, label %unknown [
{cases}
  ]
{body}
unknown:
  store i64 {Status.KERNEL:d}, ptr %status.var
  br label %fail
fail:
  store i64 %pc, ptr %fault.place
  store i64 0, ptr %pc.place
  %status = load i64, ptr %status.var
  ret i64 %status
end:
  store i64 0, ptr %pc.place
  ret i64 {Status.OK:d}
}}
!0 = !{{!"branch_weights", i32 1, i32 2000}}
!1 = !{{!"branch_weights", i32 2000, i32 1}}
"""


def machine(library: KernelLibrary) -> Kernel:
    """The machine's native code; `address` is `int64 run(int64* code, int64* frame)`."""
    return library.get_ir(render(), [SYMBOL])
