"""Adam (Kingma and Ba 2015) with the bias correction of its algorithm 1.

Enters: gradients. Leaves: moved parameters. Invariant: state is the step count and two moments per parameter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from specjit.optim.optimizer import Optimizer, check
from specjit.tensor import Tensor


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), with bias-corrected running moments m, v of the gradient and its square."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        b1, b2 = betas
        check(lr=(lr, lr >= 0), eps=(eps, eps >= 0), weight_decay=(weight_decay, weight_decay >= 0))
        check(**{"beta parameter at index 0": (b1, 0 <= b1 < 1), "beta parameter at index 1": (b2, 0 <= b2 < 1)})
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def update(self, p: Tensor, g: Tensor, s: dict[str, Any], group: dict[str, Any]) -> None:
        b1, b2 = group["betas"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if not s:
            s.update(step=0, exp_avg=g * 0, exp_avg_sq=g * 0)
        s["step"] += 1
        s["exp_avg"].mul_(b1).add_(g, alpha=1 - b1)
        s["exp_avg_sq"].mul_(b2).add_(g * g, alpha=1 - b2)
        scale = math.sqrt(1 - b2 ** s["step"])
        denominator = s["exp_avg_sq"].sqrt() / scale + group["eps"]
        p.add_(s["exp_avg"] / denominator, alpha=-group["lr"] / (1 - b1 ** s["step"]))
