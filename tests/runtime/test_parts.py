"""Models with a line that nothing is known of: eager, generic and specialized calls agree on results, exceptions,
prints and the content of arguments, and the code around the line is native all the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.runtime import program as program_module
from specjit.runtime.parts import is_opaque

W = specjit.tensor(np.random.default_rng(1).uniform(-0.5, 0.5, (4, 4)).astype(np.float32))


def statement_in_the_middle(x):
    h = (x @ W).tanh() * 2.0 + 1.0
    try:
        k = float(h.numpy().max())
    except ValueError:
        k = 0.0
    y = (h * k).sigmoid() @ W + x
    return y.relu().sum(0)


def numpy_helper(x):
    h = (x @ W).tanh()
    s = specjit.tensor(np.sort(h.numpy(), axis=-1))
    y = (s @ W).sigmoid() + h
    return y * s


def in_a_loop(x):
    x = (x @ W).tanh() + x
    outs = []
    h = specjit.zeros(3, 4)
    for t in range(x.shape[0]):
        h = (x[t] @ W + h).tanh()
        try:
            k = int(h.numpy().argmax())
        except ValueError:
            k = -1
        h = (h * k).sigmoid() + x[t] * 0.5
        outs.append(h)
    return specjit.stack(outs), h


def prints(x):
    h = (x @ W).tanh() * 2.0
    print("largest", np.round(float(h.numpy().max()), 3))
    return (h @ W).sigmoid() + x * h


def writes_its_argument(x):
    h = (x @ W).sigmoid() + 1.0
    np.multiply(x.numpy(), 2.0, out=x.numpy())
    return (h + x).tanh() * x


def in_a_branch(x):
    h = (x @ W).tanh() + x
    if h.sum() > 0:
        order = np.argsort(h.numpy(), axis=None)
        h = (h * float(order[0])).sigmoid() + 1.0
    else:
        h = (h - 1.0).tanh() * 3.0
    return (h @ W) * h


def while_header(x):
    h = x + 0.0
    turns = 0
    while h.mul_(0.5).abs().sum() > 1.0:
        turns = turns + 1
        h = specjit.tensor(np.tanh(h.numpy()) * 0.5)
    return (h @ W).sigmoid() * turns + x


def without_gradient(x):
    with specjit.no_grad():
        h = (x @ W).tanh() * 3.0
        scale = float(np.max(h.numpy()))
        y = (h / (abs(scale) + 1.0)).sigmoid() + h
    return y + x


MODELS = [
    statement_in_the_middle,
    numpy_helper,
    in_a_loop,
    prints,
    writes_its_argument,
    in_a_branch,
    while_header,
    without_gradient,
]


PARTS = {in_a_loop: 3, in_a_branch: 3, statement_in_the_middle: 2, numpy_helper: 2, prints: 2}  # at least so many


def input_of(steps: int) -> specjit.Tensor:
    return specjit.tensor(np.random.default_rng(steps).uniform(-1, 1, (steps, 3, 4)).astype(np.float32))


def run(call, x, capsys):
    """What a call gives, prints, and leaves in its argument."""
    capsys.readouterr()
    try:
        out = call(x)
    except Exception as error:
        out = (type(error), str(error))
    return out, capsys.readouterr().out, x.numpy()


def check_same(got, expected) -> None:
    assert type(got) is type(expected)
    if isinstance(expected, tuple):
        for g, e in zip(got, expected, strict=True):
            check_same(g, e)
    elif isinstance(expected, specjit.Tensor | np.ndarray):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=1e-5, atol=1e-6)
    else:
        assert got == expected


def parts_of(program):
    (site,) = program._sites.by_structure.values()
    return site.parts


@pytest.mark.parametrize("model", MODELS, ids=lambda f: f.__name__)
def test_eager_generic_and_specialized_agree(model, capsys) -> None:
    program = specjit.optimize(model, warmup=2, background=False)
    for steps in (5, 5, 5, 4, 7, 5, 0, 1):
        expected = run(model, input_of(steps), capsys)
        check_same(run(program, input_of(steps), capsys), expected)
        with specjit.stance("generic"):
            check_same(run(program, input_of(steps), capsys), expected)
    parts = parts_of(program)
    assert len(parts) >= PARTS.get(model, 1)
    assert all(part.stats()["fast"] > 0 for part in parts if part._calls)
    assert any(variant.regions for part in parts for variant in part.specializations)
    assert not any(is_opaque(n) for part in parts if part._calls for n in part.graph.walk())
    assert str(program.explain()).count(" native; ") == len(parts)


def test_a_result_of_another_type_misses_in_its_part_only() -> None:
    results = iter([2.0, 2.0, 2.0, 2.0, specjit.tensor(3.0), 2, np.float64(2.5), None, "text", 2.0])
    seen = []

    def model(x):
        h = (x @ W).tanh() * 2.0
        k = seen[-1]
        try:
            seen.append(k)
        finally:
            pass
        scaled = h * seen[-1]
        return (scaled + h).sigmoid() * x

    def plain(x, k):
        h = (x @ W).tanh() * 2.0
        return ((h * k) + h).sigmoid() * x

    program = specjit.optimize(model, warmup=1, background=False)
    x = input_of(3)
    for k in results:
        seen[:] = [k]
        try:
            expected = plain(x, k)
        except TypeError:
            with pytest.raises(TypeError):
                program(x)
        else:
            check_same(program(x), expected)


def test_an_exception_of_the_line_is_the_users() -> None:
    def model(x, table, key):
        h = (x @ W).tanh() * 2.0
        scale = lookup(table, key)
        return (h * scale).sigmoid() + x

    program = specjit.optimize(model, warmup=1, background=False)
    x = input_of(3)
    for key in ("a", "a", "b", "missing", "a"):
        if key == "missing":
            with pytest.raises(KeyError, match="missing") as error:
                program(x, {"a": 2.0, "b": 3.0}, key)
            assert any(entry.name == "lookup" for entry in error.traceback)
        else:
            check_same(program(x, {"a": 2.0, "b": 3.0}, key), model(x, {"a": 2.0, "b": 3.0}, key))


def lookup(table, key):
    try:
        return table[key]
    finally:
        pass


class Logged(nn.Module):
    """A model with a line of statistics in its middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)
        self.history: list[float] = []

    def forward(self, x):
        h = self.first(x).relu() + 0.1
        self.history.append(float(np.mean(h.detach().numpy())))
        return self.second(h * 2.0).tanh()


