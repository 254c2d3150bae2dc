"""Clipping of gradients, parameters as vectors, padded sequences."""

from __future__ import annotations

import math

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.nn import utils


def parameters():
    rng = np.random.default_rng(0)
    made = [nn.Parameter(specjit.zeros(*shape, dtype=specjit.float64)) for shape in ((3, 4), (5,), ())]
    for p in made:
        p.grad = specjit.tensor(rng.normal(size=tuple(p.shape)) * 3)
    return [*made, nn.Parameter(specjit.zeros(2))]


def flat(tensors):
    return np.concatenate([np.ravel(t.detach().numpy()) for t in tensors])


@pytest.mark.parametrize("order", [2.0, 1, 3.0, math.inf, -math.inf])
@pytest.mark.parametrize("limit", [0.5, 1e9])
def test_clip_grad_norm(order, limit):
    given = parameters()
    before = flat(p.grad for p in given[:3])
    want = np.linalg.norm(before, order)
    held = [p.grad for p in given[:3]]
    total = utils.clip_grad_norm_(iter(given), limit, order)
    np.testing.assert_allclose(total.item(), want, rtol=1e-12)
    np.testing.assert_allclose(flat(held), before * min(1.0, limit / (want + 1e-6)), rtol=1e-12)
    assert given[3].grad is None
    assert not total.requires_grad


def test_clip_grad_norm_edges():
    p = parameters()[1]
    want = np.linalg.norm(p.grad.numpy())
    assert math.isclose(utils.get_total_norm(p.grad).item(), want)
    assert math.isclose(utils.clip_grad_norm_(p, 1.0).item(), want)
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    assert utils.get_total_norm(specjit.tensor([0.0, 2.0]), 0).item() == 1
    p.grad = specjit.full((5,), math.nan, dtype=specjit.float64)
    with pytest.raises(RuntimeError, match=r"order 2.0 .* non-finite"):
        utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert math.isnan(utils.clip_grad_norm_([p], 1.0).item())


def test_clip_grad_value():
    given = parameters()
    before = flat(p.grad for p in given[:3])
    utils.clip_grad_value_(given, 0.5)
    np.testing.assert_array_equal(flat(p.grad for p in given[:3]), np.clip(before, -0.5, 0.5))
    utils.clip_grad_value_(given[0], 0.1)
    assert given[0].grad.abs().amax().item() == 0.1


def test_vectors():
    net = nn.Linear(3, 2)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.tolist() == [*net.weight.reshape(-1).tolist(), *net.bias.tolist()]
    vector.sum().backward()
    assert net.bias.grad.tolist() == [1, 1]
    kept = net.weight
    utils.vector_to_parameters(specjit.arange(8.0), net.parameters())
    assert net.weight is kept
    assert net.weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert net.bias.tolist() == [6, 7]
    with pytest.raises(TypeError, match="but got: int"):
        utils.vector_to_parameters(3, net.parameters())
    with pytest.raises(RuntimeError, match="shape"):
        utils.vector_to_parameters(specjit.ones(4), net.parameters())


def test_padded_sequences():
    each = [specjit.ones(n, 2, requires_grad=True) * (n + 1.0) for n in (2, 0, 3)]
    padded = utils.rnn.pad_sequence(each)
    assert padded.shape == (3, 3, 2)
    assert padded[:, :, 0].tolist() == [[3, 0, 4], [3, 0, 4], [0, 0, 4]]
    left = utils.rnn.pad_sequence(each, batch_first=True, padding_value=-1.0, padding_side="left")
    assert left[:, :, 1].tolist() == [[-1, 3, 3], [-1, -1, -1], [4, 4, 4]]
    again = utils.rnn.unpad_sequence(padded, specjit.tensor([2, 0, 3]))
    assert [s.tolist() for s in again] == [s.tolist() for s in each]
    again = utils.rnn.unpad_sequence(padded.transpose(0, 1), [2, 0, 3], batch_first=True)
    assert [len(s) for s in again] == [2, 0, 3]
    assert utils.rnn.pad_sequence([specjit.tensor([1, 2]), specjit.tensor([3])]).tolist() == [[1, 3], [2, 0]]
    for call, text in (
        (lambda: utils.rnn.pad_sequence(3), "Expected iterable"),
        (lambda: utils.rnn.pad_sequence([]), "empty list"),
        (lambda: utils.rnn.pad_sequence(each, padding_side="x"), "left or right, but got x"),
        (lambda: utils.rnn.pad_sequence([specjit.ones(2), specjit.ones(2, 3)]), ""),
    ):
        with pytest.raises(RuntimeError, match=text or None):
            call()
