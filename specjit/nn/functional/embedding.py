"""Tables looked up by index: embeddings, bags of them, one-hot rows.

Enters: index tensors (int64 or int32), tables (rows, d). Leaves: rows, or one row per bag.
Invariant: `sparse` asks for the layout of gradients; here they are dense, with the same values.
"""

from __future__ import annotations

from specjit.dtypes import TITLES
from specjit.ops import arithmetic, bags, casts, creation, gather, masks
from specjit.ops.norms import vector_norm
from specjit.tensor.tensor import Tensor


def _renormalize(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Shorten, in place and outside of gradients, the rows that are looked up and longer than `max_norm`."""
    table = weight.detach()
    flat = indices.reshape(-1)
    rows = gather.index_select(table, 0, flat)
    norms = vector_norm(rows, norm_type, 1, True)
    table[flat] = rows * arithmetic.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0)


def _frequency(indices: Tensor, rows: int) -> Tensor:
    """How often each index of a flat tensor is in it."""
    ones = creation.ones_like(indices)
    counts = gather.scatter_add(creation.zeros([rows], dtype=indices.dtype), 0, indices, ones)
    return gather.index_select(counts, 0, indices)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of weight (rows, d) at the indices in `input`; of any shape, which the last dim d is added to.

    padding_idx: this row gets no gradient. max_norm: rows with a larger `norm_type`-norm are first shortened in place.
    scale_grad_by_freq: the gradient of a row is divided by how often it is in the input.
    """
    row = -1
    if padding_idx is not None:
        if padding_idx < -weight.shape[0] or padding_idx >= weight.shape[0]:
            raise AssertionError("Padding_idx must be within num_embeddings")
        row = padding_idx if padding_idx >= 0 else weight.shape[0] + padding_idx
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    found = gather.embedding(weight, input, row)
    if scale_grad_by_freq:
        share = 1 / _frequency(input.reshape(-1), weight.shape[0])
        found = bags.scaled_gradient(found, share.reshape(list(input.shape) + [1]))
    return found


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of each bag, (bags, d); of an empty bag zeros.

    input: (bags, size), or one dimension with `offsets`, where each bag begins; include_last_offset: and the last one
    ends. padding_idx: does not count. per_sample_weights: factors of the rows, of the shape of the input ("sum" only).
    """
    _check_bags(input, offsets, mode, scale_grad_by_freq, sparse, per_sample_weights)
    if not weight.dtype.is_floating_point:
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, "
            f"Float, Double; but got {TITLES[weight.dtype.name]}"
        )
    flat = input.reshape(-1)
    if offsets is None:
        count = input.shape[0]
        bag = creation.arange(count).unsqueeze(1).expand(input.shape).reshape(-1)
    else:
        count = offsets.shape[0] - 1 if include_last_offset else offsets.shape[0]
        bag = bags.bag_numbers(offsets, flat.shape[0])
    rows = casts.widen(embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq and mode != "max"))
    kept = flat == flat
    if padding_idx is not None:
        kept = flat != (padding_idx if padding_idx >= 0 else weight.shape[0] + padding_idx)
    if mode == "max":
        return casts.to_dtype(_largest(rows, bag, kept, count), weight.dtype)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape([-1, 1])
    # What comes after the last offset is in a bag of its own, which is left out.
    total = _added(arithmetic.where(kept.unsqueeze(1), rows, 0.0), bag, count)
    if mode == "mean":
        sizes = _added(casts.to_dtype(kept, rows.dtype).unsqueeze(1), bag, count)
        total = total / arithmetic.clamp(sizes, min=1)
    return casts.to_dtype(total, weight.dtype)


def _check_bags(
    input: Tensor, offsets: Tensor | None, mode: str, by_frequency: bool, sparse: bool, weights: Tensor | None
) -> None:
    if weights is not None and list(weights.shape) != list(input.shape):
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(weights.shape)}) is not None, then it must have the same "
            f"shape as the input ({list(input.shape)})"
        )
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                "sequences. However, found offsets of type Tensor"
            )
    elif input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if mode != "sum" and mode != "mean" and mode != "max":
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and by_frequency:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}'). Please open a feature request on GitHub."
        )


def _added(rows: Tensor, bag: Tensor, count: int) -> Tensor:
    """The sum of the rows of each bag; rows of bag number `count` are left out."""
    zeros = creation.zeros([count + 1, rows.shape[1]], dtype=rows.dtype)
    return gather.index_add(zeros, 0, bag, rows).narrow(0, 0, count)


def _largest(rows: Tensor, bag: Tensor, kept: Tensor, count: int) -> Tensor:
    """The maximum of each bag and column; the first of equal ones gets the gradient."""
    if rows.shape[0] == 0:
        return _added(rows, bag, count)
    at = bags.bag_argmax(rows.detach(), bag, kept, count)
    return arithmetic.where(at < 0, 0.0, gather.gather(rows, 0, arithmetic.clamp(at, min=0)))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 rows with a 1 at the class; -1 classes: as many as the largest class needs."""
    return masks.one_hot(tensor, num_classes)
