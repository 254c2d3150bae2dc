"""The source that is captured is the one that runs: a file may have been edited since its import."""

from __future__ import annotations

import linecache
import types
from pathlib import Path
from typing import Any

import pytest

import specjit
from specjit.capture.errors import CaptureError
from specjit.capture.source import source_of

SOURCE = """\
import functools
def plain(x):
    return x * 2
def outer(k):
    def inner(x, *, y=1):
        return [x * k + i for i in range(2)]
    return inner
class Model:
    def method(self, x):
        return super().__repr__(), self.__hidden, x
twice, thrice = (lambda x: x * 2), (lambda x: x * 3)
@functools.cache
def decorated(x):
    "Doc."
    return -0.0, 1, {1, 2}, lambda: x in {3, 4}
"""


def load(path: Path, text: str) -> dict[str, Any]:
    path.write_text(text)
    names: dict[str, Any] = {}
    exec(compile(text, str(path), "exec"), names)
    return names


def edit(path: Path, text: str) -> None:
    path.write_text(text)
    linecache.checkcache(str(path))


def functions(names: dict[str, Any]) -> list[types.FunctionType]:
    inner, method, cached = names["outer"](2), names["Model"].method, names["decorated"].__wrapped__
    return [names["plain"], names["outer"], inner, method, names["twice"], names["thrice"], cached]


def test_an_unchanged_file(tmp_path: Path) -> None:
    for fn in functions(load(tmp_path / "m.py", SOURCE)):
        assert source_of(fn).name == fn.__qualname__


@pytest.mark.parametrize("comment", ["  # a note", "  "])
def test_an_edit_that_changes_no_code(tmp_path: Path, comment: str) -> None:
    names = load(tmp_path / "m.py", SOURCE)
    edit(tmp_path / "m.py", SOURCE.replace("x * 2\n", f"x  *  2{comment}\n").replace("[x", "[ x"))
    for fn in functions(names):
        assert source_of(fn).name == fn.__qualname__


@pytest.mark.parametrize(
    ("old", "new", "which"),
    [
        ("return x * 2", "return x * 3", 0),
        ("return x * 2", "return x * 2.0", 0),
        ("return x * 2", "return x + 2", 0),
        ("x * k + i for", "x * k - i for", 2),
        ("x * k + i for", "x * k - i for", 1),
        ("def inner(x, *, y=1)", "def inner(x, y=1)", 2),
        ("self.__hidden", "self.__other", 3),
        ("lambda x: x * 3", "lambda x: x * 4", 5),
        ("-0.0, 1", "0.0, 1", 6),
        ("-0.0, 1", "-0.0, True", 6),
        ("{3, 4}", "{3, 5}", 6),
    ],
)
def test_an_edit_of_the_function(tmp_path: Path, old: str, new: str, which: int) -> None:
    names = load(tmp_path / "m.py", SOURCE)
    edit(tmp_path / "m.py", SOURCE.replace(old, new))
    fn = functions(names)[which]
    with pytest.raises(CaptureError, match="has changed since") as caught:
        source_of(fn)
    assert caught.value.kind == "source"
    assert "reload" in str(caught.value)
    assert source_of(functions(names)[4]).name == "<lambda>"  # other functions of the file are as they were


def test_the_program_runs_what_was_imported(tmp_path: Path) -> None:
    text = "def helper(x):\n    return x + 1\ndef f(x):\n    return helper(x) * 2\n"
    names = load(tmp_path / "m.py", text)
    edit(tmp_path / "m.py", text.replace("* 2", "* 5"))
    program = specjit.optimize(names["f"], warmup=1, background=False)
    for _ in range(3):
        assert program(specjit.ones(2)).tolist() == [4.0, 4.0]
    (event,) = program.events("FALLBACK")
    assert "the file has changed since f was imported" in event.message
    with pytest.raises(CaptureError, match="the file has changed"):
        specjit.optimize(names["f"], strict=True)(specjit.ones(2))
    edit(tmp_path / "m.py", text.replace("x + 1", "x + 7"))  # a function that is called, not the model itself
    program = specjit.optimize(names["f"], warmup=1, background=False)
    for _ in range(3):
        assert program(specjit.ones(2)).tolist() == [4.0, 4.0]
    assert any("has changed" in e.message for e in program.events("OPAQUE"))
