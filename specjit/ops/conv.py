"""Convolution over any number of spatial dims: windows of the input as matrices, and one matrix product per group.

Enters: (N, C, *size) input, (O, C/groups, *kernel) weight; stride, padding and dilation with one int per spatial dim.
Leaves: (N, O, *out).
Invariant: the three products (result, input gradient, weight gradient) are linear in each operand, and the gradients of
each are the other two, so any order of differentiation works. A transposed convolution is the input gradient.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from specjit.dtypes import TITLES, dtype_of
from specjit.ir.dims import Dim
from specjit.ir.types import Type
from specjit.limits import WINDOW_ENTRIES
from specjit.ops.padding import constant_pad
from specjit.ops.pool import windows
from specjit.ops.records import infer
from specjit.ops.records.eager import half_as_float
from specjit.ops.records.lowering import composite
from specjit.ops.records.quiet import quiet
from specjit.ops.records.refuse import Refuse
from specjit.ops.records.registry import defop
from specjit.tensor.tracer import TraceError

SMALL_INTS = ("Byte", "Char", "Short", "Int")
BLOCK = 1 << 20
"""Bytes of window matrices that are made at a time: what a core's second-level cache holds."""

NO_BOOL = Refuse("slow_conv2d_cpu", "Bool")
DILATED = Refuse("slow_conv_dilated<>", "Bool", *SMALL_INTS)
TRANSPOSED = Refuse("slow_conv_transpose2d_out_cpu", "Bool", *SMALL_INTS)


