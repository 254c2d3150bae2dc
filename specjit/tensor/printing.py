"""`print(tensor)` in PyTorch's form.

Enters: a tensor. Leaves: text with its values (4 significant decimals, summarized past 1000 elements), and what is
not the default:
dtype, device, grad_fn, requires_grad.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.dtypes import get_default_dtype
from specjit.tensor.size import Size
from specjit.tensor.tensor import Tensor

THRESHOLD = 1000
EDGE = 3
WIDTH = 80
PRECISION = 4
PREFIX = "tensor("


class _Format:
    """How one number of a tensor prints: fixed or scientific, all of one width."""

    def __init__(self, values: np.ndarray) -> None:
        self.float = values.dtype.kind == "f"
        self.bool = values.dtype.kind == "b"
        self.int_mode = self.science = False
        self.width = 1
        flat = values.reshape(-1)
        if not self.float:
            self.width = max((len(self.plain(v)) for v in flat), default=1)
            return
        known = np.abs(flat[np.isfinite(flat) & (flat != 0)].astype(np.float64))
        if known.size:
            top, low = float(known.max()), float(known.min())
            self.int_mode = bool(np.all(known == np.ceil(known)))
            self.science = top / low > 1000 or top > 1e8 or low < 1e-4
            if self.int_mode:
                self.science = (top / low > 1000 and top > 1e8) or top > 1e8
        else:
            self.int_mode = True
        # Zeros and what is not finite do not decide the width, as in PyTorch.
        finite = flat[np.isfinite(flat) & (flat != 0)]
        self.width = max((len(self.text(float(v))) for v in finite), default=1)

    def plain(self, v: Any) -> str:
        return str(bool(v)) if self.bool else str(v)

    def text(self, v: float) -> str:
        if self.science:
            return f"{v:.{PRECISION}e}"
        if self.int_mode:
            return f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}"
        return f"{v:.{PRECISION}f}"

    def __call__(self, v: Any) -> str:
        out = self.text(float(v)) if self.float else self.plain(v)
        return out.rjust(self.width)


def show(t: Tensor) -> str:
    """The representation of a tensor."""
    notes: list[str] = []
    dtype = t.dtype
    if t._data is None:
        body = "..."
        notes.append("device='meta'")
        notes.append(f"size={tuple(t.shape)}")
    elif not t.numel():
        body = "[]"
        if t.ndim != 1:
            notes.append(f"size={tuple(Size(t.shape))}")
    else:
        body = _body(t._data)
    plain = dtype is get_default_dtype() or (dtype.name in ("int64", "bool") and t.numel())
    if not plain:
        notes.append(f"dtype={dtype!r}")
    if t._requires_grad:
        node = t.grad_fn
        notes.append(f"grad_fn=<{node.name}>" if node is not None else "requires_grad=True")
    out = PREFIX + body
    length = len(out) - out.rfind("\n") - 1
    for note in notes:
        if length + len(note) + 2 > WIDTH:
            out += ",\n" + " " * len(PREFIX) + note
            length = len(PREFIX) + len(note)
        else:
            out += ", " + note
            length += len(note) + 2
    return out + ")"


def _body(data: np.ndarray) -> str:
    summarize = data.size > THRESHOLD
    shown = _edges(data) if summarize else data
    return _nested(data, _Format(shown), len(PREFIX), summarize)


def _edges(data: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    for d in range(data.ndim):
        if data.shape[d] > 2 * EDGE:
            n = data.shape[d]
            data = np.take(data, [*range(EDGE), *range(n - EDGE, n)], axis=d)
    return data


def _nested(data: np.ndarray, form: _Format, indent: int, summarize: bool) -> str:
    if data.ndim == 0:
        return form(data).strip() if form.width else form(data)
    cut = summarize and data.shape[0] > 2 * EDGE
    if data.ndim == 1:
        row = [form(v) for v in data] if not cut else [*map(form, data[:EDGE]), " ...", *map(form, data[-EDGE:])]
        per_line = max(1, (WIDTH - indent) // (form.width + 2))
        lines = [", ".join(row[i : i + per_line]) for i in range(0, len(row), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_nested(x, form, indent + 1, summarize) for x in (data if not cut else data[:EDGE])]
    if cut:
        parts += ["...", *(_nested(x, form, indent + 1, summarize) for x in data[-EDGE:])]
    return "[" + ("," + "\n" * (data.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
