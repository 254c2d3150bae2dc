"""Python's operators on values whose types only specialization knows: the typed graph computes what NumPy does."""

from __future__ import annotations

import operator

import numpy as np
import pytest

from specjit.dtypes import dtype_of
from specjit.ir.graph import Graph, Value
from specjit.ir.interpret import interpret
from specjit.ir.types import Type
from specjit.ir.verify import verify
from specjit.specialize.abstract import Known, Refused, Seq
from specjit.specialize.specializer import Specializer
from tests.golden import graph_of

FLOAT = np.array([[-2.5, 0.0, 1.0], [2.0, -0.0, 3.5]], np.float32)
INT = np.array([[-7, 0, 3], [2, 5, -1]], np.int64)


def unknown(*args):
    raise AssertionError("these graphs read no attributes and no globals")


def specialized(text, *inputs):
    """The outputs as abstract values, and the typed graph of those that exist at run time."""
    spec = Specializer(unknown, unknown)
    outputs = spec.run(graph_of(text), list(inputs))
    typed = Graph("typed", spec.block)
    typed.block.params = [v for v in inputs if isinstance(v, Value)]
    typed.block.outputs = [spec.materialize(o) for o in outputs]
    verify(typed, "specialization")
    return outputs, typed


def tensor(x):
    return Value(Type.tensor(dtype_of(x.dtype), x.shape), None, "x")


def computed(text, x, *others):
    _, typed = specialized(text, tensor(x), *others)
    assert not any(n.op.name.startswith("py.") for n in typed.walk()), str(typed)
    with np.errstate(all="ignore"):
        return interpret(typed, x.copy(), check=True)[0]


ARITHMETIC = {"add": 2, "sub": 2, "mul": 2, "truediv": 2, "floordiv": 2, "mod": 2, "pow": 2}
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


@pytest.mark.parametrize("name", [*ARITHMETIC, *COMPARISONS])
@pytest.mark.parametrize("first", [True, False], ids=["tensor first", "number first"])
def test_a_number_beside_a_float_tensor(name, first):
    text = "(%x: any) -> any { %y: any = py.NAME(ARGS); return %y }"
    text = text.replace("NAME", name).replace("ARGS", "%x, 2" if first else "2, %x")
    fn, two = getattr(operator, name), np.float32(2)
    with np.errstate(all="ignore"):
        expected = fn(FLOAT, two) if first else fn(two, FLOAT)
    np.testing.assert_allclose(computed(text, FLOAT), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["and_", "or_", "xor"])
@pytest.mark.parametrize("first", [True, False], ids=["tensor first", "number first"])
def test_a_number_beside_an_int_tensor(name, first):
    text = "(%x: any) -> any { %y: any = py.NAME(ARGS); return %y }"
    text = text.replace("NAME", name.rstrip("_")).replace("ARGS", "%x, 6" if first else "6, %x")
    np.testing.assert_array_equal(computed(text, INT), getattr(operator, name)(INT, 6))


@pytest.mark.parametrize(("name", "fn"), [("neg", np.negative), ("abs", np.abs), ("invert", np.invert)])
def test_unary(name, fn):
    text = f"(%x: any) -> any {{ %y: any = py.{name}(%x); return %y }}"
    np.testing.assert_array_equal(computed(text, INT), fn(INT))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
def test_augmented_assignment_to_a_tensor_writes_it(name):
    _, typed = specialized(f"(%x: any) -> any {{ %y: any = py.i{name}(%x, 2); return %y }}", tensor(FLOAT))
    given = FLOAT.copy()
    (out,) = interpret(typed, given, check=True)
    np.testing.assert_array_equal(given, getattr(operator, name)(FLOAT, np.float32(2)))
    assert out is given


@pytest.mark.parametrize("name", ["sub", "pow", "truediv"])
def test_augmented_assignment_of_a_tensor_to_a_number_makes_a_new_value(name):
    text = f"(%x: any) -> any {{ %y: any = py.i{name}(3, %x); return %y }}"
    with np.errstate(all="ignore"):
        expected = getattr(operator, name)(np.float32(3), FLOAT)
    np.testing.assert_allclose(computed(text, FLOAT), expected, rtol=1e-6)


@pytest.mark.parametrize(("op", "x", "answer"), [("is", None, False), ("is_not", None, True), ("is", 3, False)])
def test_a_tensor_is_no_constant(op, x, answer):
    outputs, typed = specialized(f"(%x: any) -> any {{ %y: any = py.{op}(%x, {x}); return %y }}", tensor(FLOAT))
    assert outputs == [Known(answer)]
    assert not typed.block.nodes


def test_sequences_add_and_compare():
    x = tensor(FLOAT)
    text = "(%a: any, %b: any) -> (any, any) { %c: any = py.add(%a, %b); %d: any = py.eq(%a, %b); return %c, %d }"
    spec = Specializer(unknown, unknown)
    joined, equal = spec.run(graph_of(text), [Seq("tuple", [Known(1)]), Seq("tuple", [Known(1), x])])
    assert joined.items == [Known(1), Known(1), x]
    assert equal == Known(False)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("py.method(%a, 'pop', None, 5)", "pop from an empty list"),
        ("py.method(%a, 'sort', None)", "list.sort is not modelled"),
        ("py.imul(%a, 2)", "py.imul on a list"),
        ("py.setitem(%a, 2, 1)", "index 2 is out of range"),
        ("py.setitem(%a, 1.0, 1)", "an item of a list is assigned"),
        ("py.delitem(%a, -3)", "index -3 is out of range"),
    ],
)
def test_what_is_not_modelled_is_refused_with_a_reason(call, reason):
    text = "() -> any { %a: any = py.list(1, 2); %y: any = CALL; return %a }".replace("CALL", call)
    if call.startswith(("py.setitem", "py.delitem")):
        text = text.replace("%y: any = ", "")
    with pytest.raises(Refused, match=reason):
        specialized(text)


@pytest.mark.parametrize(("at", "left"), [((), [1, 2]), ((0,), [2, 3]), ((-3,), [2, 3])])
def test_pop_takes_what_python_takes(at, left):
    arguments = "".join(f", {i}" for i in at)
    text = "() -> any { %a: any = py.list(1, 2, 3); %y: any = py.method(%a, 'pop', NoneAT); return %a }"
    (out,), _ = specialized(text.replace("AT", arguments))
    assert [i.value for i in out.items] == left
