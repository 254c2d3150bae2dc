"""The virtual machine that runs a region: its instructions, an assembler, a disassembler and a verifier.

Enters: instructions, one assembler call each. Leaves: an int64 array for `native`'s `run(code, frame)`.
Invariant: `python.run_python` and the native machine agree on every frame word and status
(`tests/codegen/test_machine.py`).

The machine starts at frame[PC]. It returns OK or a failure with PC back at 0, so that the frame can be used again;
YIELD with PC behind the loop turn just finished; GROW with PC at the NEED, with NEEDED set. A failure also sets
FAULT_PC.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from specjit.codegen.abi import Status


class Op(IntEnum):
    END = 0
    FAIL = 1
    CALL = 2
    JMP = 3
    BRZ = 4
    BRNZ = 5
    MOV = 6
    SET = 7
    ADDI = 8
    MADDI = 9
    ADD = 10
    SUB = 11
    MUL = 12
    NEG = 13
    FLOORDIV = 14
    MOD = 15
    MIN = 16
    MAX = 17
    LT = 18
    LE = 19
    EQ = 20
    NE = 21
    AND = 22
    OR = 23
    NOT = 24
    ITOF = 25
    FADD = 26
    FSUB = 27
    FMUL = 28
    FDIV = 29
    FNEG = 30
    FLT = 31
    FLE = 32
    FEQ = 33
    FNE = 34
    INDEX = 35
    NEED = 36
    LOOP = 37
    ENDL = 38


# Operands by letter: d a slot written, s a slot read, i an immediate, t a code position; CALL is followed by as many
# slots as its `n` says.
OPERANDS: dict[Op, str] = dict.fromkeys(Op, "dss") | {
    Op.END: "",
    Op.FAIL: "i",
    Op.CALL: "in",
    Op.JMP: "t",
    Op.BRZ: "st",
    Op.BRNZ: "st",
    Op.MOV: "ds",
    Op.SET: "di",
    Op.ADDI: "dsi",
    Op.MADDI: "dssi",
    Op.NEG: "ds",
    Op.NOT: "ds",
    Op.ITOF: "ds",
    Op.FNEG: "ds",
    Op.NEED: "s",
    Op.LOOP: "dst",
    Op.ENDL: "dti",
}

Words = NDArray[np.int64]


class HasAddress(Protocol):
    @property
    def address(self) -> int: ...


class MachineCode(NamedTuple):
    """A program and the kernels whose addresses are in it, which it keeps loaded."""

    words: Words
    kernels: tuple[Any, ...]


class Label:
    """A code position that may be used before it is placed."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position: int | None = None


