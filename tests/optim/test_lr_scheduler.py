"""Schedules against their formulas by epoch; resumed, chained, in sequence, saved; errors."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest

import specjit
from specjit import nn, optim
from specjit.optim import lr_scheduler as schedules

BASES = (0.4, 0.05)


def optimizer(kind=optim.SGD, **options):
    groups = [{"params": [nn.Parameter(specjit.ones(1))], "lr": lr} for lr in BASES]
    return kind(groups, **options)


def course(scheduler, epochs):
    """The rates of both groups at each epoch."""
    rates = []
    for _ in range(epochs):
        rates.append(scheduler.get_last_lr())
        assert rates[-1] == [float(g["lr"]) for g in scheduler.optimizer.param_groups]
        scheduler.optimizer.step()
        scheduler.step()
    return np.array(rates)


def cosine(t, top, least=0.01):
    return least + (top - least) * (1 + math.cos(math.pi * t / 5)) / 2


CASES = {
    "StepLR": (lambda o, **k: schedules.StepLR(o, 3, 0.5, **k), lambda t, b: b * 0.5 ** (t // 3)),
    "MultiStepLR": (
        lambda o, **k: schedules.MultiStepLR(o, [2, 5, 5], gamma=0.1, **k),
        lambda t, b: b * 0.1 ** ((t >= 2) + 2 * (t >= 5)),
    ),
    "ExponentialLR": (lambda o, **k: schedules.ExponentialLR(o, 0.8, **k), lambda t, b: b * 0.8**t),
    "ConstantLR": (lambda o, **k: schedules.ConstantLR(o, 0.25, 4, **k), lambda t, b: b * (0.25 if t < 4 else 1)),
    "LinearLR": (
        lambda o, **k: schedules.LinearLR(o, 0.2, 0.9, 4, **k),
        lambda t, b: b * (0.2 + 0.7 * min(t, 4) / 4),
    ),
    "PolynomialLR": (
        lambda o, **k: schedules.PolynomialLR(o, 6, 2.0, **k),
        lambda t, b: b * (1 - min(t, 6) / 6) ** 2,
    ),
    "CosineAnnealingLR": (lambda o, **k: schedules.CosineAnnealingLR(o, 5, 0.01, **k), cosine),
    "LambdaLR": (lambda o, **k: schedules.LambdaLR(o, lambda t: 1 / (1 + t), **k), lambda t, b: b / (1 + t)),
    "MultiplicativeLR": (
        lambda o, **k: schedules.MultiplicativeLR(o, [lambda t: 0.5, lambda t: 0.5], **k),
        lambda t, b: b * 0.5**t,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_course_of_each(name):
    make, formula = CASES[name]
    got = course(make(optimizer()), 13)
    want = [[formula(t, b) for b in BASES] for t in range(13)]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_saved_and_resumed(name):
    make, formula = CASES[name]
    whole = course(make(optimizer()), 9)
    first = make(optimizer())
    course(first, 4)
    later = make(optimizer())
    later.optimizer.load_state_dict(first.optimizer.state_dict())
    later.load_state_dict(first.state_dict())
    np.testing.assert_allclose(course(later, 5), whole[4:], rtol=1e-12)
    o = optimizer()
    for group, base in zip(o.param_groups, BASES):
        group["initial_lr"], group["lr"] = base, formula(3, base)
    resumed = make(o, last_epoch=3)
    np.testing.assert_allclose(resumed.get_last_lr(), whole[4], rtol=1e-12)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"LambdaLR", "MultiplicativeLR"}))
def test_a_step_to_an_epoch(name):
    make, formula = CASES[name]
    s = make(optimizer())
    s.optimizer.step()
    s.step(4)
    np.testing.assert_allclose(s.get_last_lr(), [formula(4, b) for b in BASES], rtol=1e-12)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("three", [False, True])
@pytest.mark.parametrize(("kind", "options"), [(optim.SGD, {"momentum": 0.5}), (optim.Adam, {})])
def test_one_cycle(strategy, three, kind, options):
    o = optimizer(kind, **options)
    s = schedules.OneCycleLR(
        o, [1.0, 0.5], epochs=4, steps_per_epoch=5, anneal_strategy=strategy, three_phase=three, div_factor=10.0
    )

    def way(a, b, part):
        return b + (a - b) * (1 + math.cos(math.pi * part)) / 2 if strategy == "cos" else a + (b - a) * part

    def at(points, t):
        for (t0, a), (t1, b) in pairwise(points):
            if t <= t1:
                return way(a, b, (t - t0) / (t1 - t0))
        raise AssertionError

    for t in range(20):
        for group, top in zip(o.param_groups, (1.0, 0.5)):
            low, end = top / 10, top / 10 / 1e4
            if three:
                rates, momenta = [(0, low), (5, top), (10, low), (19, end)], [(0, 0.95), (5, 0.85), (10, 0.95)]
                momenta.append((19, 0.95))
            else:
                rates, momenta = [(0, low), (5, top), (19, end)], [(0, 0.95), (5, 0.85), (19, 0.95)]
            assert group["lr"] == pytest.approx(at(rates, t), rel=1e-12)
            momentum = group["betas"][0] if kind is optim.Adam else group["momentum"]
            assert momentum == pytest.approx(at(momenta, t), rel=1e-12)
        o.step()
        s.step()
    with pytest.raises(ValueError, match="Tried to step 21 times"):
        s.step()


def test_plateaus():
    o = optimizer()
    s = schedules.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=1, min_lr=[0.15, 0.0], threshold=0.1)
    rates = []
    for value in (1.0, 0.95, 0.85, 0.85, 0.85, 0.85, 0.85, 0.85, 0.1, 0.2, specjit.tensor(0.2)):
        s.step(value)
        rates.append(s.get_last_lr()[0])
    # 0.95 is less than 10% better; the step after each reduction is not counted.
    assert rates == [0.4] * 4 + [0.2] * 3 + [0.15] * 4
    assert s.best == 0.1
    assert s.num_bad_epochs == 2 - 1 or s.in_cooldown
    other = schedules.ReduceLROnPlateau(optimizer())
    other.load_state_dict(s.state_dict())
    assert (other.best, other.factor, other.last_epoch) == (0.1, 0.5, 11)


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "better", "worse"),
    [("min", "rel", 0.89, 0.91), ("min", "abs", 0.85, 0.95), ("max", "rel", 1.11, 1.09), ("max", "abs", 1.15, 1.05)],
)
def test_what_counts_as_better(mode, threshold_mode, better, worse):
    s = schedules.ReduceLROnPlateau(optimizer(), mode, threshold=0.1, threshold_mode=threshold_mode)
    s.step(1.0)
    assert s.best == 1
    assert s.is_better(better, 1.0)
    assert not s.is_better(worse, 1.0)


def test_small_changes_are_none():
    s = schedules.ReduceLROnPlateau(optimizer(), patience=0, eps=1.0)
    s.step(1.0)
    s.step(2.0)
    assert s.get_last_lr() == list(BASES)


def test_in_sequence():
    o = optimizer()
    parts = [schedules.ConstantLR(o, 0.1, 100), schedules.ExponentialLR(o, 0.5), schedules.StepLR(o, 2, 0.1)]
    s = schedules.SequentialLR(o, parts, [3, 6])
    got = course(s, 10)[:, 0]
    want = [0.04] * 3 + [0.4, 0.2, 0.1] + [0.4, 0.4, 0.04, 0.04]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    o = optimizer()
    again = schedules.SequentialLR(
        o, [schedules.ConstantLR(o, 0.1, 100), schedules.ExponentialLR(o, 0.5), schedules.StepLR(o, 2, 0.1)], [3, 6]
    )
    course(again, 4)
    saved, rates = again.state_dict(), o.state_dict()
    o = optimizer()
    third = schedules.SequentialLR(
        o, [schedules.ConstantLR(o, 0.1, 100), schedules.ExponentialLR(o, 0.5), schedules.StepLR(o, 2, 0.1)], [3, 6]
    )
    o.load_state_dict(rates)
    third.load_state_dict(saved)
    np.testing.assert_allclose(course(third, 6)[:, 0], want[4:], rtol=1e-12)


def test_all_at_once():
    o = optimizer()
    s = schedules.ChainedScheduler([schedules.ConstantLR(o, 0.1, 2), schedules.ExponentialLR(o, 0.5)])
    want = [0.04, 0.02, 0.1, 0.05]
    np.testing.assert_allclose(course(s, 4)[:, 0], want, rtol=1e-12)
    with pytest.raises(ValueError, match="at least one"):
        schedules.ChainedScheduler([])


def test_rates_that_are_tensors_are_written_in_place():
    rate = specjit.tensor(0.4)
    o = optim.SGD([nn.Parameter(specjit.ones(1))], lr=rate)
    s = schedules.ExponentialLR(o, 0.5)
    o.step()
    s.step()
    assert rate.item() == pytest.approx(0.2)
    assert o.param_groups[0]["lr"] is rate


def test_functions_are_not_saved_but_objects_are():
    class Slope:
        def __init__(self, k):
            self.k = k

        def __call__(self, t):
            return self.k * t

    saved = schedules.LambdaLR(optimizer(), [Slope(2), lambda t: 1.0]).state_dict()
    assert saved["lr_lambdas"] == [{"k": 2}, None]
    other = schedules.LambdaLR(optimizer(), [Slope(3), lambda t: 1.0])
    other.load_state_dict(saved)
    assert other.lr_lambdas[0].k == 2


def test_order_of_steps():
    s = schedules.ExponentialLR(optimizer(), 0.5)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        s.step()
    s = schedules.ExponentialLR(optimizer(), 0.5)
    s.optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        s.step()


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda o: schedules.StepLR(3, 1), TypeError, "int is not an Optimizer"),
        (lambda o: schedules.StepLR(o, 1, last_epoch=2), KeyError, "initial_lr"),
        (lambda o: schedules.LambdaLR(o, [abs]), ValueError, "Expected 2 lr_lambdas, but got 1"),
        (lambda o: schedules.LinearLR(o, 0.0), ValueError, "Starting"),
        (lambda o: schedules.LinearLR(o, end_factor=1.5), ValueError, "Ending"),
        (lambda o: schedules.ConstantLR(o, 2.0), ValueError, "Constant"),
        (lambda o: schedules.OneCycleLR(o, 1.0), ValueError, "either total_steps OR"),
        (lambda o: schedules.OneCycleLR(o, 1.0, 0), ValueError, "positive integer total_steps"),
        (lambda o: schedules.OneCycleLR(o, 1.0, epochs=1, steps_per_epoch=-1), ValueError, "steps_per_epoch"),
        (lambda o: schedules.OneCycleLR(o, 1.0, 5, pct_start=2.0), ValueError, "pct_start"),
        (lambda o: schedules.OneCycleLR(o, 1.0, 5, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
        (lambda o: schedules.OneCycleLR(o, [1.0], 5), ValueError, "Expected 2 values for max_lr, got 1"),
        (lambda o: schedules.OneCycleLR(optimizer(optim.Adagrad), 1.0, 5), ValueError, "cycle_momentum"),
        (lambda o: schedules.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor"),
        (lambda o: schedules.ReduceLROnPlateau(o, "x"), ValueError, "mode x is unknown"),
        (lambda o: schedules.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold mode x"),
        (lambda o: schedules.ReduceLROnPlateau(o, min_lr=[1]), ValueError, "expected 2 min_lrs"),
        (lambda o: schedules.SequentialLR(o, [], []), ValueError, "at least one"),
        (lambda o: schedules.SequentialLR(o, [schedules.StepLR(o, 1)], [3]), ValueError, "one more than"),
        (
            lambda o: schedules.SequentialLR(o, [schedules.StepLR(optimizer(), 1)], []),
            ValueError,
            "same optimizer",
        ),
        (
            lambda o: schedules.SequentialLR(o, [schedules.ReduceLROnPlateau(o)], []),
            ValueError,
            "does not support `ReduceLROnPlateau`",
        ),
    ],
)
def test_errors(make, kind, text):
    with pytest.raises(kind, match=text):
        make(optimizer(momentum=0.5))
