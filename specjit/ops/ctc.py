"""Connectionist temporal classification: the likelihood of a sequence of labels over all its alignments.

Enters: log-probabilities (T, N, C), labels, lengths. Leaves: a loss for each sample, and its gradient.
Invariant: sums are of logarithms; time is the only loop, batch and labels are vectorized. Source: Graves et al. 2006,
"Connectionist Temporal Classification", section 4.1: labels are interleaved with blanks; from a state one goes on to
itself, to the next, or past a blank between two different labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from specjit.ir.types import Type
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import INTEGRAL, Refuse
from specjit.ops.records.registry import defop

NEVER = -np.inf
_refuses = Refuse("ctc_loss_cpu", "Bool", "Half", *INTEGRAL)


class _Paths(NamedTuple):
    """What the alignments of a batch look like. S = 2 * longest target + 1 states, labels between blanks.

    labels  (N, S) the class of each state; blank where there is none
    skips   (N, S) whether the state may be entered from two states before
    exists  (N, S) whether the state belongs to the sample
    ends    (N) the last state: twice the length of the target
    times   (N) the length of the input
    """

    labels: np.ndarray
    skips: np.ndarray
    exists: np.ndarray
    ends: np.ndarray
    times: np.ndarray


def _paths(x: np.ndarray, targets: np.ndarray, times: np.ndarray, lengths: np.ndarray, blank: int) -> _Paths:
    t, n, c = x.shape
    if not 0 <= blank < c:
        raise RuntimeError("blank must be in label range")
    for name, given in (("input_lengths", times), ("target_lengths", lengths)):
        if given.shape != (n,):
            raise RuntimeError(f"{name} must be of size batch_size")
    if times.size and times.max() > t:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {t}, but got value {times.max()} (while checking arguments "
            "for ctc_loss_cpu)"
        )
    longest = int(lengths.max(initial=0))
    at = np.arange(longest)
    if targets.ndim == 1:
        if targets.size != lengths.sum():
            raise RuntimeError(
                f"Expected tensor to have size {lengths.sum()} at dimension 0, but got size {targets.size} for "
                "argument #2 'targets' (while checking arguments for ctc_loss_cpu)"
            )
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1])) if n else np.zeros(0, np.int64)
        places = np.minimum(starts[:, None] + at, max(targets.size - 1, 0))
        rows = targets[places] if targets.size else np.zeros((n, longest), np.int64)
    else:
        if targets.shape[1] < longest:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size {targets.shape[1]} for "
                "argument #2 'targets' (while checking arguments for ctc_loss_cpu)"
            )
        rows = targets[:, :longest]
    labels = np.full((n, 2 * longest + 1), blank, np.int64)
    labels[:, 1::2] = np.where(at < lengths[:, None], rows, blank)
    skips = np.zeros(labels.shape, bool)
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    ends = 2 * lengths
    return _Paths(labels, skips, np.arange(labels.shape[1]) <= ends[:, None], ends, times)


def _shifted(a: np.ndarray, by: int) -> np.ndarray:
    """The states' values as seen `by` states later, nothing where there was no state."""
    out = np.full_like(a, NEVER)
    out[:, by:] = a[:, : a.shape[1] - by]
    return out


def _emitted(x: np.ndarray, p: _Paths) -> np.ndarray:
    """(T, N, S) log-probability of each state's label at each time; never where the state is not the sample's."""
    found = np.take_along_axis(x, np.broadcast_to(p.labels, (x.shape[0], *p.labels.shape)), 2)
    return np.where(p.exists, found, NEVER)


def _forward(emitted: np.ndarray, p: _Paths) -> np.ndarray:
    """(T, N, S) log-probability of all ways into each state, with what is emitted there."""
    out = np.full(emitted.shape, NEVER, emitted.dtype)
    if not len(out):
        return out
    out[0, :, :2] = emitted[0, :, :2]
    for t in range(1, len(out)):
        last = out[t - 1]
        ways = np.logaddexp(last, _shifted(last, 1))
        out[t] = np.logaddexp(ways, np.where(p.skips, _shifted(last, 2), NEVER)) + emitted[t]
    return out


