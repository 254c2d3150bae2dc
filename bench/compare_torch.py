"""Runs the rows of tests/opinfo/ through PyTorch too and prints where the two disagree: `python -m
bench.compare_torch [row or glob ...]`.

Needs the torch wheel (the `bench` extra); nothing else does. Every row's samples run in every dtype, those that the row
does not list too (then both must refuse, with the same exception type). Compared are values, dtypes, shapes, whether a
result is a view and its strides, gradients, and exception types of the error inputs; then type promotion over all pairs
of dtypes. `bench/torch_differences.py` lists what differs on purpose.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import Any, NamedTuple

import numpy as np
import torch

import specjit
from bench.torch_differences import DIFFERENCES, SKIPPED
from specjit.dtypes import ALL, DType, float16, float32, float64
from specjit.ops.records.registry import get
from specjit.tensor.tensor import Tensor
from tests.opinfo import FUNCTIONS, OPINFO, OpInfo, samples

# How PyTorch says what has another form there.
FORMS: dict[str, Callable[..., Any]] = {
    "getitem": lambda x, i: x[i],
    "setitem": lambda x, i, v: (x.__setitem__(i, v), x)[1],
    "embedding": lambda w, i, p=-1: torch.nn.functional.embedding(i, w, None if p < 0 else p),
    "one_hot": lambda x, n=-1: torch.nn.functional.one_hot(x, n),
    "convolution": lambda x, w, s, p, d, g: torch.convolution(x, w, None, s, p, d, False, [0] * len(s), g),
    "mean": lambda x, dim=None, keepdim=False, **o: _reduce(torch.mean, x, dim, keepdim, o),
    "sum": lambda x, dim=None, keepdim=False, **o: _reduce(torch.sum, x, dim, keepdim, o),
    "any": lambda x, dim=None, keepdim=False: _reduce(torch.any, x, dim, keepdim, {}),
    "all": lambda x, dim=None, keepdim=False: _reduce(torch.all, x, dim, keepdim, {}),
    "amax": lambda x, dim=None, keepdim=False: torch.amax(x, () if dim is None else dim, keepdim),
    "amin": lambda x, dim=None, keepdim=False: torch.amin(x, () if dim is None else dim, keepdim),
    "max": lambda x, *a, **k: torch.max(x, *a, **k),
}
TOLERANCE = {float16: 2e-3, float32: 1e-5, float64: 1e-9}


class Difference(NamedTuple):
    row: str
    column: str
    dtype: str
    sample: str
    what: str


def _reduce(fn: Any, x: Any, dim: Any, keepdim: bool, options: Any) -> Any:
    return fn(x, **options) if dim is None and not keepdim else fn(x, dim, keepdim, **options)


def torch_function(info: OpInfo) -> Callable[..., Any]:
    """The function of the row's name in PyTorch: `torch.<path>`, `torch.nn.functional.<name>` or the method."""
    if info.torch is not None:
        return info.torch(torch)
    if info.name in FORMS:
        return FORMS[info.name]
    for place in (torch, torch.nn.functional):
        found: Any = place
        for name in info.name.split("."):
            found = getattr(found, name, None)
        if found is not None:
            return found
    return lambda x, *a, **k: getattr(x, info.name)(*a, **k)


