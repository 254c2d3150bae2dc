"""One record per operator, grouped by family. The only place where an operator is defined.

Enters: NumPy, and the types of the IR. Leaves: `Op` records, the public functions and the Tensor methods.
Invariant: importing this package defines every record and attaches every method.
"""

from specjit.ops import (
    arithmetic,
    casts,
    combine,
    compare,
    control,
    conv,
    creation,
    draws,
    exceptions,
    gather,
    indexing,
    inplace,
    linalg,
    methods,
    parts,
    pointwise,
    python,
    reduce,
    registry,
    shape,
    slicing,
)
