"""The py.* records: Python's behaviour, and types that agree with it."""

from __future__ import annotations

import math
import operator
from pathlib import Path

import pytest

import specjit
from specjit.ir.dims import symbol
from specjit.ir.types import ANY, BOOL, FLOAT, INT, NONE, STR, Type, type_of
from specjit.ops import python
from specjit.ops.records.registry import all_ops, get

T = symbol("T")
NUMBERS = [0, 1, -3, 7, 2.5, -0.5, True, False, 10**30]
BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "or", "xor"]
COMPARE = ["eq", "ne", "lt", "le", "gt", "ge"]


def outcome(fn, *args):
    try:
        return fn(*args)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", [*BINARY, *COMPARE])
def test_arithmetic_is_pythons_and_infer_folds_it(name):
    op = get(f"py.{name}")
    fn = getattr(operator, f"{name}_" if name in ("and", "or") else name)
    for a in NUMBERS:
        for b in NUMBERS:
            if name in ("pow", "lshift") and abs(b) > 100:
                continue
            want = outcome(fn, a, b)
            assert repr(outcome(op.eager, a, b)) == repr(want)
            found = op.infer(a, b)
            if isinstance(want, type):
                assert isinstance(found, Type)
            else:
                assert repr(found) == repr(want)


@pytest.mark.parametrize("name", [*BINARY, *COMPARE])
@pytest.mark.parametrize(
    "types", [("int", "int"), ("int", "float"), ("float", "float"), ("bool", "bool"), ("bool", "int")]
)
def test_types_of_unknown_numbers_cover_what_happens(name, types):
    op = get(f"py.{name}")
    values = {"int": [0, 1, 5, -2], "float": [0.5, -1.5], "bool": [True, False]}
    found = op.infer(*map(Type, types))
    for a in values[types[0]]:
        for b in values[types[1]]:
            got = outcome(op.eager, a, b)
            if not isinstance(got, type):
                assert found == ANY or found.kind == type(got).__name__


def test_sizes_stay_expressions():
    t = Type.int(T)
    assert get("py.add").infer(t, 1) == Type.int(T + 1)
    assert get("py.sub").infer(10, t) == Type.int(10 - T)
    assert get("py.mul").infer(t, t) == Type.int(T * T)
    assert get("py.floordiv").infer(Type.int(T * 4), 2) == Type.int(T * 2)
    assert get("py.floordiv").infer(t, 2) == INT
    assert get("py.neg").infer(t) == Type.int(-T)
    assert get("py.eq").infer(t, t) is True
    assert get("py.lt").infer(t, Type.int(T + 1)) is True
    assert get("py.lt").infer(t, 5) == BOOL
    assert get("py.int").infer(t) == t
    assert get("py.truediv").infer(t, 2) == FLOAT
    assert get("py.pow").infer(INT, 2) == INT
    assert get("py.pow").infer(INT, INT) == ANY


def test_tensor_operands_are_typed_as_by_the_tensor_op():
    x = Type.tensor(specjit.float32, (T, 3))
    assert get("py.add").infer(x, 1).dims == (T, 3)
    assert get("py.gt").infer(x, 0.5).dtype is specjit.bool
    assert get("py.matmul").infer(x, Type.tensor(specjit.float32, (3, 4))).dims == (T, 4)
    assert get("py.neg").infer(x).dtype is specjit.float32
    assert get("py.getitem").infer(x, 0).dims == (3,)
    assert get("py.len").infer(x) == Type.int(T)
    assert get("py.getattr").infer(x, "shape") == (Type.int(T), 3)
    assert get("py.iter_list").infer(x) == Type.list(x.with_(dims=(3,)))
    assert get("py.add").infer(x, STR) == ANY
    assert get("py.add").eager(specjit.ones(2), 1).tolist() == [2, 2]


ROWS = [
    ("is", (None, None), True),
    ("is_not", (None, 1), True),
    ("contains", ((1, 2), 2), True),
    ("contains", ("abc", "d"), False),
    ("neg", (3,), -3),
    ("pos", (True,), 1),
    ("invert", (5,), -6),
    ("not", ("",), True),
    ("bool", ((),), False),
    ("int", ("12",), 12),
    ("int", (2.9,), 2),
    ("float", (1,), 1.0),
    ("str", (1.5,), "1.5"),
    ("len", ("abc",), 3),
    ("abs", (-2.5,), 2.5),
    ("round", (2.5,), 2),
    ("round", (2.345, 2), 2.35),
    ("min", (3, 1, 2), 1),
    ("max", ((3, 1, 2),), 3),
    ("sum", ((1, 2, 3),), 6),
    ("getattr", (3 + 4j, "imag"), 4.0),
    ("getitem", ((1, 2, 3), -1), 3),
    ("getitem", ("abc", slice(1, None)), "bc"),
    ("list", (1, 2), [1, 2]),
    ("tuple", (1, "a"), (1, "a")),
    ("dict", ("a", 1, "b", 2), {"a": 1, "b": 2}),
    ("set", (1, 1, 2), {1, 2}),
    ("slice", (1, None, 2), slice(1, None, 2)),
    ("range", (0, 6, 2), range(0, 6, 2)),
    ("unpack", ([1, 2], 2), (1, 2)),
    ("method", ("a-b", "split", None, "-"), ["a", "b"]),
    ("method", ("a", "encode", ("encoding",), "utf-8"), b"a"),
    ("call", (dict, ("x",), 1), {"x": 1}),
    ("call", (max, None, 1, 2), 2),
    ("format", (3.14159, "", ".2f"), "3.14"),
    ("format", ("a", "r", ">5"), "  'a'"),
    ("concat", ("a", "b"), "ab"),
    ("iter_list", ({"a": 1},), ["a"]),
    ("renew", (5, 6), 5),
    ("rows", ([1, 2],), [1, 2]),
    ("matmul", (specjit.ones(1, 1), specjit.ones(1, 1)), specjit.ones(1, 1)),
]