class Translation:
    """specjit values as PyTorch's, on the same memory, so that strides are the same; one object stays one object."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) not in self.seen:
                out = torch.from_numpy(value.detach().numpy())
                self.seen[id(value)] = (out.requires_grad_() if value.requires_grad else out, value)
            return self.seen[id(value)][0]
        if isinstance(value, DType):
            return getattr(torch, value.name)
        if isinstance(value, slice):
            return slice(self(value.start), self(value.stop), self(value.step))
        if isinstance(value, (list, tuple)):
            return type(value)(map(self, value))
        if isinstance(value, dict):
            return {k: self(v) for k, v in value.items()}
        return value


def outcome(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fn(*args, **kwargs)
    except Exception as error:  # the point is to see which one it is
        return error


def differences(ours: Any, theirs: Any, tolerance: float | None = None) -> Iterator[tuple[str, str]]:
    """(column, what) of every difference of two results."""
    if isinstance(ours, Exception) or isinstance(theirs, Exception):
        if type(ours) is not type(theirs):
            yield "error", f"{_brief(ours)} | torch {_brief(theirs)}"
    elif isinstance(theirs, (tuple, list)):
        if not isinstance(ours, (tuple, list)) or len(ours) != len(theirs):
            yield "value", f"{_brief(ours)} results | torch {len(theirs)}"
            return
        for a, b in zip(ours, theirs):
            yield from differences(a, b, tolerance)
    elif not isinstance(theirs, torch.Tensor) or not isinstance(ours, Tensor):
        if type(ours) is not type(theirs) or not (ours == theirs or (ours != ours and theirs != theirs)):
            yield "value", f"{ours!r} | torch {theirs!r}"
    elif f"torch.{ours.dtype.name}" != str(theirs.dtype):
        yield "dtype", f"{ours.dtype.name} | torch {str(theirs.dtype)[6:]}"
    elif tuple(ours.shape) != tuple(theirs.shape):
        yield "shape", f"{tuple(ours.shape)} | torch {tuple(theirs.shape)}"
    else:
        a, b = ours.detach().numpy(), theirs.numpy(force=True)
        near = TOLERANCE.get(ours.dtype, 0.0) if tolerance is None else tolerance
        finite = np.abs(b[np.isfinite(b)]).max(initial=0.0) if b.dtype.kind == "f" else 0.0
        with np.errstate(all="ignore"):
            wrong = ~np.isclose(a, b, rtol=near, atol=near * min(float(finite), 1.0), equal_nan=True)
        if wrong.any():
            yield "value", f"{a[wrong][:3]} | torch {b[wrong][:3]}"


def layouts(ours: Any, theirs: Any, our_args: Any, their_args: Any) -> Iterator[tuple[str, str]]:
    """Whether results share memory with arguments, and the strides of those that do."""
    mine, other = tensors((our_args,)), tensors((their_args,))
    for a, b in zip(tensors((ours,)), tensors((theirs,)), strict=False):
        if not b.numel() or tuple(a.shape) != tuple(b.shape):
            continue
        shared = any(np.shares_memory(a._data, x._data) for x in mine if x.numel())
        view = any(b.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for x in other if x.numel())
        if shared != view:
            yield "view", f"{'a view' if shared else 'fresh'} | torch {'a view' if view else 'fresh'}"
        elif view and _matter(a.stride(), a.shape) != _matter(b.stride(), b.shape):
            yield "strides", f"{a.stride()} | torch {b.stride()} of shape {tuple(b.shape)}"


def _matter(strides: Any, shape: Any) -> list[int]:
    return [s for s, n in zip(strides, shape) if n > 1]


def _brief(value: Any) -> str:
    text = f"{type(value).__name__}: {value}" if isinstance(value, Exception) else f"{type(value).__name__}"
    return text.split("\n")[0][:100]


def tensors(values: Any) -> list[Any]:
    found = []
    for a in values:
        if isinstance(a, (Tensor, torch.Tensor)):
            found.append(a)
        elif isinstance(a, (list, tuple)):
            found += tensors(a)
        elif isinstance(a, dict):
            found += tensors(a.values())
    return found


def inputs(info: OpInfo, dtype: DType, grad: bool) -> Iterator[tuple[Any, Any, Any, Any]]:
    """The samples twice: for us, and as PyTorch's. Rows are deterministic."""
    listed = dtype in info.dtypes
    try:
        first, second = samples(info, dtype, grad), samples(info, dtype, grad)
    except Exception:
        if listed:
            raise
        return  # a sample of other dtypes that cannot be made in this one
    many = first if listed else first[:4]
    for (args, kwargs), (again, named) in zip(many, second):
        translated = Translation()
        yield args, kwargs, translated(again), translated(named)


