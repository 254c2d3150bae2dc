"""Models as users write them: at every call `optimize` does what plain Python does, whatever road the call takes.

Each test names the behaviour that once differed. The reference is the eager model (a second copy where calls change
it), and a formula where eager itself could be wrong.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import specjit
from specjit import nn


def optimized(model, **options):
    return specjit.optimize(model, **{"warmup": 1, "background": False, **options})


def randn(*shape: int, seed: int = 0) -> specjit.Tensor:
    return specjit.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


class Quiet(nn.Module):
    """One layer that learns, and one that is asked without being recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher, self.student = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        with specjit.no_grad():
            target = self.teacher(x)
        return ((self.student(x) - target) ** 2).mean(), target


class QuietWithDraws(Quiet):
    """The same, with something in the quiet block that stays in Python."""

    def forward(self, x):
        with specjit.no_grad():
            target = self.teacher(x) + self.teacher(specjit.rand(2, 3)).tanh()
        return ((self.student(x) - target) ** 2).mean(), target


@pytest.mark.parametrize("cls", [Quiet, QuietWithDraws])
def test_no_grad_inside_forward_records_nothing(cls) -> None:
    model = cls()
    program = optimized(model)
    for turn in range(4):
        x = randn(2, 3, seed=turn)
        for p in model.parameters():
            p.grad = None
        loss, target = program(x)
        loss.backward()
        assert not target.requires_grad
        assert target.grad_fn is None
        assert model.teacher.weight.grad is None
        w, b = (getattr(model.student, n).detach().numpy().astype(np.float64) for n in ("weight", "bias"))
        x64 = x.numpy().astype(np.float64)
        error = 2 * (x64 @ w.T + b - target.numpy()) / target.numel()
        np.testing.assert_allclose(model.student.weight.grad.numpy(), error.T @ x64, rtol=1e-4, atol=1e-5)
    assert program.stats()["fast"] >= 3
    assert program.stats()["fallbacks"] == 0


def test_enable_grad_inside_no_grad_records() -> None:
    w = specjit.ones(3, requires_grad=True)

    def f(x):
        y = (x * w).exp()
        with specjit.enable_grad():
            z = (x * w).tanh() * 2
        return y, z

    program = optimized(f)
    for _ in range(3):
        with specjit.no_grad():
            y, z = program(specjit.ones(3))
        assert (y.requires_grad, z.requires_grad) == (False, True)
        w.grad = None
        z.sum().backward()
        np.testing.assert_allclose(w.grad.numpy(), 2 / np.cosh(1.0) ** 2 * np.ones(3), rtol=1e-6)


def test_the_argument_itself_keeps_its_gradient_through_no_grad() -> None:
    def f(x, w):
        with specjit.no_grad():
            same = x.contiguous()
        return (same * w).tanh()

    program = optimized(f)
    for _ in range(3):
        x, w = specjit.ones(2, 2).requires_grad_(), specjit.ones(2, 2)
        program(x, w).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 1 / np.cosh(1.0) ** 2 * np.ones((2, 2)), rtol=1e-6)


def test_views_that_are_returned_are_objects_of_their_own() -> None:
    def f(x):
        y = x.tanh()
        return x.t(), x.T, y.view(-1), y.view(-1)

    program = optimized(f)
    for _ in range(3):
        x = randn(2, 3)
        a, b, c, d = program(x)
        assert a is not b
        assert c is not d
        assert np.shares_memory(a.numpy(), x.numpy())
        assert np.shares_memory(c.numpy(), d.numpy())
        a.requires_grad_()
        assert not b.requires_grad


def test_a_shape_stays_a_size(capsys) -> None:
    def f(x, y):
        print(x.shape, f"{y.shape} {y.shape[1:]}", x.shape == (2, 3), sep="|")
        return x.shape, {"tail": y.shape[:1] + (7,)}, [tuple(y.shape)], x * x.shape[0]

    program = optimized(f)
    for rows in (4, 4, 5, 6, 6, 6):
        x, y = randn(2, 3), randn(rows, 5)
        given, expected = program(x, y), f(x, y)
        texts = capsys.readouterr().out.splitlines()
        assert texts[0] == texts[1] == f"specjit.Size([2, 3])|specjit.Size([{rows}, 5]) specjit.Size([5])|True"
        assert repr(given[:3]) == repr(expected[:3])
        assert type(given[2][0]) is tuple
    assert program.stats()["fast"] >= 3


