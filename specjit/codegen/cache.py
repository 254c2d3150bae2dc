"""Object images on disk: content-addressed, checksummed, bounded.

Enters: kernel sources (for their key) and compiled kernels. Leaves: an `Entry`, or None.
Invariant: a file under its final name is complete, or it fails its checksum and is removed; nothing here raises because
of the disk. A key is the hash of all that decides the object's bytes: source, ABI, compiler versions, CPU, and the text
of the modules that kernels are compiled with. So entries never go stale; they only go unused, and the oldest-used make
room.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import struct
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from specjit import config
from specjit.codegen import abi, target

MAGIC = b"SPECJIT\x01"
_DIGEST = 32
_SIZES = struct.Struct("<3Q")
ABANDONED_SECONDS = 3600  # a temporary file this old belongs to no writer
# Where the worker starts; what these modules import of ours is read from their text.
WORKER_ROOTS = ("objects", "vectors.philox", "vectors.simd", "vectors.tiles", "vectors.vecmath")
_IMPORT = re.compile(r"^[ ]*from specjit\.codegen((?:\.\w+)*) import (\([^)]*\)|.*)", re.MULTILINE)

Event = Callable[..., None]


class Entry(NamedTuple):
    """A compiled kernel: facts about it (symbols, hint, seconds), the object image, and its packed LLVM IR text."""

    facts: dict[str, Any]
    image: bytes
    packed_llvm: bytes

    @property
    def llvm(self) -> str:
        return zlib.decompress(self.packed_llvm).decode()


def pack_text(text: str) -> bytes:
    return zlib.compress(text.encode(), 1)


def worker_sources() -> dict[str, str]:
    """Name and text of every module of ours that compiling a kernel can load."""
    folder, found, todo = Path(__file__).parent, dict[str, str](), list(WORKER_ROOTS)
    while todo:
        name = todo.pop()
        place = folder.joinpath(*name.split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if name not in found and path.exists():
            found[name] = path.read_text()
            for package, names in _IMPORT.findall(found[name]):  # what is imported may be modules, or names of one
                todo += [f"{package}.{item}".strip(".") for item in ["", *re.findall(r"\w+", names)]]
    return found


@functools.cache
def environment_key() -> bytes:
    """The part of every key that does not depend on the kernel."""
    parts = [str(abi.ABI_VERSION), version("numba"), version("llvmlite"), *target.host()]
    for name, text in sorted(worker_sources().items()):
        parts += [name, text]
    return hashlib.sha256("\0".join(parts).encode()).digest()


def key_of(source: str) -> str:
    """The identity of a kernel (hex)."""
    return hashlib.sha256(environment_key() + source.encode()).hexdigest()[:40]


def encode(entry: Entry) -> bytes:
    facts = json.dumps(entry.facts).encode()
    body = _SIZES.pack(len(facts), len(entry.image), len(entry.packed_llvm)) + facts + entry.image + entry.packed_llvm
    return MAGIC + hashlib.sha256(body).digest() + body


def decode(data: bytes) -> Entry:
    """The entry in `data`; ValueError when it is not one, whole and unchanged."""
    head = len(MAGIC) + _DIGEST
    body = data[head:]
    if (
        data[: len(MAGIC)] != MAGIC
        or len(body) < _SIZES.size
        or hashlib.sha256(body).digest() != data[len(MAGIC) : head]
    ):
        raise ValueError("truncated or changed")
    facts, image, text = _SIZES.unpack_from(body)
    start = _SIZES.size
    middle, end = start + facts + image, start + facts + image + text
    return Entry(json.loads(body[start : start + facts]), body[start + facts : middle], body[middle:end])


def default_folder() -> Path | None:
    """SPECJIT_CACHE_DIR, or the user's cache folder; None when there is no home to put one in."""
    chosen = config.current().cache_dir
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_dir

    folder = Path(user_cache_dir("specjit", appauthor=False))
    return folder if folder.is_absolute() else None


