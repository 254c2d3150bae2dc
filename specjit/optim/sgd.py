"""Stochastic gradient descent with momentum, as PyTorch documents it (Sutskever et al. 2013 for Nesterov).

Enters: gradients. Leaves: moved parameters. Invariant: state is one momentum buffer per parameter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from specjit.optim.optimizer import Optimizer, check
from specjit.tensor import Tensor


class SGD(Optimizer):
    """p -= lr * v, with v = momentum * v + (1 - dampening) * g (or g + momentum * v with `nesterov`)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        check(lr=(lr, lr >= 0), momentum=(momentum, momentum >= 0), weight_decay=(weight_decay, weight_decay >= 0))
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        options = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def update(self, p: Tensor, g: Tensor, s: dict[str, Any], group: dict[str, Any]) -> None:
        if group["maximize"]:
            g = -g
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        momentum = group["momentum"]
        if momentum:
            if "momentum_buffer" in s:
                s["momentum_buffer"].mul_(momentum).add_(g, alpha=1 - group["dampening"])
            else:
                s["momentum_buffer"] = g.detach().clone()
            v = s["momentum_buffer"]
            g = g + momentum * v if group["nesterov"] else v
        p.add_(g, alpha=-group["lr"])
