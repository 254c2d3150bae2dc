"""One row per operator or function: sample inputs, an independent reference, error inputs, tolerances. Data, for the
generic tests of every room.

`OPINFO[name]` is the row of the record `name`, `FUNCTIONS[name]` that of a composite function, or of a plain one by its
path ("nn.functional.gelu"); `row` sorts them. `samples(info, dtype, requires_grad)` are inputs as (args, kwargs).
References take the raw arrays (float64 where the op computes in floats) and must not call specjit.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import specjit
from specjit.dtypes import DType, bool_, float16, float32, float64, int8, int16, int32, int64, uint8
from specjit.ops.records import composites
from specjit.ops.records.registry import Op, all_ops, get
from specjit.tensor.tensor import Tensor

# What a row's `dtypes` are made of. PyTorch's CPU functions mostly take FLOATS, NUMBERS or ALL.
WIDE = (float32, float64)
FLOATS = (*WIDE, float16)
INTS = (int32, int64, uint8, int8, int16)
NUMBERS = (*FLOATS, *INTS)
ALL = (*NUMBERS, bool_)
# float16: one rounding of a float32 result (2 ** -11), and the rounding of what a composite keeps in between.
TOLERANCE = {float32: 2e-6, float64: 1e-13, float16: 1e-3}


@dataclass
class OpInfo:
    """sample(make) yields (args, kwargs); `make(shape, low, high, special=...)` gives tensors of the wanted dtype.

    reference   (*args, **kwargs) on arrays -> expected arrays; None: `properties` checks the result instead
    grad        gradcheck these samples in float64
    gradgrad    and second derivatives
    smooth      samples avoid kinks by their ranges; False: no finite differences
    errors      [(function that calls the op, exception, text in its message)]
    exact       results must be equal bit for bit, not only close
    random      the result is random: compare under one seed
    scale       factor of the tolerance
    view        a function's result shares the input's memory (True), never does (False), or does for some inputs
    traceable   False: the result, or a decision, depends on data (`nonzero`, `allclose`)
    scripted    False: takes or gives what programs that are captured cannot hold
    torch       how PyTorch says it: `lambda torch: fn`; None: the same path under `torch`, or the method
    compared    False: not in PyTorch, or random there (bench/compare_torch.py has the reasons)
    """

    name: str
    sample: Callable[[Make], Iterator[tuple[tuple[Any, ...], dict[str, Any]]]]
    reference: Callable[..., Any] | None = None
    properties: Callable[..., None] | None = None
    dtypes: tuple[DType, ...] = FLOATS
    grad: bool = True
    gradgrad: bool = True
    errors: list[tuple[Callable[[], Any], type[Exception], str]] = field(default_factory=list)
    exact: bool = False
    random: bool = False
    scale: float = 1.0
    view: bool | None = False
    traceable: bool = True
    scripted: bool = True
    torch: Callable[[Any], Callable[..., Any]] | None = None
    compared: bool = True

    @property
    def op(self) -> Op:
        return get(self.name)

    @property
    def fn(self) -> Callable[..., Any]:
        """What users call."""
        if self.name in OPINFO:
            return self.op.fn
        found = composites.all_composites().get(self.name)
        return found.fn if found is not None else _by_path(self.name)

    def tolerance(self, dtype: DType) -> float:
        return 0.0 if self.exact or dtype not in TOLERANCE else TOLERANCE[dtype] * self.scale


def _by_path(path: str) -> Any:
    found: Any = specjit
    for name in path.split("."):
        found = getattr(found, name)
    return found


class Make:
    """Makes the tensors of a sample: deterministic, of one dtype; floats require grad if asked for."""

    def __init__(self, dtype: DType, requires_grad: bool, seed: str) -> None:
        self.dtype = dtype
        self.requires_grad = requires_grad
        self.rng = np.random.default_rng(zlib.crc32(seed.encode()))

    def array(self, shape: tuple[int, ...], low: float, high: float, dtype: DType) -> np.ndarray:
        if dtype.is_floating_point:
            return self.rng.uniform(low, high, shape).astype(dtype.numpy)
        if dtype is bool_:
            return self.rng.integers(0, 2, shape).astype(bool)
        limits = np.iinfo(dtype.numpy)
        first = max(int(np.ceil(low)), int(limits.min))
        last = min(max(int(high), first), int(limits.max))
        return self.rng.integers(first, last + 1, shape).astype(dtype.numpy)

    def wrap(self, array: np.ndarray) -> Tensor:
        out = specjit.from_numpy(array)
        if self.requires_grad and out.dtype.is_floating_point:
            out.requires_grad_()
        return out

    def __call__(
        self, *shape: int, low: float = -3, high: float = 3, dtype: DType | None = None, layout: str = "C"
    ) -> Tensor:
        """layout: "C", "T" (transposed memory), "S" (every second element of the last dim)."""
        d = dtype or self.dtype
        if layout == "T":
            return self.wrap(self.array(shape[::-1], low, high, d).T)
        if layout == "S":
            return self.wrap(self.array((*shape[:-1], 2 * shape[-1]), low, high, d)[..., ::2])
        return self.wrap(self.array(shape, low, high, d))

    def ints(self, *shape: int, high: int, low: int = 0) -> Tensor:
        return specjit.from_numpy(self.rng.integers(low, high, shape))

    def mask(self, *shape: int) -> Tensor:
        return specjit.from_numpy(self.rng.integers(0, 2, shape).astype(bool))

    def special(self) -> Tensor:
        """NaN, infinities, zeros of both signs, denormals, large numbers. Only where nothing is differentiated."""
        tiny, huge = (6e-8, 6e4) if self.dtype is float16 else (1e-40, 3e38)
        values = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, tiny, huge, -2.5, 2.5]
        return specjit.from_numpy(np.array(values).astype(self.dtype.numpy))

    def extremes(self) -> Tensor:
        """The limits of an integer dtype and their neighbours: arithmetic on them wraps around."""
        limits = np.iinfo(self.dtype.numpy)
        values = [limits.min, limits.min + 1, 0, 1, 2, limits.max - 1, limits.max]
        return specjit.from_numpy(np.array(values, self.dtype.numpy))

    @property
    def plain(self) -> bool:
        """Whether samples may hold what finite differences cannot take."""
        return not self.requires_grad and self.dtype.is_floating_point


Sample = tuple[tuple[Any, ...], dict[str, Any]]
OPINFO: dict[str, OpInfo] = {}
FUNCTIONS: dict[str, OpInfo] = {}


def row(name: str, sample: Any, reference: Any = None, **options: Any) -> OpInfo:
    """The row of a record, or of a composite or plain function. `reference` is None where `properties` check."""
    info = OpInfo(name, sample, reference, **options)
    rows = OPINFO if name in all_ops() else FUNCTIONS
    if name in rows:
        raise ValueError(f"two rows for {name}")
    rows[name] = info
    return info


def samples(op: str | Op | OpInfo, dtype: DType, requires_grad: bool = False) -> list[Sample]:
    """The inputs of an op's row for one dtype, as (args, kwargs)."""
    name = op if isinstance(op, str) else op.name
    info = op if isinstance(op, OpInfo) else OPINFO[name] if name in OPINFO else FUNCTIONS[name]
    return list(info.sample(Make(dtype, requires_grad, info.name)))


