"""Object images -> addresses in this process, through llvmlite's ORC linker.

Enters: an image and the symbols wanted. Leaves: `Code`, whose addresses are valid as long as it lives.
Invariant: memory follows what is loaded, not what ever was. ORC keeps 10 KB for every image it has unloaded, until the
whole linker goes; so a linker takes `IMAGES_PER_LINKER` images, and goes with the last of them.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence

import llvmlite.binding as llvm

from specjit.codegen import target

IMAGES_PER_LINKER = 64


class _Linker:
    """One ORC instance and the number of images that it holds."""

    def __init__(self) -> None:
        self.jit = llvm.create_lljit_compiler(target.target_machine())  # a template: it stays ours
        self.taken = 0
        self.loaded = 0


class Code:
    """Loaded code: `code[symbol]` is an address."""

    __slots__ = ("__weakref__", "_addresses")

    def __init__(self, addresses: dict[str, int]) -> None:
        self._addresses = addresses

    def __getitem__(self, symbol: str) -> int:
        return self._addresses[symbol]


_current: _Linker | None = None
_numbers = itertools.count()


def link(image: bytes, symbols: Sequence[str]) -> Code:
    """Load an image. RuntimeError when a symbol is missing, or the image needs one that this process does not have."""
    global _current
    with target.llvm_lock:
        if _current is None or _current.taken == IMAGES_PER_LINKER:
            _current = _Linker()
        linker = _current
        linker.taken += 1
        linker.loaded += 1
        builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        for symbol in symbols:
            builder.export_symbol(symbol)
        try:
            tracker = builder.link(linker.jit, f"{symbols[0]}.{next(_numbers)}")
        except BaseException:
            linker.loaded -= 1
            raise
        code = Code({symbol: tracker[symbol] for symbol in symbols})
        # The registry of finalizers holds tracker and linker, so that the cycle collector cannot end them in the wrong
        # order.
        weakref.finalize(code, _unload, tracker, linker).atexit = False
        return code


def _unload(tracker: llvm.ResourceTracker, linker: _Linker) -> None:
    with target.llvm_lock:
        tracker.close()
        linker.loaded -= 1
        if linker.loaded == 0 and linker is not _current:
            linker.jit.close()
