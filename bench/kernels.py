"""Prints the speed of single kernels: GFLOP/s of matrix products with a fused LSTM cell, ns per element of loops.

Run: python -m bench.kernels. Figures in parentheses are those of shared/prototypes (hand-written for the shape) on
one AVX-512 machine.
"""

from __future__ import annotations

import ctypes
import time

import numpy as np

from specjit.codegen.kernels import gemm, loops, pack
from specjit.codegen.kernels.spec import Access, Arg, GemmSpec, Inst, LoopSpec, PackSpec, Store
from specjit.codegen.loader import KernelLibrary

LIBRARY = KernelLibrary()


def best_seconds(source: str, operands: list, budget: float = 0.15) -> float:
    """The fastest of repeated runs: time per call."""
    kernel = LIBRARY.get(source)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(kernel.address)
    frame = np.zeros(8 + len(operands), np.int64)
    frame[8:] = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in operands]
    ops = np.arange(8, 8 + len(operands))
    at = frame.ctypes.data, ops.ctypes.data
    assert function(*at) == 0
    start = time.perf_counter()
    function(*at)
    repeat = max(1, int(0.01 / max(time.perf_counter() - start, 1e-7)))
    best, end = 1e9, time.perf_counter() + budget
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(repeat):
            function(*at)
        best = min(best, (time.perf_counter() - start) / repeat)
    return best


class Body:
    """A body under construction: methods append an instruction and return its number."""

    def __init__(self, dtype: str = "f32"):
        self.dtype = dtype
        self.instructions: list[Inst] = []

    def add(self, inst: Inst) -> int:
        self.instructions.append(inst)
        return len(self.instructions) - 1

    def load(self, base: int, strides: tuple, offset: int = 0) -> int:
        return self.add(Inst("load", self.dtype, access=Access(base, self.dtype, strides, offset)))

    def apply(self, text: str, *args: int) -> int:
        return self.add(Inst("apply", self.dtype, args=args, text=text))

    def reduce(self, kind: str, arg: int) -> int:
        return self.add(Inst("reduce", self.dtype, args=(arg,), text=kind))


def lstm_cell(body: Body, gates: list[int], c: int) -> tuple[int, int]:
    """New cell state and output, from the sums of the gates i, f, g, o."""
    i, f, o = (body.apply("vecmath.sigmoid({0})", gates[n]) for n in (0, 1, 3))
    g = body.apply("vecmath.tanh({0})", gates[2])
    new = body.apply("{0} * {1} + {2} * {3}", f, c, i, g)
    return new, body.apply("{0} * vecmath.tanh({1})", o, new)


def cell_product(rows: int, k: int, units: int) -> GemmSpec:
    """Four chunks, plus an input of the gates' shape, then the cell; operands a, b, gates, c, h."""
    body = Body()
    gates = []
    for g in range(4):
        total = body.add(Inst("acc", "f32", operand=g))
        gates.append(body.apply("{0} + {1}", total, body.load(2, (4 * units, 1), g * units)))
    new, out = lstm_cell(body, gates, body.load(3, (units, 1)))
    stores = tuple(Store(Access(base, "f32", (units, 1)), v) for base, v in ((3, new), (4, out)))
    a = Access(0, "f32", (k, 1))
    return GemmSpec("f32", (), rows, units, 4, k, a, 1, (), tuple(body.instructions), stores)


def plain_product(rows: int | Arg, k: int, units: int) -> GemmSpec:
    body = (Inst("acc", "f32", operand=0),)
    stores = (Store(Access(2, "f32", (units, 1)), 0),)
    return GemmSpec("f32", (), rows, units, 1, k, Access(0, "f32", (k, 1)), 1, (), body, stores)


def array(*shape: int) -> np.ndarray:
    """Small numbers, on a cache line."""
    raw = np.empty(int(np.prod(shape)) * 4 + 64, np.uint8)
    start = -raw.ctypes.data % 64
    view = raw[start : start + int(np.prod(shape)) * 4].view(np.float32).reshape(shape)
    view[...] = np.random.default_rng(0).normal(size=shape) * 0.1
    return view


def packed_array(spec: GemmSpec) -> np.ndarray:
    return array(pack.panel_elements(spec))


def show(name: str, seconds: float, value: str) -> None:
    print(f"{name:58} {seconds * 1e6:10.2f} us  {value}", flush=True)


def products() -> None:
    for (rows, k, n), known in {
        (1, 128, 512): "prototype: 2.3 us",
        (8, 128, 512): "prototype: 10.3 us",
        (32, 64, 256): "prototype: 10 us + cell",
        (64, 512, 2048): "prototype: 1.25 ms",
        (1, 512, 2048): "prototype: 32 us",
    }.items():
        units = n // 4
        spec = cell_product(rows, k, units)
        operands = [array(rows, k), packed_array(spec), array(rows, n), array(rows, units), array(rows, units)]
        seconds = best_seconds(gemm.render(spec), operands)
        show(f"cell product {rows}x{k}x{n}", seconds, f"{2e-9 * rows * k * n / seconds:6.1f} GFLOP/s  ({known})")
    for rows, k, n in [
        (1, 128, 512),
        (8, 128, 512),
        (100, 128, 512),
        (64, 512, 2048),
        (6400, 512, 2048),
        (512, 512, 512),
    ]:
        spec = plain_product(rows, k, n)
        seconds = best_seconds(gemm.render(spec), [array(rows, k), packed_array(spec), array(rows, n)])
        show(f"product {rows}x{k}x{n}", seconds, f"{2e-9 * rows * k * n / seconds:6.1f} GFLOP/s")
    spec = plain_product(Arg(3), 128, 512)
    seconds = best_seconds(gemm.render(spec), [array(100, 128), packed_array(spec), array(100, 512), 100])
    show("product nx128x512, n = 100 from the frame", seconds, f"{2e-9 * 100 * 128 * 512 / seconds:6.1f} GFLOP/s")


