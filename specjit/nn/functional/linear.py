"""Linear and bilinear maps.

Enters: tensors whose last dim is the number of features, weights. Leaves: the same with the features of the output.
"""

from __future__ import annotations

from specjit.ops import linalg
from specjit.tensor.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias; weight is (out, in)."""
    out = linalg.matmul(input, weight.t())
    return out if bias is None else out + bias


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input1 @ weight[o] @ input2 + bias[o] for each output feature o; weight is (out, in1, in2)."""
    if input1.ndim != input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}")
    for d in range(input1.ndim - 1):
        if input1.shape[d] != input2.shape[d]:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {d}: got {input1.shape[d]} and "
                f"{input2.shape[d]}"
            )
    out, first, second = weight.shape[0], weight.shape[1], weight.shape[2]
    if input1.shape[-1] != first:
        raise RuntimeError(
            f"bilinear(): input1 size does not match weight size: got {input1.shape[-1]} but expected {first}"
        )
    if input2.shape[-1] != second:
        raise RuntimeError(
            f"bilinear(): input2 size does not match weight size: got {input2.shape[-1]} but expected {second}"
        )
    if bias is not None and bias.shape[0] != out:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {bias.shape[0]} but expected {out}")
    batch = list(input1.shape[:-1])
    # One product for all output features, (batch, out * in2), then for each sample (out, in2) @ (in2, 1).
    half = linalg.matmul(input1, weight.permute(1, 0, 2).reshape([first, out * second]))
    found = linalg.matmul(half.reshape(batch + [out, second]), input2.unsqueeze(-1)).squeeze(-1)
    return found if bias is None else found + bias
