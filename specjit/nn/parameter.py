"""`Parameter` under its public address."""

from specjit.tensor.tensor import Parameter

__all__ = ["Parameter"]
