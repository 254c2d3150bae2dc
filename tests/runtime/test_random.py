"""Random numbers in native regions: the same numbers as eager, and a generator that stands where eager would leave it.

Every program runs eager and optimized from one seed. Compared to the bit: what was drawn (masks, uniform numbers), and
the next numbers after the call. The generator itself is held against Python integers in tests/tensor.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import specjit
import specjit.nn.functional as F
from specjit import config, nn
from specjit.codegen.abi import Status
from specjit.tensor.random import default_generator


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> specjit.Tensor:
    return specjit.tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def flat(out: Any) -> list[np.ndarray]:
    if isinstance(out, (tuple, list)):
        return [a for o in out for a in flat(o)]
    return [out.detach().numpy() if isinstance(out, specjit.Tensor) else np.asarray(out)]


@dataclass
class Outcome:
    results: list[np.ndarray]
    error: tuple[type, str] | None
    state: list[int]  # of the generator, afterwards


def run(call: Callable[..., Any], *args: Any, seed: int = 11) -> Outcome:
    specjit.manual_seed(seed)
    specjit.rand(3)
    results, error = [], None
    try:
        results = flat(call(*args))
    except (RuntimeError, IndexError) as caught:
        error = (type(caught), str(caught))
    return Outcome(results, error, specjit.get_rng_state().tolist())


def assert_same(got: Outcome, expected: Outcome) -> None:
    assert got.error == expected.error
    assert got.state == expected.state
    for a, b in zip(got.results, expected.results, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_array_equal(a, b)


def native(program: Any, regions: int = 1) -> None:
    """Everything the program does is in this many regions."""
    text = "\n".join(map(str, program.events()))
    assert program.specializations, text
    for variant in program.specializations:
        assert len(variant.regions) == regions, text
        assert variant.python_nodes == 0, text


# programs: what they draw is exact arithmetic, so results are compared to the bit


def masked(x, y):
    return F.dropout(x, 0.3) + F.dropout(y, 0.9), F.dropout(x * y, 0.5)


def drawn(x, y):
    a = specjit.rand(x.shape[0], 3)
    b = specjit.rand_like(x, dtype=specjit.float64)
    return a * 2, b + 1, specjit.rand(()) + specjit.rand(2, 2).sum() * 0


def coins(x, y):
    p = x.abs().clamp(0, 1)
    return specjit.bernoulli(p) + specjit.bernoulli(specjit.full((5, 3), 0.25)).sum(), p * 2


def in_a_loop(x, y):
    out = x
    for t in range(x.shape[0]):
        out = out * 0.5 + F.dropout(y[t], 0.4)
    return out, specjit.rand(3)


def nested(x, y):
    rows = []
    for t in range(x.shape[0]):
        row = x[t] + specjit.rand(x.shape[1])
        for _ in range(3):
            row = row + F.dropout(y[t], 0.1)
        rows.append(row)
    return specjit.stack(rows)


def in_branches(x, y):
    """How much is drawn depends on data, differently in every turn."""
    total = x.sum(0) * 0
    for t in range(x.shape[0]):
        if (x[t].sum() > 0).item():
            total = total + F.dropout(y[t], 0.5)
        else:
            total = total - specjit.rand(x.shape[1]) - F.dropout(y[t] * 2, 0.2)
    return total


def until(x, y):
    """A loop that decides itself when to stop."""
    level = x.sum() * 0
    turns = 0
    while (level < 2).item():
        level = level + specjit.rand(())
        turns += 1
    return level, turns, specjit.rand(1)


def nothing_read(x, y):
    """A draw whose numbers nobody reads still moves the generator."""
    F.dropout(x, 0.5)
    return x * 2 + y, x - y


PROGRAMS = {f.__name__: f for f in (masked, drawn, coins, in_a_loop, nested, in_branches, until, nothing_read)}
SHAPES = [(3, 5), (4, 5), (1, 1), (2, 16), (7, 33), (3, 0), (0, 5)]


@pytest.fixture(params=PROGRAMS)
def program(request) -> tuple[Callable[..., Any], Any]:
    f = PROGRAMS[request.param]
    return f, specjit.optimize(f, warmup=1, background=False)


def test_same_numbers_for_all_shapes(program) -> None:
    f, fast = program
    for dtype in (np.float32, np.float64):
        for shape in SHAPES * 2:
            args = normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype)
            for seed in (11, -3, 2**63):
                assert_same(run(fast, *args, seed=seed), run(f, *args, seed=seed))
    native(fast)


def test_same_numbers_when_every_region_fails(program) -> None:
    """The block runs again in Python and draws what native code would have drawn."""
    f, fast = program
    args = normal(3, 5), normal(3, 5, seed=1)
    for _ in range(3):
        run(fast, *args)
    native(fast)
    (region,) = fast.specializations[0].regions
    before = fast.specializations[0].fallbacks
    region.forced = Status.KERNEL
    assert_same(run(fast, *args), run(f, *args))
    assert fast.specializations[0].fallbacks == before + 1


def fails_late(x, index):
    """All draws of the steps before the bad one happen, none after it."""
    out = specjit.rand(x.shape[0])
    for t in range(index.shape[0]):
        out = out + F.dropout(x, 0.5)[index[t].item()]
        out = out * specjit.rand(())
    return out


def test_a_failure_leaves_the_generator_where_eager_does() -> None:
    fast = specjit.optimize(fails_late, warmup=1, background=False)
    good, bad = specjit.tensor([0, 2, 1, 0]), specjit.tensor([0, 2, 3, 0])
    x = normal(3, 3)
    for index in (good, good, good, bad, good):
        got, expected = run(fast, x, index), run(fails_late, x, index)
        assert (expected.error is None) == (index is good)
        assert_same(got, expected)
    native(fast)


def test_a_probability_out_of_range_is_the_error_of_eager() -> None:
    fast = specjit.optimize(lambda p: specjit.bernoulli(p) + specjit.rand_like(p), warmup=1, background=False)
    for value in (0.0, 1.0, 0.5, 1.5, -0.1, float("nan"), 0.5):
        p = specjit.full((2, 3), value)
        assert_same(run(fast, p), run(lambda p: specjit.bernoulli(p) + specjit.rand_like(p), p))
    native(fast)


class Regular(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(p)

    def forward(self, x):
        return self.drop(x) * 2 + x


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.1, 0.5, 1.0])
def test_train_and_eval(p) -> None:
    """p = 0 and eval draw nothing; p = 1 draws and drops everything."""
    model = Regular(p)
    fast = specjit.optimize(model, warmup=1, background=False)
    x = normal(4, 9)
    for training in (True, True, True, False, False, False, True):
        model.train(training)
        assert_same(run(fast, x), run(model, x))
    native(fast)


def test_draws_keep_their_order_around_python() -> None:
    """Regions and draws that stay in Python take turns at the generator, as written."""

    def f(x, own):
        a = F.dropout(x, 0.5) * 2
        b = specjit.randn(3)
        c = specjit.rand(3, generator=own)
        return a + 1, b, c, F.dropout(x, 0.5) * b[0] + specjit.rand(5)

    fast = specjit.optimize(f, warmup=1, background=False)
    for _ in range(4):
        x = normal(4, 5)
        own, other = (specjit.Generator().manual_seed(5) for _ in range(2))
        assert_same(run(fast, x, own), run(f, x, other))
        assert own.get_state().tolist() == other.get_state().tolist()
    assert len(fast.specializations[0].regions) == 2
    refused = " ".join(e.message for e in fast.events("NOT_FUSED"))
    assert "no kernel draws these random numbers" in refused
    assert "a generator of its own" in refused


def test_verification_draws_again_and_counts_once(capfd) -> None:
    fast = specjit.optimize(masked, warmup=1, background=False)
    args = normal(3, 5), normal(3, 5, seed=1)
    for _ in range(3):
        run(fast, *args)
    with config.options(verify=1):
        assert_same(run(fast, *args), run(masked, *args))
        assert not fast.events("VERIFY_MISMATCH")
        assert not fast.events("FALLBACK")
        (variant,) = fast.specializations
        right = variant.entry
        variant.entry = lambda *given: (right(*given), specjit.rand(1))[0]
        assert_same(run(fast, *args), run(masked, *args))
    assert "another amount of random numbers" in fast.events("VERIFY_MISMATCH")[0].message
    capfd.readouterr()


# gradients


def noisy(x, w):
    h = F.dropout((x @ w).tanh(), 0.4)
    for t in range(3):
        h = F.dropout(h * x[t, 0], 0.2) + h
    keep = specjit.bernoulli(w.detach().abs().clamp(0, 1))
    return (h * h).sum() + (w * keep).sum()


@dataclass
class Gradients:
    value: float
    grads: list[np.ndarray] = field(default_factory=list)


def gradients(call: Callable[..., Any], *, create: bool = False, again: bool = False) -> Gradients:
    x, w = normal(6, 5).requires_grad_(), normal(5, 5, seed=1).requires_grad_()
    specjit.manual_seed(4)
    y = call(x, w)
    other = call(x, w) if again else None
    specjit.rand(100)  # what backward reads was drawn before
    grads = list(specjit.autograd.grad(y, [x, w], create_graph=create, retain_graph=True))
    if create:
        grads += specjit.autograd.grad(sum((g * g).sum() for g in grads), [x, w])
    if other is not None:
        grads += specjit.autograd.grad(other, [x, w])
        grads += specjit.autograd.grad(y, [x, w])
    return Gradients(y.item(), [g.detach().numpy() for g in grads])


@pytest.mark.parametrize("kind", ["plain", "create_graph", "two forwards", "failed backward", "failed forward"])
def test_backward_sees_the_masks_of_its_forward(kind) -> None:
    fast = specjit.optimize(noisy, warmup=1, background=False)
    options = {"create": kind == "create_graph", "again": kind == "two forwards"}
    expected = gradients(noisy, **options)
    for _ in range(3):
        gradients(fast)
    native(fast)
    (region,) = fast.specializations[0].regions
    assert region.backward is not None
    if kind == "failed backward":
        region.backward.code.call = lambda *args: None
    if kind == "failed forward":
        region.forced = Status.KERNEL
    got = gradients(fast, **options)
    np.testing.assert_allclose(got.value, expected.value, rtol=1e-5)
    for a, b in zip(got.grads, expected.grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)
    state = specjit.get_rng_state().tolist()
    gradients(noisy, **options)
    assert specjit.get_rng_state().tolist() == state


# training


class LanguageModel(nn.Module):
    """Two recurrent layers in plain Python, dropout on the input, between the layers, on the state in every step, and
    on the output."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(13, 8)
        self.cells = nn.ModuleList([nn.LSTMCell(8, 8), nn.LSTMCell(8, 8)])
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, 13)

    def forward(self, tokens, wanted):
        rows = self.drop(self.embedding(tokens))
        for cell in self.cells:
            h = c = specjit.zeros(tokens.shape[1], 8)
            outs = []
            for t in range(tokens.shape[0]):
                h, c = cell(rows[t], (h, c))
                h = F.dropout(h, 0.1, self.training)
                outs.append(h)
            rows = self.drop(specjit.stack(outs))
        logits = self.head(rows)
        return F.cross_entropy(logits.reshape(-1, 13), wanted.reshape(-1)), rows