class DiskCache:
    """One folder of entries, shared by any number of processes."""

    def __init__(self, folder: Path | None = None, limit_bytes: int = 512 << 20, on_event: Event | None = None) -> None:
        """`on_event(kind, **facts)` hears CACHE_REJECT and CACHE_STORE.

        A folder that cannot be written makes a cache that holds nothing, and says so once.
        """
        self.folder = default_folder() if folder is None else folder
        self.limit_bytes = limit_bytes
        self.on_event: Event = on_event or (lambda kind, **facts: None)
        self._unchecked_bytes = limit_bytes  # the first store looks at the folder's size
        self._complained = False

    def load(self, key: str) -> Entry | None:
        """The entry under `key`. A broken one is removed, with a CACHE_REJECT event."""
        path = self._path(key, ".kernel")
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.on_event("CACHE_REJECT", key=key, path=str(path), reason=f"not readable: {error.strerror}")
            return None
        try:
            entry = decode(data)
        except ValueError as error:
            self.reject(key, str(error))
            return None
        with contextlib.suppress(OSError):  # the time of last use only orders eviction
            os.utime(path)
        return entry

    def reject(self, key: str, reason: str) -> None:
        """Remove an entry that turned out to be of no use."""
        path = self._path(key, ".kernel")
        if path is not None:
            with contextlib.suppress(OSError):  # a read-only folder keeps it, and it is rejected again next time
                path.unlink()
            self.on_event("CACHE_REJECT", key=key, path=str(path), reason=reason)

    def store(self, key: str, entry: Entry) -> None:
        """Write an entry. The file appears under its name complete, or not at all."""
        data = encode(entry)
        path = self._path(key, ".kernel")
        if path is not None and self._write(path, data):
            self.on_event("CACHE_STORE", key=key, path=str(path), bytes=len(data), **entry.facts)
            self._unchecked_bytes += len(data)
            if self._unchecked_bytes > self.limit_bytes // 16:
                self._unchecked_bytes = 0
                self.evict()

    def source_file(self, key: str, source: str) -> Path:
        """A file that holds the kernel's source: beside its entry, or in this process's temporary folder."""
        path = self._path(key, ".py")
        if path is None or not (os.path.exists(path) or self._write(path, source.encode())):
            path = _temporary_folder(os.getpid()) / f"{key}.py"
            path.write_text(source)
        return path

    def evict(self) -> None:
        """Above the limit, remove the entries used longest ago until three quarters of it are left.

        One process at a time; who finds the lock taken leaves the work to its holder.
        """
        if self.folder is None:
            return
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / "lock", timeout=0):
                self._evict_under_lock(self.folder)
        # Someone else is at it, or the folder became read-only, or has no locks (older versions of filelock say so in
        # their own way): the next store tries again.
        except (Timeout, OSError, NotImplementedError):
            return

    def _evict_under_lock(self, folder: Path) -> None:
        files = []
        for path in folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):  # another process replaced or removed it
                facts = path.stat()
                if path.suffix == ".tmp":
                    if time.time() - facts.st_mtime > ABANDONED_SECONDS:
                        path.unlink()
                else:
                    files.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self.limit_bytes:
            return
        for _, size, path in sorted(files):
            if total <= self.limit_bytes * 3 // 4:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _path(self, key: str, suffix: str) -> Path | None:
        return None if self.folder is None else self.folder / key[:2] / (key + suffix)

    def _write(self, path: Path, data: bytes) -> bool:
        """Write through a temporary file beside it: an interruption leaves no broken file under the name."""
        try:
            try:
                _replace(path, data)
            except FileNotFoundError:  # a `specjit cache clear` took the folder away in between
                _replace(path, data)
        except OSError as error:
            if not self._complained:
                self._complained = True
                warnings.warn(
                    f"specjit keeps no kernels on disk: {error}. Set SPECJIT_CACHE_DIR to a folder it may write",
                    stacklevel=2,
                )
            return False
        return True


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            with contextlib.suppress(OSError):  # swept up by a later eviction
                os.unlink(file.name)
            raise


@functools.cache
def _temporary_folder(process: int) -> Path:
    """A folder of this process, until it ends; a forked child has its own, and leaves its parent's alone."""
    folder = Path(tempfile.mkdtemp(prefix="specjit-"))

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
