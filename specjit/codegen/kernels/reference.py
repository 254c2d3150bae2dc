"""What a spec means, in plain NumPy: the independent evaluator that tests and fuzzers compare kernels with.

Enters: a spec and its operands (a 1-d array for an address, a number for a size or scalar). Leaves: the stores done
in those arrays. Invariant: shares no code with the renderers. Every IEEE operation is done in its own dtype; a
transcendental, a sum and a product of matrices are computed in the widest float there is and rounded once.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from specjit.codegen.kernels.spec import (
    Access,
    Arg,
    DrawSpec,
    DuetSpec,
    Extent,
    GemmSpec,
    Inst,
    LoopSpec,
    PackSpec,
    PickSpec,
    ScanSpec,
    Segment,
    WindowSpec,
)

DTYPES: dict[str, Any] = {
    "f32": np.float32,
    "f64": np.float64,
    "i64": np.int64,
    "i32": np.int32,
    "i16": np.int16,
    "i8": np.int8,
    "u8": np.uint8,
    "bool": np.bool_,
}
Operands = list[Any]
WIDE = np.longdouble


def _wide(function: Any) -> Any:
    """Evaluate in the widest float and round once."""

    def evaluate(*args: Any) -> Any:
        dtype = args[0].dtype
        return np.asarray(function(*(a.astype(WIDE) for a in args))).astype(dtype)

    return evaluate


def _each(function: Any) -> Any:
    """A function of the math module, in float64, element by element."""

    def evaluate(x: Any) -> Any:
        return np.array([function(float(v)) for v in x.ravel()], np.float64).reshape(x.shape).astype(x.dtype)

    return evaluate


def _rounded(function: Any) -> Any:
    return lambda x: x if x.dtype.kind in "iub" else function(x)


def _sign(x: Any) -> Any:
    return np.sign(x)


def _reciprocal_sqrt(x: Any) -> Any:
    return 1 / np.sqrt(x)


SIMD = SimpleNamespace(
    select=np.where,
    fma=lambda a, b, c: a * b + c,
    minimum=np.minimum,
    maximum=np.maximum,
    fmod=np.fmod,
    isnan=np.isnan,
    isinf=np.isinf,
    isfinite=np.isfinite,
    copysign=np.copysign,
    logical_not=np.logical_not,
)
VECMATH = SimpleNamespace(
    exp=_wide(np.exp),
    exp2=_wide(np.exp2),
    expm1=_wide(np.expm1),
    log=_wide(np.log),
    log2=_wide(np.log2),
    log10=_wide(np.log10),
    log1p=_wide(np.log1p),
    tanh=_wide(np.tanh),
    sinh=_wide(np.sinh),
    cosh=_wide(np.cosh),
    sigmoid=_wide(lambda x: 1 / (1 + np.exp(-x))),
    sin=_wide(np.sin),
    cos=_wide(np.cos),
    tan=_wide(np.tan),
    erf=_each(math.erf),
    sqrt=np.sqrt,
    rsqrt=_wide(_reciprocal_sqrt),
    reciprocal=lambda x: 1 / x,
    pow=_wide(np.power),
    abs=np.abs,
    sign=_sign,
    floor=_rounded(np.floor),
    ceil=_rounded(np.ceil),
    trunc=_rounded(np.trunc),
    round=_rounded(np.rint),
)


def evaluate(
    spec: LoopSpec | GemmSpec | WindowSpec | DuetSpec | PackSpec | PickSpec | DrawSpec | ScanSpec, operands: Operands
) -> int:
    """Do what the kernel of `spec` does, on the arrays in `operands`; its status."""
    with np.errstate(all="ignore"):
        if isinstance(spec, LoopSpec):
            _loop(spec, operands)
        elif isinstance(spec, GemmSpec):
            _gemm(spec, operands)
        elif isinstance(spec, WindowSpec):
            _window(spec, operands)
        elif isinstance(spec, DuetSpec):
            _duet(spec, operands)
        elif isinstance(spec, PackSpec):
            _pack(spec, operands)
        elif isinstance(spec, DrawSpec):
            _draw(spec, operands)
        elif isinstance(spec, ScanSpec):
            _scan(spec, operands)
        else:
            return _pick(spec, operands)
    return 0


def _number(extent: Extent, operands: Operands) -> int:
    return int(operands[extent.index]) if isinstance(extent, Arg) else extent


def _positions(access: Access, domain: tuple[int, ...], operands: Operands) -> Any:
    """The element index of every domain point in the array of the access."""
    at = np.full(domain, _number(access.offset, operands), np.int64)
    for d, stride in enumerate(access.strides):
        shape = [1] * len(domain)
        shape[d] = domain[d]
        at = at + np.arange(domain[d], dtype=np.int64).reshape(shape) * _number(stride, operands)
    return at


def _instruction(inst: Inst, args: list[Any], domain: tuple[int, ...], operands: Operands, reduced: int) -> Any:
    dtype = DTYPES[inst.dtype]
    if inst.kind == "load":
        assert inst.access is not None
        return operands[inst.access.base][_positions(inst.access, domain, operands)]
    if inst.kind == "const":
        return np.full(domain, inst.value).astype(dtype)
    if inst.kind == "scalar":
        return np.full(domain, operands[inst.operand]).astype(dtype)
    if inst.kind == "index":
        return np.indices(domain)[inst.dim].astype(dtype)
    if inst.kind == "cast":
        return args[0].astype(dtype)
    if inst.kind == "reduce":
        return _reduce(inst.text, args[0], reduced, dtype)
    names = [f"a{i}" for i in range(len(args))]
    scope = {**vars(SIMD), **vars(VECMATH), "simd": SIMD, "vecmath": VECMATH, **dict(zip(names, args))}
    return np.asarray(eval(inst.text.format(*names), scope)).astype(dtype)


def _reduce(kind: str, x: Any, reduced: int, dtype: Any) -> Any:
    """Reduce the last `reduced` dimensions, and spread the result over them again."""
    outer = x.shape[: x.ndim - reduced]
    flat = np.broadcast_to(x, x.shape).reshape(*outer, -1)
    wide = flat.astype(WIDE) if flat.dtype.kind == "f" else flat
    if kind in ("argmax", "argmin"):
        result = getattr(np, kind)(flat, axis=-1)
    elif kind in ("sum", "prod"):
        result = getattr(np, kind)(wide, axis=-1, dtype=wide.dtype)
    else:
        result = getattr(np, kind)(flat, axis=-1)
    result = np.asarray(result).astype(dtype)
    return np.broadcast_to(result.reshape(*outer, *[1] * reduced), x.shape)


def _loop(spec: LoopSpec, operands: Operands) -> None:
    domain = tuple(_number(e, operands) for e in spec.domain)
    outer = domain[: len(domain) - spec.reduced]
    if 0 in outer:
        return
    if 0 in domain:
        _empty_reduction(spec, outer, operands)
        return
    values: list[Any] = []
    for inst in spec.body:
        values.append(_instruction(inst, [values[a] for a in inst.args], domain, operands, spec.reduced))
    for store in spec.stores:
        _store(store.access, values[store.value], domain, operands)


def _store(access: Access, value: Any, domain: tuple[int, ...], operands: Operands) -> None:
    at = _positions(access, domain, operands)
    operands[access.base][at.ravel()] = np.broadcast_to(value, domain).ravel()


def _empty_reduction(spec: LoopSpec, outer: tuple[int, ...], operands: Operands) -> None:
    """Nothing to reduce: sums are 0, products 1; instructions along the empty dimensions do not happen."""
    ones = (*outer, *[1] * spec.reduced)
    neutral = {"sum": 0, "prod": 1, "any": False, "all": True}
    values: dict[int, Any] = {}
    for i, inst in enumerate(spec.body):
        if inst.kind == "reduce":
            values[i] = np.full(ones, neutral[inst.text]).astype(DTYPES[inst.dtype])
        elif inst.kind == "load" and inst.access is not None:
            if all(s == 0 for s in inst.access.strides[len(outer) :]):
                values[i] = _instruction(inst, [], ones, operands, spec.reduced)
        elif all(a in values for a in inst.args) and inst.kind != "index":
            values[i] = _instruction(inst, [values[a] for a in inst.args], ones, operands, spec.reduced)
    for store in spec.stores:
        if store.value in values and all(s == 0 for s in store.access.strides[len(outer) :]):
            _store(store.access, values[store.value], ones, operands)


WHOLE = (slice(None), slice(None))


def _gemm(spec: GemmSpec, operands: Operands, part: tuple[slice, slice] = WHOLE) -> None:
    """The product, of which only these rows and units are stored."""
    outer = tuple(_number(e, operands) for e in spec.outer)
    rows, units = (_number(e, operands) for e in (spec.rows, spec.units))
    domain = (*outer, rows, units)
    if 0 in domain:
        return
    sums = np.zeros((*outer, spec.chunks, rows, units), WIDE)
    for segment in spec.segments:
        sums[..., part[0], :] += _segment(spec, segment, outer, rows, units, operands, part[0])
    _epilogue(spec, sums, domain, operands, part)


def _window(spec: WindowSpec, operands: Operands) -> None:
    outer = tuple(_number(e, operands) for e in spec.outer)
    domain = (*outer, spec.rows, spec.units)
    if 0 in domain:
        return
    a = operands[spec.a.base][_positions(spec.a, (*outer, spec.rows, spec.k), operands)]
    b = operands[spec.b.base][_positions(spec.b, (*outer, *spec.depths, *spec.lines, spec.run), operands)]
    sums = np.matmul(a.astype(WIDE), b.reshape(*outer, spec.k, spec.units).astype(WIDE))
    _epilogue(spec, np.expand_dims(sums, len(outer)), domain, operands, WHOLE)


def _epilogue(
    spec: GemmSpec | WindowSpec, sums: Any, domain: tuple[int, ...], operands: Operands, part: tuple[slice, slice]
) -> None:
    """What follows the sums (*outer, chunks, rows, units)."""
    values: list[Any] = []
    for inst in spec.body:
        if inst.kind == "acc":
            values.append(np.take(sums, inst.operand, axis=len(domain) - 2).astype(DTYPES[spec.dtype]))
        else:
            values.append(_instruction(inst, [values[i] for i in inst.args], domain, operands, 0))
    for store in spec.stores:
        at = _positions(store.access, domain, operands)[(..., *part)]
        operands[store.access.base][at.ravel()] = np.broadcast_to(values[store.value], domain)[(..., *part)].ravel()


def _duet(spec: DuetSpec, operands: Operands) -> None:
    _gemm(spec.step, operands)
    turn, first = _number(spec.turn, operands), _number(spec.first, operands)
    lanes = _panel_lanes(spec.rows)
    panels = -(-_number(spec.rows.units, operands) // lanes)
    done, among = 0, first  # rows that were needed before those that this turn is among, and how many these are
    while turn >= done + among:
        done, among = done + among, spec.block
    rows = slice(done + among, done + among + spec.block)
    units = slice((turn - done) * panels // among * lanes, (turn - done + 1) * panels // among * lanes)
    _gemm(spec.rows, operands, (rows, units))


def _segment(
    spec: GemmSpec, segment: Segment, outer: tuple[int, ...], rows: int, units: int, operands: Operands, chosen: slice
) -> Any:
    """The chosen rows of one product, (*outer, chunks, rows, units)."""
    k = _number(segment.k, operands)
    at = _positions(segment.a, (*outer, rows, k), operands)[..., chosen, :]
    a = operands[segment.a.base][at].astype(WIDE)
    lanes = _panel_lanes(spec)
    panels = -(-units // lanes)
    size = panels * k * spec.chunks * lanes
    at = np.zeros(outer, np.int64)
    for d, stride in enumerate(segment.b_strides):
        shape = [1] * len(outer)
        shape[d] = outer[d]
        at = at + np.arange(outer[d]).reshape(shape) * _number(stride, operands)
    b = operands[segment.b][at[..., None] + np.arange(size)].reshape(*outer, panels, k, spec.chunks, lanes).astype(WIDE)
    # (*outer, panels, k, chunks, lanes) -> (*outer, chunks, k, units)
    b = np.moveaxis(b, -2, len(outer))
    b = np.moveaxis(b, -2, len(outer) + 1).reshape(*outer, spec.chunks, k, panels * lanes)[..., :units]
    return np.matmul(np.expand_dims(a, len(outer)), b)


def _panel_lanes(spec: GemmSpec | PackSpec) -> int:
    from specjit.codegen.vectors.lanes import panel_lanes

    return panel_lanes(spec.dtype, spec.units if isinstance(spec.units, int) else None)


def _pack(spec: PackSpec, operands: Operands) -> None:
    outer = tuple(_number(e, operands) for e in spec.outer)
    units, k = _number(spec.units, operands), _number(spec.k, operands)
    lanes = _panel_lanes(spec)
    panels = -(-units // lanes)
    source = operands[spec.src.base][_positions(spec.src, (*outer, k, spec.chunks, units), operands)]
    padded = np.zeros((*outer, k, spec.chunks, panels * lanes), source.dtype)
    padded[..., :units] = source
    split = padded.reshape(*outer, k, spec.chunks, panels, lanes)
    packed = np.moveaxis(split, -2, len(outer)).ravel()
    operands[spec.dst][: packed.size] = packed


def _pick(spec: PickSpec, operands: Operands) -> int:
    domain = tuple(_number(e, operands) for e in spec.domain)
    if 0 in domain:
        return 0
    count, step = _number(spec.count, operands), _number(spec.step, operands)
    at = operands[spec.index.base][_positions(spec.index, domain, operands)].astype(np.int64)
    if spec.wrap:
        at = np.where(at < 0, at + count, at)
    if at.min() < 0 or at.max() >= count:
        return 5
    source, target = (_positions(a, domain, operands) for a in (spec.source, spec.target))
    if spec.gather:
        operands[spec.target.base][target.ravel()] = operands[spec.source.base][(source + at * step).ravel()]
        return 0
    values = operands[spec.source.base][source.ravel()]
    for where, value in zip((target + at * step).ravel(), values):
        operands[spec.target.base][where] += value
    return 0


def _scan(spec: ScanSpec, operands: Operands) -> None:
    domain = tuple(_number(e, operands) for e in spec.domain)
    if 0 in domain:
        return
    values = np.moveaxis(operands[spec.source.base][_positions(spec.source, domain, operands)], spec.axis, 0).copy()
    for k in range(1, len(values)):
        values[k] += values[k - 1]
    _store(spec.target, np.moveaxis(values, 0, spec.axis), domain, operands)


def _draw(spec: DrawSpec, operands: Operands) -> None:
    count, seed, first = (_number(e, operands) for e in (spec.count, spec.seed, spec.first))
    per_block = 4 if spec.dtype == "f32" else 2
    for i in range(count):
        words = _philox(seed & (1 << 64) - 1, first + i // per_block)
        if spec.dtype == "f32":
            number = (words[i % 4] >> 8) * 2.0**-24
        else:
            low, high = words[i % 2 * 2 : i % 2 * 2 + 2]
            number = ((high << 32 | low) >> 11) * 2.0**-53
        operands[spec.target][i] = number


def _philox(seed: int, block: int) -> list[int]:
    """The four words of a block, in Python integers."""
    low = (1 << 32) - 1
    c, key = [block & low, block >> 32, 0, 0], [seed & low, seed >> 32]
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [b >> 32 ^ c[1] ^ key[0], b & low, a >> 32 ^ c[3] ^ key[1], a & low]
        key = [key[0] + 0x9E3779B9 & low, key[1] + 0xBB67AE85 & low]
    return c
