"""Distances and angles as layers around `nn.functional`.

Enters: options. Leaves: modules without parameters.
"""

from __future__ import annotations

from specjit.nn import functional as F
from specjit.nn.module import Module
from specjit.tensor.tensor import Tensor


class CosineSimilarity(Module):
    """`nn.functional.cosine_similarity`."""

    def __init__(self, dim: int = 1, eps: float = 1e-08) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """`nn.functional.pairwise_distance`."""

    def __init__(self, p: float = 2.0, eps: float = 1e-06, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
