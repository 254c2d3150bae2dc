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
    **dict.fromkeys(["packed", "interleaved_indices"], INTERNAL),
    **dict.fromkeys(["diagonal_backward", "unfold_backward"], "a gradient's record"),
    **dict.fromkeys(["getitem_backward", "select_backward", "slice_backward"], "a gradient's record"),
    **dict.fromkeys(["embedding_backward", "convolution_input", "convolution_weight"], "a gradient's record"),
    **dict.fromkeys(["empty", "empty_like"], "the content of fresh memory"),
}
DIFFERENCES: list[Known] = [
    Known("remainder", "gradient", "PyTorch has no derivative of a number % a tensor"),
    Known("*_mean", "value", "an infinite mean, which PyTorch's running mean of var_mean and std_mean makes NaN"),
    Known("index_put*", "error", "PyTorch takes None among the indices behind brackets only"),
]
