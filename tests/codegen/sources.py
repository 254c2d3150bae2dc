"""Small kernel sources for the plumbing's tests, written with Numba alone (the vocabulary has its own tests)."""

from __future__ import annotations

import ctypes

import numpy as np

POINTERS = '''
from numba import types
from numba.extending import intrinsic
import llvmlite.ir as ir


@intrinsic
def doubles(_, address):
    """The array of float64 at an address."""
    sig = types.CPointer(types.float64)(types.int64)
    return sig, lambda context, builder, sig, args: builder.inttoptr(args[0], ir.DoubleType().as_pointer())

'''

# y[i] = a * x[i] + 1 for i < n; operands: x, y, n
AXPY = (
    POINTERS
    + """
def kernel(frame, ops):
    x, y = doubles(frame[ops[0]]), doubles(frame[ops[1]])
    for i in range(frame[ops[2]]):
        y[i] = {a} * x[i] + 1.0
    return 0
"""
)


def axpy(a: float) -> str:
    return AXPY.format(a=a)


def call(address: int, frame: np.ndarray, *ops: int) -> int:
    """Call a kernel the plain way."""
    operands = np.array(ops, np.int64)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(address)
    return int(function(frame.ctypes.data, operands.ctypes.data))


def run_axpy(address: int, x: np.ndarray) -> np.ndarray:
    """Run an AXPY kernel on `x`; the output starts as NaN, so that a kernel that writes nothing is seen."""
    y = np.full_like(x, np.nan)
    frame = np.zeros(16, np.int64)
    frame[8:11] = x.ctypes.data, y.ctypes.data, len(x)
    assert call(address, frame, 8, 9, 10) == 0
    return y
