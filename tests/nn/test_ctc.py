"""Connectionist temporal classification through log_softmax, as it is used. Values: see its rows."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import nn


def test_ctc_differentiates_once():
    x = specjit.randn(4, 2, 3, dtype=specjit.float64, requires_grad=True)
    lengths = specjit.tensor([4, 3]), specjit.tensor([2, 1])
    targets = specjit.tensor([[1, 2], [2, 0]])

    def loss(x):
        return nn.functional.ctc_loss(x.log_softmax(2), targets, *lengths)

    assert specjit.autograd.gradcheck(loss, (x,))
    (g,) = specjit.autograd.grad(loss(x), x, create_graph=True)
    with pytest.raises(RuntimeError, match="ctc_loss_backward"):
        g.sum().backward()


def test_ctc_of_what_cannot_be_aligned():
    x = specjit.zeros(2, 2, 3).log_softmax(2).requires_grad_()
    arguments = specjit.tensor([[1, 1], [1, 2]]), specjit.tensor([2, 2]), specjit.tensor([2, 2])
    assert nn.functional.ctc_loss(x, *arguments, reduction="none").tolist()[0] == np.inf
    loss = nn.functional.ctc_loss(x, *arguments, reduction="sum", zero_infinity=True)
    loss.backward()
    assert x.grad[:, 0].abs().sum().item() == 0
    assert x.grad[:, 1].abs().sum().item() > 0
