"""specjit: plain Python models at hand-tuned native speed.

The public names, and nothing else. Operators are public by being defined (`ops.records.registry.publish`), so they
are not listed here; what compiles (`optimize`, `jit`, events), layers and optimizers are loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from specjit import dtypes, ops
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
from specjit.ops.data import tensor  # hides the folder of that name
from specjit.tensor.devices import device
from specjit.tensor.parameter import Parameter
from specjit.tensor.promotion import can_cast, promote_types, result_type
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
from specjit.tensor.tensor import Tensor
from specjit.version import __version__

half = float16
float = float32
double = float64
short = int16
int = int32
long = int64
bool = dtypes.bool_

if TYPE_CHECKING:
    from specjit import autograd, jit, linalg, nn, optim
    from specjit.runtime.events import Event, EventKind, on_event
    from specjit.runtime.optimize import optimize
    from specjit.runtime.program import Program
    from specjit.runtime.stance import stance
    from specjit.runtime.threads import get_num_threads, set_num_threads
    from specjit.tensor.limits import finfo, iinfo
    from specjit.tensor.printing import set_printoptions

# Loaded on first use, so that eager mode starts as fast as NumPy.
_PACKAGES = ("autograd", "jit", "linalg", "nn", "optim")
_LATER = {
    "optimize": "specjit.runtime.optimize",
    "Program": "specjit.runtime.program",
    "stance": "specjit.runtime.stance",
    "Event": "specjit.runtime.events",
    "EventKind": "specjit.runtime.events",
    "on_event": "specjit.runtime.events",
    "set_num_threads": "specjit.runtime.threads",
    "get_num_threads": "specjit.runtime.threads",
    "set_printoptions": "specjit.tensor.printing",
    "finfo": "specjit.tensor.limits",
    "iinfo": "specjit.tensor.limits",
}
_HIDDEN = ("TYPE_CHECKING", "Any", "ops", "ir", "version", "dtypes")


def is_tensor(obj: object) -> Any:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> Any:
    """Whether the elements are floating-point numbers."""
    return input.is_floating_point()


def numel(input: Tensor) -> Any:
    """The number of elements."""
    return input.numel()


def __getattr__(name: str) -> Any:
    import importlib

    if name in _PACKAGES:
        return importlib.import_module(f"specjit.{name}")
    if name == "__all__":
        return __dir__()
    found = (
        getattr(importlib.import_module(_LATER[name]), name) if name in _LATER else ops.records.registry.public(name)
    )
    if found is None:
        raise AttributeError(f"module 'specjit' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    own = [n for n in globals() if n[0] != "_" and n not in _HIDDEN]
    return sorted({*own, *_PACKAGES, *_LATER, *ops.records.registry.public_names()})
