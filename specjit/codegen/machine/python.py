"""The virtual machine in plain Python: the meaning of every instruction, and the reference that tests compare the
native one with.

Enters: a program, a frame and Python stand-ins for its kernels. Leaves: a status, and the frame changed as the native
machine changes it.
Invariant: written from the instruction table, not from the native machine; slow and obvious.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from specjit.codegen.abi import BUDGET, FAULT_PC, NEEDED, PC, WORKSPACE_BYTES, Status
from specjit.codegen.machine.instructions import OPERANDS, Op, Words, bits_float, float_bits

_WORD = 1 << 64
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


def _wrap(value: int) -> int:
    """The value modulo 2**64, as an int64."""
    return (value - _LOWEST) % _WORD + _LOWEST


class _Fault(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def _fits(value: int) -> int:
    if not _LOWEST <= value <= _HIGHEST:
        raise _Fault(Status.OVERFLOW)
    return value


def _nonzero(value: Any) -> Any:
    if value == 0:
        raise _Fault(Status.ZERO_DIVISION)
    return value


def _index(i: int, n: int) -> int:
    wrapped = _wrap(i + n) if i < 0 else i
    if not 0 <= wrapped < n:
        raise _Fault(Status.INDEX)
    return wrapped


def _ieee(operation: Callable[[Any, Any], Any]) -> Callable[[float, float], float]:
    """NumPy's arithmetic on doubles: Python's own raises where IEEE gives inf or NaN."""

    def apply(a: float, b: float) -> float:
        with np.errstate(all="ignore"):
            return float(operation(np.float64(a), np.float64(b)))

    return apply


# What the instructions with result `d` and operands `a`, `b` compute: on integers, on doubles, and from doubles to 0 or
# 1.
_INTEGER: dict[Op, Callable[[int, int], int]] = {
    Op.ADD: lambda a, b: _fits(a + b),
    Op.SUB: lambda a, b: _fits(a - b),
    Op.MUL: lambda a, b: _fits(a * b),
    Op.FLOORDIV: lambda a, b: _fits(a // _nonzero(b)),
    Op.MOD: lambda a, b: a % _nonzero(b),
    Op.MIN: min,
    Op.MAX: max,
    Op.LT: lambda a, b: a < b,
    Op.LE: lambda a, b: a <= b,
    Op.EQ: lambda a, b: a == b,
    Op.NE: lambda a, b: a != b,
    Op.AND: lambda a, b: a & b,
    Op.OR: lambda a, b: a | b,
    Op.INDEX: _index,
}
_REAL: dict[Op, Callable[[float, float], float]] = {
    Op.FADD: _ieee(lambda a, b: a + b),
    Op.FSUB: _ieee(lambda a, b: a - b),
    Op.FMUL: _ieee(lambda a, b: a * b),
    Op.FDIV: _ieee(lambda a, b: a / _nonzero(b)),
}
_REAL_TEST: dict[Op, Callable[[float, float], bool]] = {
    Op.FLT: lambda a, b: a < b,
    Op.FLE: lambda a, b: a <= b,
    Op.FEQ: lambda a, b: a == b,
    Op.FNE: lambda a, b: a != b,
}


def run_python(code: Words, frame: Words, kernels: Mapping[int, Callable[[Words, Words], int]] | None = None) -> Status:
    """Run a program in plain Python: the meaning of every instruction. `kernels` maps an address to a callable(frame,
    ops) -> status.
    """
    pc = int(frame[PC])
    while True:
        op = Op(int(code[pc]))
        size = len(OPERANDS[op])
        w = [int(word) for word in code[pc + 1 : pc + 1 + size]]
        behind = pc + 1 + size
        try:
            if op is Op.END:
                frame[PC] = 0
                return Status.OK
            if op is Op.NEED and frame[WORKSPACE_BYTES] < frame[w[0]]:
                frame[NEEDED], frame[PC] = frame[w[0]], pc
                return Status.GROW
            if op is Op.ENDL:
                frame[w[0]] = left = _wrap(int(frame[w[0]]) - 1)
                frame[BUDGET] = budget = _wrap(int(frame[BUDGET]) - w[2])
                pc = w[1] if left > 0 else behind
                if budget <= 0:
                    frame[PC] = pc
                    return Status.YIELD
            elif op is Op.CALL:
                status = (kernels or {})[w[0]](frame, code[behind : behind + w[1]])
                if status != 0:
                    raise _Fault(status)
                pc = behind + w[1]
            else:
                pc = _step(op, w, frame, behind)
        except _Fault as fault:
            frame[FAULT_PC], frame[PC] = pc, 0
            return Status(fault.status)


def _step(op: Op, w: list[int], frame: Words, behind: int) -> int:
    """One instruction that neither returns nor calls; the position of the next."""
    if op is Op.FAIL:
        raise _Fault(w[0])
    if op is Op.JMP:
        return w[0]
    if op in (Op.BRZ, Op.BRNZ):
        return w[1] if (frame[w[0]] == 0) == (op is Op.BRZ) else behind
    if op is Op.LOOP:
        frame[w[0]] = frame[w[1]]
        return behind if frame[w[1]] > 0 else w[2]
    if op is Op.NEED:
        return behind
    d = w[0]
    if op is Op.SET:
        frame[d] = w[1]
        return behind
    a = int(frame[w[1]])
    b = int(frame[w[2]]) if OPERANDS[op] in ("dss", "dssi") else 0
    if op in _INTEGER:
        frame[d] = int(_INTEGER[op](a, b))
    elif op in _REAL:
        frame[d] = float_bits(_REAL[op](bits_float(a), bits_float(b)))
    elif op in _REAL_TEST:
        frame[d] = int(_REAL_TEST[op](bits_float(a), bits_float(b)))
    elif op is Op.MOV:
        frame[d] = a
    elif op is Op.ADDI:
        frame[d] = _wrap(a + w[2])
    elif op is Op.MADDI:
        frame[d] = _wrap(a + b * w[3])
    elif op is Op.NEG:
        frame[d] = _fits(-a)
    elif op is Op.NOT:
        frame[d] = int(a == 0)
    elif op is Op.ITOF:
        frame[d] = float_bits(float(a))
    elif op is Op.FNEG:
        frame[d] = _wrap(a ^ (1 << 63))
    return behind