def compare_values(info: OpInfo, dtype: DType) -> Iterator[Difference]:
    theirs = torch_function(info)
    for args, kwargs, given, named in inputs(info, dtype, False):
        label = _show(args, kwargs)
        ours, other = outcome(info.fn, args, kwargs), outcome(theirs, given, named)
        ours = args[0] if ours is None and args else ours
        found = list(differences(ours, other))
        if info.random:
            found = [(c, w) for c, w in found if c != "value"]
        if not isinstance(ours, Exception) and not isinstance(other, Exception):
            found += layouts(ours, other, (args, kwargs), (given, named))
        for column, what in found:
            yield Difference(info.name, column, dtype.name, label, what)


def compare_gradients(info: OpInfo) -> Iterator[Difference]:
    if info.random or (info.name in OPINFO and info.op.traits.writes):
        return
    theirs = torch_function(info)
    for args, kwargs, given, named in inputs(info, float64, True):
        label = _show(args, kwargs)
        ours, other = outcome(info.fn, args, kwargs), outcome(theirs, given, named)
        if isinstance(ours, Exception) or isinstance(other, Exception):
            continue
        for a, b in zip(tensors((ours,)), tensors((other,))):
            if a.requires_grad != b.requires_grad:
                what = f"requires_grad {a.requires_grad} | torch {b.requires_grad}"
                yield Difference(info.name, "gradient", "float64", label, what)
        ends = []
        for outs, leaf in ((ours, (args, kwargs)), (other, (given, named))):
            parts = [(o * _weight(o)).sum() for o in tensors((outs,)) if o.requires_grad]
            for x in tensors(leaf):
                x.grad = None  # samples may share tensors
            ends.append(outcome(sum(parts[1:], parts[0]).backward, (), {}) if parts else None)
        for column, what in differences(*ends):
            yield Difference(info.name, "gradient", "float64", label, f"{column}: {what}")
        if any(isinstance(end, Exception) for end in ends):
            continue
        for a, b in zip(tensors((args, kwargs)), tensors((given, named))):
            if a.requires_grad and (a.grad is None) != (b.grad is None):
                what = f"{a.grad} | torch {b.grad}"
                yield Difference(info.name, "gradient", "float64", label, what)
            elif a.requires_grad and a.grad is not None:
                for _, what in differences(a.grad, b.grad, 1e-7):
                    yield Difference(info.name, "gradient", "float64", label, what)


def _weight(out: Any) -> Any:
    numbers = np.cos(np.arange(out.numel(), dtype=np.float64)).reshape(tuple(out.shape))
    return specjit.from_numpy(numbers) if isinstance(out, Tensor) else torch.from_numpy(numbers)


def compare_errors(info: OpInfo) -> Iterator[Difference]:
    """The error inputs, read with `specjit` meaning torch: the same program raises the same exception."""
    for function, kind, _ in info.errors:
        if "get" in function.__code__.co_names:
            continue  # calls a record that is not public
        spaces = {k: Translation()(v) for k, v in function.__globals__.items() if isinstance(v, (DType, Tensor))}
        scope = {**function.__globals__, **spaces, "specjit": torch, "nn": torch.nn}
        cells = function.__closure__
        theirs = outcome(types.FunctionType(function.__code__, scope, "theirs", function.__defaults__, cells), (), {})
        wanted = torch.linalg.LinAlgError if kind is specjit.linalg.LinAlgError else kind
        if type(theirs) is not wanted:
            what = f"{kind.__name__} | torch {_brief(theirs)}"
            yield Difference(info.name, "error", "-", f"line {function.__code__.co_firstlineno}", what)


def _show(args: Any, kwargs: Any) -> str:
    def one(a: Any) -> str:
        if isinstance(a, Tensor):
            return f"{a.dtype.short}{list(a.shape)}"
        if isinstance(a, (list, tuple)):
            return f"[{', '.join(map(one, a))}]"
        return repr(a)[:40]

    return "(" + ", ".join([*map(one, args), *(f"{k}={one(v)}" for k, v in kwargs.items())]) + ")"


