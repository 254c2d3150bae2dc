"""`specjit.autograd`: gradients on demand, custom functions and gradient checks, under PyTorch's names."""

from specjit.tensor.engine import backward, grad
from specjit.tensor.function import Function, once_differentiable
from specjit.tensor.gradcheck import GradcheckError, gradcheck, gradgradcheck
from specjit.tensor.state import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "Function",
    "GradcheckError",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]