@pytest.mark.parametrize(("name", "args", "want"), ROWS)
def test_rows(name, args, want):
    op = get(f"py.{name}")
    got = op.fn(*args)
    assert type(got) is type(want)
    assert got == want
    if name in ("matmul", "method", "call", "getattr"):
        return
    found = op.infer(*args)
    if isinstance(found, Type):
        assert found in (ANY, type_of(want)) or found.kind == type(want).__name__ or found.kind in ("list", "int")
    elif name != "unpack":
        assert found == want


def test_writes_and_effects(capsys):
    items = [1, 2, 3]
    get("py.append").fn(items, 4)
    get("py.setitem").fn(items, 0, 9)
    get("py.delitem").fn(items, 1)
    assert items == [9, 3, 4]
    assert get("py.iadd").fn(items, [5]) is items

    class Box:
        pass

    box = Box()
    get("py.setattr").fn(box, "x", 1)
    assert box.x == 1
    get("py.delattr").fn(box, "x")
    assert not hasattr(box, "x")
    scope: dict = {}
    get("py.set_global").fn("x", eval("lambda: x", scope), 5)
    assert scope["x"] == 5
    get("py.print").fn("-", "!\n", 1, "a")
    assert capsys.readouterr().out == "1-a!\n"
    with pytest.raises(KeyError):
        get("py.raise").fn(KeyError("k"))
    with pytest.raises(ValueError, match="v") as error:
        get("py.raise").fn(ValueError("v"), KeyError("k"))
    assert isinstance(error.value.__cause__, KeyError)
    get("py.assert").fn(True)
    with pytest.raises(AssertionError, match="because"):
        get("py.assert").fn(False, "because")
    with pytest.raises(AssertionError):
        get("py.assert").fn(0)
    with pytest.raises(ValueError, match="too many"):
        get("py.unpack").fn([1, 2, 3], 2)
    with pytest.raises(ValueError, match="not enough"):
        get("py.unpack").fn([1], 2)
    for name in ("global", "closure"):
        with pytest.raises(RuntimeError, match="generated code"):
            get(f"py.{name}").fn("x")
    for name in ("setattr", "print", "append", "assert"):
        assert get(f"py.{name}").infer(ANY, ANY, ANY) == NONE


def test_cells_and_handlers():
    cell = get("py.cell").fn(3)
    get("py.store").fn(cell, "x")
    assert get("py.load").fn(cell) == "x"
    error = KeyError("k")
    assert get("py.matches").fn(error, LookupError)
    assert get("py.matches").fn(error, (ValueError, KeyError))
    assert not get("py.matches").fn(error, ())
    assert not get("py.matches").fn(error, ValueError)
    for kind in (3, int, (KeyError, int)):
        with pytest.raises(TypeError, match="catching classes that do not inherit from BaseException"):
            get("py.matches").fn(error, kind)
    with pytest.raises(KeyError) as caught:
        get("py.reraise").fn(error)
    assert caught.value is error
    with pytest.raises(ValueError, match="v") as hidden:
        get("py.raise").fn(ValueError("v"), None, True)
    assert hidden.value.__suppress_context__


def test_traits():
    for name in (*BINARY, *COMPARE, "tuple", "neg", "concat"):
        assert get(f"py.{name}").traits.pure
    for name in ("call", "method", "print", "raise"):
        assert get(f"py.{name}").traits.io
    for name in ("append", "setitem", "delitem", "iadd"):
        assert 0 in get(f"py.{name}").traits.writes
    for name in ("list", "dict", "getattr", "len"):
        assert get(f"py.{name}").traits.effect_free
        assert not get(f"py.{name}").traits.pure


def test_container_types():
    assert get("py.list").infer(Type.int(T), 1) == Type.list(INT)
    assert get("py.tuple").infer(1, STR) == Type.tuple(Type.int(1), STR)
    assert get("py.unpack").infer(Type.tuple(INT, STR), 2) == [INT, STR]
    assert get("py.unpack").infer(Type.list(INT), 3) == [INT] * 3
    assert get("py.getitem").infer(Type.tuple(INT, STR), -1) == STR
    assert get("py.getitem").infer(Type.list(FLOAT), INT) == FLOAT
    assert get("py.add").infer(Type.list(INT), Type.list(INT)) == Type.list(INT)
    assert get("py.sum").infer((Type.int(T), 2)) == Type.int(T + 2)
    assert get("py.len").infer((1, ANY)) == 2
    assert get("py.is").infer(Type.tensor(), None) is False
    assert get("py.is").infer(ANY, None) == BOOL
    assert get("py.round").infer(FLOAT) == INT
    assert math.isnan(get("py.float").infer("nan"))


def test_every_record_of_this_file_is_tried():
    here = {f"py.{n}" for n, *_ in ROWS} | {f"py.{n}" for n in (*BINARY, *COMPARE)}
    here |= {f"py.i{n}" for n in (*BINARY, "matmul")}
    here |= {
        f"py.{n}" for n in "append setitem delitem setattr delattr print raise assert global set_global closure".split()
    }
    text = Path(python.__file__).read_text()
    mine = {n for n in all_ops() if n.startswith("py.") and f'defpy("{n[3:]}(' in text}
    assert mine
    assert mine <= here