def compare(info: OpInfo) -> Iterator[Difference]:
    for dtype in ALL:
        yield from compare_values(info, dtype)
    if info.grad:
        yield from compare_gradients(info)
    yield from compare_errors(info)


# promotion


def compare_promotion() -> Iterator[Difference]:
    """`promote_types`, `can_cast` and `result_type` of everything with everything, and of binary operators."""
    same = Translation()
    for a, b in itertools.product(ALL, ALL):
        if same(specjit.promote_types(a, b)) is not torch.promote_types(same(a), same(b)):
            yield Difference("promote_types", "dtype", "-", f"({a.name}, {b.name})", "")
        if specjit.can_cast(a, b) != torch.can_cast(same(a), same(b)):
            yield Difference("can_cast", "dtype", "-", f"({a.name}, {b.name})", "")
    operands = [specjit.ones(s, dtype=d) for d in ALL for s in ((2,), ())] + [True, 2, 2.5]
    for a, b in itertools.product(operands, operands):
        given = Translation()
        ours, theirs = specjit.result_type(a, b), torch.result_type(given(a), given(b))
        if same(ours) is not theirs:
            yield Difference("result_type", "dtype", "-", _show((a, b), {}), f"{ours} | torch {theirs}")
    for name in ("add", "mul", "div", "pow", "maximum", "eq", "where", "remainder", "floor_divide"):
        mask = [specjit.tensor([True, False])] if name == "where" else []
        for a, b in itertools.product(operands, operands):
            numbers = [x for x in (a, b) if not isinstance(x, Tensor)]
            if len(numbers) == 2 or (name == "maximum" and numbers):
                continue
            ours = outcome(get(name).fn, (*mask, a, b), {})
            theirs = outcome(getattr(torch, name), Translation()((*mask, a, b)), {})
            for column, what in differences(ours, theirs, 1e-2):
                yield Difference(name, column, "-", _show((a, b), {}), what)


# report


def report(found: list[Difference], lines: int) -> int:
    """Print disagreements by row and column with examples; their number."""
    reasons: Counter[str] = Counter()
    open_: dict[tuple[str, str], list[Difference]] = {}
    for d in found:
        known = next((k for k in DIFFERENCES if k.covers(d.row, d.column, d.dtype)), None)
        if known is not None:
            reasons[f"{known.row} {known.column}: {known.reason}"] += 1
        else:
            open_.setdefault((d.row, d.column), []).append(d)
    for (row, column), group in sorted(open_.items()):
        print(f"{row:28}{column:10}{len(group):5}")
        for d in group[:lines]:
            print(f"    {d.dtype:8} {d.sample}  {d.what}")
    for reason, count in sorted(reasons.items()):
        print(f"known {count:5}  {reason}")
    total = sum(map(len, open_.values()))
    print(f"{total} disagreements in {len({r for r, _ in open_})} rows; {sum(reasons.values())} known differences")
    return total


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="names or globs of rows; all and promotion without")
    parser.add_argument("--lines", type=int, default=3, help="examples shown for each row and column")
    options = parser.parse_args(argv)
    torch.manual_seed(0)
    rows = {**OPINFO, **FUNCTIONS}
    wanted = [n for n in sorted(rows) if not options.rows or any(fnmatch(n, p) for p in options.rows)]
    compared = [n for n in wanted if n not in SKIPPED and rows[n].compared]
    print(
        f"{len(compared)} rows in {len(ALL)} dtypes; {len(wanted) - len(compared)} are not PyTorch's, or random there"
    )
    found = [d for n in compared for d in compare(rows[n])]
    if not options.rows:
        found += compare_promotion()
    return 1 if report(found, options.lines) else 0


if __name__ == "__main__":
    sys.exit(main())
