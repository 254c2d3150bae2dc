"""Figures of the native plumbing: compile, cache, load, call, memory.

Run: python bench/native_spike.py [--loads N] [--calls N]. Prints one table and keeps nothing. Times are medians.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from specjit.codegen.cache import DiskCache
from specjit.codegen.compiler import CompilerPool
from specjit.codegen.entry.binding import make_entry
from specjit.codegen.entry.guard_table import GuardTable, equal, store
from specjit.codegen.entry.output_table import OutputTable
from specjit.codegen.linker import link
from specjit.codegen.loader import KernelLibrary
from specjit.codegen.machine.instructions import Assembler

KERNEL = """
from numba import types
from numba.extending import intrinsic
import llvmlite.ir as ir

@intrinsic
def floats(_, address):
    sig = types.CPointer(types.float32)(types.int64)
    return sig, lambda context, builder, sig, args: builder.inttoptr(args[0], ir.FloatType().as_pointer())

def kernel(frame, ops):
    x, y = floats(frame[ops[0]]), floats(frame[ops[1]])
    for i in range({n}):
        v = x[i] * np.float32(1.5) + y[i]
        y[i] = v / (np.float32(1) + np.abs(v))
    return 0
"""
EMPTY = "define i64 @empty(ptr %frame, ptr %ops) {\n  ret i64 0\n}\n"


class Box:
    """A stand-in for Tensor."""

    __slots__ = ("array", "requires_grad")

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.requires_grad = False


def timed(f: Callable[[], object]) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def per_call(f: Callable[..., object], *args: object, calls: int) -> float:
    """Seconds per call from Python, call overhead included; the best of five rounds."""
    names = {f"a{i}": value for i, value in enumerate(args)}
    timer = timeit.Timer(f"f({', '.join(names)})", globals={"f": f, **names})
    return min(timer.repeat(5, calls)) / calls


def resident() -> float:
    """Resident memory of this process in MB (Linux; 0 elsewhere)."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if statm.exists() else 0.0


def show(what: str, value: str) -> None:
    print(f"  {what:<62} {value:>14}", flush=True)


def compile_figures(library: KernelLibrary) -> None:
    print("compile (one worker)")
    show("worker start to first kernel", f"{timed(lambda: library.get(KERNEL.format(n=999))):.2f} s")
    times = [timed(lambda n=n: library.get(KERNEL.format(n=n))) for n in range(1000, 1010)]
    show("next small kernel", f"{median(times) * 1e3:.0f} ms")
    kernel = library.get(KERNEL.format(n=1000))
    show("object image", f"{len(kernel.image):,} bytes")
    entry = library.disk._path(kernel.key, ".kernel")
    show("cache entry (with packed LLVM IR)", f"{entry.stat().st_size if entry else 0:,} bytes")


def load_figures(library: KernelLibrary, loads: int) -> None:
    print(f"load ({loads:,} times)")
    kernel = library.get(KERNEL.format(n=1000))
    image, symbols = kernel.image, kernel.symbols
    before = resident()
    times = [timed(lambda: link(image, symbols)) for _ in range(loads)]
    show("object image -> address, and unload", f"{median(times) * 1e3:.2f} ms")
    show("resident memory after loading and unloading", f"{resident() - before:+.1f} MB")
    source = KERNEL.format(n=1001)
    del kernel
    gc.collect()
    show("library.get from disk", f"{median(timed(lambda: library.get(source)) for _ in range(50)) * 1e3:.2f} ms")
    before = resident()
    kept = [link(image, symbols) for _ in range(loads)]
    show("resident memory per image kept", f"{(resident() - before) / loads * 1024:.0f} KB")
    del kept
    gc.collect()
    show("numba imported in this process", str("numba" in sys.modules))


def call_figures(library: KernelLibrary, calls: int) -> None:
    print(f"call ({calls:,} times)")
    native, plain = make_entry(library, [(Box, "array")]), make_entry(library, plain=True)
    table = GuardTable(4)
    for i in range(4):
        table.tensor(i, Box, "array", "f4", [store(20) if i == 0 else equal(20), 128], same=[("requires_grad", False)])
    boxes = [Box(np.zeros((8, 128), np.float32)) for _ in range(4)]
    frame, output = np.zeros(64, np.int64), np.zeros(3)
    code = Assembler()
    code.end()
    words = code.build().words
    for entry, n in ((native, calls), (plain, calls // 50)):
        kind = "native" if entry.native else "plain"
        bind, run = entry.guards(table), entry.outputs(OutputTable((30,)))
        released = entry.outputs(OutputTable((30,), release_gil=True))
        show(f"bind 4 tensors, {kind}", f"{per_call(entry.bind, frame, bind, *boxes, calls=n) * 1e9:,.0f} ns")
        show(
            f"run, empty program, 1 output, {kind}",
            f"{per_call(entry.run, frame, words, run, output, calls=n) * 1e9:,.0f} ns",
        )
        show(
            f"the same, GIL released, {kind}",
            f"{per_call(entry.run, frame, words, released, output, calls=n) * 1e9:,.0f} ns",
        )
    empty = library.get_ir(EMPTY, ["empty"])
    turns = 100_000
    for what, emit in (
        ("an empty loop", lambda a: None),
        ("a loop of one kernel call", lambda a: a.call(empty, 10, 11)),
    ):
        asm = Assembler()
        out = asm.label()
        asm.set(9, turns)
        asm.loop(8, 9, out)
        top = asm.place()
        emit(asm)
        asm.endl(8, top)
        asm.place(out)
        asm.end()
        program, outputs = asm.build(), native.outputs(OutputTable())
        best = min(timed(lambda p=program, o=outputs: native.run(frame, p.words, o)) for _ in range(20))
        show(f"machine, per turn of {what}", f"{best / turns * 1e9:.1f} ns")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = KernelLibrary(DiskCache(Path(folder)), CompilerPool())
        compile_figures(library)
        load_figures(library, options.loads)
        call_figures(library, options.calls)
        library.pool.close()


if __name__ == "__main__":
    main()
