"""Classes that do not exist: the same error on every path, and none where a target is ignored."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit.nn import functional as F

LOGITS = specjit.tensor(np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32))
GOOD, IGNORED, BAD = (specjit.tensor([0, 4, 2, last]) for last in (1, 7, -1))


def entropy(x, target):
    return F.cross_entropy(x, target, ignore_index=7)


def likelihood(x, target):
    return F.nll_loss(F.log_softmax(x, 1), target, ignore_index=7, reduction="none")


LOSSES = pytest.mark.parametrize("loss", [entropy, likelihood])


@LOSSES
@pytest.mark.parametrize(
    "made",
    [
        lambda loss: loss,
        specjit.jit.script,
        lambda loss: specjit.jit.trace(loss, (LOGITS, GOOD)),
        lambda loss: specjit.optimize(loss, warmup=1, background=False),
    ],
    ids=["eager", "scripted", "traced", "optimized"],
)
def test_every_path_names_the_class(loss, made):
    program = made(loss)
    for target in (GOOD, IGNORED, GOOD):
        np.testing.assert_allclose(program(LOGITS, target).numpy(), loss(LOGITS, target).numpy(), rtol=1e-6)
    for _ in range(2):
        with pytest.raises(IndexError, match=r"^Target -1 is out of bounds\.$"):
            program(LOGITS, BAD)
    np.testing.assert_allclose(program(LOGITS, GOOD).numpy(), loss(LOGITS, GOOD).numpy(), rtol=1e-6)


@LOSSES
def test_the_check_is_in_the_native_region(loss):
    program = specjit.optimize(loss, warmup=1, background=False)
    x = LOGITS.clone().requires_grad_()
    for _ in range(2):
        program(x, GOOD).sum().backward()
    (variant,) = program.specializations
    assert (len(variant.regions), variant.python_nodes) == (1, 0)
    want = LOGITS.clone().requires_grad_()
    loss(want, GOOD).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * want.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_weights_of_classes_are_not_looked_up_beyond_them():
    with pytest.raises(IndexError, match=r"^Target 5 is out of bounds\.$"):
        F.cross_entropy(LOGITS, specjit.tensor([0, 1, 5, 2]), weight=specjit.ones(5), label_smoothing=0.1)
