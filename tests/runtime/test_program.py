"""`Program`: same answers on every road, guards that miss, sizes that generalize, parameters that move."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import specjit
from specjit import nn
from tests.runtime.models import (
    GRU,
    LSTM,
    PeepholeNormLSTM,
    arguments,
    gru_float64,
    lstm_float64,
    peephole_float64,
    uniform,
)


def ready(model, *args, **options):
    """A Program for `model` with one published specialization for these arguments."""
    program = specjit.optimize(model, **{"warmup": 2, **options})
    with specjit.no_grad():
        for _ in range(3):
            program(*args)
    assert program.wait(600)
    assert program.specializations, "\n".join(str(e) for e in program.events())
    return program


def close(got, expected, tolerance=2e-5):
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


def fast_calls(program):
    return program.stats()["fast"]


@pytest.fixture(scope="module")
def lstm():
    model = LSTM(12, 20)
    args = arguments(5, 3, 12, 20)
    return model, ready(model, *args)


def check_lstm(program, model, x, h, c):
    with specjit.no_grad():
        y, (h1, c1) = program(x, (h, c))
    for got, expected in zip((y, h1, c1), lstm_float64(model, x.numpy(), h.numpy(), c.numpy())):
        close(got, expected)


def test_lstm_is_one_native_call(lstm) -> None:
    model, program = lstm
    (variant,) = program.specializations[:1]
    assert len(variant.regions) == 1
    assert variant.python_nodes == 0
    x, (h, c) = arguments(5, 3, 12, 20, seed=40)
    before = fast_calls(program)
    check_lstm(program, model, x, h, c)
    assert fast_calls(program) == before + 1


def test_a_new_length_compiles_nothing(lstm) -> None:
    model, program = lstm
    compiles = program.stats()["compiles"]
    for steps in (1, 2, 9, 33):
        x, (h, c) = arguments(steps, 3, 12, 20, seed=steps)
        before = fast_calls(program)
        check_lstm(program, model, x, h, c)
        assert fast_calls(program) == before + 1
    program.wait(600)
    assert program.stats()["compiles"] == compiles


def test_outputs_are_separate_storage(lstm) -> None:
    _, program = lstm
    x, state = arguments(5, 3, 12, 20)
    with specjit.no_grad():
        y, (h, c) = program(x, state)
        kept = y.numpy().copy()
        h.zero_()
        c.zero_()
        assert np.array_equal(y.numpy(), kept)
        again, _ = program(x, state)
    assert not np.shares_memory(again.numpy(), y.numpy())
    assert np.array_equal(again.numpy(), kept)


def test_a_new_batch_compiles_at_most_once() -> None:
    model = LSTM(6, 8)
    program = ready(model, *arguments(4, 3, 6, 8))
    compiles = program.stats()["compiles"]
    for batch in (5, 7, 2, 1, 9):
        x, (h, c) = arguments(4, batch, 6, 8)
        check_lstm(program, model, x, h, c)
        program.wait(600)
        check_lstm(program, model, x, h, c)
    assert program.stats()["compiles"] <= compiles + 1
    assert program.events("GENERALIZED")


def strided(x):
    wide = specjit.zeros(*x.shape[:-1], 2 * x.shape[-1])
    wide[..., ::2] = x
    return wide[..., ::2]


CHANGED = {
    "dtype": lambda x, h, c: (x.double(), h.double(), c.double()),
    "layout": lambda x, h, c: (strided(x), h, c),
    "size": lambda x, h, c: (x[:, :2], h[:2], c[:2]),
    "grad": lambda x, h, c: (x.clone().requires_grad_(), h, c),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_miss_gives_the_right_answer(lstm, what) -> None:
    model, program = lstm
    x, (h, c) = arguments(5, 3, 12, 20)
    changed = CHANGED[what](x, h, c)
    if what == "dtype":
        model = copy.deepcopy(model).double()
        program = lstm[1]
        with specjit.no_grad(), pytest.raises(RuntimeError):
            program(changed[0], changed[1:])
        return
    misses = program.stats()["misses"]
    with specjit.enable_grad() if what == "grad" else specjit.no_grad():
        y, _ = program(changed[0], changed[1:])
        expected, _ = model(changed[0], changed[1:])
    assert y.requires_grad == expected.requires_grad
    close(y, lstm_float64(model, *(t.detach().numpy() for t in changed))[0])
    program.wait(600)
    if what != "grad":
        assert program.stats()["misses"] > misses
        event = program.events("GUARD_MISS")[-1]
        assert "expected" in event.message


def test_rank_and_structure_misses(lstm) -> None:
    model, program = lstm
    x, (h, c) = arguments(5, 3, 12, 20)
    with specjit.no_grad():
        y, _ = program(x, [h, c])
        close(y, lstm_float64(model, x.numpy(), h.numpy(), c.numpy())[0])
        one_row, _ = program(x[0], (h[:1], c[:1]))
        close(one_row, lstm_float64(model, x.numpy()[0], h.numpy()[:1], c.numpy()[:1])[0])
        with pytest.raises(ValueError):
            program(x, (h, c, c))


def test_meta_device_misses(lstm) -> None:
    _, program = lstm
    x = specjit.zeros(5, 3, 12, device="meta")
    h = specjit.zeros(3, 20, device="meta")
    with specjit.no_grad():
        try:
            y, _ = program(x, (h, h))
        except RuntimeError:
            return  # eager refuses to mix devices too: the parameters are on the cpu
    assert y.is_meta


def test_changed_parameter_values_repack_and_miss_nothing() -> None:
    model = LSTM(6, 8)
    x, (h, c) = arguments(4, 3, 6, 8)
    program = ready(model, x, (h, c))
    misses = program.stats()["misses"]
    with specjit.no_grad():
        model.cell.w_h.add_(0.25)
    check_lstm(program, model, x, h, c)
    with specjit.no_grad():
        model.cell.b_x.mul_(-1.0)
    check_lstm(program, model, x, h, c)
    assert program.stats()["misses"] == misses
    assert program.events("REPACKED")
    array = model.cell.w_x.detach().numpy()
    array *= 0.5  # memory outside: nothing in specjit sees this write
    check_lstm(program, model, x, h, c)
    array[0] = 1.0
    check_lstm(program, model, x, h, c)
    del array
    model.cell.w_x.data.mul_(2.0)
    check_lstm(program, model, x, h, c)
    assert program.stats()["misses"] == misses


def test_a_replaced_parameter_is_seen() -> None:
    model = LSTM(6, 8)
    x, (h, c) = arguments(4, 3, 6, 8)
    program = ready(model, x, (h, c))
    model.cell.w_h = nn.Parameter(specjit.tensor(uniform(32, 8, seed=77)))
    check_lstm(program, model, x, h, c)
    program.wait(600)
    check_lstm(program, model, x, h, c)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = 2.0
        self.steps = 3

    def forward(self, x):
        for _ in range(self.steps):
            x = (x * self.factor).tanh()
        return x


def test_a_changed_attribute_misses_a_guard() -> None:
    model = Scaled()
    x = specjit.tensor(uniform(4, 5, seed=2))
    program = ready(model, x)
    for factor, steps in ((3.0, 3), (3.0, 1), (2.0, 3)):
        model.factor, model.steps = factor, steps
        expected = x.numpy().astype(np.float64)
        for _ in range(steps):
            expected = np.tanh(expected * factor)
        close(program(x), expected)
        program.wait(600)
        close(program(x), expected)


def test_equal_constants_that_are_other_objects_miss_nothing() -> None:
    model = Scaled()
    x = specjit.tensor(uniform(4, 5, seed=2))
    model.factor = float("nan")
    program = ready(model, x)
    model.factor = float("nan")
    with specjit.no_grad():
        assert np.isnan(program(x).numpy()).all()
        assert program.stats()["misses"] == 0
        model.factor = 2.0
        close(program(x), np.tanh(np.tanh(np.tanh(x.numpy().astype(np.float64) * 2) * 2) * 2))
        assert program.stats()["misses"] == 1


@pytest.mark.parametrize(("numerics", "fused"), [("exact", False), ("fast", True)])
def test_fast_numerics_contracts_and_says_so(numerics, fused) -> None:
    def f(x, y, z):
        return x * y + z

    x, y, z = (specjit.tensor(uniform(4, 5, seed=s)) for s in range(3))
    program = ready(f, x, y, z, numerics=numerics)
    with specjit.no_grad():
        close(program(x, y, z), x.numpy().astype(np.float64) * y.numpy() + z.numpy())
    (variant,) = program.specializations
    assert variant.calls == 1
    assert ("simd.fma(" in "\n".join(variant.kernel_sources)) == fused
    assert f"numerics={numerics}" in str(program.explain())


def test_number_arguments_generalize() -> None:
    def f(x, scale, n):
        return (x * scale + n).tanh()

    x = specjit.tensor(uniform(4, 5, seed=2))
    program = ready(f, x, 0.5, 2)
    for scale, n in ((0.5, 2), (0.25, 2), (1.5, 3), (-0.0, -1), (float("inf"), 0), (0.5, True)):
        for _ in range(2):
            with np.errstate(all="ignore"):
                expected = np.tanh(x.numpy().astype(np.float64) * scale + n)
            close(program(x, scale, n), expected)
            program.wait(600)


@pytest.mark.parametrize("kind", ["gru", "peephole"])
def test_other_cells_become_one_region(kind) -> None:
    x, (h, c) = arguments(5, 3, 12, 20)
    if kind == "gru":
        model = GRU(12, 20)
        program = ready(model, x, h)
        with specjit.no_grad():
            got = program(x, h)
        expected = gru_float64(model, x.numpy(), h.numpy())
    else:
        model = PeepholeNormLSTM(12, 20)
        program = ready(model, x, h, c)
        with specjit.no_grad():
            got = program(x, h, c)
        expected = peephole_float64(model, x.numpy(), h.numpy(), c.numpy())
    for a, b in zip(got, expected):
        close(a, b)
    (variant,) = program.specializations
    assert len(variant.regions) == 1
    assert variant.python_nodes == 0
    assert variant.calls >= 1


def test_while_and_branches() -> None:
    def f(x, limit):
        n = 0
        while n < limit:
            if n % 2 == 0:
                x = x * 0.5 + 1.0
            else:
                x = x.tanh()
            n = n + 1
        return x, n

    x = specjit.tensor(uniform(4, 5, seed=2))
    program = ready(f, x, 5)
    for limit in (5, 0, 1, 8):
        got, n = program(x, limit)
        expected = x.numpy().astype(np.float64)
        for k in range(limit):
            expected = expected * 0.5 + 1.0 if k % 2 == 0 else np.tanh(expected)
        close(got, expected)
        assert n == max(limit, 0)
        program.wait(600)


def test_integer_overflow_is_pythons() -> None:
    def f(x, n):
        m = 1
        for _ in range(n):
            m = m * 10
        return x * 2, m

    x = specjit.tensor(uniform(3, seed=1))
    program = ready(f, x, 4)
    for n in (4, 25, 40):
        for _ in range(2):
            got, m = program(x, n)
            assert m == 10**n
            close(got, x.numpy() * 2)
            program.wait(600)


def test_the_program_is_the_model(lstm) -> None:
    model, program = lstm
    assert isinstance(program, nn.Module)
    assert [p is q for p, q in zip(program.parameters(), model.parameters())] == [True] * 4
    assert set(program.state_dict()) == set(model.state_dict())
    program.eval()
    assert model.training is False
    program.train()
    outer = nn.Sequential(program)
    assert len(list(outer.parameters())) == 4
    twin = copy.deepcopy(program)
    assert twin.cell is not model.cell
    x, state = arguments(5, 3, 12, 20)
    again = pickle.loads(pickle.dumps(program))
    with specjit.no_grad():
        close(again(x, state)[0], model(x, state)[0].numpy())
        close(twin(x, state)[0], model(x, state)[0].numpy())


def test_reports(lstm) -> None:
    import json

    _, program = lstm
    text = str(program.explain())
    assert "guard" in text
    assert "ops native" in text
    json.dumps(program.explain().to_dict(), default=str)
    assert "<details" in program.explain()._repr_html_()
    variant = program.specializations[0]
    x, (h, c) = arguments(5, 3, 12, 20)
    with specjit.no_grad():
        assert variant.check(x, (h, c)) == []
        failed = variant.check(x, (h[:2], c[:2]))
    assert any(g.kind == "size" for g in failed)
    assert "def " in program.code
    assert "loop" in str(program.graph)
    assert variant.source
    assert "define" in variant.llvm
    assert str(program.events("SPECIALIZE_READY")[0]).startswith("[specjit lstm #1] READY")


def test_settings_and_stances(lstm) -> None:
    from specjit import config

    _, program = lstm
    x, state = arguments(5, 3, 12, 20)
    with specjit.no_grad():
        before = program.stats()
        with config.options(enabled=False):
            program(x, state)
        assert program.stats()["eager"] == before["eager"] + 1
        with specjit.stance("generic"):
            program(x, state)
        assert program.stats()["generic"] == before["generic"] + 1
        with config.options(verify=1):
            program(x, state)
        assert not program.events("VERIFY_MISMATCH")
        fresh = ready(LSTM(4, 4), *arguments(3, 2, 4, 4))
        with specjit.stance("fail_on_miss"), pytest.raises(RuntimeError, match="fail_on_miss"):
            fresh(*arguments(3, 5, 4, 4))
        with pytest.raises(ValueError):
            with specjit.stance("quick"):
                pass


def test_bad_options() -> None:
    for bad in ({"warmup": -1}, {"dynamic": "yes"}, {"max_specializations": 0}, {"numerics": "fastest"}):
        with pytest.raises(ValueError):
            specjit.optimize(lambda x: x, **bad)
    with pytest.raises(TypeError):
        specjit.optimize(3)
    with pytest.raises(TypeError):
        specjit.optimize(lambda x: x, speed=11)


def test_megamorphic_says_so_once_and_stays_right(capfd) -> None:
    def f(x):
        return x.tanh() + x.shape[0]

    program = specjit.optimize(f, warmup=1, max_specializations=2, dynamic=False)
    for n in (2, 3, 4, 5, 6, 7):
        x = specjit.tensor(uniform(n, n, seed=n))
        for _ in range(2):
            close(program(x), np.tanh(x.numpy().astype(np.float64)) + n)
            program.wait(600)
    assert len(program.specializations) <= 2
    assert len(program.events("MEGAMORPHIC")) == 1
    assert "MEGAMORPHIC" in capfd.readouterr().err


def test_without_source_runs_eagerly_with_an_event() -> None:
    namespace: dict = {}
    exec("def f(x):\n    return x * 2 + 1\n", namespace)
    program = specjit.optimize(namespace["f"])
    x = specjit.tensor(uniform(3, seed=1))
    for _ in range(4):
        close(program(x), x.numpy() * 2 + 1)
    assert program.events("FALLBACK")
    with pytest.raises(specjit.jit.Error):
        specjit.optimize(namespace["f"], strict=True)(x)


def test_wrong_calls_raise_as_the_model_does(lstm) -> None:
    model, program = lstm
    for args in ((), (1, 2, 3)):
        with pytest.raises(TypeError) as plain:
            model(*args)
        with pytest.raises(TypeError) as fast:
            program(*args)
        assert str(plain.value) == str(fast.value)
    with pytest.raises((AttributeError, TypeError)):
        program("text", (1, 2))
