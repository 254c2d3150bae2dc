"""Convolution and pools against PyTorch: `python -m bench.conv [--quick]`.

Rows are shapes (input, weight) of forward, forward with gradients, and the block conv, bias, relu, pool, eager and
optimized. Contenders take turns; printed are medians and ratios to torch, one thread each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

import specjit

Shape = tuple[int, int, int, int, int]
# samples, channels, size of the image, output channels, size of the kernel
SHAPES: list[Shape] = [
    (64, 1, 8, 16, 3),
    (64, 16, 4, 32, 3),
    (64, 16, 8, 32, 3),
    (1, 3, 32, 16, 3),
    (32, 3, 32, 32, 3),
    (32, 16, 14, 32, 5),
    (8, 64, 28, 64, 3),
    (1, 64, 56, 64, 3),
    (16, 64, 28, 128, 1),
]


def conv(x: Any, w: Any, b: Any) -> Any:
    return specjit.nn.functional.conv2d(x, w, b, 1, w.shape[2] // 2)


def block(x: Any, w: Any, b: Any) -> Any:
    functional = specjit.nn.functional
    return functional.max_pool2d(functional.relu(functional.conv2d(x, w, b, 1, w.shape[2] // 2)), 2)


def pools(x: Any) -> Any:
    functional = specjit.nn.functional
    return functional.max_pool2d(x, 3, 2, 1), functional.avg_pool2d(x, 3, 2, 1)


def torch_conv(x: Any, w: Any, b: Any) -> Any:
    return torch.nn.functional.conv2d(x, w, b, 1, w.shape[2] // 2)


def torch_block(x: Any, w: Any, b: Any) -> Any:
    functional = torch.nn.functional
    return functional.max_pool2d(functional.relu(functional.conv2d(x, w, b, 1, w.shape[2] // 2)), 2)


def torch_pools(x: Any) -> Any:
    functional = torch.nn.functional
    return functional.max_pool2d(x, 3, 2, 1), functional.avg_pool2d(x, 3, 2, 1)


def trained(fn: Callable[..., Any], *leaves: Any) -> Callable[[], Any]:
    """A call with gradients of all leaves."""

    def call() -> Any:
        for leaf in leaves:
            leaf.grad = None
        out = fn(*leaves)
        out.sum().backward()
        return out

    return call


def times(calls: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Median microseconds of each, taking turns."""
    for call in calls:
        call()
        call()
    found: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, list_ in zip(calls, found):
            start = perf_counter()
            call()
            list_.append(perf_counter() - start)
    return [median(f) * 1e6 for f in found]


def arrays(shape: Shape) -> list[np.ndarray]:
    n, c, size, o, k = shape
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((n, c, size, size)), rng.standard_normal((o, c, k, k)) / k, rng.standard_normal(o)]
    return [a.astype(np.float32) for a in data]


def line(what: str, shape: Any, names: list[str], found: list[float]) -> None:
    *ours, theirs = found
    cells = "".join(f"  {name} {us:8.0f} us {us / theirs:5.2f}x" for name, us in zip(names, ours))
    print(f"{what:8} {'x'.join(map(str, shape)):16} torch {theirs:8.0f} us{cells}", flush=True)


def same(ours: Any, theirs: Any) -> None:
    for a, b in zip(*((o if isinstance(o, tuple) else (o,)) for o in (ours, theirs))):
        a, b = a.detach().numpy(), b.detach().numpy()
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 15 if parser.parse_args(argv).quick else 101
    torch.set_num_threads(1)
    for shape in SHAPES:
        data = arrays(shape)
        ours, theirs = [specjit.tensor(a) for a in data], [torch.tensor(a) for a in data]
        for what, fn, peer in (("conv", conv, torch_conv), ("block", block, torch_block)):
            same(fn(*ours), peer(*theirs))
            fast = specjit.optimize(fn, warmup=1, background=False)
            calls = [partial(fn, *ours), partial(fast, *ours), partial(peer, *theirs)]
            line(what, shape, ["eager", "optimized"], times(calls, rounds))
            fast.close()
        ours = [t.requires_grad_() for t in ours]
        theirs = [t.requires_grad_() for t in theirs]
        fast = specjit.optimize(conv, warmup=1, background=False)
        calls = [trained(fn, *leaves) for fn, leaves in ((conv, ours), (fast, ours), (torch_conv, theirs))]
        line("train", shape, ["eager", "optimized"], times(calls, rounds))
        fast.close()
    for shape in ((64, 16, 8, 8), (8, 64, 56, 56)):
        image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        mine, other = specjit.tensor(image), torch.tensor(image)
        same(pools(mine), torch_pools(other))
        fast = specjit.optimize(pools, warmup=1, background=False)
        calls = [partial(pools, mine), partial(fast, mine), partial(torch_pools, other)]
        line("pools", shape, ["eager", "optimized"], times(calls, rounds))
        fast.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
