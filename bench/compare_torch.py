"""Runs the rows of tests/opinfo.py through PyTorch too and prints where the two disagree: `python -m
bench.compare_torch [op ...]`.

Needs the torch wheel (the `bench` extra); nothing else does. Compared are values, dtypes, shapes, gradients, promotion
over all pairs of dtypes, and exception types of the error inputs.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import specjit
from specjit.dtypes import ALL, DType, float64
from specjit.ops.registry import get
from specjit.tensor.tensor import Tensor
from tests.opinfo import OPINFO, samples

SKIP = {
    # Ours alone: no function of that name and meaning in PyTorch.
    *(
        "cast",
        "to_dtype",
        "alias",
        "size",
        "item",
        "slice",
        "rint",
        "getitem_backward",
        "select_backward",
        "slice_backward",
    ),
    *("index", "index_write", "embedding_backward", "conv2d_input", "conv2d_weight", "dropout_mask"),
    # Random: other streams.
    *("rand", "randn", "randint", "randperm", "bernoulli", "empty", "empty_like"),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "getitem": lambda x, i: x[i],
    "setitem": lambda x, i, v: (x.__setitem__(i, v), x)[1],
    "embedding": lambda w, i, p=-1: torch.nn.functional.embedding(i, w, None if p < 0 else p),
    "one_hot": lambda x, n=-1: torch.nn.functional.one_hot(x.long(), n),
    "conv2d": lambda x, w, s, p, d, g: torch.conv2d(x, w, None, s, p, d, g),
    "mm": torch.mm,
    "mean": lambda x, dim=None, keepdim=False: (
        torch.mean(x) if dim is None and not keepdim else torch.mean(x, dim, keepdim)
    ),
    "sum": lambda x, dim=None, keepdim=False: (
        torch.sum(x) if dim is None and not keepdim else torch.sum(x, dim, keepdim)
    ),
    "any": lambda x, dim=None, keepdim=False: (
        torch.any(x) if dim is None and not keepdim else torch.any(x, dim, keepdim)
    ),
    "all": lambda x, dim=None, keepdim=False: (
        torch.all(x) if dim is None and not keepdim else torch.all(x, dim, keepdim)
    ),
    "amax": lambda x, dim=None, keepdim=False: torch.amax(x, () if dim is None else dim, keepdim),
    "amin": lambda x, dim=None, keepdim=False: torch.amin(x, () if dim is None else dim, keepdim),
    "full_like": lambda x, v, dtype=None: torch.full_like(x, v, dtype=dtype),
    "t": torch.t,
}


def to_torch(value: Any) -> Any:
    if isinstance(value, Tensor):
        out = torch.from_numpy(value.detach().numpy().copy())
        return out.requires_grad_() if value.requires_grad else out
    if isinstance(value, DType):
        return getattr(torch, value.name)
    if isinstance(value, slice):
        return slice(to_torch(value.start), to_torch(value.stop), to_torch(value.step))
    if isinstance(value, (list, tuple)):
        return type(value)(map(to_torch, value))
    return value


def torch_function(name: str) -> Callable[..., Any]:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    found = getattr(torch, name, None) or getattr(torch.nn.functional, name, None)
    return found or (lambda x, *a, **k: getattr(x, name)(*a, **k))


def outcome(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        return fn(*args, **kwargs)
    except Exception as error:  # the point is to see which one it is
        return error


def differs(ours: Any, theirs: Any, tolerance: float) -> str | None:
    """What is different, or None."""
    if isinstance(ours, Exception) or isinstance(theirs, Exception):
        if type(ours) is type(theirs):
            return None
        return f"ours {_brief(ours)}, torch {_brief(theirs)}"
    if isinstance(theirs, (tuple, list)):
        if len(ours) != len(theirs):
            return f"{len(ours)} results, torch {len(theirs)}"
        return next((d for a, b in zip(ours, theirs) if (d := differs(a, b, tolerance))), None)
    if not isinstance(theirs, torch.Tensor):
        return None if ours == theirs else f"ours {ours!r}, torch {theirs!r}"
    if f"torch.{ours.dtype.name}" != str(theirs.dtype):
        return f"dtype {ours.dtype.name}, torch {theirs.dtype}"
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    if a.shape != b.shape:
        return f"shape {a.shape}, torch {b.shape}"
    if not np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True):
        return f"values {a.reshape(-1)[:4]}, torch {b.reshape(-1)[:4]}"
    return None


def _brief(value: Any) -> str:
    text = f"{type(value).__name__}: {value}" if isinstance(value, Exception) else f"{type(value).__name__}"
    return text.split("\n")[0][:90]


def leaves(args: Any) -> list[Any]:
    found = []
    for a in args:
        if isinstance(a, (Tensor, torch.Tensor)) and a.requires_grad:
            found.append(a)
        elif isinstance(a, (list, tuple)):
            found += leaves(a)
    return found


def compare_values(name: str) -> list[str]:
    info, theirs = OPINFO[name], torch_function(name)
    found = []
    for dtype in info.dtypes:
        for args, kwargs in samples(info, dtype):
            given, named = to_torch(args), {k: to_torch(v) for k, v in kwargs.items()}
            if name.startswith("index_put") and None in args[1]:
                continue  # PyTorch has this only behind brackets
            ours = outcome(info.op.fn, args, kwargs)
            difference = differs(
                args[0] if ours is None else ours, outcome(theirs, given, named), max(1e-5, info.tolerance(dtype))
            )
            if difference:
                found.append(f"{name} {dtype.name} {_show(args)} {kwargs or ''}: {difference}")
    return found


def compare_gradients(name: str) -> list[str]:
    info, theirs = OPINFO[name], torch_function(name)
    if not info.grad or info.op.traits.writes:
        return []
    found = []
    for args, kwargs in samples(info, float64, True):
        for leaf in leaves(args):
            leaf.grad = None  # samples may share tensors
        given, named = to_torch(args), {k: to_torch(v) for k, v in kwargs.items()}
        ours, other = outcome(info.op.fn, args, kwargs), outcome(theirs, given, named)
        if isinstance(ours, Exception) or isinstance(other, Exception):
            continue
        for o in (ours, other):
            total = sum((p * p).sum() for p in (o if isinstance(o, (tuple, list)) else (o,)))
            if total.requires_grad:
                outcome(total.backward, (), {})
        for a, b in zip(leaves(args), leaves(given)):
            if (a.grad is None) != (b.grad is None):
                found.append(f"{name} gradient {_show(args)}: ours {a.grad}, torch {b.grad}")
            elif a.grad is not None and (d := differs(a.grad, b.grad, 1e-8)):
                found.append(f"{name} gradient {_show(args)}: {d}")
    return found


def _show(args: Any) -> str:
    def one(a: Any) -> str:
        if isinstance(a, Tensor):
            return f"{a.dtype.short}{list(a.shape)}"
        if isinstance(a, (list, tuple)):
            return f"[{', '.join(map(one, a))}]"
        return repr(a)

    return "(" + ", ".join(map(one, args)) + ")"


def compare_promotion() -> list[str]:
    """Result dtypes of binary ops over dtypes x (n-d, 0-d, Python number)."""
    found = []

    def operands(d: DType) -> list[Any]:
        return [specjit.ones(2, dtype=d), specjit.ones((), dtype=d)]

    numbers: list[Any] = [True, 2, 2.5]
    everything = [t for d in ALL for t in operands(d)] + numbers
    for name in ("add", "mul", "div", "pow", "maximum", "eq", "where", "remainder", "floor_divide"):
        for a, b in itertools.product(everything, everything):
            if not isinstance(a, Tensor) and not isinstance(b, Tensor):
                continue
            if name == "maximum" and not (isinstance(a, Tensor) and isinstance(b, Tensor)):
                continue
            if name == "where":
                ours = outcome(specjit.where, (specjit.tensor([True, False]), a, b), {})
                theirs = outcome(torch.where, (torch.tensor([True, False]), to_torch(a), to_torch(b)), {})
            else:
                ours = outcome(get(name).fn, (a, b), {})
                theirs = outcome(getattr(torch, name), (to_torch(a), to_torch(b)), {})
            if difference := differs(ours, theirs, 1e-2):
                found.append(f"{name}{_show((a, b))}: {difference}")
    return found


def main(names: list[str]) -> int:
    torch.manual_seed(0)
    count = 0
    for name in names or sorted(set(OPINFO) - SKIP):
        for line in compare_values(name) + compare_gradients(name):
            print(line)
            count += 1
    if not names:
        for line in compare_promotion():
            print("promotion", line)
            count += 1
    print(f"{count} disagreements")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
