"""Attention of several heads.

Enters: sizes and options. Leaves: modules with initialized parameters, under PyTorch's names.
"""

from __future__ import annotations

from typing import Any

from specjit.nn import init
from specjit.nn.functional.multihead import multi_head_attention_forward
from specjit.nn.linear import Linear
from specjit.nn.module import Module
from specjit.ops.creation import empty
from specjit.tensor.parameter import Parameter


class NonDynamicallyQuantizableLinear(Linear):
    """An ordinary Linear. PyTorch's name for it shows in the text of models."""


class MultiheadAttention(Module):
    """Each of `num_heads` heads attends with its part of the projected query to keys, and mixes values.

    query (L, N, E), key (S, N, kdim), value (S, N, vdim) [(N, L, E) ... with batch_first, without N unbatched]. Returns
    the result, of the query's shape, and the weights (N, L, S) averaged over heads [(N, heads, L, S) unless
    average_attn_weights], None unless need_weights. Masks: see `functional.multi_head_attention_forward`.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} "
                "instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        separate = self.kdim != embed_dim or self.vdim != embed_dim
        shapes: dict[str, tuple[int, ...]] = {"q_proj_weight": (embed_dim, embed_dim)}
        shapes |= {"k_proj_weight": (embed_dim, self.kdim), "v_proj_weight": (embed_dim, self.vdim)}
        if not separate:
            shapes = {"in_proj_weight": (3 * embed_dim, embed_dim)}
        shapes |= {"in_proj_bias": (3 * embed_dim,)} if bias else {}
        shapes |= {"bias_k": (1, 1, embed_dim), "bias_v": (1, 1, embed_dim)} if add_bias_kv else {}
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight", "in_proj_bias")
        for name in (*names, "bias_k", "bias_v"):
            made = Parameter(empty(shapes[name], device=device, dtype=dtype)) if name in shapes else None
            self.register_parameter(name, made)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, device, dtype)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight, self.in_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> Any:
        turned = self.batch_first and query.ndim == 3
        if turned:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        out, weights = multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=self.in_proj_weight is None,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (out.transpose(0, 1) if turned else out), weights
