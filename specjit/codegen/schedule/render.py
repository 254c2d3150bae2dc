"""Kernel source for a spec, by its kind."""

from __future__ import annotations

from specjit.codegen.kernels import draw, duet, gemm, loops, pack, pick, scan, window
from specjit.codegen.kernels.spec import DrawSpec, DuetSpec, GemmSpec, LoopSpec, PickSpec, ScanSpec, WindowSpec
from specjit.codegen.schedule.steps import Spec


def render(spec: Spec) -> str:
    if isinstance(spec, LoopSpec):
        return loops.render(spec)
    if isinstance(spec, PickSpec):
        return pick.render(spec)
    if isinstance(spec, DrawSpec):
        return draw.render(spec)
    if isinstance(spec, WindowSpec):
        return window.render(spec)
    if isinstance(spec, DuetSpec):
        return duet.render(spec)
    if isinstance(spec, ScanSpec):
        return scan.render(spec)
    return gemm.render(spec) if isinstance(spec, GemmSpec) else pack.render(spec)
