"""Random programs: generated code does what Python does, on every arguments that pass the capture guards.

FUZZ_PROGRAMS=from:to runs other seeds than the few of an ordinary session."""

from __future__ import annotations

import copy
import importlib.util
import os
import warnings

import pytest

from specjit.capture.script import capture
from specjit.codegen.generic.python import generate
from tests.capture.programs.observe import run
from tests.capture.random_programs import source

ARGUMENTS = [
    (1, 2, [1, 2, 3], {"x": 1}),
    (0, 5, [], {}),
    (-3, 1, [4, "s", None], {"y": [1]}),
    (2.5, 3, [0], {"x": "q"}),
    (None, 4, [2, 2, 2, 2], {"z": 0}),
]
START, STOP = map(int, os.environ.get("FUZZ_PROGRAMS", "0:60").split(":"))


@pytest.mark.parametrize("seed", range(START, STOP))
def test_random_program(seed, tmp_path):
    path = tmp_path / f"program_{seed}.py"
    path.write_text(source(seed))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # the programs compare literals with `is`
        try:
            spec.loader.exec_module(module)
        except SyntaxError:
            pytest.skip("not a program")
        for args in ARGUMENTS:
            captured = capture(module.program, dict(zip(("a", "b", "xs", "d"), copy.deepcopy(args))))
            code = generate(captured.graph, name="program")
            for others in ARGUMENTS:
                if captured.check(*copy.deepcopy(others)) is None:
                    assert run(code.fn, others) == run(module.program, others), code.source
