"""The acid test of the op record: twelve unlike operators, each through every room.

Rows: a small program around one operator, its arguments, its NumPy formula, which arguments have gradients, and whether
it becomes native code or stays an extern call. Every column is compared with the formula or with finite differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.ir.text import parse, print_graph
from specjit.ir.verify import verify
from specjit.ops.records import registry


@dataclass
class Row:
    """One operator. `program` is the user's function, `formula` its meaning on arrays; `grads` are argument
    positions."""

    program: Callable[..., Any]
    arguments: Callable[[], list[np.ndarray]]
    formula: Callable[..., Any]
    grads: tuple[int, ...] = ()
    native: bool = True
    writes: int | None = None


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# A region is worth a native call from two computations on, so the light operators get a companion.


def tanh(x):
    return specjit.tanh(x) * 2


def total(x):
    return (x * 2).sum(1, keepdim=True)


def matmul(x, y):
    return x @ y


def split(x):
    a, b = x.split([1, 2], 1)
    return a * b + a


def transpose(x):
    return x.transpose(0, 1) * 2 + 1


def add_in_place(x, y):
    x.add_(y, alpha=2)
    return x * 3


def set_item(x, y):
    x[1:, 0] = y
    return x * 3


def dropout(x):
    return nn.functional.dropout(x, 0.5)


def nonzero(x):
    return x.nonzero()


def argmax(x):
    return (x * 2).argmax(1)


def embedding(w, i):
    return nn.functional.embedding(i, w) * 2


def conv2d(x, w):
    return nn.functional.conv2d(x, w, stride=2, padding=1)


def conv2d_formula(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    n, _, height, width = padded.shape
    rows, columns = (height - w.shape[2]) // 2 + 1, (width - w.shape[3]) // 2 + 1
    out = np.zeros((n, w.shape[0], rows, columns), x.dtype)
    for r in range(rows):
        for c in range(columns):
            window = padded[:, :, 2 * r : 2 * r + w.shape[2], 2 * c : 2 * c + w.shape[3]]
            out[:, :, r, c] = np.einsum("nchw,ochw->no", window, w)
    return out


def set_item_formula(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x[1:, 0] = y
    return x * 3


def add_formula(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x += 2 * y
    return x * 3


ROWS = {
    "tanh": Row(tanh, lambda: [floats(3, 4)], lambda x: np.tanh(x) * 2, (0,)),
    "sum": Row(total, lambda: [floats(3, 4)], lambda x: (x * 2).sum(1, keepdims=True), (0,)),
    "matmul": Row(matmul, lambda: [floats(3, 4), floats(4, 5, seed=1)], np.matmul, (0, 1)),
    "split": Row(split, lambda: [floats(4, 3)], lambda x: x[:, :1] * x[:, 1:] + x[:, :1], (0,)),
    "transpose": Row(transpose, lambda: [floats(3, 4)], lambda x: x.T * 2 + 1, (0,)),
    "add_": Row(add_in_place, lambda: [floats(3, 4), floats(4, seed=1)], add_formula, (1,), False, 0),
    "__setitem__": Row(set_item, lambda: [floats(3, 4), floats(2, seed=1)], set_item_formula, (1,), False, 0),
    "dropout": Row(dropout, lambda: [floats(40, 50)], lambda x: x),
    "nonzero": Row(nonzero, lambda: [np.round(floats(3, 4))], lambda x: np.argwhere(x), (), False),
    "argmax": Row(argmax, lambda: [floats(3, 4)], lambda x: x.argmax(1)),
    "embedding": Row(embedding, lambda: [floats(6, 3), np.array([[0, 5], [2, 2]])], lambda w, i: w[i] * 2, (0,)),
    "conv2d": Row(conv2d, lambda: [floats(2, 3, 6, 7), floats(4, 3, 3, 3, seed=1)], conv2d_formula, (0, 1)),
}


def tensors(row: Row, dtype: Any = np.float32) -> list[Any]:
    return [specjit.tensor(a.astype(dtype) if a.dtype.kind == "f" else a) for a in row.arguments()]


def check(name: str, row: Row, call: Callable[..., Any]) -> None:
    """`call` gives what the formula gives, and leaves in its arguments what the formula leaves there."""
    given = tensors(row)
    arrays = [a.numpy().copy() for a in given]
    out = call(*given)
    if name == "dropout":
        kept = out.numpy() != 0
        np.testing.assert_array_equal(out.numpy()[kept], 2 * arrays[0][kept])
        assert 0.4 < kept.mean() < 0.6
        return
    np.testing.assert_allclose(out.numpy(), row.formula(*arrays), rtol=1e-5, atol=1e-5)
    if row.writes is not None:
        np.testing.assert_allclose(given[row.writes].numpy(), arrays[row.writes], rtol=1e-6)


@pytest.fixture(params=ROWS)
def named(request) -> tuple[str, Row]:
    return request.param, ROWS[request.param]


def test_eager(named) -> None:
    check(*named, named[1].program)


def test_infer(named) -> None:
    """On the meta device ops run `infer` alone; shape and dtype are those of the real result."""
    name, row = named
    given = tensors(row)
    empty = [specjit.empty(*a.shape, dtype=a.dtype, device="meta") for a in given]
    if name == "nonzero":
        with pytest.raises(RuntimeError, match="depends on data, which meta tensors do not have"):
            row.program(*empty)
        return
    out = row.program(*empty)
    real = row.program(*given)
    assert (tuple(out.shape), out.dtype) == (tuple(real.shape), real.dtype)


def test_gradient(named) -> None:
    """Against central differences in float64; rows without gradients give results that do not require one."""
    name, row = named
    given = tensors(row, np.float64)
    if name == "dropout":
        x = given[0].requires_grad_()
        specjit.manual_seed(3)
        y = row.program(x)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.where(y.detach().numpy() != 0, 2.0, 0.0))
        return
    for i in row.grads:
        given[i].requires_grad_()
    out = row.program(*given)
    assert out.requires_grad == bool(row.grads)
    if not row.grads:
        return
    weight = floats(*out.shape, seed=9)
    (out * specjit.tensor(weight)).sum().backward()
    for i in row.grads:
        arrays = [a.copy() for a in row.arguments()]
        flat = np.zeros(arrays[i].size)
        for k in range(arrays[i].size):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [a.copy() for a in row.arguments()]
                moved[i].flat[k] += step
                sides.append(float((row.formula(*moved) * weight).sum()))
            flat[k] = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(given[i].grad.numpy(), flat.reshape(arrays[i].shape), rtol=1e-5, atol=1e-6)


def test_trace(named) -> None:
    name, row = named
    check(name, row, specjit.jit.trace(row.program, tuple(tensors(row)), check_trace=name != "dropout"))


def test_script_and_generic_code(named) -> None:
    name, row = named
    scripted = specjit.jit.script(row.program)
    check(name, row, scripted)
    assert "def " in scripted.code


def test_text(named) -> None:
    """The captured graph prints, parses back to the same text, and verifies."""
    scripted = specjit.jit.script(named[1].program)
    scripted(*tensors(named[1]))
    graph = scripted.graph
    text = print_graph(graph)
    again = parse(text, ops=registry.get)
    verify(again)
    assert print_graph(again) == text


def test_specialized(named) -> None:
    """Under `optimize`: the same answer, from native code or from an extern call that events name."""
    name, row = named
    program = specjit.optimize(row.program, warmup=1, background=False)
    for _ in range(3):
        check(name, row, program)
    assert program.stats()["fast"] >= 1, "\n".join(map(str, program.events()))
    (variant,) = program.specializations
    if row.native:
        assert variant.regions
        assert variant.python_nodes == 0
    else:
        assert any("stays in Python" in e.message for e in program.events("NOT_FUSED"))
