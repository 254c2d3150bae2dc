"""The virtual machine: the native one against plain Python, word for word."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specjit.codegen import abi
from specjit.codegen.abi import Status
from specjit.codegen.machine.instructions import (
    OPERANDS,
    Assembler,
    Op,
    bits_float,
    disassemble,
    float_bits,
    instructions,
    verify,
)
from specjit.codegen.machine.native import machine
from specjit.codegen.machine.python import run_python

SLOTS = 24
FREE = range(abi.FIRST_FREE, SLOTS)
LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1

# A kernel for CALL: frame[ops[0]] += frame[ops[1]] (wrapping), status 7 when the second is 13.
KERNEL = """
define i64 @step(ptr %frame, ptr %ops) {
  %a = load i64, ptr %ops
  %b.place = getelementptr i64, ptr %ops, i64 1
  %b = load i64, ptr %b.place
  %x = getelementptr i64, ptr %frame, i64 %a
  %y = getelementptr i64, ptr %frame, i64 %b
  %u = load i64, ptr %x
  %v = load i64, ptr %y
  %sum = add i64 %u, %v
  store i64 %sum, ptr %x
  %bad = icmp eq i64 %v, 13
  %status = select i1 %bad, i64 7, i64 0
  ret i64 %status
}
"""


def step(frame: np.ndarray, ops: np.ndarray) -> int:
    u, v = int(frame[ops[0]]), int(frame[ops[1]])
    frame[ops[0]] = (u + v - LOWEST) % (1 << 64) + LOWEST
    return 7 if v == 13 else 0


@pytest.fixture(scope="module")
def kernel(library):
    return library.get_ir(KERNEL, ["step"])


@pytest.fixture(scope="module")
def native(library):
    code = machine(library)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(code.address)

    def run(words: np.ndarray, frame: np.ndarray) -> int:
        return int(function(words.ctypes.data, frame.ctypes.data))

    run.code = code
    return run


def frame_of(values: dict[int, int] | None = None, budget: int = 1000) -> np.ndarray:
    frame = np.zeros(SLOTS, np.int64)
    frame[abi.BUDGET] = budget
    for slot, value in (values or {}).items():
        frame[slot] = value
    return frame


def both(native, words: np.ndarray, frame: np.ndarray, kernels=None) -> tuple[Status, np.ndarray]:
    """Run on both machines, compare, return the status and the frame."""
    other = frame.copy()
    status = run_python(words, other, kernels)
    assert native(words, frame) == status
    assert_same_frame(frame, other)
    return status, frame


def assert_same_frame(a: np.ndarray, b: np.ndarray) -> None:
    """Equal words; two NaNs may differ in sign and payload, which IEEE leaves open."""
    for slot, (x, y) in enumerate(zip(a.tolist(), b.tolist())):
        assert x == y or (math.isnan(bits_float(x)) and math.isnan(bits_float(y))), f"slot {slot}: {x} != {y}"


interesting = st.sampled_from(
    [0, 1, -1, 2, -2, 3, 7, 13, LOWEST, LOWEST + 1, HIGHEST, HIGHEST - 1, 1 << 32, -(1 << 32), 3037000500]
    + [float_bits(x) for x in (0.0, -0.0, 1.0, -1.5, 1e308, 5e-324, math.inf, -math.inf, math.nan)]
)
words64 = interesting | st.integers(-20, 20) | st.integers(LOWEST, HIGHEST)
# IEEE leaves a NaN's sign and payload open, so a random program never reads one as an int: results of arithmetic on
# reals have slots of their own, which only instructions for reals read.
REAL = [op for op in Op if op.name.startswith("F") and op is not Op.FAIL and op is not Op.FLOORDIV]
MAKES_NAN = [Op.FADD, Op.FSUB, Op.FMUL, Op.FDIV, Op.FNEG]
slots, whole_slots, real_slots = (st.sampled_from(list(s)) for s in (FREE, FREE[:-2], FREE[-2:]))

VALUE_OPS = [op for op in Op if OPERANDS[op] in ("dss", "ds", "di", "dsi", "dssi") and op is not Op.LOOP]


@pytest.mark.parametrize("op", VALUE_OPS, ids=lambda op: op.name)
@given(data=st.data())
def test_each_instruction(native, op, data):
    operands = {"d": 8, "i": data.draw(words64)}
    words = [int(op)] + [operands.get(kind, 9 + i) for i, kind in enumerate(OPERANDS[op])] + [int(Op.END)]
    frame = frame_of({slot: data.draw(words64) for slot in (8, 9, 10, 11)})
    both(native, np.array(words), frame)


@st.composite
def programs(draw):
    """A verified program: straight lines, forward branches, nested loops with a budget, calls, NEED, FAIL."""
    a = Assembler()
    depth = 0

    def block(size: int) -> None:
        nonlocal depth
        for _ in range(draw(st.integers(0, size))):
            what = draw(st.sampled_from(["value"] * 8 + ["call", "loop", "branch", "fail", "need"]))
            if what == "value":
                op = draw(st.sampled_from(VALUE_OPS))
                target = real_slots if op in MAKES_NAN else slots
                source = slots if op in REAL else whole_slots
                a._emit(op, *(draw({"d": target, "s": source, "i": words64}[kind]) for kind in OPERANDS[op]))
            elif what == "call":
                a.call(1, draw(whole_slots), draw(whole_slots))
            elif what == "need":
                a.need(draw(whole_slots))
            elif what == "fail" and draw(st.booleans()):
                a.fail(draw(st.sampled_from([s for s in Status if s >= abi.FIRST_FAILURE])))
            elif what == "branch":
                target = a.label()
                draw(st.sampled_from([a.brz, a.brnz]))(draw(whole_slots), target)
                block(2)
                a.place(target)
            elif what == "loop" and depth < 2:
                depth += 1
                counter, count, out = 8 + 2 * depth, 9 + 2 * depth, a.label()
                a.set(count, draw(st.integers(-1, 4)))
                a.loop(counter, count, out)
                top = a.place()
                block(3)
                a.set(counter, draw(st.integers(0, 2)))
                # A turn without weight could go on for ever: the body may have changed counter and count.
                a.endl(counter, top, draw(st.integers(1, 3)))
                a.place(out)
                depth -= 1

    block(8)
    a.end()
    return a.build().words


@settings(max_examples=400)
@given(words=programs(), data=st.data())
def test_random_programs(native, kernel, words, data):
    verify(words, SLOTS)
    frame = frame_of({slot: data.draw(words64) for slot in FREE}, budget=data.draw(st.integers(1, 30)))
    frame[abi.WORKSPACE_BYTES] = data.draw(st.sampled_from([0, 10, HIGHEST]))
    native_words = words.copy()
    for position, op, _ in list(instructions(words)):
        if op is Op.CALL:
            native_words[position + 1] = kernel.address
    other = frame.copy()
    for _ in range(12):
        status = run_python(words, other, {1: step})
        assert native(native_words, frame) == status
        assert_same_frame(frame, other)
        if status == Status.YIELD:
            frame[abi.BUDGET] = other[abi.BUDGET] = data.draw(st.integers(1, 30))
        elif status == Status.GROW:
            frame[abi.WORKSPACE_BYTES] = other[abi.WORKSPACE_BYTES] = HIGHEST
        else:
            break


def evaluate(native, op: str, a: int, b: int) -> int | Status:
    asm = Assembler()
    getattr(asm, op)(8, 9, 10)
    asm.end()
    status, frame = both(native, asm.build().words, frame_of({9: a, 10: b}))
    return int(frame[8]) if status is Status.OK else status


@pytest.mark.parametrize("a", [-7, -6, 0, 6, 7, LOWEST, HIGHEST])
@pytest.mark.parametrize("b", [-3, -1, 1, 3, LOWEST, HIGHEST])
def test_division_is_pythons(native, a, b):
    fits = LOWEST <= a // b <= HIGHEST
    assert evaluate(native, "floordiv", a, b) == (a // b if fits else Status.OVERFLOW)
    assert evaluate(native, "mod", a, b) == a % b


def test_division_by_zero(native):
    assert evaluate(native, "floordiv", 1, 0) is Status.ZERO_DIVISION
    assert evaluate(native, "mod", 1, 0) is Status.ZERO_DIVISION
    for zero in (0.0, -0.0):
        assert evaluate(native, "fdiv", float_bits(1.0), float_bits(zero)) is Status.ZERO_DIVISION


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
def test_overflow_is_noticed(native, op):
    python = {"add": int.__add__, "sub": int.__sub__, "mul": int.__mul__}[op]
    for a in (LOWEST, HIGHEST, 1 << 40, -1, 0, 1):
        for b in (LOWEST, HIGHEST, 1 << 40, -1, 0, 1):
            exact = python(a, b)
            assert evaluate(native, op, a, b) == (exact if LOWEST <= exact <= HIGHEST else Status.OVERFLOW)


@pytest.mark.parametrize("n", [-1, 0, 1, 5])
@pytest.mark.parametrize("i", [LOWEST, -6, -5, -1, 0, 4, 5, HIGHEST])
def test_index_is_pythons(native, i, n):
    try:
        expected = range(max(n, 0))[i]
    except IndexError:
        expected = Status.INDEX
    assert evaluate(native, "index", i, n) == expected


def test_yield_and_resume(native):
    """A loop of 10 turns with a budget of 3 turns comes back 3 times, and adds what one without a budget adds."""
    a = Assembler()
    out = a.label()
    a.set(9, 10)
    a.loop(8, 9, out)
    top = a.place()
    a.addi(10, 10, 5)
    a.endl(8, top, 2)
    a.place(out)
    a.end()
    words = a.build().words
    frame = frame_of(budget=6)
    statuses = []
    while True:
        status, frame = both(native, words, frame)
        statuses.append(status)
        if status is not Status.YIELD:
            break
        assert frame[abi.PC] > 0
        frame[abi.BUDGET] = 6
    assert statuses == [Status.YIELD] * 3 + [Status.OK]
    assert frame[10] == 50
    assert frame[abi.PC] == 0


def test_grow_and_resume(native):
    a = Assembler()
    a.set(8, 4096)
    a.need(8)
    a.set(9, 1)
    a.end()
    words = a.build().words
    status, frame = both(native, words, frame_of())
    assert (status, frame[abi.NEEDED], frame[9]) == (Status.GROW, 4096, 0)
    frame[abi.WORKSPACE_BYTES] = 4096
    status, frame = both(native, words, frame)
    assert (status, frame[9]) == (Status.OK, 1)


def test_a_failure_says_where_and_leaves_the_frame_usable(native, kernel):
    a = Assembler()
    a.set(8, 1)
    a.call(kernel, 8, 9)
    a.end()
    code = a.build()
    assert code.kernels == (kernel,)
    frame = frame_of({9: 13})
    assert native(code.words, frame) == Status.GUARD
    assert (frame[abi.FAULT_PC], frame[abi.PC]) == (3, 0)
    frame[9] = 5
    assert native(code.words, frame) == Status.OK
    assert frame[8] == 6


def test_fail_and_unknown_opcode(native):
    a = Assembler()
    a.fail(Status.ASSERT)
    assert both(native, a.build().words, frame_of())[0] is Status.ASSERT
    assert native(np.array([99]), frame_of()) == Status.KERNEL


def test_disassembly():
    a = Assembler()
    out = a.label()
    a.set(9, 2)
    a.loop(8, 9, out)
    top = a.place()
    a.call(0x1234, 10, 11)
    a.call(0x5678)
    a.maddi(12, 10, 8, 4)
    a.endl(8, top, 7)
    a.place(out)
    a.end()
    assert disassemble(a.build().words, {0x1234: "cell"}).splitlines() == [
        "    0  set      [9] 2",
        "    3  loop     [8] [9] @24",
        "    7  call     cell [10] [11]",
        "   12  call     0x5678",
        "   15  maddi    [12] [10] [8] 4",
        "   20  endl     [8] @7 7",
        "   24  end",
    ]


def test_every_instruction_has_an_assembler_method():
    names = {op.name.lower() for op in Op}
    assert {name for name in names if hasattr(Assembler, name) or hasattr(Assembler, name + "_")} == names


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([99], "99"),
        ([Op.SET, 8], "cut short"),
        ([Op.CALL, 5, 3, 8], "cut short"),
        ([Op.CALL, 5, -1, Op.END], "cut short"),
        ([Op.MOV, 8, SLOTS, Op.END], "slot"),
        ([Op.MOV, -1, 8, Op.END], "slot"),
        ([Op.CALL, 5, 1, SLOTS, Op.END], "slot"),
        ([Op.JMP, 1, Op.END], "start of an instruction"),
        ([Op.JMP, 50], "start of an instruction"),
        ([Op.SET, 8, 1], "off the end"),
        ([], "off the end"),
    ],
)
def test_verify_refuses(words, reason):
    with pytest.raises(ValueError, match=reason):
        verify(np.array(words, np.int64), SLOTS)


def test_labels():
    a = Assembler()
    label = a.label()
    a.jmp(label)
    with pytest.raises(ValueError, match="never placed"):
        a.build()
    a.place(label)
    with pytest.raises(ValueError, match="already"):
        a.place(label)
    a.end()
    assert a.build().words.tolist() == [Op.JMP, 2, Op.END]


def test_set_takes_a_float_as_its_bits(native):
    a = Assembler()
    a.set(8, 1.5)
    a.end()
    _, frame = both(native, a.build().words, frame_of())
    assert bits_float(int(frame[8])) == 1.5
