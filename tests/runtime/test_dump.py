"""SPECJIT_DUMP: every stage from capture to the entry as numbered files."""

from __future__ import annotations

import specjit
from specjit import config
from tests.runtime.models import uniform


def smooth(x):
    return (x * 2.0 + 1.0).tanh()


def test_every_stage_is_a_numbered_file(tmp_path) -> None:
    x = specjit.tensor(uniform(3, seed=1))
    with config.options(dump=tmp_path):
        program = specjit.optimize(smooth, warmup=1, background=False, name="a model")
        program(x)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["a_model", "a_model.1"]
    captured, generic = sorted((tmp_path / "a_model").iterdir())
    assert (captured.name, generic.name) == ("000_capture.ir", "001_generic.py")
    assert captured.read_text() == str(program.graph)
    assert generic.read_text() == program.code
    (variant,) = program.specializations
    stages = sorted((tmp_path / "a_model.1").iterdir())
    assert [int(stage.name[:3]) for stage in stages] == list(range(len(stages)))
    assert stages[0].name == "000_optimize_input.ir"
    assert stages[-1].name.endswith("_entry.py")
    assert stages[-1].read_text() == variant.source
    (plan,) = [stage for stage in stages if stage.suffix == ".plan"]
    assert plan.read_text() == variant.regions[0].forward.plan.describe()
    before = sorted(tmp_path.rglob("*"))
    specjit.optimize(smooth, warmup=1, background=False)(x)
    assert sorted(tmp_path.rglob("*")) == before
