"""Attention and encoders: what their rows do not say."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.nn import functional as F


def test_causal_hint_and_static_keys():
    specjit.manual_seed(0)
    m = nn.MultiheadAttention(4, 2).double()
    x = specjit.randn(3, 2, 4, dtype=specjit.float64)
    mask = specjit.tensor(np.triu(np.ones((3, 3), bool), 1))
    want = m(x, x, x, attn_mask=mask, need_weights=False)
    hinted = m(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)
    np.testing.assert_allclose(hinted[0].detach().numpy(), want[0].detach().numpy(), rtol=1e-12)
    assert hinted[1] is None
    weights = m(x, x, x, attn_mask=mask, is_causal=True)[1]
    assert weights[0, 0].tolist() == [1, 0, 0]
    w = (m.in_proj_weight, m.in_proj_bias, None, None, False, 0.0, m.out_proj.weight, m.out_proj.bias)
    k, v = (F.linear(x, a, b) for a, b in zip(m.in_proj_weight.chunk(3)[1:], m.in_proj_bias.chunk(3)[1:]))
    k, v = (y.reshape(3, 4, 2).transpose(0, 1) for y in (k, v))
    out, _ = F.multi_head_attention_forward(x, x, x, 4, 2, *w, static_k=k, static_v=v)
    np.testing.assert_allclose(out.detach().numpy(), m(x, x, x)[0].detach().numpy(), rtol=1e-12)


def test_dropout_of_weights():
    specjit.manual_seed(0)
    m = nn.MultiheadAttention(4, 1, dropout=0.5)
    x = specjit.randn(20, 1, 4)
    _, weights = m(x, x, x)
    assert 0.3 < (weights == 0).float().mean().item() < 0.7
    assert m(x, x, x, need_weights=False)[0].tolist() != m(x, x, x, need_weights=False)[0].tolist()
    m.eval()
    assert specjit.allclose(m(x, x, x)[1].sum(-1), specjit.ones(1, 20))


def test_initial_values_and_errors():
    m = nn.MultiheadAttention(64, 2, add_bias_kv=True)
    assert m.in_proj_bias.tolist() == [0] * 192
    assert m.out_proj.bias.tolist() == [0] * 64
    bound = (6 / (64 + 192)) ** 0.5
    assert 0.99 * bound < m.in_proj_weight.abs().amax().item() <= bound
    assert nn.MultiheadAttention(4, 2, device="meta").bias_k is None
    with pytest.raises(AssertionError, match="divisible by num_heads"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(ValueError, match="greater than 0, got embed_dim=0"):
        nn.MultiheadAttention(0, 2)


def test_encoders():
    layer = nn.TransformerEncoderLayer(4, 2, 3, dropout=0.0, activation=nn.GELU(), dtype=specjit.float64)
    assert [n for n, _ in layer.named_children()][-1] == "activation"
    net = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4).double())
    x = specjit.randn(3, 2, 4, dtype=specjit.float64)
    want = net.norm(net.layers[1](net.layers[0](x)))
    assert net(x).tolist() == want.tolist()
    assert net.layers[0].linear1.weight is not layer.linear1.weight
    assert net.layers[0].linear1.weight.tolist() == net.layers[1].linear1.weight.tolist()
    assert "(0-1): 2 x TransformerEncoderLayer(" in repr(net)
    with pytest.raises(RuntimeError, match="relu/gelu, not x"):
        nn.TransformerEncoderLayer(4, 2, activation="x")
    noisy = nn.TransformerEncoderLayer(4, 2, 3)
    assert noisy(x.float()).tolist() != noisy(x.float()).tolist()


def test_encoder_layer_is_one_region():
    net = nn.TransformerEncoderLayer(8, 2, 8).eval()
    fast = specjit.optimize(net, warmup=1, background=False)
    for length in (3, 5, 4):
        x = specjit.randn(length, 2, 8)
        assert specjit.allclose(fast(x), net(x), atol=1e-5)
    # The length as a constant, then as a symbol.
    assert [(len(v.regions), v.python_nodes) for v in fast.specializations] == [(1, 0), (1, 0)]
    fast.close()
