"""The names of the eager library: all of them exist, are public by being defined, and can be looked up."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import specjit
from specjit import nn, optim
from specjit.ops.records import composites, registry
from tests.names import MISSING, NAMES


def exists(path: str) -> bool:
    found: object = specjit
    for part in path.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


EVERY = [path for group in NAMES.values() for path in group]


@pytest.mark.parametrize("group", NAMES)
def test_names_exist(group):
    missing = [path for path in NAMES[group] if path not in MISSING and not exists(path)]
    assert not missing, f"gone, or never there: {missing}"


def test_the_list_of_what_is_missing_only_shrinks():
    there = sorted(path for path in MISSING if exists(path))
    assert not there, f"these exist now: take them off MISSING in tests/names.py: {there}"
    assert set(EVERY) >= MISSING


def test_nothing_is_missing():
    """Red until the last family lands."""
    assert not MISSING


def test_all_and_dir_say_what_there_is():
    assert specjit.__all__ == dir(specjit)
    assert {"tanh", "swapaxes", "Tensor", "nn", "optimize", "float32"} <= set(dir(specjit))
    for name in specjit.__all__:
        assert getattr(specjit, name) is not None
    assert not {"defop", "Any", "add_", "getitem", "getitem_backward"} & set(dir(specjit))
    with pytest.raises(AttributeError, match="no attribute 'tanhh'"):
        specjit.tanhh
    with pytest.raises(AttributeError, match="no attribute 'tanh'"):
        specjit.linalg.tanh


def test_star_import_gives_the_public_names():
    program = "from specjit import *; print(tanh, swapaxes, nn, float32)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_public_functions_are_found_by_pickle():
    for name in ("tanh", "swapaxes", "arange", "max"):
        fn = getattr(specjit, name)
        assert pickle.loads(pickle.dumps(fn)) is fn


def test_methods_are_the_functions():
    for name, composite in composites.all_composites().items():
        if "." not in name and not composite.writes and composite.body.__code__.co_varnames[:1] == ("input",):
            method = getattr(specjit.Tensor, name, None)
            assert method in (None, composite.fn)
    assert specjit.Tensor.tanh is specjit.tanh
    assert registry.public("nothing") is None


def test_modules_say_what_there_is():
    assert {"Linear", "functional", "init"} <= set(dir(nn))
    assert {"SGD", "Adam"} <= set(dir(optim))
