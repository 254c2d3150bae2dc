"""Linear maps.

Enters: tensors. Leaves: tensors.
"""

from __future__ import annotations

from typing import Any

from specjit.ops import linalg


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias; weight is (out, in)."""
    out = linalg.matmul(input, weight.t())
    if bias is not None:
        out = out + bias
    return out