def _backward(emitted: np.ndarray, p: _Paths) -> np.ndarray:
    """(T, N, S) log-probability of all ways from each state to the end, without what is emitted there."""
    out = np.full(emitted.shape, NEVER, emitted.dtype)
    states = np.arange(emitted.shape[2])
    final = (states == p.ends[:, None]) | (states == p.ends[:, None] - 1)
    ahead = np.full(emitted.shape[1:], NEVER, emitted.dtype)
    # To be entered from two states before is, seen from there, to go on by two.
    skips = np.zeros_like(p.skips)
    skips[:, :-2] = p.skips[:, 2:]
    for t in range(len(out) - 1, -1, -1):
        on = ahead[:, ::-1]
        ways = np.logaddexp(ahead, _shifted(on, 1)[:, ::-1])
        ways = np.logaddexp(ways, np.where(skips, _shifted(on, 2)[:, ::-1], NEVER))
        left = (p.times - 1 - t)[:, None]
        out[t] = np.where(left > 0, ways, np.where((left == 0) & final, 0.0, NEVER))
        ahead = out[t] + emitted[t]
    return out


def _loss(alpha: np.ndarray, p: _Paths) -> np.ndarray:
    """-log of the probability to have come to one of the two last states when the input ends."""
    n = np.arange(alpha.shape[1])
    # Without any time only the empty target is spelled.
    nothing = np.where(p.ends == 0, 0.0, np.inf).astype(alpha.dtype)
    if not len(alpha):
        return nothing
    end = alpha[np.maximum(p.times - 1, 0), n]
    before = np.where(p.ends > 0, end[n, np.maximum(p.ends - 1, 0)], NEVER)
    return np.where(p.times > 0, -np.logaddexp(end[n, p.ends], before), nothing)


def _ctc(x: np.ndarray, targets: np.ndarray, times: np.ndarray, lengths: np.ndarray, blank: int) -> np.ndarray:
    p = _paths(x, targets, times, lengths, blank)
    return _loss(_forward(_emitted(x, p), p), p).astype(x.dtype, copy=False)


def _ctc_backward(
    g: np.ndarray, x: np.ndarray, targets: np.ndarray, times: np.ndarray, lengths: np.ndarray, blank: int
) -> np.ndarray:
    p = _paths(x, targets, times, lengths, blank)
    emitted = _emitted(x, p)
    alpha = _forward(emitted, p)
    # The share of all alignments that are in the state at the time.
    share = np.exp(alpha + _backward(emitted, p) + _loss(alpha, p)[:, None])
    out = np.zeros(x.shape, x.dtype)
    t, n = share.shape[:2]
    if share.size:
        each = (np.arange(t)[:, None, None] * n + np.arange(n)[:, None]) * x.shape[2] + p.labels
        wanted = np.broadcast_to(p.exists, share.shape).reshape(-1)
        out = np.bincount(each.reshape(-1)[wanted], share.reshape(-1)[wanted], x.size).reshape(x.shape).astype(x.dtype)
    # A sample whose loss nobody uses gives 0, even if it cannot be aligned.
    return np.where(g[:, None] == 0, x.dtype.type(0), -g[:, None] * out)


def _twice(*_: Any) -> Any:
    raise RuntimeError("the derivative for 'ctc_loss_backward' is not implemented")


def _backward_infer(g: Type, x: Type, *_: Any) -> Type:
    return Type.tensor(x.dtype, x.dims)


ctc_backward = defop(
    "ctc_backward(grad, log_probs, targets, input_lengths, target_lengths, blank: int) -> Tensor",
    eager=quiet(_ctc_backward),
    infer=_backward_infer,
    vjp=_twice,
    public=False,
    method=False,
    doc="Minus the probability, given the targets, that each class is emitted at each time; times `grad` (N).",
)
ctc = defop(
    "ctc(log_probs, targets, input_lengths, target_lengths, blank: int = 0) -> Tensor",
    eager=quiet(_refuses.eager(_ctc)),
    infer=_refuses.infer(lambda x, *_: Type.tensor(x.dtype, None if x.dims is None else x.dims[1:2])),
    vjp=lambda g, _y, log_probs, targets, input_lengths, target_lengths, blank: (
        lambda: ctc_backward(g, log_probs, targets, input_lengths, target_lengths, blank),
        None,
        None,
        None,
    ),
    public=False,
    method=False,
    doc="-log of the probability that each sample spells its targets, (N); inf if no alignment is long enough.",
)
