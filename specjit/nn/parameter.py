"""`Parameter` under its public address, and `Buffer`."""

from typing import Any

from specjit.tensor.parameter import Parameter
from specjit.tensor.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


class Buffer(Tensor):
    """A tensor that a Module registers as a buffer when it is assigned as an attribute, where it then is a plain
    tensor. persistent: whether it belongs to the state dict."""

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        super().__init__()
        if data is not None:
            self.data = data
        self.persistent = persistent
