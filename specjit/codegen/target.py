"""The machine we compile for, and LLVM IR text -> relocatable object.

Enters: nothing but the host. Leaves: `host()` (CPU name and features, part of every cache key), `target_machine()`,
`optimize(module)` and `compile_ir(text)`. Used by the worker for kernels and by the parent for the little IR that is
not a kernel (machine, entry).
Invariant: never imports numba; code is position independent; no fast-math flag and no contraction is ever added here.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import NamedTuple

import llvmlite.binding as llvm

# Held around every longer use of LLVM, and around fork: a child never inherits an LLVM that another thread was in the
# middle of, nor a half-started compile worker. Reentrant, because collecting garbage may unload code in the middle of a
# compile.
llvm_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=llvm_lock.acquire, after_in_parent=llvm_lock.release, after_in_child=llvm_lock.release)


class Host(NamedTuple):
    """What decides the instructions we may emit."""

    triple: str
    cpu: str
    features: str

    @property
    def lanes_bits(self) -> int:
        """Width of the widest vector register worth using."""
        have = set(self.features.split(","))
        return 512 if "+avx512f" in have else 256 if "+avx2" in have or "+avx" in have else 128


@functools.cache
def host() -> Host:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return Host(llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


@functools.cache
def target_machine() -> llvm.TargetMachine:
    """A machine for position-independent code on this CPU; one per process, used by one thread at a time."""
    triple, cpu, features = host()
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic", codemodel="default"
    )


def function_attributes() -> str:
    """Attributes of an exported function, as IR text.

    LLVM prefers 256-bit vectors on AVX-512 CPUs unless a function asks for more; ours are written for the full width.
    """
    wide = ' "prefer-vector-width"="512"' if host().lanes_bits == 512 else ""
    return f"nounwind{wide}"


def optimize(module: llvm.ModuleRef, speed_level: int = 3) -> None:
    """Run LLVM's default pipeline. Loops are vectorized; straight-line code is left as written (no SLP)."""
    options = llvm.create_pipeline_tuning_options(speed_level=speed_level)
    options.loop_vectorization = True
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(target_machine(), options)
    builder.getModulePassManager().run(module, builder)


def compile_ir(text: str, speed_level: int = 2) -> bytes:
    """An object image for LLVM IR text (triple and layout are added)."""
    with llvm_lock:
        machine = target_machine()
        module = llvm.parse_assembly(text)
        module.triple = host().triple
        module.data_layout = str(machine.target_data)
        module.verify()
        optimize(module, speed_level)
        return machine.emit_object(module)
