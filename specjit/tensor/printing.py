"""`print(tensor)` in PyTorch's form.

Enters: a tensor. Leaves: text with its values (4 decimals, summarized past 1000 elements, or as `set_printoptions`
says), and what is not the default: dtype, device, grad_fn, requires_grad.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjit.dtypes import get_default_dtype
from specjit.tensor.size import Size
from specjit.tensor.tensor import Tensor

PREFIX = "tensor("


class Options:
    """precision: decimals; threshold: elements past which a tensor is summarized; edgeitems: how many at each end then;
    linewidth: characters; sci_mode: scientific notation or not (None: as the numbers ask for)."""

    __slots__ = ("edgeitems", "linewidth", "precision", "sci_mode", "threshold")

    precision: int
    threshold: float
    edgeitems: int
    linewidth: int
    sci_mode: bool | None

    def __init__(self) -> None:
        self.precision, self.threshold, self.edgeitems, self.linewidth = PROFILES["default"]
        self.sci_mode = None


PROFILES: dict[str, tuple[int, float, int, int]] = {
    "default": (4, 1000, 3, 80),
    "short": (2, 1000, 2, 80),
    "full": (4, math.inf, 3, 80),
}
OPTIONS = Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Say how tensors print: a `profile` ("default", "short" or "full"), then single options. `sci_mode` None lets the
    numbers decide again."""
    if profile is not None:
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
        OPTIONS.precision, OPTIONS.threshold, OPTIONS.edgeitems, OPTIONS.linewidth = PROFILES[profile]
    OPTIONS.precision = OPTIONS.precision if precision is None else precision
    OPTIONS.threshold = OPTIONS.threshold if threshold is None else threshold
    OPTIONS.edgeitems = OPTIONS.edgeitems if edgeitems is None else edgeitems
    OPTIONS.linewidth = OPTIONS.linewidth if linewidth is None else linewidth
    OPTIONS.sci_mode = sci_mode


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
            self.science = top / low > 1000 or top > 1e8 or (low < 1e-4 and not self.int_mode)
        else:
            self.int_mode = True
        # Zeros and what is not finite do not decide the width, as in PyTorch.
        finite = flat[np.isfinite(flat) & (flat != 0)]
        self.width = max((len(self.text(float(v))) for v in finite), default=1)
        if OPTIONS.sci_mode is not None:
            self.science = OPTIONS.sci_mode

    def plain(self, v: Any) -> str:
        return str(bool(v)) if self.bool else str(v)

    def text(self, v: float) -> str:
        if self.science:
            return f"{v:.{OPTIONS.precision}e}"
        if self.int_mode:
            return f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}"
        return f"{v:.{OPTIONS.precision}f}"

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
        if length + len(note) + 2 > OPTIONS.linewidth:
            out += ",\n" + " " * len(PREFIX) + note
            length = len(PREFIX) + len(note)
        else:
            out += ", " + note
            length += len(note) + 2
    return out + ")"


def _body(data: np.ndarray) -> str:
    summarize = data.size > OPTIONS.threshold
    shown = _edges(data) if summarize else data
    return _nested(data, _Format(shown), len(PREFIX), summarize)


def _edges(data: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    edge = OPTIONS.edgeitems
    for d in range(data.ndim):
        if data.shape[d] > 2 * edge:
            n = data.shape[d]
            data = np.take(data, [*range(edge), *range(n - edge, n)], axis=d)
    return data


def _nested(data: np.ndarray, form: _Format, indent: int, summarize: bool) -> str:
    if data.ndim == 0:
        return form(data).strip() if form.width else form(data)
    edge = OPTIONS.edgeitems
    cut = summarize and data.shape[0] > 2 * edge
    if data.ndim == 1:
        row = [form(v) for v in data] if not cut else [*map(form, data[:edge]), " ...", *map(form, data[-edge:])]
        per_line = max(1, (OPTIONS.linewidth - indent) // (form.width + 2))
        lines = [", ".join(row[i : i + per_line]) for i in range(0, len(row), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_nested(x, form, indent + 1, summarize) for x in (data if not cut else data[:edge])]
    if cut:
        parts += ["...", *(_nested(x, form, indent + 1, summarize) for x in data[-edge:])]
    return "[" + ("," + "\n" * (data.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
