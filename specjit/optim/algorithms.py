"""SGD and Adam.

Enters: gradients. Leaves: parameters moved in place.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.optim.optimizer import Optimizer, check


class SGD(Optimizer):
    """p -= lr * g, with momentum (plain or Nesterov), dampening and L2 weight decay."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("momentum value", momentum)
        check("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _update(self, p: Any, g: Any, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        if momentum:
            state = self.state[p]
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = g.clone()
            else:
                buffer.mul_(momentum).add_(g, alpha=1 - group["dampening"])
            g = g + momentum * buffer if group["nesterov"] else buffer
        p.sub_(g * group["lr"])


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square, both corrected for their start at zero."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("epsilon value", eps)
        check("beta parameter at index 0", betas[0], 1.0)
        check("beta parameter at index 1", betas[1], 1.0)
        check("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _update(self, p: Any, g: Any, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        state = self.state[p]
        if not state:
            state.update(step=0, exp_avg=p.detach() * 0.0, exp_avg_sq=p.detach() * 0.0)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = p.detach() * 0.0
        state["step"] += 1
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.mul_(beta1).add_(g * (1 - beta1))
        square.mul_(beta2).add_(g * g * (1 - beta2))
        if group["amsgrad"]:
            top = state["max_exp_avg_sq"]
            top.copy_(top.maximum(square))
            square = top
        step = group["lr"] / (1 - beta1 ** state["step"])
        scale = square.sqrt() / math.sqrt(1 - beta2 ** state["step"]) + group["eps"]
        p.sub_(mean / scale * step)
