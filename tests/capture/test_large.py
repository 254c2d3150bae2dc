"""Large modules are captured whole, and the work grows with their size."""

from __future__ import annotations

import importlib.util
import sys

import pytest

import specjit
from specjit.capture.script import capture
from specjit.codegen.generic.python import generate
from tests.capture.large import SHAPES
from tests.capture.programs.observe import run


def load(source: str, path):
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def arguments(n: int = 2) -> dict[str, object]:
    return {"x": specjit.ones(3), "y": specjit.tensor([0.5, -1.0, 2.0]), "n": n}


@pytest.mark.parametrize("shape", SHAPES)
def test_three_thousand_lines_are_captured_whole(shape, tmp_path) -> None:
    program = load(SHAPES[shape](3000), tmp_path / "large.py")
    captured = capture(program, arguments(), strict=True)
    generated = generate(captured.graph, name="program").fn
    assert not captured.opaque
    for n in (2, 0):
        case = tuple(arguments(n).values())
        assert run(generated, case) == run(program, case)


def calls(program) -> int:
    """How many Python functions capture and generation call: work that does not depend on the machine."""
    count = 0

    def watch(frame, event, arg) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(watch)
    try:
        generate(capture(program, arguments()).graph, name="program")
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_work_grows_with_the_number_of_lines(shape, tmp_path) -> None:
    calls(load(SHAPES[shape](60), tmp_path / "first.py"))  # what is made once
    small = calls(load(SHAPES[shape](300), tmp_path / "small.py"))
    large = calls(load(SHAPES[shape](900), tmp_path / "large.py"))
    assert large < 3.3 * small
