"""Layers, losses and optimizers against PyTorch's: `python -m bench.compare_torch_nn [layer ...]`. Needs the torch
wheel. Layers are the rows of tests/moduleinfo/.

Same parameters (copied through state dicts) and inputs; compared are results and gradients; steps of training in
`compare_torch_training`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import specjit
from bench import torch_differences
from bench.compare_torch import Translation, differences, outcome, tensors
from bench.compare_torch_training import training
from specjit.dtypes import float64
from tests.moduleinfo import MODULES

RNG = np.random.default_rng(0)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def flat(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, (tuple, list)):
        for v in value:
            yield from flat(v)
    else:
        yield value.detach().numpy()


def same(ours: Any, theirs: Any, tolerance: float = 1e-9) -> str | None:
    a, b = list(flat(ours)), list(flat(theirs))
    if [x.shape for x in a] != [x.shape for x in b]:
        return f"shapes {[x.shape for x in a]}, torch {[x.shape for x in b]}"
    for x, y in zip(a, b):
        if not np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True):
            return f"values {x.reshape(-1)[:3]}, torch {y.reshape(-1)[:3]}"
    return None


def pair(data: np.ndarray) -> tuple[Any, Any]:
    ours, theirs = specjit.tensor(data), torch.tensor(data)
    if data.dtype.kind == "f":
        ours.requires_grad_()
        theirs.requires_grad_()
    return ours, theirs


def compare(name: str, ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray) -> list[str]:
    """Results and gradients of the same function on the same data."""
    pairs = [pair(a) for a in arrays]
    a, b = ours(*(p for p, _ in pairs)), theirs(*(q for _, q in pairs))
    found = [same(a, b)]
    for out in (a, b):
        parts = out if isinstance(out, (tuple, list)) else (out,)
        sum((p * p).sum() for p in parts if not isinstance(p, tuple)).backward()
    found += [same(p.grad, q.grad) for p, q in pairs if p.requires_grad and q.grad is not None]
    return [f"{name}: {f}" for f in found if f]


def functions() -> Iterator[str]:
    x, y, classes = array(4, 5), array(4, 5), RNG.integers(0, 5, 4)
    image, kernel = array(2, 4, 7, 6), array(6, 2, 3, 2)
    calls: list[tuple[str, tuple[np.ndarray, ...], dict[str, Any]]] = [
        *(
            (n, (x,), {})
            for n in (
                "relu",
                "gelu",
                "silu",
                "elu",
                "softplus",
                "leaky_relu",
                "hardtanh",
                "logsigmoid",
                "sigmoid",
                "tanh",
            )
        ),
        ("gelu", (x,), {"approximate": "tanh"}),
        ("softmax", (x,), {"dim": 1}),
        ("log_softmax", (x,), {"dim": 0}),
        ("normalize", (x,), {}),
        ("normalize", (x,), {"p": 1.0, "dim": 0}),
        ("linear", (x, array(3, 5), array(3)), {}),
        ("mse_loss", (x, y), {}),
        ("l1_loss", (x, y), {"reduction": "sum"}),
        ("binary_cross_entropy_with_logits", (x, RNG.random((4, 5))), {}),
        ("layer_norm", (x,), {"normalized_shape": (5,)}),
        ("conv2d", (image, kernel), {"groups": 2, "stride": (2, 1), "padding": 1}),
        ("conv2d", (image, kernel), {"groups": 2, "padding": "same", "dilation": (1, 2)}),
        ("cross_entropy", (x, RNG.random((4, 5))), {"label_smoothing": 0.1}),
    ]
    for reduction in ("mean", "sum", "none"):
        options = {"reduction": reduction, "ignore_index": 2}
        calls += [("cross_entropy", (x, classes), {**options, "label_smoothing": v}) for v in (0.0, 0.2)]
        calls.append(("nll_loss", (x, classes), {"reduction": reduction, "ignore_index": 1}))
    for name, arrays, options in calls:
        ours, theirs = getattr(specjit.nn.functional, name), getattr(torch.nn.functional, name)
        yield from compare(
            f"{name}{options}",
            lambda *a, f=ours, o=options: f(*a, **o),
            lambda *a, f=theirs, o=options: f(*a, **o),
            *arrays,
        )
    weight = array(5) ** 2
    for smoothing in (0.0, 0.3):
        yield from compare(
            f"cross_entropy weighted {smoothing}",
            lambda a, c, s=smoothing: specjit.nn.functional.cross_entropy(
                a, c, specjit.tensor(weight), label_smoothing=s
            ),
            lambda a, c, s=smoothing: torch.nn.functional.cross_entropy(a, c, torch.tensor(weight), label_smoothing=s),
            x,
            classes,
        )
    yield from compare(
        "cross_entropy 4-d",
        specjit.nn.functional.cross_entropy,
        torch.nn.functional.cross_entropy,
        array(2, 3, 4, 5),
        RNG.integers(0, 3, (2, 4, 5)),
    )


def modules(wanted: list[str]) -> Iterator[str]:
    """Every layer row: names and shapes of the state, repr, results, gradients of inputs and parameters."""
    for name, info in MODULES.items():
        if not info.compared or (wanted and name not in wanted):
            continue
        for args, kwargs, inputs in info.samples(float64, info.grad):
            label = f"{name}{args}{kwargs or ''}"
            ours, theirs = info.make(args, kwargs).to(float64), getattr(torch.nn, name)(*args, **kwargs).double()
            if info.random:
                ours, theirs = ours.eval(), theirs.eval()
            state = [{k: tuple(v.shape) for k, v in m.state_dict().items()} for m in (ours, theirs)]
            if list(state[0].items()) != list(state[1].items()):
                yield f"{label}: state {state[0]} | torch {state[1]}"
                continue
            if repr(ours) != repr(theirs):
                yield f"{label}: prints {ours!r} | torch {theirs!r}"
            ours.load_state_dict({k: specjit.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
            given = Translation()(inputs)
            for difference in compare_calls(ours, theirs, inputs, given):
                column = difference.split()[0]
                known = next((k for k in torch_differences.MODULES if k.covers(name, column, "float64")), None)
                yield f"known: {label} {column}: {known.reason}" if known else f"{label}: {difference}"


def compare_calls(ours: Any, theirs: Any, inputs: Any, given: Any) -> Iterator[str]:
    a, b = outcome(ours, inputs, {}), outcome(theirs, given, {})
    yield from (f"{column} {what}" for column, what in differences(a, b))
    if isinstance(a, Exception) or isinstance(b, Exception):
        return
    for out in (a, b):
        parts = [(o * o).sum() for o in tensors((out,)) if o.requires_grad]
        if parts:
            sum(parts[1:], parts[0]).backward()
    for k, (p, q) in enumerate(zip(tensors((inputs,)), tensors((given,)))):
        if p.requires_grad and (difference := same(p.grad, q.grad)):
            yield f"gradient of input {k}: {difference}"
    for (n, p), q in zip(ours.named_parameters(), theirs.parameters()):
        if (p.grad is None) != (q.grad is None):
            yield f"gradient of {n}: {p.grad} | torch {q.grad}"
        elif p.grad is not None and (difference := same(p.grad, q.grad)):
            yield f"gradient of {n}: {difference}"


def main(wanted: list[str]) -> int:
    found = list(modules(wanted)) if wanted else [*functions(), *modules([]), *training()]
    known = [line for line in found if line.startswith("known: ")]
    disagreements = len(found) - len(known)
    print("\n".join([*found, f"{disagreements} disagreements; {len(known)} known differences"]))
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