def test_a_language_model_with_dropout_trains_natively() -> None:
    """Fifty SGD steps: one region forward and one backward, no miss after warm-up, the masks of eager, its loss and
    its parameters."""
    model = LanguageModel()
    twin = copy.deepcopy(model)
    fast = specjit.optimize(model, warmup=2, background=False)
    rng = np.random.default_rng(1)
    optimizers = [specjit.optim.SGD(m.parameters(), lr=0.3) for m in (model, twin)]
    specjit.manual_seed(5)
    state = specjit.get_rng_state()
    misses = compiles = -1
    for k in range(50):
        steps = 6 if k < 30 else 3 + k % 7
        batch = [specjit.tensor(rng.integers(0, 13, (steps, 4))) for _ in range(2)]
        seen = []
        for call, optimizer in zip((fast, twin), optimizers, strict=True):
            specjit.set_rng_state(state)
            loss, rows = call(*batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append((loss.item(), rows.detach().numpy(), specjit.get_rng_state().tolist()))
        (loss, rows, after), (expected_loss, expected_rows, expected_after) = seen
        assert after == expected_after
        state = specjit.get_rng_state()
        np.testing.assert_array_equal(rows == 0, expected_rows == 0)
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-4)
        if k == 3:
            misses, compiles = fast.stats()["misses"], fast.stats()["compiles"]
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-3, atol=1e-4)
    native(fast)
    (region,) = fast.specializations[0].regions
    assert region.backward is not None
    stats = fast.stats()
    assert (stats["misses"], stats["compiles"], stats["fallbacks"]) == (misses, compiles, 0)


