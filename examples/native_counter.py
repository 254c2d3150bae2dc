"""A C++ class inside a compiled model: `python examples/native_counter.py` builds counter.cpp and runs it.

The class is bound by ctypes. Where `argtypes` and `restype` are declared, a call is a node with a type: it stays where
it is among the other effects, and what stands around it is compiled, under `optimize` and under `script`.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import specjit
from specjit import Tensor, jit, nn

SOURCE = Path(__file__).with_name("counter.cpp")
COMPILERS = ("c++", "g++", "clang++")
SIGNATURES = {
    "counter_new": (ctypes.c_void_p, [ctypes.c_long]),
    "counter_delete": (None, [ctypes.c_void_p]),
    "counter_add": (ctypes.c_long, [ctypes.c_void_p, ctypes.c_long]),
    "counter_mean": (ctypes.c_double, [ctypes.c_void_p, ctypes.c_long]),
}


def compiler() -> str | None:
    """The system's C++ compiler, if it has one."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def build(folder: Path) -> Path:
    """The shared library of counter.cpp."""
    library = folder / "libcounter.so"
    subprocess.run([compiler() or "c++", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE)], check=True)
    return library


def bind(library: Path) -> ctypes.CDLL:
    """The library with the signatures of its functions."""
    functions = ctypes.CDLL(str(library))
    for name, (result, parameters) in SIGNATURES.items():
        function = getattr(functions, name)
        function.restype, function.argtypes = result, parameters
    return functions


class Counter:
    """The C++ object; it lives as long as this one."""

    def __init__(self, functions: ctypes.CDLL, start: int = 0) -> None:
        self.functions = functions
        self.handle: int = functions.counter_new(start)

    def add(self, by: int) -> int:
        return self.functions.counter_add(self.handle, by)

    def mean(self, calls: int) -> float:
        return self.functions.counter_mean(self.handle, calls)

    def __del__(self) -> None:
        self.functions.counter_delete(self.handle)


class Counting(nn.Module):
    """Scales by how many rows it has seen so far, which C++ counts."""

    def __init__(self, functions: ctypes.CDLL, width: int) -> None:
        super().__init__()
        self.seen = Counter(functions)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = specjit.tanh(self.linear(x))
        rows = self.seen.add(x.shape[0])
        if rows > 6:
            y = y * self.seen.mean(2)
        return y * rows + x


def main() -> int:
    if compiler() is None:
        print("no C++ compiler found", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        functions = bind(build(Path(folder)))
        for make in (specjit.optimize, jit.script):
            specjit.manual_seed(0)
            model = make(Counting(functions, 4))
            for _ in range(4):
                print(make.__name__, model(specjit.ones(2, 4)).sum().item())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
