"""The native calling convention: what kernels, the machine, the entry and the generated Python agree on.

A kernel is a C function `int64 k(int64* frame, int64* ops)`; `ops[i]` is a frame slot index; it returns a `Status`.
A frame is one int64 array: a header (the constants below), then free slots from `FIRST_FREE`.
Invariant: any change here that old objects would misread raises `ABI_VERSION`, which is part of every cache key.
"""

from __future__ import annotations

from enum import IntEnum

ABI_VERSION = 1

PC = 0  # where the machine resumes; 0 is the start of the program
FAULT_PC = 1  # the instruction that returned the last failure
WORKSPACE = 2  # address of the workspace
WORKSPACE_BYTES = 3  # its capacity
BUDGET = 4  # work units left before a YIELD
NEEDED = 5  # with GROW: the capacity the program asks for
SELF = 6  # address of the frame itself (set by whoever makes the frame): kernels write numbers into slots through it
FIRST_FREE = 8  # slot 7 is reserved


class Status(IntEnum):
    """What a kernel or a run of the machine returns."""

    OK = 0
    YIELD = 1  # call again to resume
    GROW = 2  # the workspace is too small, NEEDED says how much; nothing ran yet
    OVERFLOW = 3  # this and all later ones: the region's block runs generically from the same inputs
    ZERO_DIVISION = 4
    INDEX = 5
    ASSERT = 6
    GUARD = 7
    KERNEL = 8
    ROOM = 9  # a loop needs more turns than there is room for what is kept of them


FIRST_FAILURE = Status.OVERFLOW
# What a failure status means in the words of the user's program.
WHY = {
    Status.OVERFLOW: "an integer outgrew 64 bits",
    Status.ZERO_DIVISION: "a division by zero",
    Status.INDEX: "an index out of range",
    Status.ASSERT: "an assertion that does not hold",
    Status.GUARD: "a value that native code does not cover",
    Status.KERNEL: "a kernel that gave up",
    Status.ROOM: "a loop with more turns than there is room for",
}


def fits_word(value: int) -> bool:
    """Whether an int of Python goes into a word: of a frame, of machine code, of a kernel."""
    return -(1 << 63) <= value < 1 << 63
