"""What the passes and the plan of memory do to five models: `python -m bench.passes [--training] [--markdown]`.

Enters: nothing. Leaves: a table on the console. Per model: nodes before and after each pass that rewrote something,
the most bytes of tensors alive at once in the graph before and after the passes (`passes.live`: as if every node made
storage), and for each native program the largest set of temporaries alive with its kernels in the program's order and
in the order chosen, and the workspace planned for it. Nothing is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import specjit
from bench.models import (
    GRU,
    LSTM,
    GRUCell,
    LSTMCell,
    PeepholeCell,
    Shape,
    gru_weights,
    inputs_of,
    lstm_weights,
    peephole_weights,
)
from specjit import nn

SHAPE = Shape(50, 16, 64, 64)
Made = tuple[nn.Module, Callable[[int], tuple[Any, ...]]]  # a model, and arguments that vary with a number


class Convnet(nn.Module):
    """Two convolutions with normalization, and a linear layer, on images (N, 3, 32, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.second, self.norm2 = nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32)
        self.last = nn.Linear(32, 10)

    def forward(self, x):
        x = self.norm1(self.first(x)).relu()
        x = self.norm2(self.second(x)).relu()
        return self.last(x.mean((2, 3)))


def recurrent(cell: nn.Module, sequence: type[nn.Module], states: int) -> Made:
    def arguments(k: int) -> tuple[Any, ...]:
        x, h, c = inputs_of(SHAPE._replace(batch=SHAPE.batch - k % 2))
        return tuple(map(specjit.tensor, (x, h, c)[: 1 + states]))

    return sequence(cell), arguments


def images(net: nn.Module) -> Made:
    return net, lambda k: (specjit.tensor(uniform(8 - k % 2, 3, 32, 32)),)


def block() -> Made:
    layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True)
    return layer, lambda k: (specjit.tensor(uniform(8 - k % 2, 48, 64)),)


def uniform(*sizes: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, sizes).astype(np.float32)


MODELS: dict[str, Callable[[], Made]] = {
    "LSTM": lambda: recurrent(LSTMCell(lstm_weights(SHAPE)), LSTM, 2),
    "GRU": lambda: recurrent(GRUCell(gru_weights(SHAPE)), GRU, 1),
    "layer-normalized LSTM": lambda: recurrent(PeepholeCell(peephole_weights(SHAPE)), LSTM, 2),
    "small convnet": lambda: images(Convnet()),
    "attention block": block,
}


def facts_of(made: Made, name: str, training: bool, numerics: str) -> dict[str, Any]:
    """What `explain()` tells of the latest specialization."""
    model, arguments = made
    model.train(training)
    program = specjit.optimize(model, warmup=2, background=False, name=name, numerics=numerics)
    for k in range(4):
        if training:
            out = program(*arguments(k))
            (out[0] if isinstance(out, tuple) else out).sum().backward()
        else:
            with specjit.no_grad():
                program(*arguments(k))
    variants = program.explain().to_dict()["specializations"]
    if not variants:
        raise SystemExit(f"{name} was not specialized:\n{program.explain()}")
    found: dict[str, Any] = variants[-1]
    return found


def rows(name: str, facts: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(what, stage, nodes, bytes) of one model."""
    for label, report in facts["passes"].items():
        (nodes, after), (alive, then) = report["nodes"], report["bytes"]
        yield (
            name if label == "optimize" else "",
            f"{label}: all passes",
            f"{nodes} -> {after}",
            f"{alive:,} -> {then:,}",
        )
        for p in report["passes"]:
            if p["rewrites"]:
                yield "", f"{p['name']} ({p['rewrites']} rewrites)", f"{p['nodes']:+}", f"{p['bytes']:+,}"
    for region in facts["regions"]:
        for plan in region["plans"]:
            sizes = ", ".join(f"{k} = {v}" for k, v in plan["sizes"].items())
            order = f"{plan['live_bytes_in_program_order']:,} -> {plan['live_bytes']:,}"
            ratio = plan["workspace_bytes"] / max(plan["live_bytes"], 1)
            kernels = sum(k["part"] in ("", plan["part"]) for k in region["kernels"])
            what = f"{plan['part']} kernels, order of the program -> chosen{f' ({sizes})' if sizes else ''}"
            yield "", what, f"{kernels} kernels", f"{order}; planned {plan['workspace_bytes']:,} ({ratio:.2f}x)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--training", action="store_true", help="with gradients: forward and backward programs")
    parser.add_argument("--markdown", action="store_true", help="as a table of a note")
    parser.add_argument("--numerics", choices=("exact", "fast"), default="exact")
    parser.add_argument("--model", choices=MODELS, help="only this one")
    options = parser.parse_args()
    specjit.manual_seed(0)
    table = [("model", "stage", "nodes", "bytes alive at most")]
    for name in [options.model] if options.model else MODELS:
        table += rows(name, facts_of(MODELS[name](), name, options.training, options.numerics))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for k, row in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("| " + " | ".join(cells) + " |" if options.markdown else "  ".join(cells).rstrip())
        if options.markdown and k == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


if __name__ == "__main__":
    main()
