"""Tables looked up by index.

Enters: sizes and options. Leaves: modules with initialized parameters.
"""

from __future__ import annotations

from typing import Any

from specjit.nn import functional as F
from specjit.nn.module import Module
from specjit.ops.sampling import randn
from specjit.tensor.state import no_grad
from specjit.tensor.tensor import Parameter


class Embedding(Module):
    """A table of `num_embeddings` vectors, looked up by index. The row `padding_idx` starts at 0 and gets no
    gradient."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError("Padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(randn(num_embeddings, embedding_dim, device=device, dtype=dtype))
        if padding_idx is not None:
            with no_grad():
                self.weight[padding_idx] = 0.0

    def forward(self, input: Any) -> Any:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
