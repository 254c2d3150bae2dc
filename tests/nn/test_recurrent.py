"""Recurrent layers and cells: errors, options, dropout, text. Their values: rows of tests/moduleinfo/recurrent.py."""

from __future__ import annotations

import warnings

import pytest

import specjit
from specjit import nn

ONES = specjit.ones


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_layer_errors(kind):
    net, state = kind(3, 4), ONES(1, 2, 4)
    for call, error, text in (
        (lambda: net(ONES(3)), ValueError, "Expected input to be 2D or 3D, got 1D instead"),
        (lambda: net(ONES(5, 2, 2)), RuntimeError, "Expected 3, got 2"),
        (lambda: net(ONES(5, 2, 3).double()), ValueError, "does not match weight dtype"),
        (lambda: net(ONES(0, 2, 3)), RuntimeError, "stack"),
        (lambda: kind(3, 4, dropout=2.0), ValueError, "range"),
        (lambda: kind(3, 0), ValueError, "hidden_size must be greater than zero"),
        (lambda: kind(3, 4, 0), ValueError, "num_layers must be greater than zero"),
        (lambda: kind(0, 4), ValueError, "input_size must be greater than zero"),
        (lambda: kind(3, 4, dropout=True), ValueError, "range"),
        (lambda: kind(3.0, 4), TypeError, "input_size should be of type int, got: float"),
    ):
        with pytest.raises(error, match=text):
            call()
    given = (lambda h: (h, h)) if kind is nn.LSTM else lambda h: h
    for bad, text in (
        (ONES(2, 4), "For batched 3-D input"),
        (ONES(1, 2, 3), r"size \(1, 2, 4\), got \[1, 2, 3\]"),
        (ONES(1, 1, 4), r"size \(1, 2, 4\), got \[1, 1, 4\]"),
    ):
        with pytest.raises(RuntimeError, match=text):
            net(ONES(5, 2, 3), given(bad))
    with pytest.raises(RuntimeError, match="For unbatched 2-D input"):
        net(ONES(5, 3), given(state))
    assert net(ONES(5, 0, 3))[0].shape == (5, 0, 4)
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        kind(3, 4, dropout=0.5)


def test_options():
    for kind in (nn.RNN, nn.GRU):
        with pytest.raises(ValueError, match="only supported for LSTM"):
            kind(3, 4, proj_size=2)
    for size, text in ((4, "smaller than hidden_size"), (-1, "positive integer or zero")):
        with pytest.raises(ValueError, match=text):
            nn.LSTM(3, 4, proj_size=size)
    with pytest.raises(ValueError, match="Unknown nonlinearity 'x'"):
        nn.RNN(3, 4, nonlinearity="x")
    assert repr(nn.RNN(3, 4, 2, "relu", False, True, 0.5, True)) == (
        "RNN(3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)"
    )
    net = nn.LSTM(3, 4, 2, proj_size=2, bias=False)
    assert [[tuple(p.shape) for p in each] for each in net.all_weights] == [
        [(16, 3), (16, 2), (2, 4)],
        [(16, 2), (16, 2), (2, 4)],
    ]
    net.flatten_parameters()
    assert nn.GRU(3, 4, device="meta").weight_hh_l0.is_meta
    assert nn.GRU(3, 4, dtype=specjit.float64)(ONES(2, 3).double())[0].dtype is specjit.float64


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_dropout_lies_between_layers(kind):
    specjit.manual_seed(0)
    noisy = kind(3, 4, num_layers=2, dropout=0.5)
    x = ONES(5, 2, 3)
    assert noisy(x)[0].tolist() != noisy(x)[0].tolist()
    noisy.eval()
    assert noisy(x)[0].tolist() == noisy(x)[0].tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = kind(3, 4, dropout=0.5)
    assert single(x)[0].tolist() == single(x)[0].tolist()


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_cell_errors(kind):
    cell = kind(3, 4)
    given = (lambda h: (h, h)) if kind is nn.LSTMCell else lambda h: h
    for call, error, text in (
        (lambda: cell(ONES(2, 2)), RuntimeError, "got 2 expected 3"),
        (lambda: cell(ONES(2, 2, 3)), ValueError, "Expected input to be 1D or 2D, got 3D"),
        (lambda: cell(ONES(2, 3), given(ONES(2, 3))), RuntimeError, "got 3, expected 4"),
        (lambda: cell(ONES(2, 3), given(ONES(3, 4))), RuntimeError, "doesn't match hidden0"),
        (lambda: cell(ONES(2, 3), given(ONES(1, 2, 4))), ValueError, "Expected hidden to be 1D or 2D, got 3D"),
    ):
        with pytest.raises(error, match=text):
            call()
    with pytest.raises(TypeError, match="must be tuple of Tensors, not Tensor"):
        nn.LSTMCell(3, 4)(ONES(2, 3), ONES(2, 4))
    with pytest.raises(RuntimeError, match="Unknown nonlinearity: x"):
        nn.RNNCell(3, 4, nonlinearity="x")(ONES(2, 3))
    assert repr(nn.RNNCell(3, 4, False, "relu")) == "RNNCell(3, 4, bias=False, nonlinearity=relu)"


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_state_that_is_given_costs_no_second_region(kind):
    net, x, h = kind(3, 4), specjit.randn(5, 2, 3), specjit.randn(1, 2, 4)
    state = (h, h) if kind is nn.LSTM else h
    fast = specjit.optimize(net, warmup=1, background=False)
    want = net(x, state)[0]
    for _ in range(3):
        got = fast(x, state)[0]
    assert specjit.allclose(got, want, atol=1e-6)
    assert fast.stats()["fast"] == 3
    longer = specjit.randn(9, 2, 3)
    assert specjit.allclose(fast(longer, state)[0], net(longer, state)[0], atol=1e-6)
    fast.close()
