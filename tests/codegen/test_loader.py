"""Kernel source -> address: memory, disk, worker; sharing and unloading; threads and processes at once."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import weakref

import numpy as np
import pytest

from specjit.codegen import cache, linker
from specjit.codegen.cache import DiskCache, Entry
from specjit.codegen.compiler import CompileError
from specjit.codegen.loader import KernelLibrary
from tests.codegen.sources import axpy, call, run_axpy
from tests.waiting import LONG, Crew


class Recorder:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict]] = []

    def __call__(self, kind: str, **facts: object) -> None:
        self.events.append((kind, facts))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


@pytest.fixture
def fresh(tmp_path, pool, heard) -> KernelLibrary:
    """A library with an empty cache."""
    return KernelLibrary(DiskCache(tmp_path / "cache"), pool, heard)


def other_process(library: KernelLibrary, pool, heard) -> KernelLibrary:
    """A library with the same folder and nothing in memory."""
    return KernelLibrary(DiskCache(library.disk.folder), pool, heard)


def test_compile_then_memory_then_disk(fresh, pool, heard):
    source = axpy(2.0)
    kernel = fresh.get(source, "axpy")
    assert heard.kinds() == ["CACHE_MISS", "CACHE_STORE"]
    assert not kernel.cached
    assert kernel.seconds > 0
    assert fresh.get(source, "other hint") is kernel
    assert heard.kinds() == ["CACHE_MISS", "CACHE_STORE"]
    again = other_process(fresh, pool, heard).get(source, "axpy")
    assert heard.kinds()[2:] == ["CACHE_HIT"]
    assert again.cached
    assert again.image == kernel.image
    for k in (kernel, again):
        np.testing.assert_array_equal(run_axpy(k.address, np.arange(9.0)), 2 * np.arange(9.0) + 1)


def test_facts_of_a_kernel(fresh):
    kernel = fresh.get(axpy(2.5), "axpy")
    assert kernel.symbol == f"specjit_{kernel.key}"
    assert kernel.hint == "axpy"
    assert kernel.source_path.read_text() == kernel.source == axpy(2.5)
    assert f"@{kernel.symbol}(" in kernel.llvm
    assert repr(kernel).startswith("<Kernel axpy specjit_")


def test_a_broken_entry_is_compiled_again(fresh, pool, heard):
    kernel = fresh.get(axpy(4.0), "axpy")
    path = fresh.disk._path(kernel.key, ".kernel")
    path.write_bytes(path.read_bytes()[:-1])
    library = other_process(fresh, pool, heard)
    del heard.events[:]
    kernel = library.get(axpy(4.0), "axpy")
    assert heard.kinds() == ["CACHE_REJECT", "CACHE_MISS", "CACHE_STORE"]
    np.testing.assert_array_equal(run_axpy(kernel.address, np.ones(3)), np.full(3, 5.0))


def test_code_is_unloaded_when_nobody_holds_it(fresh, heard):
    kernel = fresh.get(axpy(2.0))
    code = weakref.ref(kernel._code)
    assert len(fresh._loaded) == 1
    del kernel
    gc.collect()
    assert code() is None
    assert len(fresh._loaded) == 0
    assert fresh.get(axpy(2.0)).cached
    assert heard.kinds()[-1] == "CACHE_HIT"


def test_load_and_unload_many_times(library):
    """Code comes and goes over several linkers without upsetting what stays, and a linker goes with its last image."""
    stays = library.get(axpy(6.0))
    image, symbol = stays.image, stays.symbol
    linkers = []
    for _ in range(3 * linker.IMAGES_PER_LINKER):
        code = linker.link(image, [symbol])
        np.testing.assert_array_equal(run_axpy(code[symbol], np.ones(3)), np.full(3, 7.0))
        if linker._current not in linkers:
            linkers.append(linker._current)
    np.testing.assert_array_equal(run_axpy(stays.address, np.ones(3)), np.full(3, 7.0))
    assert len(linkers) >= 3
    assert linkers[1].loaded == 0
    assert linkers[1].jit.closed


def test_code_in_a_garbage_cycle_is_unloaded(library):
    kernel = library.get(axpy(6.5))
    cycle = [linker.link(kernel.image, [kernel.symbol])]
    cycle.append(cycle)
    code = weakref.ref(cycle[0])
    del cycle
    gc.collect()
    assert code() is None
    assert run_axpy(kernel.address, np.ones(1))[0] == 7.5


def test_a_missing_symbol_is_an_error(library):
    kernel = library.get(axpy(6.5))
    gc.collect()  # no code of an earlier test is unloaded meanwhile
    before = linker._current.loaded
    with pytest.raises(RuntimeError, match="no_such_symbol"):
        linker.link(kernel.image, ["no_such_symbol"])
    assert linker._current.loaded == before


def test_a_forked_child_loads_and_compiles(tmp_path):
    code = textwrap.dedent(
        f"""
        import os, threading
        from pathlib import Path
        import numpy as np
        from specjit.codegen import loader
        from specjit.codegen.cache import DiskCache
        from specjit.codegen.loader import KernelLibrary
        from tests.codegen.sources import axpy, run_axpy
        library = KernelLibrary(DiskCache(Path({str(tmp_path)!r})))
        old = library.get(axpy(1.0))
        taken, fork_is_over = threading.Event(), threading.Event()

        def hold():
            with library._lock, loader._library_lock:
                taken.set()
                fork_is_over.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        taken.wait()
        child = os.fork()
        if child == 0:
            new = library.get(axpy(2.0))
            fine = run_axpy(old.address, np.ones(1))[0] == 2 and run_axpy(new.address, np.ones(1))[0] == 3
            library.pool.close()
            os._exit(0 if fine and loader.library() else 1)
        assert os.waitpid(child, 0)[1] == 0
        fork_is_over.set()
        holder.join()
        assert library.get(axpy(2.0)).cached
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], capture_output=True, text=True, timeout=LONG
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_get_many_keeps_the_order(fresh):
    sources = [axpy(a) for a in (1.0, 2.0, 3.0)]
    kernels = fresh.get_many([(s, f"k{i}") for i, s in enumerate([*sources, sources[0]])])
    assert [k.source for k in kernels] == [*sources, sources[0]]
    assert kernels[3] is kernels[0]
    assert fresh.get_many([]) == []