# threads and processes


def test_threads_draw_different_numbers() -> None:
    """Ranges never overlap, whether their size is known before the run or not."""
    for f in (lambda x: (specjit.rand(64) * 1, x + x), lambda x: (until(x, x)[2] * 1, specjit.rand(64) * 1, x + x)):
        fast = specjit.optimize(f, warmup=1, background=False)
        x = normal(3, 3)
        for _ in range(3):
            fast(x)
        native(fast)
        specjit.manual_seed(8)
        found: list[np.ndarray] = []

        def work(fast: Any = fast, found: list[np.ndarray] = found) -> None:
            for _ in range(50):
                found.append(next(o.numpy() for o in fast(x) if o.shape == (64,)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        drawn = np.concatenate(found)
        assert drawn.size == 4 * 50 * 64
        assert len(np.unique(drawn)) > 0.999 * drawn.size


def test_a_range_is_given_back_only_if_it_is_the_last() -> None:
    generator = specjit.Generator().manual_seed(-1)
    seed, first = generator.reserve_blocks(5)
    assert (seed, first) == (-1, 0)
    assert generator.reserve_blocks(2) == (-1, 5)
    generator.give_back(seed, first, 5)
    assert generator.reserve_blocks(1) == (-1, 7)
    generator.give_back(-1, 7, 1)
    assert generator.reserve_blocks(1) == (-1, 7)
    with pytest.raises(KeyboardInterrupt), generator.held() as held:
        assert (held.seed, held.first) == (-1, 8)
        raise KeyboardInterrupt
    with generator.held() as held:
        held.take_up_to(11)
    assert generator.reserve(1) == (2**64 - 1, 44)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_draw_can_draw() -> None:
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with default_generator.held():
            holding.set()
            done.wait(600)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(600)
    child = os.fork()
    if child == 0:
        thread = threading.Thread(target=lambda: specjit.rand(2))
        thread.start()
        thread.join(600)
        os._exit(1 if thread.is_alive() else 0)
    status = os.waitpid(child, 0)[1]
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0