class _Plan(NamedTuple):
    """The geometry of a call.

    last: window matrices are copied from an input with its channels last, in runs of kernel[-1] * channels elements;
    else from the input as it is, in runs of out[-1]. The longer run is the faster copy.
    """

    groups: int
    channels: int  # of a group's input
    kernel: tuple[int, ...]
    out: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    last: bool

    def rows(self, samples: int, itemsize: int) -> Iterator[slice]:
        """Blocks of samples whose window matrices stay in cache."""
        each = itemsize * self.groups * self.channels * math.prod(self.kernel) * math.prod(self.out)
        step = max(1, BLOCK // max(each, 1))
        return (slice(i, i + step) for i in range(0, samples, step))


def _plan(weight: Sequence[int], out: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int) -> _Plan:
    channels, kernel = weight[1], tuple(weight[2:])
    last = kernel[-1] * channels > out[-1]
    return _Plan(groups, channels, kernel, tuple(out), tuple(stride), tuple(padding), tuple(dilation), last)


def _padded(x: np.ndarray, p: _Plan) -> np.ndarray:
    """(N, G, C/G, *padded), or with channels last (N, G, *padded, C/G); a view where nothing is to be moved."""
    n, sizes = x.shape[0], x.shape[2:]
    split = x.reshape(n, p.groups, p.channels, *sizes)
    moved: np.ndarray = np.moveaxis(split, 2, -1) if p.last else split
    if not any(p.padding):
        return np.ascontiguousarray(moved) if p.last else moved
    out = _buffer(n, sizes, p, x.dtype)
    out[_inside(sizes, p)] = moved
    return out


def _buffer(n: int, sizes: Sequence[int], p: _Plan, dtype: np.dtype) -> np.ndarray:
    padded = [s + 2 * q for s, q in zip(sizes, p.padding)]
    return np.zeros((n, p.groups, *padded, p.channels) if p.last else (n, p.groups, p.channels, *padded), dtype)


def _inside(sizes: Sequence[int], p: _Plan) -> tuple[Any, ...]:
    """Where the input lies in its padded buffer."""
    return (..., *(slice(q, q + s) for s, q in zip(sizes, p.padding)), *([slice(None)] if p.last else ()))


def _windows(x: np.ndarray, p: _Plan) -> np.ndarray:
    """Views (N, G, C/G, *kernel, *out) of the padded input, or with channels last (N, G, *out, *kernel, C/G)."""
    n, g = x.shape[:2]
    lead, (spatial, channel) = x.strides[:2], (x.strides[2:-1], x.strides[-1:])
    if not p.last:
        channel, spatial = x.strides[2:3], x.strides[3:]
    taps = tuple(s * d for s, d in zip(spatial, p.dilation))
    moves = tuple(s * d for s, d in zip(spatial, p.stride))
    if p.last:
        shape, strides = (n, g, *p.out, *p.kernel, p.channels), (*lead, *moves, *taps, *channel)
    else:
        shape, strides = (n, g, p.channels, *p.kernel, *p.out), (*lead, *channel, *taps, *moves)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def _columns(windows: np.ndarray, p: _Plan) -> np.ndarray:
    """The windows as matrices (N, G, K, P): K elements of a kernel, P positions of the output."""
    n, k, positions = windows.shape[0], p.channels * math.prod(p.kernel), math.prod(p.out)
    if p.last:
        return windows.reshape(n, p.groups, positions, k).swapaxes(2, 3)
    return windows.reshape(n, p.groups, k, positions)


def _matrix(weight: np.ndarray, p: _Plan) -> np.ndarray:
    """The weight as matrices (G, O/G, K), its elements in the order of the columns'."""
    if p.last:
        weight = np.moveaxis(weight, 1, -1)
    return weight.reshape(p.groups, weight.shape[0] // p.groups, p.channels * math.prod(p.kernel))


def _convolution(
    x: np.ndarray, weight: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int
) -> np.ndarray:
    sizes: Any = _checked(
        x.shape, weight.shape, stride, padding, dilation, groups, dtype_of(x.dtype), dtype_of(weight.dtype)
    )
    n, o = x.shape[0], weight.shape[0]
    p = _plan(weight.shape, sizes, stride, padding, dilation, groups)
    matrix, windows = _matrix(weight, p), _windows(_padded(x, p), p)
    out = np.empty((n, groups, o // groups, math.prod(sizes)), x.dtype)
    for rows in p.rows(n, x.itemsize):
        np.matmul(matrix, _columns(windows[rows], p), out=out[rows])
    return out.reshape(n, o, *sizes)


def _convolution_input(
    g: np.ndarray, weight: np.ndarray, sizes: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> np.ndarray:
    _check_transposed(g.shape, weight.shape, sizes, stride, padding, dilation, groups)
    _same_dtype(g.dtype, weight.dtype)
    n, spatial = sizes[0], sizes[2:]
    p = _plan(weight.shape, g.shape[2:], stride, padding, dilation, groups)
    matrix = _matrix(weight, p)
    grads = g.reshape(n, groups, weight.shape[0] // groups, math.prod(p.out))
    out = _buffer(n, spatial, p, g.dtype)
    for rows in p.rows(n, g.itemsize):
        if p.last:
            parts = (grads[rows].swapaxes(2, 3) @ matrix).reshape(-1, groups, *p.out, *p.kernel, p.channels)
        else:
            parts = (matrix.swapaxes(1, 2) @ grads[rows]).reshape(-1, groups, p.channels, *p.kernel, *p.out)
        _add_windows(out[rows], parts, p)
    inner = out[_inside(spatial, p)]
    return np.ascontiguousarray(np.moveaxis(inner, -1, 2) if p.last else inner).reshape(sizes)


def _add_windows(out: np.ndarray, parts: np.ndarray, p: _Plan) -> None:
    """Add every window's elements where they came from: one strided addition per kernel position."""
    every, lead = slice(None), (slice(None),) * (2 if p.last else 3)
    for tap in itertools.product(*map(range, p.kernel)):
        target: Any = (
            *lead,
            *(slice(t * d, t * d + s * (n - 1) + 1, s) for t, d, s, n in zip(tap, p.dilation, p.stride, p.out)),
        )
        source: Any = (*lead, *([every] * len(p.out) if p.last else []), *tap)
        out[target] += parts[source]


def _convolution_weight(
    x: np.ndarray, g: np.ndarray, sizes: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> np.ndarray:
    n, o = x.shape[0], sizes[0]
    p = _plan(sizes, g.shape[2:], stride, padding, dilation, groups)
    windows = _windows(_padded(x, p), p)
    grads = g.reshape(n, groups, o // groups, math.prod(p.out))
    total = np.zeros((groups, o // groups, p.channels * math.prod(p.kernel)), x.dtype)
    for rows in p.rows(n, x.itemsize):
        total += (grads[rows] @ _columns(windows[rows], p).swapaxes(2, 3)).sum(0)
    if p.last:
        return np.ascontiguousarray(np.moveaxis(total.reshape(o, *p.kernel, p.channels), -1, 1))
    return total.reshape(sizes)


# rules


def out_size(n: Dim, kernel: Dim, stride: int, padding: int, dilation: int) -> Dim:
    """How many windows fit into one padded dim; None if the sizes do not say."""
    if n is None or kernel is None:
        return None
    reach = n + 2 * padding - dilation * (kernel - 1) - 1
    if isinstance(reach, int):
        return reach // stride + 1
    return reach + 1 if stride == 1 else None


def _same_dtype(a: Any, b: Any) -> None:
    if a is not None and b is not None and a != b:
        raise RuntimeError(f"expected scalar type {TITLES[a.name]} but found {TITLES[b.name]}")


def _by(sizes: Sequence[Any]) -> str:
    return " x ".join(map(str, sizes))


def check_options(weight: Sequence[Dim], stride: Any, padding: Any, dilation: Any, groups: int) -> None:
    """The options that no convolution takes, with PyTorch's errors."""
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    first = weight[0]
    if isinstance(first, int) and first < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size "
            f"{list(weight)} instead"
        )
    if isinstance(first, int) and first % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of "
            f"size [{list(weight)}] instead"
        )
    if any(isinstance(k, int) and k <= 0 for k in weight[2:]):
        raise RuntimeError(f"kernel size should be greater than zero, but got {_by(weight[2:])}")


def _checked(
    x: Sequence[Dim], w: Sequence[Dim], stride: Any, padding: Any, dilation: Any, groups: Any, a: Any, b: Any
) -> list[Dim]:
    """The spatial sizes of the result; PyTorch's errors where shapes and dtypes do not fit."""
    refused = DILATED if any(d > 1 for d in dilation) else NO_BOOL
    check_options(w, stride, padding, dilation, groups)
    channels, per = x[1], w[1]
    if isinstance(channels, int) and isinstance(per, int) and channels != per * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(w)}, expected input{list(x)} to have {per * groups} channels,"
            f" but got {channels} channels instead"
        )
    sizes = [out_size(*each) for each in zip(x[2:], w[2:], stride, padding, dilation)]
    if any(isinstance(n, int) and n <= 0 for n in sizes):
        padded = [n + 2 * p for n, p in zip(x[2:], padding) if n is not None]
        raise RuntimeError(
            f"Calculated padded input size per channel: ({_by(padded)}). Kernel size: ({_by(w[2:])}). Kernel size "
            "can't be greater than actual input size"
        )
    _same_dtype(a, b)
    if a is not None and a in refused.dtypes:
        raise refused.error(a)
    return sizes


def _convolution_infer(x: Type, w: Type, stride: Any, padding: Any, dilation: Any, groups: Any) -> Type:
    if x.dims is None or w.dims is None:
        return Type.tensor(x.dtype)
    options = infer.known_ints(stride, padding, dilation, groups)
    if options is None:
        return Type.tensor(x.dtype, (x.dims[0], w.dims[0], *[None] * (len(x.dims) - 2)))
    stride, padding, dilation, groups = options
    sizes = _checked(x.dims, w.dims, stride, padding, dilation, groups, x.dtype, w.dtype)
    return Type.tensor(x.dtype, (x.dims[0], w.dims[0], *sizes))


def _check_transposed(
    g: Sequence[Dim], w: Sequence[Dim], sizes: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> None:
    check_options(w, stride, padding, dilation, groups)
    if sizes is not None and any(isinstance(n, int) and n <= 0 for n in sizes[2:]):
        raise RuntimeError(
            f"Given input size per channel: ({_by(g[2:])}). Calculated output size per channel: ({_by(sizes[2:])}). "
            "Output size is too small"
        )
    if isinstance(g[1], int) and isinstance(w[0], int) and g[1] != w[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(w)}, expected input{list(g)} to have {w[0]} channels, but got "
            f"{g[1]} channels instead"
        )


def _convolution_input_infer(
    g: Type, w: Type, sizes: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Type:
    options = infer.known_ints(stride, padding, dilation, groups)
    if g.dims is not None and w.dims is not None and options is not None:
        _check_transposed(g.dims, w.dims, infer.sizes_of(sizes), *options)
    return _given_sizes(g, w, sizes)


def _given_sizes(a: Type, b: Type, sizes: Any, *_: Any) -> Type:
    _same_dtype(a.dtype, b.dtype)
    return Type.tensor(a.dtype or b.dtype, infer.sizes_of(sizes))


def _first(x: Any, like: Any, stride: Any, dilation: Any) -> Any:
    """As many windows as `like` has: an output padding of a stride or more gives the larger side windows to spare."""
    for i, (s, d) in enumerate(zip(stride, dilation)):
        if d > s:
            x = x.narrow(i + 2, 0, like.shape[i + 2])
    return x


# The native forms: the same matrices in ops. A kernel reads windows where they lie if they have runs of elements side
# by side, and makes the matrix of windows otherwise.
LARGEST = 1 << 24
"""Elements of all window matrices up to which a kernel makes them at once; beyond, blocks in cache are better."""
IN_PLACE = 1 << 30
"""The same where no matrix is made."""
UNKNOWN_SAMPLES = 64
"""How many samples a symbolic batch is taken to have."""
LEAST_RUN = 12
"""Elements side by side from which on windows are read in place."""
LEAST_VECTOR = 4
"""Elements side by side that a kernel reads at once at least."""


def _check_size(samples: Any, points: Any, units: Any, run: Any) -> None:
    """Refuse window matrices of `points` rows and `units` columns that are too large. `run`: how many columns lie side
    by side."""
    many = samples if isinstance(samples, int) else UNKNOWN_SAMPLES
    if not all(isinstance(n, int) for n in (points, units, run)):
        raise TraceError("the window matrices are of unknown size")
    in_place = run >= LEAST_RUN and max(points, units // LEAST_VECTOR) <= WINDOW_ENTRIES
    if points * units * many > (IN_PLACE if in_place else LARGEST):
        raise TraceError("the window matrices are too large")


def _windows_of(x: Any, first: int, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The windows of the dims from `first` on, their own dims last."""
    if any(padding):
        after = x.ndim - first - len(kernel)  # dims after the spatial ones
        x = constant_pad(x, [0] * (2 * after) + [p for size in padding[::-1] for p in (size, size)])
    for i in range(len(kernel)):
        x = windows(x, i + first, kernel[i], stride[i], dilation[i])
    return x


def _columns_of(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> tuple[Any, Any]:
    """The windows of `x` as matrices (N, G, K, P), and the sizes that P stands for."""
    count = len(kernel)
    x = _windows_of(x, 2, kernel, stride, padding, dilation)
    n, c, *sizes = x.shape[: count + 2]
    _check_size(n, math.prod([c, *kernel]), math.prod(sizes), sizes[-1] if stride[-1] == 1 else 1)
    x = x.permute(0, 1, *range(count + 2, 2 * count + 2), *range(2, count + 2))
    return x.reshape(n, groups, c // groups * math.prod(kernel), math.prod(sizes)), sizes


def _convolution_of(x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    o = weight.shape[0]
    columns, sizes = _columns_of(x, weight.shape[2:], stride, padding, dilation, groups)
    out = weight.reshape(groups, o // groups, columns.shape[2]) @ columns
    return out.reshape(x.shape[0], o, *sizes)


def _convolution_input_of(
    grad: Any, weight: Any, sizes: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """With stride 1, the convolution of the gradient with the kernels turned round."""
    if any(s != 1 for s in stride):
        raise TraceError("windows that are further apart leave gaps")
    o, per, *kernel = weight.shape
    turned = weight.flip(*range(2, 2 + len(kernel))).reshape(groups, o // groups, per, *kernel)
    turned = turned.transpose(1, 2).reshape(groups * per, o // groups, *kernel)
    around = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding)]
    out = _convolution_of(grad, turned, stride, around, dilation, groups)
    if list(out.shape[2:]) != list(sizes[2:]):
        raise TraceError("some elements are in no window")
    return out


def _convolution_weight_of(x: Any, grad: Any, sizes: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    o, channels, *kernel = sizes
    flat = math.prod(grad.shape[2:])
    if groups == 1 and isinstance(channels, int) and channels >= LEAST_RUN and math.prod(kernel) > 1:
        # With its channels last, the input has runs of them whatever the windows are.
        last = len(kernel) + 1
        columns = _windows_of(x.permute(0, *range(2, last + 1), 1), 1, kernel, stride, padding, dilation)
        _check_size(x.shape[0], flat, math.prod([channels, *kernel]), channels)
        out = list(columns.shape[1:last])
        columns = columns.permute(*range(last), *range(last + 1, last + 1 + len(kernel)), last)
        columns = columns.reshape(x.shape[0], flat, math.prod(kernel) * channels)
        made = (grad.reshape(x.shape[0], o, flat) @ columns).sum(0).reshape(o, *kernel, channels)
        made = made.permute(0, last, *range(1, last))
    else:
        columns, out = _columns_of(x, kernel, stride, padding, dilation, groups)
        grads = grad.reshape(x.shape[0], groups, o // groups, flat)
        made = (grads @ columns.transpose(2, 3)).sum(0).reshape(sizes)
    if out != list(grad.shape[2:]):
        raise TraceError("some windows have no gradient")
    return made


convolution = defop(
    "convolution(input, weight, stride: 'int[]', padding: 'int[]', dilation: 'int[]', groups: int) -> Tensor",
    eager=quiet(half_as_float(_convolution)),
    infer=_convolution_infer,
    vjp=lambda g, _y, x, weight, stride, padding, dilation, groups: (
        lambda: convolution_input(g, weight, x.shape, stride, padding, dilation, groups),
        lambda: convolution_weight(x, g, weight.shape, stride, padding, dilation, groups),
    ),
    reads=((1,), (0,)),
    lower=composite(_convolution_of, whole=True),
    method=False,
    public=False,
    doc="Cross-correlation without bias of a batch, over as many dims as `stride` has; see nn.functional.conv2d.",
)
convolution_input = defop(
    "convolution_input(grad, weight, sizes: 'int[]', stride: 'int[]', padding: 'int[]', dilation: 'int[]', groups: int)"
    " -> Tensor",
    eager=quiet(TRANSPOSED.eager(half_as_float(_convolution_input))),
    infer=TRANSPOSED.infer(_convolution_input_infer),
    vjp=lambda g, _y, grad, weight, sizes, stride, padding, dilation, groups: (
        lambda: _first(convolution(g, weight, stride, padding, dilation, groups), grad, stride, dilation),
        lambda: convolution_weight(g, grad, weight.shape, stride, padding, dilation, groups),
    ),
    reads=((1,), (0,)),
    lower=composite(_convolution_input_of, whole=True),
    method=False,
    public=False,
    doc="The gradient of `convolution` for its input of `sizes`: a transposed convolution of `grad`.",
)
convolution_weight = defop(
    "convolution_weight(input, grad, sizes: 'int[]', stride: 'int[]', padding: 'int[]', dilation: 'int[]', groups: int)"
    " -> Tensor",
    eager=quiet(half_as_float(_convolution_weight)),
    infer=_given_sizes,
    vjp=lambda g, _y, x, grad, sizes, stride, padding, dilation, groups: (
        lambda: convolution_input(grad, g, x.shape, stride, padding, dilation, groups),
        lambda: _first(convolution(x, g, stride, padding, dilation, groups), grad, stride, dilation),
    ),
    reads=((1,), (0,)),
    lower=composite(_convolution_weight_of, whole=True),
    method=False,
    public=False,
    doc="The gradient of `convolution` for its weight of `sizes`.",
)