def test_an_error_is_not_remembered_and_leaves_nothing_behind(fresh, heard):
    for _ in range(2):
        with pytest.raises(CompileError, match="nothing"):
            fresh.get("def kernel(frame, ops):\n    return nothing\n")
    assert heard.kinds() == ["CACHE_MISS", "CACHE_MISS"]
    assert not list(fresh.disk.folder.rglob("*.kernel"))


def test_threads_that_ask_at_once_compile_once(fresh, heard):
    kernels = []
    assert Crew(*[lambda: kernels.append(fresh.get(axpy(8.0)))] * 6).join() == []
    assert len(set(kernels)) == 1
    assert heard.kinds() == ["CACHE_MISS", "CACHE_STORE"]


def test_processes_that_compile_the_same_kernel_at_once(tmp_path):
    code = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        import numpy as np
        from specjit.codegen.cache import DiskCache
        from specjit.codegen.loader import KernelLibrary
        from tests.codegen.sources import axpy, run_axpy
        library = KernelLibrary(DiskCache(Path({str(tmp_path)!r})))
        library.pool.warm_up()
        print("ready", flush=True)
        sys.stdin.readline()
        kernels = library.get_many([(axpy(float(a)), "k") for a in range(4)])
        for a, k in enumerate(kernels):
            assert (run_axpy(k.address, np.ones(5)) == a + 1).all()
        print("numba" in sys.modules)
        """
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) for _ in range(2)]
    for p in processes:
        assert p.stdout.readline() == "ready\n"
    for p in processes:
        p.stdin.write("go\n")
        p.stdin.flush()
    for p in processes:
        out, err = p.communicate(timeout=LONG)
        assert out == "False\n", err
        assert err == ""
    assert len(list(tmp_path.rglob("*.kernel"))) == 4
    assert not list(tmp_path.rglob("*.tmp"))


def test_ctrl_c_during_a_compile_leaves_no_broken_entry(tmp_path):
    """Interrupt a process that compiles kernels at many moments; every entry it left is whole."""
    code = textwrap.dedent(
        f"""
        import signal
        from pathlib import Path
        from specjit.codegen.cache import DiskCache, decode
        from specjit.codegen.loader import KernelLibrary
        from tests.codegen.sources import axpy
        folder = Path({str(tmp_path)!r})
        library = KernelLibrary(DiskCache(folder))
        library.pool.warm_up()

        def interrupt(*_):
            global fired
            fired = True
            raise KeyboardInterrupt

        def work(start):
            while not fired:  # it may be so, for Python swallows an exception at the end of a weak reference
                library.get(axpy(float(start)))
                start += 1

        signal.signal(signal.SIGALRM, interrupt)
        for i in range(12):
            fired = False
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.02 * i + 1e-3)
                work(10**6 * i)
            except KeyboardInterrupt:
                pass
        for path in folder.rglob("*.kernel"):
            decode(path.read_bytes())
        library.get(axpy(-1.0))
        print("fine")
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG)
    assert done.stdout == "fine\n", done.stderr


