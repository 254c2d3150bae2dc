"""Recurrent layers, in plain Python over ops.

Enters: inputs (input size last) and states. Leaves: outputs and new states, with PyTorch's parameter names, shapes
and gate order.
Invariant: there is no kernel here; a layer is a loop over its cell's equations, as a user would write it.
"""

from __future__ import annotations

import warnings
from typing import Any

from specjit.nn import functional as F
from specjit.nn.module import Module
from specjit.nn.recurrent_cells import gru_cell, lstm_cell, reset_within_hidden, rnn_cell
from specjit.ops.combine import cat, stack
from specjit.ops.creation import empty, zeros
from specjit.tensor.parameter import Parameter


class _Recurrent(Module):
    """Layers and directions around a cell. Parameters are named weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 (and
    weight_hr_l0 of a projection) ..., those of the other direction end in `_reverse`."""

    gates = 1
    projects = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_sizes(input_size, hidden_size, num_layers, proj_size)
        if proj_size and not self.projects:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        rate = float(dropout)
        if isinstance(dropout, bool) or not 0 <= rate <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if rate > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={rate} and num_layers={num_layers}",
                stacklevel=2,
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = rate
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self.directions = 2 if bidirectional else 1
        self.output_size = proj_size or hidden_size
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else self.output_size * self.directions
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, self.output_size)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            shapes |= {"weight_hr": (proj_size, hidden_size)} if proj_size else {}
            for suffix in self._suffixes(layer):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"):
                    made = Parameter(empty(shapes[name], device=device, dtype=dtype)) if name in shapes else None
                    self.register_parameter(f"{name}_{suffix}", made)
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def reset_parameters(self) -> None:
        """Uniform within 1 / sqrt(hidden_size)."""
        reset_within_hidden(self)

    def flatten_parameters(self) -> None:
        """Nothing: no kernel wants the weights in one piece of memory."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, a list for each layer and direction."""
        suffixes = [suffix for layer in range(self.num_layers) for suffix in self._suffixes(layer)]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        each = [[getattr(self, f"{name}_{suffix}") for name in names] for suffix in suffixes]
        return [[p for p in weights if p is not None] for weights in each]

    def _weights(self, layer: int, direction: int) -> Any:
        suffix = f"l{layer}_reverse" if direction else f"l{layer}"
        return (
            getattr(self, f"weight_ih_{suffix}"),
            getattr(self, f"weight_hh_{suffix}"),
            getattr(self, f"bias_ih_{suffix}"),
            getattr(self, f"bias_hh_{suffix}"),
        )

    def _prepare(self, input: Any) -> Any:
        """The input as (T, B, I)."""
        if input.ndim not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}"
            )
        if input.dtype != self.weight_ih_l0.dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({self.weight_ih_l0.dtype}). Convert "
                f"input: input.to({self.weight_ih_l0.dtype}), or convert model: model.to({input.dtype})"
            )
        if input.ndim == 2:
            return input.unsqueeze(1)
        return input.transpose(0, 1) if self.batch_first else input

    def _finish(self, output: Any, batched: bool) -> Any:
        if not batched:
            return output.squeeze(1)
        return output.transpose(0, 1) if self.batch_first else output

    def _start(self, x: Any, state: Any, batched: bool, size: int, name: str = "hidden") -> Any:
        """The state (layers * directions, B, size) to begin with."""
        count = self.num_layers * self.directions
        if state is None:
            return zeros(count, x.shape[1], size, dtype=x.dtype, device=x.device)
        if not batched:
            state = state.unsqueeze(1)
        if state.shape[0] != count or state.shape[1] != x.shape[1] or state.shape[2] != size:
            raise RuntimeError(f"Expected {name} size {(count, x.shape[1], size)}, got {list(state.shape)}")
        return state

    def _between(self, layer: int, x: Any) -> Any:
        """Dropout between layers."""
        if layer + 1 < self.num_layers and self.dropout > 0:
            return F.dropout(x, self.dropout, self.training)
        return x

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if not self.bias:
            text += ", bias=False"
        if self.batch_first:
            text += ", batch_first=True"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.bidirectional:
            text += ", bidirectional=True"
        return text


def _check_sizes(input_size: int, hidden_size: int, num_layers: int, proj_size: int) -> None:
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if not isinstance(value, int):
            raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


