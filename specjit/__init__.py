"""specjit: plain Python models at hand-tuned native speed.

The public names, and nothing else. What compiles (`optimize`, `jit`, events) is loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from specjit import autograd, dtypes, nn, optim
from specjit.dtypes import (
    DType as dtype,
)
from specjit.dtypes import (
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from specjit.ops.arithmetic import add, clamp, div, floor_divide, maximum, minimum, mul, pow, remainder, sub, where
from specjit.ops.casts import clone
from specjit.ops.combine import cat, chunk, split, stack, unbind
from specjit.ops.compare import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    ge,
    gt,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from specjit.ops.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from specjit.ops.draws import bernoulli, rand, rand_like, randint, randn, randn_like, randperm
from specjit.ops.gather import flip, gather, index_add, index_select, masked_fill, nonzero, scatter_add
from specjit.ops.indexing import index_put
from specjit.ops.linalg import addmm, bmm, dot, matmul, mm, mv, outer
from specjit.ops.methods import allclose, equal, rsub, swapaxes
from specjit.ops.parts import select_scatter, slice_scatter
from specjit.ops.pointwise import (
    abs,
    ceil,
    cos,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    log,
    log1p,
    log2,
    log10,
    neg,
    reciprocal,
    relu,
    round,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    tan,
    tanh,
    trunc,
)
from specjit.ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumsum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    softmax,
    std,
    sum,
    var,
)
from specjit.ops.shape import detach, expand, flatten, permute, reshape, squeeze, t, transpose, unsqueeze
from specjit.ops.slicing import narrow, select
from specjit.tensor.devices import device
from specjit.tensor.promotion import promote_types, result_type
from specjit.tensor.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from specjit.tensor.size import Size
from specjit.tensor.state import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from specjit.tensor.tensor import Parameter, Tensor
from specjit.version import __version__

half = float16
float = float32
double = float64
short = int16
int = int32
long = int64
bool = dtypes.bool_

if TYPE_CHECKING:
    from specjit import jit
    from specjit.runtime.events import Event, EventKind, on_event
    from specjit.runtime.optimize import optimize
    from specjit.runtime.program import Program
    from specjit.runtime.stance import stance

# Loaded on first use, so that eager mode starts as fast as NumPy.
_LATER = {
    "optimize": "specjit.runtime.optimize",
    "Program": "specjit.runtime.program",
    "stance": "specjit.runtime.stance",
    "Event": "specjit.runtime.events",
    "EventKind": "specjit.runtime.events",
    "on_event": "specjit.runtime.events",
    "set_num_threads": "specjit.runtime.threads",
    "get_num_threads": "specjit.runtime.threads",
}


def is_tensor(obj: object) -> Any:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> Any:
    """The number of elements."""
    return input.numel()


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, "jit"})


def __getattr__(name: str) -> Any:
    import importlib

    if name == "jit":
        return importlib.import_module("specjit.jit")
    if name in _LATER:
        found = getattr(importlib.import_module(_LATER[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'specjit' has no attribute {name!r}")