def test_get_ir(fresh, heard):
    text = "define i64 @one(ptr %frame, ptr %ops) {\n ret i64 1\n}\ndefine i64 @two(ptr %f, ptr %o) {\n ret i64 2\n}\n"
    code = fresh.get_ir(text, ["one", "two"])
    frame = np.zeros(8, np.int64)
    assert call(code.addresses["one"], frame) == 1
    assert call(code.addresses["two"], frame) == 2
    assert heard.kinds() == ["CACHE_MISS", "CACHE_STORE"]
    assert fresh.get_ir(text, ["one", "two"]) is code


def test_loading_never_imports_numba(fresh):
    fresh.get(axpy(2.0))
    code = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from specjit.codegen.cache import DiskCache
        from specjit.codegen.loader import KernelLibrary
        library = KernelLibrary(DiskCache(Path({str(fresh.disk.folder)!r})))
        kernel = library.get({axpy(2.0)!r})
        print(kernel.cached, "numba" in sys.modules, library.pool._all)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG)
    assert done.stdout == "True False set()\n", done.stderr


def test_an_entry_that_does_not_link_is_compiled_again(fresh, pool, heard):
    key = cache.key_of(axpy(2.0))
    fresh.disk.store(key, Entry({"symbols": [f"specjit_{key}"], "hint": "", "seconds": 0.0}, b"no object", b""))
    kernel = fresh.get(axpy(2.0))
    assert heard.kinds() == ["CACHE_STORE", "CACHE_REJECT", "CACHE_MISS", "CACHE_STORE"]
    assert run_axpy(kernel.address, np.ones(1))[0] == 3.0


def test_get_many_on_two_workers_and_ctrl_c(tmp_path):
    """Ctrl-C does not wait for the kernels under way, and the library goes on afterwards."""
    code = textwrap.dedent(
        f"""
        import os, signal, threading, time
        from pathlib import Path
        from specjit.codegen.cache import DiskCache
        from specjit.codegen.compiler import CompilerPool
        from specjit.codegen.loader import KernelLibrary
        from tests.codegen.sources import axpy
        library = KernelLibrary(DiskCache(Path({str(tmp_path)!r})), CompilerPool(workers=2))
        at = Path({str(tmp_path / "at it")!r})
        slow = f"import time\\nopen({{str(at)!r}}, 'w').close()\\ntime.sleep(3600)\\n" + axpy(1.0)

        def interrupt():
            while not at.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        try:
            library.get_many([(slow + f"# {{i}}", "slow") for i in range(4)])
        except KeyboardInterrupt:
            kernels = library.get_many([(axpy(float(a)), "k") for a in range(3)])
            print(len({{k.address for k in kernels}}), len(library.pool._all) <= 2)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG)
    assert done.stdout == "3 True\n", done.stderr
