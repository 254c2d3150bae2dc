"""Convolution layers.

Enters: sizes and options. Leaves: modules with initialized parameters.
"""

from __future__ import annotations

import math
from typing import Any

from specjit.nn import functional as F
from specjit.nn import init
from specjit.nn.module import Module
from specjit.ops.conv import pair
from specjit.ops.creation import empty
from specjit.tensor.tensor import Parameter


class Conv2d(Module):
    """2-d cross-correlation with learned kernels. weight (out, in/groups, kH, kW)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = pair(kernel_size), pair(stride), pair(dilation)
        self.padding = padding if isinstance(padding, str) else pair(padding)
        self.weight = Parameter(empty(out_channels, in_channels // groups, *self.kernel_size, dtype=dtype))
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if bias:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            self.bias = Parameter(init.uniform_(empty(out_channels, dtype=dtype), -bound, bound))
        else:
            self.register_parameter("bias", None)

    def forward(self, input: Any) -> Any:
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