def test_a_shape_passed_in_is_no_new_kind_of_call_each_time() -> None:
    def f(x, shape):
        return x.reshape(shape).sum(0) * shape[0]

    program = optimized(f)
    for n in range(6):
        x = randn(2, 3, seed=n)
        np.testing.assert_allclose(program(x, x.t().shape).numpy(), f(x, x.t().shape).numpy(), rtol=1e-6)
    assert program.stats()["compiles"] == 1
    assert program.stats()["fast"] >= 3


class Settings:
    factor = 2.0

    def __init__(self) -> None:
        self.scale = 2.0

    def __call__(self, x):
        return (x * self.scale).tanh() * self.factor

    def method(self, x):
        return (x * self.scale).tanh() * self.factor


class Shifted(nn.Module):
    factor = 2.0

    def helper(self, x):
        return x + 1

    def forward(self, x):
        return self.helper(x) * self.factor


SETTINGS = Settings()


def reads_argument(x, settings):
    return (x * settings.scale).tanh() * settings.factor


def reads_global(x):
    return (x * SETTINGS.scale).tanh() * SETTINGS.factor


@pytest.mark.parametrize(
    ("model", "more"),
    [(reads_argument, (SETTINGS,)), (reads_global, ()), (SETTINGS, ()), (SETTINGS.method, ())],
    ids=["argument", "global", "callable", "method"],
)
def test_attributes_of_plain_objects_may_change(model, more) -> None:
    SETTINGS.scale, Settings.factor = 2.0, 2.0
    program = optimized(model)
    x = specjit.ones(3)
    try:
        for scale, factor in ((2.0, 2.0), (2.0, 2.0), (3.0, 2.0), (3.0, 2.0), (3.0, 0.5), (3.0, 0.5), (2.0, 2.0)):
            SETTINGS.scale, Settings.factor = scale, factor
            np.testing.assert_allclose(program(x, *more).numpy(), np.tanh(scale) * factor * np.ones(3), rtol=1e-6)
    finally:
        SETTINGS.scale, Settings.factor = 2.0, 2.0
    assert program.stats()["fast"] > 0


def test_a_class_attribute_of_a_module_may_change() -> None:
    program = optimized(Shifted())
    try:
        for factor in (2.0, 2.0, 2.0, 5.0, 5.0, 5.0):
            Shifted.factor = factor
            np.testing.assert_array_equal(program(specjit.ones(2)).numpy(), 2 * factor * np.ones(2))
    finally:
        Shifted.factor = 2.0
    assert program.stats()["fast"] >= 3


def test_forward_may_be_replaced_in_the_class_and_on_the_instance(monkeypatch) -> None:
    model = Shifted()
    program = optimized(model)
    x = specjit.ones(2)

    def check(expected: float) -> None:
        for _ in range(3):
            np.testing.assert_array_equal(program(x).numpy(), expected * np.ones(2))
            np.testing.assert_array_equal(model(x).numpy(), expected * np.ones(2))

    check(4.0)
    monkeypatch.setattr(Shifted, "forward", lambda self, x: self.helper(x) - 5)
    check(-3.0)
    monkeypatch.setattr(Shifted, "helper", lambda self, x: x + 2)
    check(-2.0)
    model.forward = lambda x: x * 10
    check(10.0)
    del model.forward
    check(-2.0)
    assert program.stats()["fast"] > 0


def test_hooks_on_the_model_itself_run() -> None:
    model = Shifted()
    program = optimized(model)
    x = specjit.ones(2)
    seen = []
    for _ in range(3):
        program(x)
    handle = model.register_forward_hook(lambda module, args, out: seen.append(module) or out + 100)
    for _ in range(3):
        np.testing.assert_array_equal(program(x).numpy(), [104, 104])
    handle.remove()
    np.testing.assert_array_equal(program(x).numpy(), [4, 4])
    assert seen == [model] * 3


