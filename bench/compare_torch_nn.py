"""Layers, losses and optimizers against PyTorch's: `python -m bench.compare_torch_nn`. Needs the torch wheel.

Same parameters (copied through state dicts) and inputs; compared are results, gradients and steps of training.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import specjit

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


def modules() -> Iterator[str]:
    sequence = array(6, 3, 4)
    options: list[dict[str, Any]] = [
        {},
        {"num_layers": 2},
        {"bidirectional": True, "num_layers": 2},
        {"batch_first": True},
        {"bias": False},
    ]
    cases: list[tuple[str, Callable[[Any], Any], np.ndarray]] = []
    for o in options:
        cases += [
            (f"{kind} {o}", lambda nn, k=kind, o=o: getattr(nn, k)(4, 5, **o), sequence) for kind in ("LSTM", "GRU")
        ]
    cases += [
        ("LSTM unbatched", lambda nn: nn.LSTM(4, 5), array(6, 4)),
        ("GRU unbatched", lambda nn: nn.GRU(4, 5), array(6, 4)),
        ("LSTMCell", lambda nn: nn.LSTMCell(4, 5), array(3, 4)),
        ("GRUCell", lambda nn: nn.GRUCell(4, 5), array(3, 4)),
        ("Linear", lambda nn: nn.Linear(4, 5), sequence),
        ("LayerNorm", lambda nn: nn.LayerNorm(4), sequence),
        ("Embedding", lambda nn: nn.Embedding(7, 4, padding_idx=2), RNG.integers(0, 7, (3, 2))),
        ("Conv2d", lambda nn: nn.Conv2d(2, 3, 3, padding=1), array(2, 2, 5, 5)),
        ("Sequential", lambda nn: nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2), nn.Flatten()), sequence),
    ]
    for name, build, data in cases:
        ours, theirs = build(specjit.nn).double(), build(torch.nn).double()
        if list(ours.state_dict()) != list(theirs.state_dict()):
            yield f"{name}: names {list(ours.state_dict())}, torch {list(theirs.state_dict())}"
            continue
        if repr(ours) != repr(theirs) and name in ("Linear", "LayerNorm", "Sequential"):
            yield f"{name}: prints {ours!r}, torch {theirs!r}"
        ours.load_state_dict({k: specjit.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
        yield from compare(name, ours, theirs, data)
        for (n, p), q in zip(ours.named_parameters(), theirs.parameters()):
            if difference := same(p.grad, q.grad):
                yield f"{name}.{n} gradient: {difference}"


def optimizers() -> Iterator[str]:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
        ("Adam", {"lr": 0.1}),
        ("Adam", {"lr": 0.1, "weight_decay": 0.1, "betas": (0.8, 0.9)}),
        ("Adam", {"lr": 0.1, "amsgrad": True}),
    ]
    start, data = array(3, 4), array(5, 3)
    for name, options in cases:
        p, q = pair(start)
        steps = (getattr(specjit.optim, name)([p], **options), getattr(torch.optim, name)([q], **options))
        for _ in range(10):
            for w, x, o in ((p, specjit.tensor(data), steps[0]), (q, torch.tensor(data), steps[1])):
                o.zero_grad()
                ((x @ w).tanh() ** 2).sum().backward()
                o.step()
        if difference := same(p, q):
            yield f"{name} {options}: {difference}"


def main() -> int:
    found = [*functions(), *modules(), *optimizers()]
    print("\n".join([*found, f"{len(found)} disagreements"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
