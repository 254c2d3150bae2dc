"""Records: schemas, what `defop` rejects, the call path around the plain eager call, promotion."""

from __future__ import annotations

import itertools
import pickle
import warnings

import numpy as np
import pytest

import specjit
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.records.registry import NO_GRAD, PURE, Op, all_ops, defop, find_method, get
from specjit.ops.records.schema import ParamType, bind, parse_schema
from specjit.tensor import state
from specjit.tensor.promotion import promote_types, result_type
from specjit.tensor.tensor import Tensor


def test_schema():
    name, params, returns = parse_schema(
        "f(input, dim: 'int[]?' = None, *, scale: 'Tensor|Scalar' = 1.5, sizes: 'int[*]') -> (Tensor, Tensor)"
    )
    assert (name, returns) == ("f", ("Tensor", "Tensor"))
    assert [(p.name, str(p.type), p.kwonly, p.required) for p in params] == [
        ("input", "Tensor", False, True),
        ("dim", "int[]?", False, False),
        ("scale", "Tensor|Scalar", True, False),
        ("sizes", "int[*]", True, True),
    ]
    assert params[2].default == 1.5
    assert parse_schema("py.f(*items: any) -> None")[1][0].variadic
    assert parse_schema("f(x) -> Tensor[]")[2] == ("Tensor[]",)
    assert parse_schema("f(x) -> None")[2] == ()
    for text in ("int", "Tensor[]", "Scalar?", "any", "dtype?"):
        assert str(ParamType.parse(text)) == text
    with pytest.raises(ValueError, match="unknown parameter type"):
        parse_schema("f(x: 'number') -> Tensor")
    with pytest.raises(ValueError, match="a schema reads"):
        parse_schema("f(x)")


def test_defop_rejects_incomplete_records():
    with pytest.raises(TypeError, match="eager and infer"):
        defop("broken(input) -> Tensor", eager=np.tanh, infer=None, vjp=NO_GRAD)
    with pytest.raises(TypeError, match="vjp=NO_GRAD"):
        defop("broken(input) -> Tensor", eager=np.tanh, infer=infer.same)
    with pytest.raises(TypeError, match="vjp takes"):
        # Schemas and gradients are looked at when an operator is first used.
        Op("broken(input) -> Tensor", eager=np.tanh, infer=infer.same, vjp=lambda g: g, lower=None, traits=PURE).params
    with pytest.raises(ValueError, match="defined twice"):
        defop("tanh(input) -> Tensor", eager=np.tanh, infer=infer.same, vjp=NO_GRAD)
    assert "broken" not in all_ops()


def test_lookup():
    op = get("tanh")
    assert op.fn is specjit.tanh
    assert specjit.tanh.record is op
    assert find_method("tanh") is op
    assert find_method("__add__") is get("add")
    assert find_method("chunk") is get("chunk")
    assert find_method("float") is None
    assert find_method("nothing") is None
    assert pickle.loads(pickle.dumps(op)) is op
    assert op(specjit.zeros(1)).tolist() == [0]
    with pytest.raises(KeyError, match="close names: tanh"):
        get("tanhh")
    assert get("sum").param("dim").default is None
    assert get("sum").index("keepdim") == 2


def test_bind():
    op = get("sum")
    assert bind(op, (1,), {"keepdim": True}) == (1, None, True, None)
    with pytest.raises(TypeError, match="missing required argument"):
        bind(op, (), {})
    with pytest.raises(TypeError, match="unexpected keyword"):
        bind(op, (1,), {"axis": 0})
    with pytest.raises(TypeError, match="multiple values"):
        bind(op, (1, 2), {"dim": 0})


def test_infer_takes_keywords_and_fills_in_device_and_grad():
    x = Type.tensor(specjit.float32, (2, 3), "cpu", True)
    out = get("sum").infer(x, keepdim=True)
    assert (out.dims, out.device, out.requires_grad) == ((1, 1), "cpu", True)
    assert get("argmax").infer(x).requires_grad is False
    assert get("detach").infer(x).requires_grad is False
    vague = Type.tensor(specjit.float32, (2, 3))
    assert get("tanh").infer(vague).requires_grad is None
    assert get("add").infer(x, vague).requires_grad is True
    assert get("tanh").infer(x.with_(device="meta")).device == "meta"


def test_what_gradients_keep():
    add, mul, tanh, matmul = (get(n) for n in ("add", "mul", "tanh", "matmul"))
    assert not add.keeps_values
    assert tanh.saves_result
    assert not any(tanh.saves)
    assert mul.readers(0) == [1]
    assert matmul.readers(1) == [0]
    assert get("argmax").vjp is None


def test_every_op_that_may_alias_says_so_and_every_vjp_has_a_gradient_per_tensor():
    for op in all_ops().values():
        assert len(op.saves) == len(op.params)
        assert op.lower is None or type(op.lower).__module__ == "specjit.ops.records.lowering"
        if op.reads is not None:
            assert len(op.reads) == len(op.tensor_positions)
        if op.functional is not None:
            assert op.functional.traits.pure


def test_calls_without_grad_keep_nothing():
    x = specjit.ones(2, requires_grad=True)
    with specjit.no_grad():
        assert (x * x)._node is None
    assert specjit.ones(2).tanh()._node is None


