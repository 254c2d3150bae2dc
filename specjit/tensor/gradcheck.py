"""Gradients against finite differences, in float64.

Enters: a function and its tensor inputs. Leaves: True, or `GradcheckError` that names input, output and the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specjit.tensor import engine, state
from specjit.tensor.tensor import Tensor, wrap


class GradcheckError(RuntimeError):
    """Analytic and numeric gradients differ."""


def _outputs(fn: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    out = fn(*inputs)
    found = list(out) if isinstance(out, (tuple, list)) else [out]
    return [o for o in found if isinstance(o, Tensor) and o.dtype.is_floating_point]


def _numeric(fn: Callable[..., Any], inputs: Sequence[Any], x: Tensor, eps: float) -> list[np.ndarray]:
    """d out / d x by central differences: one matrix (x.numel, out.numel) per output."""
    flat = x._data.reshape(-1)
    if flat.size and not np.shares_memory(flat, x._data):
        raise ValueError("gradcheck perturbs inputs in place: pass contiguous ones")
    rows: list[list[np.ndarray]] = []
    with state.set_grad_enabled(False):
        for i in range(flat.size):
            before = flat[i]
            sides = []
            for step in (eps, -eps):
                flat[i] = before + step
                sides.append([o._data.astype(np.float64).reshape(-1).copy() for o in _outputs(fn, inputs)])
            flat[i] = before
            rows.append([(a - b) / (2 * eps) for a, b in zip(*sides)])
    return [np.array(r) for r in zip(*rows)] if rows else []


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of `func` with respect to every float64 input that requires grad agree with finite
    differences."""
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    wanted = [a for a in args if isinstance(a, Tensor) and a._requires_grad]
    if not wanted:
        raise ValueError("gradcheck expects at least one input that requires grad")
    outs = _outputs(func, args)
    for n, x in enumerate(wanted):
        numeric = _numeric(func, args, x, eps)
        for k, out in enumerate(outs):
            if not numeric:
                continue
            analytic = _analytic(out, x)
            if not np.allclose(analytic, numeric[k], rtol=rtol, atol=atol, equal_nan=True):
                if not raise_exception:
                    return False
                raise GradcheckError(
                    f"Jacobian mismatch for output {k} with respect to input "
                    f"{n},\nnumerical:{numeric[k]}\nanalytical:{analytic}"
                )
    return True


def _analytic(out: Tensor, x: Tensor) -> np.ndarray:
    size = out.numel()
    columns = np.zeros((x.numel(), size))
    if not out._requires_grad:
        return columns
    for j in range(size):
        seed = np.zeros(size, out._data.dtype)
        seed[j] = 1
        (g,) = engine.grad(out, x, wrap(seed.reshape(out._data.shape)), retain_graph=True, allow_unused=True)
        if g is not None:
            columns[:, j] = g._data.reshape(-1)
    return columns


def gradgradcheck(func: Callable[..., Any], inputs: Any, **options: Any) -> bool:
    """`gradcheck` of the gradients themselves."""
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    wanted = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a._requires_grad]
    rng = np.random.default_rng(0)
    seeds = [wrap(rng.normal(size=o._data.shape)) for o in _outputs(func, args)]
    for s in seeds:
        s._requires_grad = True

    def gradients(*given: Any) -> Any:
        inner, weights = given[: len(args)], given[len(args) :]
        with state.set_grad_enabled(True):
            outs = _outputs(func, inner)
            pairs = [(o, w) for o, w in zip(outs, weights) if o._requires_grad]
            found = engine.grad(
                [o for o, _ in pairs],
                [inner[i] for i in wanted],
                [w for _, w in pairs],
                create_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
        return found

    return gradcheck(gradients, [*args, *seeds], **options)
