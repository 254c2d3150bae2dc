"""The compile worker: a child process that turns kernel sources into object images. It never imports user code.

Enters, on stdin: framed requests (symbol, source text, source path). Leaves, on stdout: framed answers, ("ok", image,
LLVM IR text) or ("error", traceback text). Both pipes belong to the protocol alone: what else prints in this process
goes to stderr.
Invariant: one answer per request, in order; the worker ends when stdin closes, and Ctrl-C does not reach it.

The parent runs this file by path, so that `specjit/__init__.py` (the eager library) is never executed here; `-m` works
too.
"""

from __future__ import annotations

import gc
import os
import signal
import struct
import sys
import traceback
from io import FileIO, RawIOBase
from pathlib import Path
from types import ModuleType

_COUNT = struct.Struct("<I")
_SIZE = struct.Struct("<Q")
REQUESTS_PER_COLLECTION = 10


def write_message(stream: RawIOBase, *fields: bytes) -> None:
    """Send one message: the number of fields, then each field's size and bytes."""
    parts = [_COUNT.pack(len(fields))]
    for field in fields:
        parts += [_SIZE.pack(len(field)), field]
    left = memoryview(b"".join(parts))
    while left:
        left = left[stream.write(left) or 0 :]


def read_message(stream: RawIOBase) -> list[bytes] | None:
    """Receive one message; None when the stream ends before or inside it."""
    try:
        (count,) = _COUNT.unpack(_read(stream, _COUNT.size))
        return [_read(stream, *_SIZE.unpack(_read(stream, _SIZE.size))) for _ in range(count)]
    except EOFError:
        return None


def _read(stream: RawIOBase, size: int) -> bytes:
    """Exactly `size` bytes; a pipe hands them over in pieces."""
    pieces = []
    while size:
        piece = stream.read(size)
        if not piece:
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = FileIO(os.dup(0), "rb")
    answers = FileIO(os.dup(1), "wb")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    # Numba would import SciPy (0.25 s) to look for a BLAS that no kernel calls.
    sys.modules["scipy"] = None  # type: ignore[assignment]
    gc.disable()  # a full collection in the middle of a compile costs 0.06 s
    answered = 0
    while (request := read_message(requests)) is not None:
        try:
            answer = _answer(*(field.decode() for field in request))
        except Exception:  # whatever went wrong is the answer; the parent raises it with this text
            answer = [b"error", traceback.format_exc().encode()]
        try:
            write_message(answers, *answer)
        except BrokenPipeError:
            return
        if answered % REQUESTS_PER_COLLECTION == 0:
            gc.collect()
        if answered == 0:
            gc.freeze()  # Numba itself never becomes garbage
        answered += 1


def _answer(*request: str) -> list[bytes]:
    """A request without fields asks to be ready, any other for a kernel."""
    from specjit.codegen import objects  # here, so that a Numba that does not import is an answer too

    if not request:
        objects.warm_up()
        return [b"ok"]
    symbol, source, path = request
    compiled = objects.compile_kernel(source, symbol, path)
    return [b"ok", compiled.image, compiled.llvm.encode()]


def _stand_in_packages() -> None:
    """Make `specjit` and `specjit.codegen` importable without executing their `__init__` files."""
    here = Path(__file__).resolve().parent
    for name, folder in (("specjit", here.parent), ("specjit.codegen", here)):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package


if __name__ == "__main__":
    if "specjit" not in sys.modules:
        _stand_in_packages()
    main()
