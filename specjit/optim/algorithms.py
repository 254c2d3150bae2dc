"""Optimizers: SGD, Adam, AdamW, RMSprop, Adagrad.

Enters: gradients. Leaves: parameters moved in place; state under PyTorch's names, so that saved states carry over.
`foreach`, `fused` and `capturable` pick between PyTorch's implementations of one meaning: they are taken and saved, and
change nothing. With `differentiable` the update itself is recorded. Formulas are written in plain arithmetic: for small
parameters its calls cost least, and for large ones a temporary costs what `addcmul_` and its kin make inside.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.ops.creation import full_like, zeros, zeros_like
from specjit.optim.optimizer import Optimizer, check
from specjit.tensor.tensor import Tensor


def _decayed(p: Tensor, g: Tensor, group: dict[str, Any]) -> Any:
    """The gradient of the loss with the L2 penalty."""
    return g + p * group["weight_decay"] if group["weight_decay"] else g


def _count(state: dict[str, Any]) -> float:
    """The number of this step, from 1."""
    return float(state["step"].add_(1).item())


class SGD(Optimizer):
    """p -= lr * g, with momentum (plain or Nesterov), dampening and L2 weight decay."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
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
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        g = _decayed(p, g, group)
        momentum = group["momentum"]
        if momentum:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = g.clone()
            else:
                buffer.mul_(momentum).add_(g * (1 - group["dampening"]))
            g = g + buffer * momentum if group["nesterov"] else buffer
        p.sub_(g * float(group["lr"]))


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square, both corrected for their start at zero.

    `weight_decay` is an L2 penalty, or with `decoupled_weight_decay` a factor on the parameter itself (AdamW).
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
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
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=zeros(()), exp_avg=zeros_like(p), exp_avg_sq=zeros_like(p))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros_like(p)
        step, lr = _count(state), float(group["lr"])
        beta1, beta2 = (float(beta) for beta in group["betas"])
        if group["decoupled_weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        else:
            g = _decayed(p, g, group)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.mul_(beta1).add_(g * (1 - beta1))
        square.mul_(beta2).add_(g * g * (1 - beta2))
        if group["amsgrad"]:
            top = state["max_exp_avg_sq"]
            square = top.copy_(top.maximum(square))
        scale = square.sqrt() / math.sqrt(1 - beta2**step) + group["eps"]
        p.sub_(mean / scale * (lr / (1 - beta1**step)))


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters themselves instead of entering the gradient."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


class RMSprop(Optimizer):
    """Steps scaled by a running mean of the squared gradient (`centered`: of its variance)."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("epsilon value", eps)
        check("momentum value", momentum)
        check("weight_decay value", weight_decay)
        check("alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=zeros(()), square_avg=zeros_like(p))
            if group["momentum"] > 0:
                state["momentum_buffer"] = zeros_like(p)
            if group["centered"]:
                state["grad_avg"] = zeros_like(p)
        _count(state)
        g = _decayed(p, g, group)
        alpha, lr = group["alpha"], float(group["lr"])
        square = state["square_avg"]
        square.mul_(alpha).add_(g * g * (1 - alpha))
        if group["centered"]:
            mean = state["grad_avg"]
            mean.mul_(alpha).add_(g * (1 - alpha))
            square = square - mean * mean
        step = g / (square.sqrt() + group["eps"])
        if group["momentum"] > 0:
            step = state["momentum_buffer"].mul_(group["momentum"]).add_(step)
        p.sub_(step * lr)


class Adagrad(Optimizer):
    """Steps scaled by the root of the sum of all squared gradients."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check("learning rate", lr)
        check("lr_decay value", lr_decay)
        check("weight_decay value", weight_decay)
        check("initial_accumulator_value value", initial_accumulator_value)
        check("epsilon value", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; their sums begin at `initial_accumulator_value`."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            self.state[p].update(step=zeros(()), sum=full_like(p, group["initial_accumulator_value"]))

    def _update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr = float(group["lr"]) / (1 + (_count(state) - 1) * group["lr_decay"])
        g = _decayed(p, g, group)
        total = state["sum"]
        total.add_(g * g)
        p.sub_(g / (total.sqrt() + group["eps"]) * lr)
