"""Where specjit and PyTorch differ on purpose, or PyTorch has no such function: each entry with its reason.

`bench.compare_torch` counts what these say apart from the disagreements.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Known:
    """A row (glob), a column ("value", "dtype", "shape", "view", "strides", "gradient", "error" or "*"), dtypes (names,
    empty: all) and the reason."""

    row: str
    column: str
    reason: str
    dtypes: tuple[str, ...] = ()

    def covers(self, row: str, column: str, dtype: str) -> bool:
        return fnmatch(row, self.row) and self.column in ("*", column) and (not self.dtypes or dtype in self.dtypes)


INTERNAL = "a record behind other functions; PyTorch has none of that name and meaning"
# Rows that are not run through PyTorch.
SKIPPED = {
    **dict.fromkeys(["cast", "to_dtype", "alias", "size", "item", "slice", "rint", "widen"], INTERNAL),
    **dict.fromkeys(["index", "index_write", "store_", "dropout_mask"], INTERNAL),
    **dict.fromkeys(["packed", "interleaved_indices", "solve_matrices", "cofactors"], INTERNAL),
    **dict.fromkeys(["qr_factors", "svd_factors", "eigh_factors", "slogdet_parts"], INTERNAL),
    **dict.fromkeys(["diagonal_backward", "unfold_backward"], "a gradient's record"),
    **dict.fromkeys(["getitem_backward", "select_backward", "slice_backward"], "a gradient's record"),
    **dict.fromkeys(["embedding_backward", "convolution_input", "convolution_weight"], "a gradient's record"),
    **dict.fromkeys(
        ["bag_numbers", "bag_argmax", "scaled_gradient", "ctc", "uniform", "probability", "known_classes"], INTERNAL
    ),
    "ctc_backward": "a gradient's record",
    **dict.fromkeys(
        ["max_pool", "max_pool_indices", "unpool", "window_sum", "window_spread", "constant_pad"], INTERNAL
    ),
    **dict.fromkeys(["empty", "empty_like"], "the content of fresh memory"),
}
NOTHING_MULTIPLIED = "bools of which none are multiplied: PyTorch refuses the number beside them, or does not"
# Of functions and layers of `nn`.
LAYERS = [
    Known("nn.functional.gelu", "value", "PyTorch's kernel overflows above 1.7e38 and gives NaN for inf", ("float32",)),
    Known("nn.functional.batch_norm", "value", "PyTorch rounds the scale to float16 in between", ("float16",)),
    Known("nn.functional.ctc_loss", "gradient", "PyTorch adds exp(log_probs), which log_softmax's gradient takes away"),
    Known("nn.functional.cosine_similarity", "value", "eps is 0 in float16, so PyTorch divides by it", ("float16",)),
    Known("nn.functional.local_response_norm", "error", "PyTorch averages int64 by integer division", ("int64",)),
    Known("nn.functional.local_response_norm", "error", "PyTorch has no avg_pool3d of float16", ("float16",)),
]
# Of layers as `compare_torch_nn` runs them, in float64.
MODULES = [Known("Hardsigmoid", "gradient", "PyTorch multiplies by a sixth that is rounded to float32")]
DIFFERENCES: list[Known] = [
    Known("*.pixel_unshuffle", "shape", "PyTorch returns an empty input as it is"),
    Known("*.pixel_*shuffle", "gradient", "PyTorch fails for an empty input"),
    *LAYERS,
    Known("add*m[mv]", "gradient", "with beta 0 the input is not looked at and has no gradient; PyTorch's is zeros"),
    Known("addr", "gradient", "as addmm"),
    Known("add*bmm", "error", NOTHING_MULTIPLIED, ("bool",)),
    Known("baddbmm", "*", NOTHING_MULTIPLIED, ("bool",)),
    Known("baddbmm", "gradient", "as addmm"),
    Known("*det", "error", "float16 is refused for matrices without elements too", ("float16",)),
    Known("*matrix_power", "gradient", "the power 0 is a constant; PyTorch gives it a gradient of zeros"),
    Known("cdist", "gradient", "a count of differences has no gradient; PyTorch's is zeros"),
    Known("linalg.matrix_norm", "gradient", "of matrices without elements: none, or an empty one"),
    Known("linalg.svd", "value", "the signs of singular vectors are the LAPACK's choice"),
    Known("linalg.svd", "gradient", "the signs of singular vectors are the LAPACK's choice"),
    Known("floor_divide", "gradient", "PyTorch has it for div(rounding_mode='floor') only: zeros, as here"),
    Known("remainder", "gradient", "PyTorch has no derivative of a number % a tensor"),
    Known("any", "shape", "no dims mean all dims, as in every other reduction; PyTorch's any reduces none"),
    Known("all", "shape", "as any"),
    Known("*_mean", "value", "an infinite mean, which PyTorch's running mean of var_mean and std_mean makes NaN"),
    Known("index_put*", "error", "PyTorch takes None among the indices behind brackets only"),
]
