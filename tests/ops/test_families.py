"""Families that are loaded later: their table says what their modules define, and nobody can tell but by the clock."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from specjit.ops.records import families

REPORT = """
import importlib, json, sys
import specjit
from specjit.ops.records import families, registry
from specjit.tensor.methods import TensorMethods
def state():
    methods = {n for n, m in vars(TensorMethods).items() if not isinstance(m, families.LaterMethod)}
    return set(registry.PUBLIC), methods
before = state()
importlib.import_module("specjit.ops." + sys.argv[1])
after = state()
public, methods = (sorted(b - a) for a, b in zip(before, after))
print(json.dumps([public, [m for m in methods if m not in public]]))
"""


def run(program: str, *args: str) -> str:
    return subprocess.run([sys.executable, "-c", program, *args], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("module", families.FAMILIES)
def test_the_table_says_what_the_module_defines(module):
    public, _, methods = families.FAMILIES[module].partition("Tensor:")
    defined_public, defined_methods = json.loads(run(REPORT, module))
    others = {n for m, text in families.FAMILIES.items() if m != module for n in text.replace("Tensor:", " ").split()}
    assert sorted(set(defined_public) - others) == sorted(public.split())
    assert sorted(set(defined_methods) - others) == sorted(methods.split())


def test_importing_specjit_loads_none_of_them():
    loaded = run("import sys, specjit; print([m for m in sys.modules if m.startswith('specjit.ops.')])")
    for module in (*families.PYTHON, *(f"specjit.ops.{m}" for m in families.FAMILIES)):
        assert repr(module) not in loaded


def test_methods_functions_and_records_load_their_family(monkeypatch):
    class Methods:
        later = families.LaterMethod("later")

    loaded = []

    def load(module: str) -> None:
        loaded.append(module)
        from specjit.tensor.methods import TensorMethods

        monkeypatch.setattr(TensorMethods, "later", lambda self: "found", raising=False)
        Methods.later = TensorMethods.later

    monkeypatch.setattr(families, "load", load)
    monkeypatch.setitem(families.METHODS, "later", "specjit.ops.nowhere")
    assert Methods().later() == "found"
    assert loaded == ["specjit.ops.nowhere"]