def test_argument_conversion():
    x = specjit.ones(2, 3)
    assert x.sum(specjit.tensor(1)).shape == (2,)
    assert x.sum((np.int64(0),)).shape == (3,)
    assert (x + np.float32(2)).dtype is specjit.float32
    assert (x * np.float64(2)).dtype is specjit.float32
    assert x.reshape(np.int64(6)).shape == (6,)
    assert x.reshape(specjit.tensor(3), 2).shape == (3, 2)
    assert specjit.full((specjit.tensor(2),), specjit.tensor(3.0)).tolist() == [3, 3]
    assert x.permute(dims=(1, 0)).shape == (3, 2)
    assert x.view((3, 2)).shape == x.view(3, 2).shape == x.view([3, 2]).shape
    assert x.permute([1, 0]).shape == (3, 2)
    with pytest.raises(TypeError, match="unexpected keyword"):
        x.permute(1, 0, axis=3)
    with pytest.raises(TypeError, match=r"sum\(\): argument 'keepdim' \(position 3\) must be bool, not str"):
        x.sum(0, "yes")
    with pytest.raises(TypeError, match=r"argument 'other' .* must be Tensor, not list"):
        specjit.add(x, [1])
    with pytest.raises(TypeError, match="must be Tensor"):
        specjit.matmul(x, 3)


def test_operators_leave_foreign_operands_to_others():
    class Other:
        def __radd__(self, x):
            return "taken"

        def __rmatmul__(self, x):
            return "taken"

    assert specjit.ones(1) + Other() == "taken"
    assert specjit.ones(1) @ Other() == "taken"
    with pytest.raises(TypeError, match="unsupported operand"):
        specjit.ones(1) + "a"
    with pytest.raises(TypeError, match="unsupported operand"):
        x = specjit.ones(1)
        x += "a"
    assert (specjit.ones(1) == "a") is False
    assert (2 - specjit.ones(2)).tolist() == [1, 1]
    assert (1 / specjit.tensor([2.0])).tolist() == [0.5]
    assert (2 ** specjit.tensor([3])).tolist() == [8]
    assert (7 // specjit.tensor([2])).tolist() == [3]
    assert (~specjit.tensor([True])).tolist() == [False]
    assert (specjit.tensor([5]) & 4).tolist() == [4]
    assert (np.float64(2) * specjit.ones(2)).tolist() == [2, 2]


def test_floating_point_warnings_never_show():
    x = specjit.tensor([0.0, -1.0, 1e38])
    for filters in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(filters)
            assert (x / 0).tolist()[1:] == [-np.inf, np.inf]
            assert (x * 1e38).tolist()[2] == np.inf
            assert x.log().tolist()[0] == -np.inf
            x.clone().div_(0)
            x.sum() * 1e38
    with np.errstate(all="raise"):
        assert (1 / x).tolist()[0] == np.inf
        with pytest.raises(FloatingPointError):
            np.ones(1) / 0


class Recorder:
    def __init__(self):
        self.calls = []

    def call(self, op, args):
        with state.recording(None):
            out = op.fn(*args[: len(op.params)]) if not any(p.kwonly for p in op.params) else op.fn(args[0], args[1])
        self.calls.append((op.name, out))
        return out


def test_a_recorder_sees_every_call():
    x = specjit.ones(2, requires_grad=True)
    with state.recording(Recorder()) as recorder:
        y = (x + 1).tanh()
        y.view(1, 2)
        specjit.cat([x, y])
        float(y.sum()) if False else y[0]
    assert [n for n, _ in recorder.calls] == ["add", "tanh", "view", "cat", "getitem"]
    assert state.recorders == 0
    x + 1
    assert len(recorder.calls) == 5


def test_subclasses_of_tensor_take_part():
    class Mine(Tensor):
        pass

    x = Mine([1.0, 2.0])
    assert (x + 1).tolist() == [2, 3]
    assert specjit.cat([x, x]).shape == (4,)


EXPECTED = {
    ("bool", "uint8"): "uint8",
    ("uint8", "int8"): "int16",
    ("int64", "float16"): "float16",
    ("float16", "float32"): "float32",
}


def test_promotion():
    for (a, b), want in EXPECTED.items():
        x, y = (getattr(specjit, n) for n in (a, b))
        assert promote_types(x, y) is promote_types(y, x) is getattr(specjit, want)
    f32, f64, i64, i32, boolean = specjit.float32, specjit.float64, specjit.int64, specjit.int32, specjit.bool
    many, zero = (lambda d: specjit.ones(2, dtype=d)), (lambda d: specjit.ones((), dtype=d))
    table = [
        ((many(f32), zero(f64)), f32),
        ((many(i64), zero(f64)), f64),
        ((many(i32), 2), i32),
        ((many(i32), 2.0), f32),
        ((zero(i32), 2), i32),
        ((many(boolean), 2), i64),
        ((many(boolean), 2.0), f32),
        ((zero(f64), 2.0), f64),
        ((zero(i64), many(i32)), i32),
        ((2, 2.0), f32),
        ((True, many(boolean)), boolean),
    ]
    for operands, want in table:
        assert result_type(*operands) is want
        if not all(isinstance(o, (int, float)) for o in operands):
            assert specjit.add(*operands).dtype is want
    assert (many(specjit.uint8) + 300).tolist() == [45, 45]


def test_promotion_of_types_agrees_with_tensors():
    operands = [
        specjit.ones(s, dtype=d)
        for d in (specjit.float32, specjit.float64, specjit.int32, specjit.bool)
        for s in ((), (2,))
    ]
    for a, b in itertools.product([*operands, 2, 2.5, True], repeat=2):
        types = [Type.tensor(t.dtype, t.shape) if isinstance(t, Tensor) else Type(type(t).__name__) for t in (a, b)]
        assert result_type(*types) is result_type(a, b)
    known = Type.tensor(specjit.float32)
    assert result_type(known, known) is specjit.float32
    assert result_type(known, 2) is specjit.float32
    assert result_type(known, Type.tensor(specjit.float64, (2,))) is None
    assert result_type(known, Type.tensor()) is None
