"""The part of the generated functions that makes fresh tensors from sizes, numbers and options.

Enters: records and composite functions of creation. Leaves: the source lines of their common call. `fill` of either is
NumPy's function of a size and a dtype.
Invariant: the common call has numbers and sizes of Python, the CPU, and no requires_grad; whatever else is asked for,
and whatever NumPy refuses, gets the general call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specjit import dtypes
from specjit.dtypes import DType
from specjit.tensor.devices import device
from specjit.tensor.random import Generator
from specjit.tensor.tensor import wrap

if TYPE_CHECKING:
    from specjit.ops.records.registry import Op

ABSENT = type("absent", (), {"__repr__": lambda _: "..."})()

# A result that neither is a view nor has a history, as `wrap` makes it.
FRESH = [
    "_out = _blank()",
    "_out._data = _r",
    "_out._requires_grad = False",
    "_out.grad = None",
    "_out._node = None",
    "_out._counter = None",
    "_out._base = None",
    "return _out",
]


def is_creation(op: Op) -> bool:
    """Fresh tensors from sizes, numbers and options."""
    return op.returns == ("Tensor",) and op.traits.view_of is None and all(p.type.base in PLAIN for p in op.params)


def creation_path(op: Op) -> list[str]:
    """The common call. Sizes are looked at before a generator counts draws; elsewhere NumPy takes ints only, and what
    it refuses (traced sizes, mistakes) gets the general call."""
    tests = [
        (f"({p.name} is None or {{}})" if p.type.optional else "{}").format(PLAIN[p.type.base].format(p.name))
        for p in op.params
        if not p.type.many
    ]
    tests += [f"_whole({p.name})" for p in op.params if p.type.many and op.traits.random]
    names = ", ".join(p.name for p in op.params)
    return tried(f"not _state.recorders and {' and '.join(tests)}", f"_eager({names})")


def fill_path(test: str, dtype: str) -> list[str]:
    """NumPy's `_fill` of a size, with the dtype that is given, or else the one that the text `dtype` says."""
    return tried(
        f"{test} and device is None and requires_grad is False",
        f"_fill(size, {dtype} if dtype is None else dtype.numpy)",
    )


def tried(test: str, call: str) -> list[str]:
    """A fresh result where the call gives an array. Where it fails, or gives None, what comes next says why, or does
    it."""
    return [
        f"if {test}:",
        "    try:",
        f"        _r = {call}",
        "    except Exception:",
        "        _r = None  # what comes next says why",
        "    if _r is not None:",
        *(f"        {line}" for line in FRESH),
    ]


# Tests of arguments that need no conversion, by the base of their type.
PLAIN = {
    "int": "type({0}) is int",
    "float": "type({0}) is float",
    "Scalar": "type({0}) in _numbers",
    "bool": "{0} is False",
    "dtype": "type({0}) is _DType",
    "device": "{0} is _cpu",
    "Generator": "type({0}) is _Generator",
    "any": "_plain({0})",
}
NUMBERS = {int, float, bool}


def _whole(sizes: Any) -> bool:
    """An int, or a sequence of them."""
    return type(sizes) is int or (isinstance(sizes, (tuple, list)) and set(map(type, sizes)) <= {int})


def _plain(data: Any) -> bool:
    """A number of Python, or a flat sequence of them."""
    kind = type(data)
    return kind in NUMBERS or ((kind is list or kind is tuple) and set(map(type, data)) <= NUMBERS)


NAMES: dict[str, Any] = {
    "_wrap": wrap,
    "_whole": _whole,
    "_plain": _plain,
    "_numbers": NUMBERS,
    "_dtypes": dtypes,
    "_DType": DType,
    "_Generator": Generator,
    "_cpu": device("cpu"),
}
