"""Results with names: what max, sort or topk return can be unpacked as a tuple and read by field, as in PyTorch.

Enters: tensors. Leaves: named tuples.
Invariant: a captured program knows the fields of the tuples it builds, and returns what eager mode would.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ValuesIndices(NamedTuple):
    """Elements, and where they come from."""

    values: Any
    indices: Any


class MinMax(NamedTuple):
    """The extremes, as of `aminmax`."""

    min: Any
    max: Any


class QR(NamedTuple):
    """Orthonormal columns and an upper triangle."""

    Q: Any
    R: Any


class SVD(NamedTuple):
    """Singular vectors on the left, singular values, and singular vectors on the right, as rows."""

    U: Any
    S: Any
    Vh: Any


class Eigenpairs(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class SignLogabsdet(NamedTuple):
    """A determinant."""

    sign: Any
    logabsdet: Any


NAMED: tuple[type, ...] = (ValuesIndices, MinMax, QR, SVD, Eigenpairs, SignLogabsdet)
CLASSES: dict[tuple[str, ...], type] = {kind._fields: kind for kind in NAMED}  # type: ignore[attr-defined]
