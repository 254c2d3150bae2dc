"""The vocabulary of kernel sources: vector registers, memory, math functions and tiles, as Numba intrinsics.

Enters: LLVM IR builders. Leaves: what a kernel's text may say (`objects.VOCABULARY`).
Invariant: only the compile worker imports what needs Numba here; `lanes` is what renderers and the scheduler may know.
"""