class Assembler:
    """Builds a program: one method per instruction, with the operands in the order of `OPERANDS`.

    d, s, a, b and the like are frame slots; imm and weight are immediates. What an instruction computes:
    `python`.
    """

    def __init__(self) -> None:
        self._words: list[int | Label] = []
        self._kernels: dict[int, Any] = {}

    def label(self) -> Label:
        """A label to be placed later."""
        return Label()

    def place(self, label: Label | None = None) -> Label:
        """Put the label (or a new one) here."""
        label = label or Label()
        if label.position is not None:
            raise ValueError("this label already has a place")
        label.position = len(self._words)
        return label

    def build(self) -> MachineCode:
        """The program. Raises ValueError for a label that was used and never placed."""
        words = []
        for word in self._words:
            if isinstance(word, Label):
                if word.position is None:
                    raise ValueError("a label was used and never placed")
                word = word.position
            words.append(word)
        return MachineCode(np.array(words, np.int64), tuple(self._kernels.values()))

    def _emit(self, op: Op, *operands: int | Label) -> None:
        self._words += [int(op), *operands]

    def end(self) -> None:
        self._emit(Op.END)

    def fail(self, status: Status) -> None:
        self._emit(Op.FAIL, int(status))

    def call(self, kernel: HasAddress | int, *slots: int) -> None:
        address = kernel if isinstance(kernel, int) else kernel.address
        if not isinstance(kernel, int):
            self._kernels[address] = kernel
        self._emit(Op.CALL, address, len(slots), *slots)

    def jmp(self, target: Label) -> None:
        self._emit(Op.JMP, target)

    def brz(self, s: int, target: Label) -> None:
        self._emit(Op.BRZ, s, target)

    def brnz(self, s: int, target: Label) -> None:
        self._emit(Op.BRNZ, s, target)

    def mov(self, d: int, s: int) -> None:
        self._emit(Op.MOV, d, s)

    def set(self, d: int, value: int | float) -> None:
        """A float is stored as its bits."""
        self._emit(Op.SET, d, float_bits(value) if isinstance(value, float) else int(value))

    def addi(self, d: int, s: int, imm: int) -> None:
        self._emit(Op.ADDI, d, s, imm)

    def maddi(self, d: int, a: int, b: int, imm: int) -> None:
        self._emit(Op.MADDI, d, a, b, imm)

    def add(self, d: int, a: int, b: int) -> None:
        self._emit(Op.ADD, d, a, b)

    def sub(self, d: int, a: int, b: int) -> None:
        self._emit(Op.SUB, d, a, b)

    def mul(self, d: int, a: int, b: int) -> None:
        self._emit(Op.MUL, d, a, b)

    def neg(self, d: int, a: int) -> None:
        self._emit(Op.NEG, d, a)

    def floordiv(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FLOORDIV, d, a, b)

    def mod(self, d: int, a: int, b: int) -> None:
        self._emit(Op.MOD, d, a, b)

    def min(self, d: int, a: int, b: int) -> None:
        self._emit(Op.MIN, d, a, b)

    def max(self, d: int, a: int, b: int) -> None:
        self._emit(Op.MAX, d, a, b)

    def lt(self, d: int, a: int, b: int) -> None:
        self._emit(Op.LT, d, a, b)

    def le(self, d: int, a: int, b: int) -> None:
        self._emit(Op.LE, d, a, b)

    def eq(self, d: int, a: int, b: int) -> None:
        self._emit(Op.EQ, d, a, b)

    def ne(self, d: int, a: int, b: int) -> None:
        self._emit(Op.NE, d, a, b)

    def and_(self, d: int, a: int, b: int) -> None:
        self._emit(Op.AND, d, a, b)

    def or_(self, d: int, a: int, b: int) -> None:
        self._emit(Op.OR, d, a, b)

    def not_(self, d: int, a: int) -> None:
        self._emit(Op.NOT, d, a)

    def itof(self, d: int, a: int) -> None:
        self._emit(Op.ITOF, d, a)

    def fadd(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FADD, d, a, b)

    def fsub(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FSUB, d, a, b)

    def fmul(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FMUL, d, a, b)

    def fdiv(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FDIV, d, a, b)

    def fneg(self, d: int, a: int) -> None:
        self._emit(Op.FNEG, d, a)

    def flt(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FLT, d, a, b)

    def fle(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FLE, d, a, b)

    def feq(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FEQ, d, a, b)

    def fne(self, d: int, a: int, b: int) -> None:
        self._emit(Op.FNE, d, a, b)

    def index(self, d: int, i: int, n: int) -> None:
        self._emit(Op.INDEX, d, i, n)

    def need(self, s: int) -> None:
        self._emit(Op.NEED, s)

    def loop(self, counter: int, count: int, exit: Label) -> None:
        self._emit(Op.LOOP, counter, count, exit)

    def endl(self, counter: int, target: Label, weight: int = 1) -> None:
        self._emit(Op.ENDL, counter, target, weight)


class Instruction(NamedTuple):
    position: int
    op: Op
    operands: tuple[int, ...]


def instructions(code: Sequence[int] | Words) -> Iterator[Instruction]:
    """A program's instructions. Raises ValueError at a word that is no opcode, or when the last one is cut short."""
    words, position = [int(word) for word in code], 0
    while position < len(words):
        op = Op(words[position])
        size = len(OPERANDS[op])
        if op is Op.CALL and position + 2 < len(words):
            size += max(words[position + 2], 0)
        operands = tuple(words[position + 1 : position + 1 + size])
        if len(operands) != size or (op is Op.CALL and len(operands) != 2 + operands[1]):
            raise ValueError(f"{op.name} at {position} is cut short")
        yield Instruction(position, op, operands)
        position += 1 + size


def disassemble(code: Sequence[int] | Words, names: Mapping[int, str] | None = None) -> str:
    """The program as text, a line per instruction. `names` says what the kernels at given addresses are called."""
    lines = []
    for position, op, operands in instructions(code):
        if op is Op.CALL:
            address = operands[0]
            shown = [(names or {}).get(address, hex(address)), *(f"[{slot}]" for slot in operands[2:])]
        else:
            letters = {"i": "{}", "t": "@{}"}
            shown = [letters.get(kind, "[{}]").format(word) for kind, word in zip(OPERANDS[op], operands, strict=True)]
        lines.append(f"{position:5d}  {op.name.lower():<8} {' '.join(shown)}".rstrip())
    return "\n".join(lines)


def verify(code: Sequence[int] | Words, slots: int) -> None:
    """Raise ValueError for a slot outside a frame of `slots` words, a jump into an instruction, or an open end."""
    program = list(instructions(code))
    starts = {instruction.position for instruction in program}
    for position, op, operands in program:
        kinds = OPERANDS[op] + "s" * (len(operands) - len(OPERANDS[op]))
        for kind, word in zip(kinds, operands, strict=True):
            if kind in "ds" and not 0 <= word < slots:
                raise ValueError(f"{op.name} at {position}: slot {word} is outside the frame of {slots}")
            if kind == "t" and word not in starts:
                raise ValueError(f"{op.name} at {position}: {word} is not the start of an instruction")
    if not program or program[-1].op not in (Op.END, Op.FAIL, Op.JMP):
        raise ValueError("control can run off the end of the program")


def float_bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def bits_float(word: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", word))[0])