def test_a_forward_with_other_parameters_is_bound_anew(monkeypatch) -> None:
    program = optimized(Shifted())
    assert program(specjit.ones(2)).tolist() == [4, 4]
    monkeypatch.setattr(Shifted, "forward", lambda self, x, y=3.0, *, z: x * y + z)
    for _ in range(3):
        assert program(specjit.ones(2), z=1).tolist() == [4, 4]
        assert program(specjit.ones(2), 5.0, z=2).tolist() == [7, 7]
    with pytest.raises(TypeError, match="z"):
        program(specjit.ones(2))


class Chosen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
        self.act = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh()})

    def forward(self, x, which, k):
        for i, layer in enumerate(self.layers):
            x = layer(x) + i
        x = self.layers[k](x)
        return self.act[which](x)


def test_a_module_may_be_chosen_at_run_time() -> None:
    model = Chosen()
    program = optimized(model)
    for n in range(8):
        x, which, k = randn(2, 3, seed=n), ("relu", "tanh")[n % 2], n // 2 % 2
        y = x.numpy().astype(np.float64)
        for i, shift in ((0, 0), (1, 1), (k, 0)):
            w, b = (getattr(model.layers[i], p).detach().numpy().astype(np.float64) for p in ("weight", "bias"))
            y = y @ w.T + b + shift
        expected = np.tanh(y) if which == "tanh" else np.maximum(y, 0)
        np.testing.assert_allclose(program(x, which, k).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert program.stats()["eager"] == 0
    assert not program.events("FALLBACK")


class Attention(nn.Module):
    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape

        def split(t):
            return t.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)

        q, k, v = self.qkv(x).chunk(3, -1)
        q, k, v = split(q), split(k), split(v)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))


def attention_float64(model: Attention, x: np.ndarray) -> np.ndarray:
    qw, qb, ow, ob = (p.detach().numpy().astype(np.float64) for p in model.parameters())
    batch, length, width = x.shape
    size = width // model.heads
    q, k, v = (
        t.reshape(batch, length, model.heads, size).transpose(0, 2, 1, 3) for t in np.split(x @ qw.T + qb, 3, -1)
    )
    scores = q @ k.transpose(0, 1, 3, 2) / size**0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return (weights @ v).transpose(0, 2, 1, 3).reshape(batch, length, width) @ ow.T + ob


def test_attention_by_hand_is_native() -> None:
    model = Attention()
    program = optimized(model)
    for n in range(6):
        x = randn(2, 5, 16, seed=n)
        expected = attention_float64(model, x.numpy().astype(np.float64))
        np.testing.assert_allclose(program(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert program.stats()["fast"] >= 5
    assert program.specializations[0].regions


@dataclasses.dataclass
class Result:
    y: object
    rows: int


def test_a_library_function_that_calls_itself_runs_in_python() -> None:
    def f(x):
        made = Result(x * 2, rows=x.shape[0])
        return dataclasses.asdict(made)["rows"], made.y

    program = optimized(f)
    for rows in (3, 3, 4, 5):
        count, y = program(specjit.ones(rows))
        assert count == rows
        assert y.tolist() == [2] * rows


def test_names_of_the_machinery_are_the_models() -> None:
    """What `Program` needs for itself is private: a model may have methods and attributes of nearly any name."""

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.name, self.calls, self.number = "mine", 7, 3.0

        def start(self, n: int) -> int:
            return n + 1

        def emit(self) -> str:
            return "emitted"

        def refused(self) -> str:
            return "refused"

        def forward(self, x):
            return x * self.number

    fast = specjit.optimize(Named(), background=False)
    for _ in range(5):
        assert fast(specjit.ones(2)).tolist() == [3.0, 3.0]
    assert fast.stats()["fast"] > 0
    assert (fast.name, fast.calls, fast.start(1), fast.emit(), fast.refused()) == ("mine", 7, 2, "emitted", "refused")
    public = {n for n in dir(type(fast)) if n[0] != "_"}
    assert public == {
        "wait", "warmup", "explain", "events", "stats", "specializations", "graph", "code", "reset", "close",
    }  # fmt: skip
