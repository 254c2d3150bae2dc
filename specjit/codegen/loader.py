"""Kernel source -> native address in this process: memory, then disk, then the compile worker.

Enters: kernel source text. Leaves: `Kernel`, whose address is valid as long as the object lives.
Invariant: never imports numba. Equal sources share one Kernel while anyone holds it; when the last holder lets go, its
code is unloaded.
"""

from __future__ import annotations

import functools
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from specjit import locks
from specjit.codegen import cache, target
from specjit.codegen.cache import DiskCache, Entry, key_of, pack_text
from specjit.codegen.compiler import CompilerPool
from specjit.codegen.linker import link


class Kernel:
    """Native code of one kernel.

    address  the C function `int64 f(int64* frame, int64* ops)`
    symbol   its name in the object
    source   its text
    seconds  what compiling it took, when it was compiled
    cached   whether it came from disk
    """

    __slots__ = (
        "__weakref__",
        "_code",
        "_disk",
        "_entry",
        "addresses",
        "cached",
        "key",
        "seconds",
        "source",
        "symbols",
    )

    def __init__(self, key: str, source: str, entry: Entry, cached: bool, disk: DiskCache) -> None:
        self.key = key
        self.source = source
        self.symbols: list[str] = entry.facts["symbols"]
        self.seconds: float = entry.facts["seconds"]
        self.cached = cached
        self._entry = entry
        self._disk = disk
        self._code = link(entry.image, self.symbols)
        self.addresses: dict[str, int] = {symbol: self._code[symbol] for symbol in self.symbols}

    @property
    def symbol(self) -> str:
        return self.symbols[0]

    @property
    def address(self) -> int:
        return self.addresses[self.symbols[0]]

    @property
    def hint(self) -> str:
        """What the first to ask for this kernel called it."""
        return str(self._entry.facts["hint"])

    @property
    def image(self) -> bytes:
        """The relocatable object."""
        return self._entry.image

    @property
    def llvm(self) -> str:
        """The optimized LLVM IR."""
        return self._entry.llvm

    @property
    def source_path(self) -> Path:
        """A file that holds `source`."""
        return self._disk.source_file(self.key, self.source)

    def __repr__(self) -> str:
        return f"<Kernel {self.hint} {self.symbol} at {self.address:#x}>"


class KernelLibrary:
    """Where kernels come from. Thread-safe; one per process is enough (`library()`)."""

    def __init__(
        self, disk: DiskCache | None = None, pool: CompilerPool | None = None, on_event: cache.Event | None = None
    ) -> None:
        """`on_event(kind, **facts)` hears CACHE_HIT, CACHE_MISS, CACHE_REJECT and CACHE_STORE; it may be replaced."""
        self.on_event: cache.Event = on_event or (lambda kind, **facts: None)
        self.disk = disk or DiskCache()
        self.pool = pool or CompilerPool()
        self.disk.on_event = self._emit
        self._lock = locks.lock()
        self._fresh_turns()
        self._loaded: weakref.WeakValueDictionary[str, Kernel] = weakref.WeakValueDictionary()
        _LIBRARIES.add(self)

    def _fresh_turns(self) -> None:
        self._turns: weakref.WeakValueDictionary[str, threading.Lock] = weakref.WeakValueDictionary()

    def get(self, source: str, hint: str = "kernel") -> Kernel:
        """The kernel of this source; compiles it if nobody has. CompileError when it does not compile."""
        return self._get(source, hint, self._compile_with_numba)

    def get_many(self, kernels: Iterable[tuple[str, str]]) -> list[Kernel]:
        """`get` for many (source, hint), in the order asked; what nobody has is compiled on all the pool's workers."""
        asked = list(kernels)
        made = [self._cached(source, hint) for source, hint in asked]
        missing = [i for i, kernel in enumerate(made) if kernel is None]
        if self.pool.workers == 1 or len(missing) == 1:
            for i in missing:
                made[i] = self.get(*asked[i])
        elif missing:
            cancelled = threading.Event()
            make = functools.partial(self._compile_with_numba, cancelled=cancelled)
            threads = ThreadPoolExecutor(self.pool.workers, thread_name_prefix="specjit-compile")
            try:
                compiled = threads.map(lambda i: self._get(*asked[i], make), missing)
                for i, kernel in zip(missing, compiled):
                    made[i] = kernel
            except BaseException:
                self.pool.cancel(cancelled)  # one failed, or Ctrl-C: the others are not worth waiting for
                raise
            finally:
                threads.shutdown(cancel_futures=True)
        return cast(list[Kernel], made)

    def get_ir(self, text: str, symbols: Sequence[str]) -> Kernel:
        """Like `get` for LLVM IR text that exports `symbols`: compiled in this process, cached like any kernel."""

        def compile_ir(key: str, source: str, hint: str) -> Entry:
            start = time.perf_counter()
            image = target.compile_ir(source)
            return Entry(_facts(symbols, hint, start), image, pack_text(source))

        return self._get(text, symbols[0], compile_ir)

    def _get(self, source: str, hint: str, make: Callable[[str, str, str], Entry]) -> Kernel:
        key = key_of(source)
        with self._lock:
            kernel = self._loaded.get(key)
            if kernel is not None:
                return kernel
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:  # the second thread to ask waits here, and finds it loaded
            kernel = self._cached(source, hint)
            if kernel is None:
                self._emit("CACHE_MISS", key=key, hint=hint)
                entry = make(key, source, hint)
                self.disk.store(key, entry)
                kernel = self._keep(Kernel(key, source, entry, False, self.disk))
            return kernel

    def _cached(self, source: str, hint: str) -> Kernel | None:
        """The kernel from memory or disk. An object that does not link here counts as broken."""
        key = key_of(source)
        kernel = self._loaded.get(key)
        if kernel is None and (entry := self.disk.load(key)) is not None:
            try:
                kernel = self._keep(Kernel(key, source, entry, True, self.disk))
            except RuntimeError as error:
                self.disk.reject(key, str(error))
            else:
                self._emit("CACHE_HIT", key=key, hint=hint)
        return kernel

    def _keep(self, kernel: Kernel) -> Kernel:
        """Remember a kernel, unless another thread was first; the one to use."""
        with self._lock:
            return self._loaded.setdefault(kernel.key, kernel)

    def _compile_with_numba(self, key: str, source: str, hint: str, cancelled: threading.Event | None = None) -> Entry:
        symbol = f"specjit_{key}"
        start = time.perf_counter()
        image, text = self.pool.compile(source, symbol, str(self.disk.source_file(key, source)), cancelled)
        return Entry(_facts([symbol], hint, start), image, pack_text(text))

    def _emit(self, kind: str, **facts: object) -> None:
        self.on_event(kind, **facts)


def _facts(symbols: Sequence[str], hint: str, start: float) -> dict[str, object]:
    return {"symbols": list(symbols), "hint": hint, "seconds": time.perf_counter() - start}


_library: KernelLibrary | None = None
_library_lock = locks.lock()


def library() -> KernelLibrary:
    """The process's library."""
    global _library
    with _library_lock:
        if _library is None:
            _library = KernelLibrary()
        return _library


_LIBRARIES: weakref.WeakSet[KernelLibrary] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """The threads whose turn it was do not exist in the child."""
    for each in list(_LIBRARIES):
        each._fresh_turns()


locks.in_forked_child(_after_fork_in_child)
