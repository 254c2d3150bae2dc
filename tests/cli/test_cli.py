"""The command line as a user meets it: output, complaints, exit codes; and it deletes nothing that is not its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from specjit import cli
from specjit.version import __version__


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "specjit", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def make_cache(folder: Path) -> tuple[list[Path], list[Path]]:
    """A folder with three files of the cache and four of somebody else."""
    key = "ab" + "0123456789abcdef" * 2
    (folder / "ab").mkdir(parents=True)
    (folder / "notes").mkdir()
    ours = [folder / "ab" / f"{key}.kernel", folder / "ab" / f"{key}.py", folder / "ab" / "tmpx1.tmp"]
    theirs = [folder / "ab" / "diary.txt", folder / "notes" / f"{key}.kernel", folder / "thesis.py", folder / "lock"]
    for path in ours + theirs:
        path.write_bytes(b"12345")
    return ours, theirs


def test_module_and_version():
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"specjit {__version__}\n")


@pytest.mark.parametrize("arguments", [(), ("cache",), ("fly",), ("cache", "burn"), ("demo", "--steps", "0")])
def test_wrong_arguments_exit_2_with_usage(arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: specjit")
    assert "Traceback" not in result.stderr


def test_env_names_what_a_bug_report_needs(tmp_path):
    result = run("env", SPECJIT_CACHE_DIR=str(tmp_path), SPECJIT_LOG="guards")
    assert result.returncode == 0, result.stderr
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith("cpu "))
    assert facts["specjit"] == __version__
    assert facts["cache"] == str(tmp_path)
    assert facts["SPECJIT_LOG"] == "guards"
    assert {"python", "numpy", "numba", "llvmlite", "platform"} <= facts.keys()


def test_cache_info_and_clear(tmp_path, monkeypatch, capsys):
    ours, theirs = make_cache(tmp_path)
    monkeypatch.setenv("SPECJIT_CACHE_DIR", str(tmp_path))
    assert cli.main(["cache", "info"]) == 0
    shown = capsys.readouterr().out.split()
    assert str(tmp_path) in shown
    assert shown[shown.index("kernels") + 1] == "1"
    assert cli.main(["cache", "clear"]) == 0
    assert "removed 3 files" in capsys.readouterr().out
    assert not any(path.exists() for path in ours)
    assert all(path.read_bytes() == b"12345" for path in theirs)


def test_clear_removes_folders_that_become_empty(tmp_path, monkeypatch):
    (tmp_path / "cd").mkdir()
    (tmp_path / "cd" / ("cd" * 20 + ".kernel")).write_bytes(b"")
    monkeypatch.setenv("SPECJIT_CACHE_DIR", str(tmp_path))
    assert cli.main(["cache", "clear"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_cache_that_does_not_exist_yet(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPECJIT_CACHE_DIR", str(tmp_path / "later"))
    assert cli.main(["cache", "info"]) == cli.main(["cache", "clear"]) == 0
    assert "removed 0 files" in capsys.readouterr().out
    assert not (tmp_path / "later").exists()


def test_cache_folder_that_is_a_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("SPECJIT_CACHE_DIR", str(tmp_path / "file"))
    assert cli.main(["cache", "clear"]) == 1
    assert "SPECJIT_CACHE_DIR" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_reader_that_stops_early_is_no_crash(tmp_path):
    command = f"{sys.executable} -m specjit env | true"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=600)
    assert "Traceback" not in result.stderr