def test_training_goes_through_parts() -> None:
    specjit.manual_seed(0)
    model, twin = Logged(), Logged()
    twin.load_state_dict(model.state_dict())
    program = specjit.optimize(model, warmup=2, background=False)
    curves = []
    for net, call in ((model, program), (twin, twin)):
        optimizer = specjit.optim.SGD(net.parameters(), lr=0.1)
        curve = []
        for step in range(12):
            optimizer.zero_grad()
            loss = (call(input_of(3 + step % 2)) ** 2).mean()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        curves.append(curve)
    np.testing.assert_allclose(*curves, rtol=1e-4)
    assert [bool(part.stats()["fast"]) for part in parts_of(program)] == [True, True]
    explained = str(program.explain())
    assert "runs in parts" in explained
    assert all(f"{part._log_name}: {part.stats()['fast']} of" in explained for part in parts_of(program))
    np.testing.assert_allclose(model.history, twin.history, rtol=1e-4)


def test_a_variable_that_a_loop_leaves_open_reaches_an_opaque_line_unbound() -> None:
    def model(x):
        for t in range(x.shape[0]):
            try:
                last = last + 1 if t else 0  # noqa: F821
            except UnboundLocalError:
                last = 100
        return x * last

    program = specjit.optimize(model, warmup=1, background=False)
    for steps in (3, 3, 1, 0, 2):
        outcomes = []
        for call in (model, program):
            try:
                outcomes.append(call(input_of(steps)).numpy())
            except UnboundLocalError as error:
                outcomes.append(str(error))
        np.testing.assert_array_equal(*outcomes)


def test_what_is_not_opaque_is_not_split() -> None:
    program = specjit.optimize(lambda x: (x @ W).tanh() * 2.0, warmup=1, background=False)
    for _ in range(3):
        program(input_of(3))
    assert not parts_of(program)
    assert program.stats()["fast"]


def test_wait_gives_its_parts_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    program = specjit.optimize(statement_in_the_middle, warmup=2, background=False)
    for _ in range(3):
        program(specjit.ones(4, 4))
    parts = parts_of(program)
    assert len(parts) > 1
    clock, given = itertools.count(0.0, 3.0), []
    monkeypatch.setattr(program_module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(type(parts[0]), "wait", lambda part, timeout: given.append(timeout) or True)
    assert program.wait(5.0)
    assert given[:2] == [2.0, 0.0]