def unary(low: float = -3, high: float = 3, special: bool = True) -> Any:
    """Samples for a function of one tensor: ranks, empty, size 1, layouts, special values."""

    def sample(make: Make) -> Iterator[Sample]:
        for shape in ((), (0,), (1,), (3, 4), (2, 0, 3), (2, 3, 4)):
            yield (make(*shape, low=low, high=high),), {}
        yield (make(4, 3, low=low, high=high, layout="T"),), {}
        yield (make(3, 4, low=low, high=high, layout="S"),), {}
        if special and make.plain:
            yield (make.special(),), {}

    return sample


def binary(low: float = -3, high: float = 3, low2: float | None = None, high2: float | None = None) -> Any:
    """Samples for a function of two tensors: broadcasting, 0-d beside n-d, layouts, Python numbers, special values."""
    l2, h2 = low if low2 is None else low2, high if high2 is None else high2

    def sample(make: Make) -> Iterator[Sample]:
        shapes = [
            ((), ()),
            ((3, 4), (3, 4)),
            ((3, 1), (1, 4)),
            ((2, 3, 4), (4,)),
            ((3, 4), ()),
            ((), (2,)),
            ((0, 3), (1, 3)),
            ((1,), (1,)),
        ]
        for a, b in shapes:
            yield (make(*a, low=low, high=high), make(*b, low=l2, high=h2)), {}
        yield (make(4, 3, low=low, high=high, layout="T"), make(4, 3, low=l2, high=h2)), {}
        yield (make(3, 4, low=low, high=high, layout="S"), make(3, 1, low=l2, high=h2)), {}
        if make.plain:
            s = make.special()
            yield (s.unsqueeze(1), s.unsqueeze(0)), {}

    return sample


def with_numbers(sample: Any, numbers: tuple[Any, ...] = (2, 0.5, True), both_sides: bool = True) -> Any:
    """The samples, and Python numbers beside a tensor."""

    def more(make: Make) -> Iterator[Sample]:
        pairs = list(sample(make))
        yield from pairs
        a, b = pairs[1][0]
        for n in numbers:
            if isinstance(n, float) and not make.dtype.is_floating_point and make.dtype is not int64:
                continue
            yield (a, n), {}
            if both_sides:
                yield (n, b), {}

    return more


def raw(value: Any) -> Any:
    """Tensors as arrays, inside containers and slices too."""
    if isinstance(value, Tensor):
        return value.detach().numpy().copy()
    if isinstance(value, (list, tuple)):
        items = [raw(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, slice):
        return slice(raw(value.start), raw(value.stop), raw(value.step))
    return value


def wide(fn: Any) -> Any:
    """A reference that computes in float64 from float64 copies."""

    def reference(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return fn(*(a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in args), **kwargs)

    return reference


def silent(fn: Any) -> Any:
    def reference(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return fn(*args, **kwargs)

    return reference


# The rows are the other files of this folder, by family.
for _path in sorted(Path(__file__).parent.glob("[!_]*.py")):
    importlib.import_module(f"tests.opinfo.{_path.stem}")
