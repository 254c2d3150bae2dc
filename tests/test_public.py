"""The public names: what users may rely on exists and says what it does."""

from __future__ import annotations

import inspect
import types

import pytest

import specjit
from specjit.ops.records.registry import all_ops

PLACES = [
    specjit,
    specjit.Tensor,
    specjit.Program,
    specjit.nn,
    specjit.nn.Module,
    specjit.nn.functional,
    specjit.nn.init,
    specjit.optim,
    specjit.autograd,
    specjit.jit,
]
# Of DESIGN's names, those that exist so far; none of them may go.
NAMES = """optimize Program stance set_num_threads get_num_threads on_event Event EventKind jit tensor zeros ones rand
randn arange cat stack matmul Tensor Parameter nn optim autograd no_grad manual_seed set_default_dtype
float32 int64 bool"""
PROGRAM = "wait warmup explain events stats specializations graph code reset close"
JIT = """script trace trace_module ignore unused export annotate is_scripting is_tracing Error TracingCheckError
ScriptModule script_method CompilationUnit fork wait Future isinstance interface Attribute Final freeze
FunctionSchema ScriptFunction script_if_tracing"""


def documented(place):
    """(name, object) of the public functions, classes and properties of specjit's own at `place`."""
    for name in sorted(n for n in dir(place) if not n.startswith("_")):
        found = inspect.getattr_static(place, name) if inspect.isclass(place) else getattr(place, name)
        module = getattr(found, "__module__", None) or getattr(getattr(found, "fget", None), "__module__", "")
        callable_ = callable(found) or isinstance(found, property | classmethod | staticmethod)
        if callable_ and not isinstance(found, types.ModuleType) and module.startswith("specjit"):
            yield name, found


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.__name__)
def test_everything_public_says_what_it_does(place):
    silent = [name for name, found in documented(place) if not (found.__doc__ or "").strip()]
    assert not silent


def test_every_operator_says_more_than_its_signature():
    assert not [name for name, op in all_ops().items() if not op.doc and not name.startswith("py.")]


def test_optimize_shows_its_options_and_their_defaults():
    mine = inspect.signature(specjit.optimize).parameters
    assert {name: p.default for name, p in mine.items()} == {
        "model": None,
        "warmup": 3,
        "dynamic": "auto",
        "max_specializations": 8,
        "background": True,
        "strict": False,
        "numerics": "exact",
        "name": None,
    }
    with pytest.raises(TypeError, match="unexpected keyword argument 'warm_up'"):
        specjit.optimize(abs, warm_up=1)


def test_names_of_the_design():
    assert not [n for n in NAMES.split() if not hasattr(specjit, n)]
    assert not [n for n in PROGRAM.split() if not hasattr(specjit.Program, n)]
    assert not [n for n in JIT.split() if not hasattr(specjit.jit, n)]
