"""`python -m bench.lstm`: recurrent nets in plain Python, optimized, against eager code and the installed peers.

Six groups, each one table: the LSTM forward at five shapes; other cells, which no library has a kernel for; layers of
`nn` in both directions; the generic path, against the code it was made from; a training step; and `import specjit`
against `import numpy`.
float32, one thread.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import specjit
from bench import models, peers
from bench.harness import (
    Case,
    Contender,
    Measured,
    geometric_mean,
    measure,
    print_table,
    ratios,
    suite,
)
from bench.models import Shape
from specjit import nn

EAGER, OPTIMIZED, GENERIC = "specjit eager", "specjit optimized", "specjit generic"
LEARNING_RATE = 1e-3
FEW_SHAPES = [Shape(100, 1, 128, 128), Shape(50, 32, 64, 64)]
GROUPS = ("forward", "cells", "layers", "generic", "train", "import")
CELLS_SHAPE = Shape(100, 1, 128, 128)
Results = dict[str, list[Measured]]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.json and Path(options.json).exists():
        sys.exit(f"bench.lstm: {options.json} exists; choose another file or remove it")
    specjit.set_num_threads(1)
    rounds = 3 if options.quick else 15
    console = Console(width=None if sys.stdout.isatty() else 160)
    chosen = options.peers if options.peers is not None else peers.installed()
    console.print(
        f"peers: {', '.join(chosen) or 'none installed'}; {rounds} rounds in random order, one thread, float32"
    )
    shapes = options.shapes or models.SHAPES
    groups: dict[str, Results] = {}
    for name in options.only or GROUPS:
        if name == "forward":
            title, base, results = (
                "LSTM forward, steps x batch x inputs x hidden",
                OPTIMIZED,
                forward(shapes, chosen, rounds),
            )
        elif name == "cells":
            title, base, results = f"Other cells, forward, {CELLS_SHAPE}", OPTIMIZED, other_cells(rounds)
        elif name == "layers":
            title, base, results = "Two layers in both directions, batch first", OPTIMIZED, layers(chosen, rounds)
        elif name == "generic":
            title, base, results = "The generic path, forward", EAGER, generic_path(rounds)
        elif name == "train":
            title, base, results = "LSTM training step: forward, backward, SGD", OPTIMIZED, training(chosen, rounds)
        else:
            title, base, results = "Import, in a fresh interpreter", "import numpy", imports(rounds)
        groups[name] = results
        print_table(console, title, results, base)
        if base == OPTIMIZED:
            _print_best_peer(console, results)
    if options.json:
        packages = ["numpy", "numba", "llvmlite", *(name for name in chosen)]
        suite(groups, {f"{name}_version": version(name) for name in packages}).dump(options.json)
        console.print(f"wrote {options.json}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.lstm", description="Recurrent nets against their peers.")
    parser.add_argument(
        "--shapes", nargs="+", type=_shape, metavar="TxBxIxH", help="forward shapes, such as 100x8x128x128"
    )
    parser.add_argument("--peers", nargs="*", choices=list(peers.FORWARD), help="default: those installed")
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="default: all groups")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs, not to quote")
    parser.add_argument("--json", metavar="FILE", help="write the samples for `python -m pyperf`")
    return parser


def _shape(text: str) -> Shape:
    try:
        steps, batch, inputs, hidden = map(int, text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected TxBxIxH, such as 100x8x128x128, got {text!r}") from None
    return Shape(steps, batch, inputs, hidden)


def forward(shapes: Sequence[Shape], chosen: Sequence[str], rounds: int) -> Results:
    results = {}
    for shape in shapes:
        weights, inputs = models.lstm_weights(shape), models.inputs_of(shape)
        contenders = _eager_and_optimized(models.LSTM(models.LSTMCell(weights)), inputs)
        for name in chosen:
            contenders += peers.FORWARD[name][1](shape, weights, inputs)
        case = Case(str(shape), contenders, models.lstm_reference(weights, *inputs))
        with specjit.no_grad():
            results[str(shape)] = measure(case, rounds)
    return results


def other_cells(rounds: int) -> Results:
    shape = CELLS_SHAPE
    x, h, c = models.inputs_of(shape)
    results = {}
    peephole, gru = models.peephole_weights(shape), models.gru_weights(shape)
    cases = {
        "peephole LSTM with layer norm": (
            models.LSTM(models.PeepholeCell(peephole)),
            (x, h, c),
            models.peephole_reference(peephole, x, h, c),
        ),
        "GRU": (models.GRU(models.GRUCell(gru)), (x, h), models.gru_reference(gru, x, h)),
    }
    for name, (model, inputs, reference) in cases.items():
        with specjit.no_grad():
            results[name] = measure(Case(name, _eager_and_optimized(model, inputs), reference), rounds)
    return results


def layers(chosen: Sequence[str], rounds: int) -> Results:
    """Layers as they come, two of them in both directions. Checked against eager specjit in float64."""
    results = {}
    for kind in ("LSTM", "GRU"):
        for shape in FEW_SHAPES:
            options = {"input_size": shape.inputs, "hidden_size": shape.hidden, "num_layers": 2}
            options |= {"batch_first": True, "bidirectional": True}
            specjit.manual_seed(0)
            layer = getattr(nn, kind)(**options)
            state = {name: parameter.detach().numpy().copy() for name, parameter in layer.state_dict().items()}
            exact = getattr(nn, kind)(**options).to(specjit.float64)
            exact.load_state_dict(layer.state_dict())
            x = np.ascontiguousarray(models.inputs_of(shape)[0].swapaxes(0, 1))
            contenders = _eager_and_optimized(layer, [x], lambda result: [result[0].numpy()])
            if "torch" in chosen:
                contenders += peers.torch_layer(kind, options, state, x)
            with specjit.no_grad():
                reference = [exact(specjit.tensor(x.astype(np.float64)))[0].numpy()]
                results[f"{kind} {shape}"] = measure(Case(f"{kind} {shape}", contenders, reference), rounds)
    return results


def generic_path(rounds: int) -> Results:
    """The captured program as generated Python, which runs while there is no native code for a call."""
    results = {}
    for shape in FEW_SHAPES:
        weights, inputs = models.lstm_weights(shape), models.inputs_of(shape)
        model = models.LSTM(models.LSTMCell(weights))
        program = specjit.optimize(model, name="generic")
        contenders = [_forward(EAGER, model, inputs), _forward(GENERIC, program, inputs)]
        with specjit.no_grad(), specjit.stance("generic"):
            case = Case(str(shape), contenders, models.lstm_reference(weights, *inputs))
            results[str(shape)] = measure(case, rounds)
        if program.stats()["fast"]:
            raise RuntimeError("the generic contender ran native code")
    return results


def training(chosen: Sequence[str], rounds: int) -> Results:
    """A step of gradient descent on the mean square error. Gradients are checked against eager specjit in float64."""
    results = {}
    for shape in FEW_SHAPES:
        weights, inputs = models.lstm_weights(shape), models.inputs_of(shape)
        target = np.random.default_rng(3).standard_normal((shape.steps, shape.batch, shape.hidden)).astype(np.float32)
        exact = models.LSTM(models.LSTMCell({name: array.astype(np.float64) for name, array in weights.items()}))
        _step(exact, exact, [array.astype(np.float64) for array in (*inputs, target)])()
        model, twin = (models.LSTM(models.LSTMCell(weights)) for _ in range(2))
        program = specjit.optimize(twin, name="train")
        fast = _step(program, twin, [*inputs, target])
        until_native(program, fast)
        twin.load_state_dict(model.state_dict())
        contenders = [
            Contender(OPTIMIZED, fast, lambda _, of=twin: _gradients(of)),
            Contender(EAGER, _step(model, model, [*inputs, target]), lambda _, of=model: _gradients(of)),
        ]
        if "torch" in chosen:
            contenders += peers.torch_train(shape, weights, inputs, target, LEARNING_RATE)
        results[str(shape)] = measure(Case(str(shape), contenders, _gradients(exact), tolerance=1e-4), rounds)
    return results


def _step(forward: Callable[..., Any], model: nn.Module, arrays: Sequence[np.ndarray]) -> Callable[[], None]:
    """A training step of `model`, run as `forward`, on x, h, c and the target."""
    x, h, c, target = (specjit.tensor(array) for array in arrays)
    optimizer = specjit.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> None:
        optimizer.zero_grad()
        outputs, _, _ = forward(x, h, c)
        loss = ((outputs - target) ** 2).mean()
        loss.backward()
        optimizer.step()

    return step


def _gradients(model: nn.Module) -> list[np.ndarray]:
    return [parameter.grad.numpy().copy() for parameter in model.parameters()]


def imports(rounds: int) -> Results:
    """What an import takes, timed inside the interpreter that does it. Each value is the best of three interpreters."""
    program = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    contenders = [Contender(f"import {name}", lambda: None) for name in ("numpy", "specjit")]
    measured = [Measured(contender, 0.0, 1) for contender in contenders]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        environment["PYTHONPYCACHEPREFIX"] = folder  # both start from byte code that the untimed first import wrote
        for turn in range(rounds + 1):
            for one in measured:
                command = [sys.executable, "-c", program.format(one.contender.name.removeprefix("import "))]
                times = [float(subprocess.check_output(command, env=environment, text=True)) for _ in range(3)]
                if turn > 0:
                    one.values.append([min(times)])
    return {"import": measured}


Output = Callable[[Any], Sequence[np.ndarray]]


def _arrays(result: Sequence[specjit.Tensor]) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in result]


def _eager_and_optimized(model: nn.Module, inputs: Sequence[np.ndarray], output: Output = _arrays) -> list[Contender]:
    """The model as written, and optimized, warm and native."""
    program = specjit.optimize(model, name="forward")
    optimized = _forward(OPTIMIZED, program, inputs, output)
    with specjit.no_grad():
        until_native(program, optimized.call)
    return [optimized, _forward(EAGER, model, inputs, output)]


def _forward(
    name: str, function: Callable[..., Any], inputs: Sequence[np.ndarray], output: Output = _arrays
) -> Contender:
    tensors = [specjit.tensor(array) for array in inputs]
    return Contender(name, lambda: function(*tensors), output)


def until_native(program: specjit.Program, call: Callable[[], Any]) -> None:
    """Call until calls run native code; raise if they never do: a benchmark must not time the fallback by mistake."""
    for _ in range(10):
        call()
        program.wait()
        before = program.stats()["fast"]
        call()
        if program.stats()["fast"] > before:
            return
    events = "\n".join(f"{event}\n{event.facts.get('traceback', '')}".rstrip() for event in program.events())
    raise RuntimeError(f"the program does not become native:\n{events}")


def _print_best_peer(console: Console, results: Results) -> None:
    """For each shape the fastest library, and how many times as long it takes."""
    best = {}
    for name, of_case in ratios(results, OPTIMIZED).items():
        if not name.startswith("specjit"):
            for case, ratio in of_case.items():
                best[case] = min(best.get(case, (float("inf"), "")), (ratio, name))
    for case, (ratio, name) in best.items():
        console.print(f"  best peer at {case}: {name}, {ratio:.2f}x the time of {OPTIMIZED}")
    if best:
        console.print(f"  geometric mean over the best peers: {geometric_mean(r for r, _ in best.values()):.2f}x")


if __name__ == "__main__":
    main()