def elementwise() -> None:
    n = 4096
    for name in ("exp", "sigmoid", "tanh", "log", "erf", "sin", "log1p", "expm1"):
        body = Body()
        value = body.apply(f"vecmath.{name}({{0}})", body.load(0, (1,)))
        spec = LoopSpec((n,), tuple(body.instructions), (Store(Access(1, "f32", (1,)), value),))
        seconds = best_seconds(loops.render(spec), [array(n), array(n)])
        show(f"{name} of {n}", seconds, f"{1e9 * seconds / n:6.3f} ns each")
    units = 128
    body = Body()
    gates = [body.load(0, (4 * units, 1), g * units) for g in range(4)]
    new, out = lstm_cell(body, gates, body.load(1, (units, 1)))
    stores = tuple(Store(Access(base, "f32", (units, 1)), v) for base, v in ((1, new), (2, out)))
    spec = LoopSpec((32, units), tuple(body.instructions), stores)
    seconds = best_seconds(loops.render(spec), [array(32, 4 * units), array(32, units), array(32, units)])
    show("LSTM cell, 32 x 128 units", seconds, f"{1e9 * seconds / 32 / units:6.3f} ns each")
    for size in (256, 1 << 20):
        body = Body()
        value = body.apply("{0} * {1} + {0}", body.load(0, (1,)), body.load(1, (1,)))
        spec = LoopSpec((size,), tuple(body.instructions), (Store(Access(2, "f32", (1,)), value),))
        seconds = best_seconds(loops.render(spec), [array(size), array(size), array(size)])
        show(f"a * b + a of {size}", seconds, f"{12e-9 * size / seconds:6.1f} GB/s")


def reductions() -> None:
    def measure(name: str, spec: LoopSpec, operands: list, elements: int) -> None:
        seconds = best_seconds(loops.render(spec), operands)
        show(name, seconds, f"{1e9 * seconds / elements:6.3f} ns each")

    for rows, n in [(64, 512), (64, 40)]:
        body = Body()
        x = body.load(0, (n, 1))
        e = body.apply("vecmath.exp({0} - {1})", x, body.reduce("max", x))
        y = body.apply("{0} / {1}", e, body.reduce("sum", e))
        spec = LoopSpec((rows, n), tuple(body.instructions), (Store(Access(1, "f32", (n, 1)), y),), 1)
        measure(f"softmax {rows}x{n}", spec, [array(rows, n), array(rows, n)], rows * n)
        body = Body()
        x = body.load(0, (n, 1))
        total = body.reduce("sum", x)
        count = body.add(Inst("const", "f32", value=float(n)))
        centred = body.apply("{0} - {1} / {2}", x, total, count)
        square = body.reduce("sum", body.apply("{0} * {0}", centred))
        y = body.apply("{0} / vecmath.sqrt({1} / {2})", centred, square, count)
        spec = LoopSpec((rows, n), tuple(body.instructions), (Store(Access(1, "f32", (n, 1)), y),), 1)
        measure(f"layer norm {rows}x{n}", spec, [array(rows, n), array(rows, n)], rows * n)
    body = Body()
    total = body.reduce("sum", body.load(0, (1, 512)))
    spec = LoopSpec((512, 400), tuple(body.instructions), (Store(Access(1, "f32", (1, 0)), total),), 1)
    measure("column sums 400x512", spec, [array(400, 512), array(512)], 400 * 512)
    body = Body()
    total = body.reduce("sum", body.load(0, (1,)))
    spec = LoopSpec((1 << 18,), tuple(body.instructions), (Store(Access(1, "f32", (0,)), total),), 1)
    measure("sum of 262144", spec, [array(1 << 18), array(1)], 1 << 18)
    body = Body()
    copied = body.load(0, (1, 512))
    spec = LoopSpec((512, 512), tuple(body.instructions), (Store(Access(1, "f32", (512, 1)), copied),))
    measure("transposed copy 512x512", spec, [array(512, 512), array(512, 512)], 1 << 18)


def packing() -> None:
    for name, strides in (("rows of k", (512, 128, 1)), ("columns of k", (1, 128 * 128, 128))):
        spec = PackSpec("f32", (), 128, 4, 128, Access(0, "f32", strides), 1)
        seconds = best_seconds(pack.render(spec), [array(512 * 128), array(pack.panel_elements(spec))])
        show(f"pack 128 x 4 x 128, {name}", seconds, f"{8e-9 * 512 * 128 / seconds:6.1f} GB/s")


def main() -> None:
    products()
    elementwise()
    reductions()
    packing()
    LIBRARY.pool.close()


if __name__ == "__main__":
    main()
