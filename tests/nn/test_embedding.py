"""Embeddings and bags: gradients that are not those of the value, and rows that are shortened in place."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.ops.records.registry import get

F = nn.functional


def table(rows=5, d=3):
    return specjit.tensor(np.random.default_rng(0).normal(size=(rows, d)), requires_grad=True)


@pytest.mark.parametrize("bag", [False, True])
@pytest.mark.parametrize("padding", [1, -4])
def test_the_padding_row_gets_no_gradient(bag, padding):
    w, at = table(), specjit.tensor([[0, 1, 1], [3, 1, 0]])
    out = F.embedding_bag(at, w, mode="sum", padding_idx=padding) if bag else F.embedding(at, w, padding)
    out.sum().backward()
    assert w.grad[:, 0].tolist() == [2, 0, 0, 1, 0]


@pytest.mark.parametrize("bag", [False, True])
def test_gradients_divided_by_frequency(bag):
    w, at = table(), specjit.tensor([[0, 1, 1], [3, 1, 0]])
    scale = specjit.tensor([[1.0], [2.0]], dtype=specjit.float64)
    if bag:
        out = F.embedding_bag(at, w, mode="sum", scale_grad_by_freq=True) * scale
    else:
        out = F.embedding(at, w, scale_grad_by_freq=True) * scale.unsqueeze(1)
    out.sum().backward()
    # Each index's gradients 1 (first row) and 2 (second row), divided by how often it is there.
    np.testing.assert_allclose(w.grad[:, 0].numpy(), [(1 + 2) / 2, (1 + 1 + 2) / 3, 0, 2, 0])


def test_scaled_gradient():
    x = specjit.ones(2, 3, requires_grad=True)
    y = get("scaled_gradient").fn(x, specjit.tensor([[2.0], [0.5]]))
    assert y.tolist() == x.tolist()
    y.sum().backward()
    assert x.grad.tolist() == [[2.0] * 3, [0.5] * 3]


@pytest.mark.parametrize("norm_type", [2.0, 1.0])
def test_long_rows_that_are_used_are_shortened_in_place(norm_type):
    w, at = table(), specjit.tensor([0, 2, 2])
    before, version = w.detach().numpy().copy(), w._version[0]
    norms = (np.abs(before) ** norm_type).sum(1) ** (1 / norm_type)
    limit = float(np.sort(norms)[2])
    out = F.embedding(at, w, max_norm=limit, norm_type=norm_type)
    factor = np.where(np.isin(np.arange(5), [0, 2]) & (norms > limit), limit / (norms + 1e-7), 1)
    np.testing.assert_allclose(w.detach().numpy(), before * factor[:, None])
    np.testing.assert_allclose(out.detach().numpy(), (before * factor[:, None])[[0, 2, 2]])
    assert w._version[0] > version
    out.sum().backward()
    assert w.grad[:, 0].tolist() == [1, 0, 2, 0, 0]


def test_the_first_of_equal_maxima_gets_the_gradient():
    w = specjit.ones(3, 2, requires_grad=True)
    F.embedding_bag(specjit.tensor([[2, 0, 1]]), w, mode="max").sum().backward()
    assert w.grad.tolist() == [[0, 0], [0, 0], [1, 1]]


def test_from_pretrained():
    data = specjit.tensor([[1.0, 2.0], [3.0, 4.0]])
    for kind in (nn.Embedding, nn.EmbeddingBag):
        made = kind.from_pretrained(data)
        assert not made.weight.requires_grad
        assert kind.from_pretrained(data, freeze=False).weight.requires_grad
        assert made.weight.tolist() == data.tolist()
    with pytest.raises(AssertionError, match="2-dimensional"):
        nn.Embedding.from_pretrained(data[0])
    with pytest.raises(AssertionError, match="does not match"):
        nn.Embedding(3, 2, _weight=data)
