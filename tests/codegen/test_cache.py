"""The disk cache: whole entries or none, bounded, never in the way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specjit import config
from specjit.codegen import abi, cache
from specjit.codegen.cache import DiskCache, Entry, decode, encode, key_of, pack_text
from tests.waiting import LONG

ENTRY = Entry({"symbols": ["f"], "hint": "test", "seconds": 0.5}, b"object image" * 50, pack_text("define i64 @f()\n"))


def entry(size: int) -> Entry:
    return Entry({"symbols": ["f"], "hint": "", "seconds": 0.0}, os.urandom(size), b"")


@pytest.fixture
def events() -> list[tuple[str, dict]]:
    return []


@pytest.fixture
def disk(tmp_path, events) -> DiskCache:
    return DiskCache(tmp_path, on_event=lambda kind, **facts: events.append((kind, facts)))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=3),
    st.binary(max_size=200),
    st.text(max_size=200),
)
def test_encode_round_trip(facts, image, text):
    made = Entry(facts, image, pack_text(text))
    assert decode(encode(made)) == made
    assert made.llvm == text


@given(st.data())
def test_any_change_is_noticed(data):
    whole = encode(ENTRY)
    position = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    broken = bytearray(whole)
    broken[position] ^= change
    with pytest.raises(ValueError, match="truncated or changed"):
        decode(bytes(broken))
    with pytest.raises(ValueError, match="truncated or changed"):
        decode(whole[:position])
    with pytest.raises(ValueError, match="truncated or changed"):
        decode(whole + bytes([change]))


def test_a_whole_file_of_too_few_bytes_is_no_entry():
    body = b"short"
    with pytest.raises(ValueError, match="truncated"):
        decode(cache.MAGIC + hashlib.sha256(body).digest() + body)


def test_store_and_load(disk, events, tmp_path):
    assert disk.load("ab" * 20) is None
    disk.store("ab" * 20, ENTRY)
    assert disk.load("ab" * 20) == ENTRY
    assert DiskCache(tmp_path).load("ab" * 20) == ENTRY
    assert [kind for kind, _ in events] == ["CACHE_STORE"]
    assert [path.name for path in files(tmp_path)] == ["ab" * 20 + ".kernel"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "foreign"])
def test_a_broken_entry_is_rejected_removed_and_rebuilt(disk, events, tmp_path, damage):
    key = "cd" * 20
    disk.store(key, ENTRY)
    (path,) = files(tmp_path)
    data = path.read_bytes()
    path.write_bytes(
        {
            "truncated": data[:-7],
            "empty": b"",
            "flipped": data[:100] + bytes([data[100] ^ 1]) + data[101:],
            "foreign": b"hello",
        }[damage]
    )
    assert disk.load(key) is None
    assert events[-1][0] == "CACHE_REJECT"
    assert events[-1][1]["path"] == str(path)
    assert files(tmp_path) == []
    disk.store(key, ENTRY)
    assert disk.load(key) == ENTRY


def test_keys_differ_by_what_matters(monkeypatch):
    key = key_of("source")
    assert key == key_of("source") != key_of("source ")
    assert len(key) == 40
    cache.environment_key.cache_clear()
    monkeypatch.setattr(abi, "ABI_VERSION", abi.ABI_VERSION + 1)
    assert key_of("source") != key
    cache.environment_key.cache_clear()
    monkeypatch.undo()
    monkeypatch.setattr(cache, "version", lambda name: "0.0")
    assert key_of("source") != key
    cache.environment_key.cache_clear()
    monkeypatch.undo()
    sources = cache.worker_sources()
    monkeypatch.setattr(cache, "worker_sources", lambda: sources | {"vectors.simd": sources["vectors.simd"] + " "})
    assert key_of("source") != key
    cache.environment_key.cache_clear()
    monkeypatch.undo()
    assert key_of("source") == key


def test_eviction_removes_the_oldest_used_first(tmp_path):
    disk = DiskCache(tmp_path, limit_bytes=100_000)
    keys = [f"{i:02x}" * 20 for i in range(8)]
    for i, key in enumerate(keys):
        disk.store(key, entry(10_000))
        os.utime(disk._path(key, ".kernel"), (i, i))
    assert disk.load(keys[0]) is not None  # this use makes it the youngest
    for i in range(8, 11):
        disk.store(f"{i:02x}" * 20, entry(10_000))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 100_000
    left = {path.stem for path in files(tmp_path)}
    assert keys[0] in left
    assert keys[1] not in left
    assert keys[2] not in left
    assert f"{10:02x}" * 20 in left


def test_the_bound_holds_over_many_stores(tmp_path):
    disk = DiskCache(tmp_path, limit_bytes=50_000)
    for i in range(60):
        disk.store(f"{i:02x}" * 20, entry(2_000))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 50_000 * 17 / 16


def test_eviction_sweeps_abandoned_temporary_files(disk, tmp_path):
    disk.store("ab" * 20, ENTRY)
    old, new = tmp_path / "ab" / "old.tmp", tmp_path / "ab" / "new.tmp"
    for path in (old, new):
        path.write_bytes(b"half an ent")
    long_ago = time.time() - 2 * cache.ABANDONED_SECONDS
    os.utime(old, (long_ago, long_ago))
    disk.evict()
    assert not old.exists()
    assert new.exists()


def test_eviction_leaves_the_work_to_who_holds_the_lock(tmp_path):
    from filelock import FileLock

    disk = DiskCache(tmp_path, limit_bytes=1000)
    with FileLock(tmp_path / "lock"):
        disk.store("ab" * 20, entry(5000))
        assert len(files(tmp_path)) == 1
    disk.evict()
    assert files(tmp_path) == []


def test_an_interrupted_write_leaves_nothing(disk, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        disk.store("ab" * 20, ENTRY)
    assert files(tmp_path) == []


@pytest.mark.parametrize("where", ["under a file", "nowhere"])
def test_without_a_folder_it_says_so_once_and_holds_nothing(tmp_path, where, events):
    blocked = tmp_path / "file"
    blocked.write_text("")
    disk = DiskCache(blocked / "folder", on_event=lambda kind, **facts: events.append(kind))
    if where == "nowhere":
        disk.folder = None
        disk.store("ab" * 20, ENTRY)
    else:
        with pytest.warns(UserWarning, match="SPECJIT_CACHE_DIR"):
            disk.store("ab" * 20, ENTRY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        disk.store("ab" * 20, ENTRY)
        assert disk.load("ab" * 20) is None
        disk.evict()
        path = disk.source_file("ab" * 20, "the source")
    assert path.read_text() == "the source"
    assert "CACHE_STORE" not in events


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.warns(UserWarning, match="SPECJIT_CACHE_DIR"):
        DiskCache(tmp_path).store("ab" * 20, ENTRY)
    tmp_path.chmod(0o700)


def test_source_file(disk, tmp_path):
    path = disk.source_file("ab" * 20, "the source")
    assert path.read_text() == "the source"
    assert path == disk.source_file("ab" * 20, "the source")
    assert tmp_path in path.parents


def test_default_folder(monkeypatch, tmp_path):
    with config.options(cache_dir=tmp_path):
        assert cache.default_folder() == tmp_path
    monkeypatch.delenv("SPECJIT_CACHE_DIR")
    folder = cache.default_folder()
    assert folder is None or folder.name == "specjit"


def test_a_folder_that_is_cleared_between_two_steps_of_a_write(disk, tmp_path, monkeypatch):
    made = cache.tempfile.NamedTemporaryFile

    def clears_first(*arguments, **options):
        monkeypatch.undo()
        (tmp_path / "ab").rmdir()  # as `specjit cache clear` does
        return made(*arguments, **options)

    monkeypatch.setattr(cache.tempfile, "NamedTemporaryFile", clears_first)
    disk.store("ab" * 20, ENTRY)
    assert disk.load("ab" * 20) == ENTRY


def test_a_folder_without_locks_is_no_error(disk, monkeypatch):
    def fails(*arguments, **options):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr("filelock.FileLock", fails)
    disk.store("ab" * 20, ENTRY)
    assert disk.load("ab" * 20) == ENTRY


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_ends_leaves_its_parents_temporary_folder_alone():
    code = textwrap.dedent(
        """
        import os
        from specjit.codegen.cache import DiskCache
        disk = DiskCache()
        disk.folder = None
        path = disk.source_file("ab" * 20, "parent's")
        child = os.fork()
        if child == 0:
            own = disk.source_file("ab" * 20, "child's")
            print(own != path, flush=True)
            raise SystemExit(0 if own.read_text() == "child's" else 1)
        assert os.waitpid(child, 0)[1] == 0
        print(path.read_text(), path.parent)
        """
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=LONG)
    lines = done.stdout.splitlines()
    assert lines[0] == "True", done.stderr
    assert lines[1].startswith("parent's ")
    assert not Path(lines[1].split(maxsplit=1)[1]).exists()


def test_killed_while_writing_in_a_loop(tmp_path):
    """SIGKILL at arbitrary moments: every file under a final name still decodes."""
    code = textwrap.dedent(
        f"""
        import os
        from specjit.codegen.cache import DiskCache, Entry
        disk = DiskCache(__import__("pathlib").Path({str(tmp_path)!r}))
        for i in range(10**9):
            disk.store(f"{{i % 50:02x}}" * 20, Entry({{}}, os.urandom(200_000), b""))
            if i == 0:
                print("go", flush=True)
        """
    )
    for delay in (0.01, 0.03, 0.05):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"go\n"
        time.sleep(delay)
        process.kill()
        process.wait()
        process.stdout.close()
    kept = [path for path in files(tmp_path) if path.suffix == ".kernel"]
    assert kept
    for path in kept:
        decode(path.read_bytes())
