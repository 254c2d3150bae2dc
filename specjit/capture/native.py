"""Functions of C libraries, bound through ctypes with declared signatures (`argtypes`, `restype`).

Enters: a callee. Leaves: the type of its result, under guards on its signature; None where nothing is declared.
Invariant: such a function cannot change what capture knows of Python objects: it gets none, and nothing to call back.
"""

from __future__ import annotations

import ctypes
from typing import Any

from specjit.capture.attributes import place_of
from specjit.capture.frame import Frame
from specjit.capture.values import Abstract, Known
from specjit.ir.types import ANY, BOOL, FLOAT, INT, NONE, Type

FUNCTION = ctypes._CFuncPtr  # type: ignore[attr-defined]
REALS = (ctypes.c_float, ctypes.c_double, ctypes.c_longdouble)
WHOLE = (
    *(ctypes.c_byte, ctypes.c_ubyte, ctypes.c_short, ctypes.c_ushort, ctypes.c_int, ctypes.c_uint),
    *(ctypes.c_long, ctypes.c_ulong, ctypes.c_longlong, ctypes.c_ulonglong, ctypes.c_size_t, ctypes.c_ssize_t),
)
PLAIN = (*REALS, *WHOLE, ctypes.c_bool, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_wchar_p, ctypes.c_char)


def result_type(f: Frame, callee: Abstract) -> Type | None:
    """What a call gives; None if the callee is no such function."""
    function = callee.obj if isinstance(callee, Known) else None
    if not isinstance(callee, Known) or callee.value is None or not is_declared(function):
        return None
    _, source, fetch = place_of(callee)
    for name, kind in (("restype", "identity"), ("argtypes", "value")):
        f.session.facts.add("globals", f"{source}.{name}", kind, getattr(function, name), f.origin(), f"{fetch}.{name}")
    return _python_type(function.restype)  # type: ignore[union-attr]


def is_declared(function: Any) -> bool:
    """Whether the parameters are declared, and none of them is a Python object or something to call back."""
    if not isinstance(function, FUNCTION) or function.argtypes is None or _has_own_check(function):
        return False
    pointers = type(ctypes.POINTER(ctypes.c_int))
    plain = all(t in PLAIN or isinstance(t, pointers) for t in function.argtypes)
    return plain and (function.restype is None or function.restype in PLAIN)


def _has_own_check(function: Any) -> bool:
    """Whether Python code (`errcheck`) decides on the result."""
    return getattr(function, "errcheck", None) is not None


def _python_type(kind: Any) -> Type:
    if kind is None:
        return NONE
    if kind is ctypes.c_bool:
        return BOOL
    return INT if kind in WHOLE else FLOAT if kind in REALS else ANY
