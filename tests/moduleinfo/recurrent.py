"""Rows of the recurrent layers and cells, against their equations in a NumPy loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.moduleinfo import module
from tests.opinfo import Make


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rnn_step(activation: Callable[[Any], Any], x: Any, state: Any, w: Any) -> Any:
    (h,) = state
    return (activation(x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]),)


def lstm_step(x: Any, state: Any, w: Any) -> Any:
    h, c = state
    i, f, g, o = np.split(x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"], 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h @ w["weight_hr"].T if "weight_hr" in w else h), c


def gru_step(x: Any, state: Any, w: Any) -> Any:
    (h,) = state
    r, z, n = np.split(x @ w["weight_ih"].T + w["bias_ih"], 3, -1)
    rh, zh, nh = np.split(h @ w["weight_hh"].T + w["bias_hh"], 3, -1)
    r, z = sigmoid(r + rh), sigmoid(z + zh)
    return ((1 - z) * np.tanh(n + r * nh) + z * h,)


def step_of(m: Any) -> Callable[..., Any]:
    kind = type(m).__name__
    if kind.startswith("LSTM"):
        return lstm_step
    if kind.startswith("GRU"):
        return gru_step
    activation = np.tanh if m.nonlinearity == "tanh" else lambda x: np.maximum(x, 0)
    return lambda x, state, w: rnn_step(activation, x, state, w)


def weights(m: Any, suffix: str = "") -> dict[str, Any]:
    found = {k.removesuffix(suffix): v.numpy() for k, v in m.state_dict().items() if k.endswith(suffix)}
    zero = np.zeros(m.gates * m.hidden_size)
    return {"bias_ih": zero, "bias_hh": zero, **found}


def zero_state(m: Any, batch: int) -> tuple[np.ndarray, ...]:
    h = np.zeros((batch, getattr(m, "output_size", m.hidden_size)))
    return (h, np.zeros((batch, m.hidden_size))) if type(m).__name__.startswith("LSTM") else (h,)


def cell_reference(m: Any, x: Any, state: Any = None) -> Any:
    if state is None:
        state = [s[0] if x.ndim == 1 else s for s in zero_state(m, 1 if x.ndim == 1 else len(x))]
    elif not isinstance(state, tuple):
        state = (state,)
    out = step_of(m)(x, state, weights(m))
    return out if len(out) == 2 else out[0]


def layer_reference(m: Any, x: Any, state: Any = None) -> Any:
    batched = x.ndim == 3
    x = x[:, None] if not batched else x.swapaxes(0, 1) if m.batch_first else x
    if state is not None:
        state = state if isinstance(state, tuple) else (state,)
        state = tuple(s if batched else s[:, None] for s in state)
    step, last = step_of(m), []
    for layer in range(m.num_layers):
        ways = []
        for direction in range(m.directions):
            k = layer * m.directions + direction
            now = zero_state(m, x.shape[1]) if state is None else tuple(s[k] for s in state)
            w = weights(m, f"_l{layer}" + "_reverse" * direction)
            rows: list[Any] = [None] * len(x)
            for t in range(len(x) - 1, -1, -1) if direction else range(len(x)):
                now = step(x[t], now, w)
                rows[t] = now[0]
            ways.append(np.stack(rows))
            last.append(now)
        x = np.concatenate(ways, -1)
    final = tuple(np.stack(each) for each in zip(*last))
    out = x[:, 0] if not batched else x.swapaxes(0, 1) if m.batch_first else x
    final = tuple(f if batched else f[:, 0] for f in final)
    return out, (final if len(final) == 2 else final[0])


def cells(states: int, **more: Any) -> Any:
    def cases(make: Make) -> Iterator[Any]:
        def state(*shape: int) -> Any:
            made = tuple(make(*shape, low=-1, high=1) for _ in range(states))
            return made if states == 2 else made[0]

        yield (3, 4), {}, (make(2, 3), state(2, 4))
        yield (3, 4), {"bias": False, **more}, (make(2, 3),)
        yield (3, 2), {**more}, (make(3), state(2))
        yield (1, 1), {}, (make(0, 1),)

    return cases


def sequences(states: int, **more: Any) -> Any:
    def cases(make: Make) -> Iterator[Any]:
        p = more.get("proj_size")

        def state(*shape: int) -> Any:
            h = make(*shape[:-1], p or shape[-1], low=-1, high=1)
            return (h, make(*shape, low=-1, high=1)) if states == 2 else h

        yield (2, 3), {}, (make(4, 2, 2),)
        yield (2, 3), {"bidirectional": True, **more}, (make(3, 1, 2), state(2, 1, 3))
        yield (3, 4), {"num_layers": 2, "batch_first": True, **more}, (make(2, 5, 3), state(2, 2, 4))
        yield (3, 4), {"num_layers": 2, "bidirectional": True, "bias": False, **more}, (make(5, 2, 3), state(4, 2, 4))
        yield (3, 4), {"num_layers": 2, "dropout": 0.3, **more}, (make(5, 3), state(2, 4))
        yield (3, 4), {**more}, (make(1, 0, 3),)

    return cases


module("RNNCell", cells(1, nonlinearity="relu"), cell_reference)
module("LSTMCell", cells(2), cell_reference)
module("GRUCell", cells(1), cell_reference)
module("RNN", sequences(1, nonlinearity="relu"), layer_reference, random=True)
module("LSTM", sequences(2, proj_size=2), layer_reference, random=True)
module("GRU", sequences(1), layer_reference, random=True)