def _check_batched(kind: str, input: Any, ndim: int) -> None:
    if ndim != input.ndim:
        raise RuntimeError(
            f"For {'batched' if input.ndim == 3 else 'unbatched'} {input.ndim}-D input, {kind} should also be "
            f"{input.ndim}-D but got {ndim}-D tensor"
        )


class LSTM(_Recurrent):
    """input (T, B, I) [(B, T, I) with batch_first, (T, I) unbatched] and (h0, c0), each (layers * directions, B, H).

    Returns output (T, B, H * directions) and (h, c). With `proj_size` P, h is projected to P values by weight_hr, and
    output and h have P in the place of H.
    """

    gates = 4
    projects = True

    def forward(self, input: Any, hx: Any = None) -> Any:
        batched = input.ndim == 3
        x = self._prepare(input)
        if hx is not None:
            _check_batched("hx and cx", input, hx[0].ndim)
            _check_batched("hx and cx", input, hx[1].ndim)
        h0 = self._start(x, None if hx is None else hx[0], batched, self.output_size, "hidden[0]")
        c0 = self._start(x, None if hx is None else hx[1], batched, self.hidden_size, "hidden[1]")
        hs = []
        cs = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(self.directions):
                k = layer * self.directions + direction
                projection = self._projection(layer, direction)
                out, h, c = self._run(x, h0[k], c0[k], self._weights(layer, direction), projection, direction == 1)
                outs.append(out)
                hs.append(h)
                cs.append(c)
            x = outs[0] if len(outs) == 1 else cat(outs, -1)
            x = self._between(layer, x)
        h, c = stack(hs), stack(cs)
        if not batched:
            h, c = h.squeeze(1), c.squeeze(1)
        return self._finish(x, batched), (h, c)

    def _projection(self, layer: int, direction: int) -> Any:
        return getattr(self, f"weight_hr_l{layer}_reverse" if direction else f"weight_hr_l{layer}")

    def _run(self, x: Any, h: Any, c: Any, weights: Any, projection: Any, reverse: bool) -> Any:
        w_ih, w_hh, b_ih, b_hh = weights
        rows = []
        steps = x.shape[0]
        for t in range(steps):
            step = x[steps - 1 - t] if reverse else x[t]
            h, c = lstm_cell(step, h, c, w_ih, w_hh, b_ih, b_hh)
            if projection is not None:
                h = F.linear(h, projection)
            rows.append(h)
        out = stack(rows)
        return out.flip(0) if reverse else out, h, c


class _Hidden(_Recurrent):
    """Layers whose whole state is h."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        batched = input.ndim == 3
        x = self._prepare(input)
        if hx is not None:
            _check_batched("hx", input, hx.ndim)
        h0 = self._start(x, hx, batched, self.hidden_size)
        hs = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(self.directions):
                k = layer * self.directions + direction
                out, h = self._run(x, h0[k], self._weights(layer, direction), direction == 1)
                outs.append(out)
                hs.append(h)
            x = outs[0] if len(outs) == 1 else cat(outs, -1)
            x = self._between(layer, x)
        h = stack(hs)
        return self._finish(x, batched), (h if batched else h.squeeze(1))

    def _run(self, x: Any, h: Any, weights: Any, reverse: bool) -> Any:
        w_ih, w_hh, b_ih, b_hh = weights
        rows = []
        steps = x.shape[0]
        for t in range(steps):
            h = self._step(x[steps - 1 - t] if reverse else x[t], h, w_ih, w_hh, b_ih, b_hh)
            rows.append(h)
        out = stack(rows)
        return out.flip(0) if reverse else out, h

    def _step(self, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        raise NotImplementedError


class GRU(_Hidden):
    """input (T, B, I) [(B, T, I) with batch_first, (T, I) unbatched] and h0 (layers * directions, B, H).

    Returns output (T, B, H * directions) and h.
    """

    gates = 3

    def _step(self, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        return gru_cell(x, h, w_ih, w_hh, b_ih, b_hh)


class RNN(_Hidden):
    """The simple recurrent net: h = tanh (or relu) of both linear maps. Shapes and further options as for GRU."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *rest: Any,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, *rest, **options)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity

    def _step(self, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        return rnn_cell(x, h, w_ih, w_hh, b_ih, b_hh, self.nonlinearity)
