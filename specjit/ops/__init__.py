"""One record per operator, grouped by family. The only place where an operator is defined.

Enters: NumPy, and the types of the IR. Leaves: `Op` records, the public functions and the Tensor methods.
Invariant: importing this package defines every name, those of the families in `families.FAMILIES` as promises.
"""

from specjit.ops import (
    arithmetic,
    casts,
    combine,
    compare,
    creation,
    data,
    draws,
    gather,
    indexing,
    inplace,
    linalg,
    masks,
    methods,
    parts,
    pointwise,
    rectify,
    reduce,
    sampling,
    shape,
    slicing,
    softmax,
)
from specjit.ops.records import families, registry

families.promise()
