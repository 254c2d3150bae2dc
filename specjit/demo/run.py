"""The acts of the demo: train, compare, look at guards, miss one, change a length, write text.

Enters: options. Leaves: console output, or `DemoError` with what was not as promised.
Invariant: eager and optimized code share one set of weights; whatever is timed was checked to agree first.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import specjit
from specjit import Tensor
from specjit.demo.model import CharLM
from specjit.demo.text import Corpus, load
from specjit.ir.guard import Guard, by_source
from specjit.nn import functional as F

STEPS, BATCH = 64, 16  # a training passage, and how many at once
OTHER_STEPS = 97
COMPILE_SECONDS = 300.0  # ten times what a slow machine needs: this ends a hang, not a wait
PROMPT = "The "
LENGTH = 240  # characters of generated text


class DemoError(Exception):
    """Something that the demo promises did not happen."""


def run(steps: int = 200, seed: int = 0, console: Console | None = None) -> None:
    """Play every act. Raises DemoError when results differ or nothing becomes native."""
    began = time.perf_counter()
    show = _Show(console or Console(width=None if sys.stdout.isatty() else 100))
    try:
        corpus = load()
    except ImportError as error:
        raise DemoError(f"this Python has no text to learn from: {error}") from error
    specjit.set_num_threads(1)  # so that ratios compare code, not cores; the other core compiles
    specjit.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = CharLM(len(corpus.alphabet))
    fast = specjit.optimize(model, name="charlm")
    weights = sum(parameter.numel() for parameter in model.parameters())
    show.line(f"Text: the help() topics of this Python, {len(corpus.ids):,} characters, {len(corpus.alphabet)} kinds.")
    show.line(f"Model: a character LSTM in plain Python (specjit/demo/model.py), {weights:,} weights, float32.")

    show.title("Training, optimized while it runs")
    _train(model, fast, corpus, random, steps, show)
    show.title("Eager against optimized, the same weights and inputs, taking turns")
    _compare(model, fast, corpus, random, show)
    show.title("What the optimized code relies on")
    _show_guards(fast, show)
    show.title("A call that misses a guard")
    _miss(model, fast, corpus, random, show)
    show.title("A new sequence length")
    _new_length(model, fast, corpus, random, show)
    show.title("Text written by the model, one optimized call per character")
    show.quote(_write(fast, corpus, random))
    show.line(f"\nAll of it took {time.perf_counter() - began:.0f} s.")


def _train(model: Any, fast: Any, corpus: Corpus, random: np.random.Generator, steps: int, show: _Show) -> None:
    optimizer = specjit.optim.Adam(model.parameters(), lr=4e-3)
    first_native = None
    with show.progress(steps) as report:
        for step in range(1, steps + 1):
            before = fast.stats()["fast"]
            start = time.perf_counter()
            loss = _train_step(fast, optimizer, *_batch(model, corpus, random, STEPS, BATCH))
            milliseconds = 1e3 * (time.perf_counter() - start)
            native = fast.stats()["fast"] > before
            first_native = step if native and first_native is None else first_native
            report(step, f"loss {loss:.3f}  {milliseconds:5.1f} ms  {'native' if native else 'generic'}")
    for event in fast.events("SPECIALIZE_READY"):
        show.log(str(event))
    if first_native is None:
        if not fast.wait(COMPILE_SECONDS):
            raise DemoError(f"compiling took more than {COMPILE_SECONDS:.0f} s; nothing became native")
        show.line(f"All {steps} steps ran generic code: they were over before native code was compiled.")
    else:
        show.line(f"Step {first_native} was the first in native code; no call waited for the compiler.")


def _train_step(forward: Any, optimizer: Any, tokens: Tensor, wanted: Tensor, h: Tensor, c: Tensor) -> float:
    optimizer.zero_grad()
    loss = _loss(forward, tokens, wanted, h, c)
    loss.backward()
    optimizer.step()
    return loss.item()


def _loss(forward: Any, tokens: Tensor, wanted: Tensor, h: Tensor, c: Tensor) -> Tensor:
    logits, _, _ = forward(tokens, h, c)
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1))


def _batch(model: Any, corpus: Corpus, random: np.random.Generator, steps: int, batch: int) -> tuple[Tensor, ...]:
    """Tokens, the characters that follow them, and the state before the first."""
    tokens, wanted = corpus.batch(random, steps, batch)
    return specjit.tensor(tokens), specjit.tensor(wanted), *model.start(batch)


def _compare(model: Any, fast: Any, corpus: Corpus, random: np.random.Generator, show: _Show) -> None:
    table = Table("", "eager", "optimized", "times as fast", "difference")
    tokens, wanted, h, c = _batch(model, corpus, random, STEPS, BATCH)
    letter, _, h1, c1 = _batch(model, corpus, random, 1, 1)

    def gradients(forward: Any) -> list[np.ndarray]:
        model.zero_grad()
        _loss(forward, tokens, wanted, h, c).backward()
        return [parameter.grad.numpy().copy() for parameter in model.parameters()]

    def outputs(forward: Any, *inputs: Tensor) -> list[np.ndarray]:
        return [result.numpy() for result in forward(*inputs)]

    def row(name: str, work: Callable[[Any], list[np.ndarray]]) -> None:
        _until_native(fast, lambda: work(fast))
        difference = _difference(work(fast), work(model))
        if not difference < 1e-4:
            raise DemoError(f"{name}: eager and optimized differ by {difference:.2g} of full scale")
        eager, optimized = _medians(lambda: work(model), lambda: work(fast))
        speed = f"{eager / optimized:.1f}"
        table.add_row(name, _time_text(eager), _time_text(optimized), speed, f"{difference:.0e}")

    row(f"training, {BATCH} x {STEPS} characters", gradients)
    with specjit.no_grad():
        row(f"reading, {BATCH} x {STEPS} characters", lambda forward: outputs(forward, tokens, h, c))
        row("reading, 1 character", lambda forward: outputs(forward, letter, h1, c1))
    show.table(table)
    show.line("Difference: the largest one between the two results, of full scale (sums may add in another order).")


def _until_native(fast: Any, call: Callable[[], Any]) -> None:
    """Call until a call runs native code: the profile asks for a few calls of a kind before it compiles."""
    deadline = time.perf_counter() + COMPILE_SECONDS
    while time.perf_counter() < deadline:
        before = fast.stats()
        call()
        if fast.stats()["fast"] > before["fast"] and fast.stats()["generic"] == before["generic"]:
            return
        fast.wait(max(0.0, deadline - time.perf_counter()))
    failures = [str(event) for kind in ("SPECIALIZE_FAILED", "FALLBACK") for event in fast.events(kind)]
    raise DemoError("\n".join(["calls do not become native", *failures]))


def _medians(*calls: Callable[[], Any], seconds: float = 1.2) -> list[float]:
    """Median time of each call in seconds. They take turns, so that a slow moment of the machine hits all of them."""
    times: list[list[float]] = [[] for _ in calls]
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(times[0]) < 5:
        for call, samples in zip(calls, times):
            call()  # warm: whoever follows the other finds its caches full of the other's data
            start = time.perf_counter()
            call()
            samples.append(time.perf_counter() - start)
    return [statistics.median(samples) for samples in times]


def _difference(got: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The largest difference, in units of the largest element."""
    worst = 0.0
    for a, b in zip(got, wanted, strict=True):
        worst = max(worst, float(np.abs(a - b).max()) / max(float(np.abs(b).max()), 1e-30))
    return worst


def _show_guards(fast: Any, show: _Show) -> None:
    """The first specialization's guards in full, and where the others differ from it."""
    first, *others = fast.specializations
    show.line(f"Specialization #{first.number}: {first.calls:,} calls, {len(first.guards)} guards")
    for source, guards in by_source(first.guards).items():
        show.log(f"    {source}: {', '.join(map(_fact, guards))}  ({guards[0].origin})")
    for variant in others:
        show.line(f"Specialization #{variant.number}: {variant.calls:,} calls, as #{first.number}, but for")
        for source, guards in by_source(guard for guard in variant.guards if guard not in first.guards).items():
            show.log(f"    {source}: {', '.join(map(_fact, guards))}")


def _fact(guard: Guard) -> str:
    return f"{guard.kind} {guard.show(guard.expected)}"


def _miss(model: Any, fast: Any, corpus: Corpus, random: np.random.Generator, show: _Show) -> None:
    tokens, _, h, c = _batch(model, corpus, random, STEPS, BATCH)
    narrow = tokens.to(specjit.int32)
    before, known = fast.stats(), len(fast.events("GUARD_MISS"))
    with specjit.no_grad():
        got = [result.numpy() for result in fast(narrow, h, c)]
        wanted = [result.numpy() for result in model(narrow, h, c)]
    show.line("The tokens come as int32; every specialization was made for int64.")
    misses = fast.events("GUARD_MISS")
    if len(misses) == known or fast.stats()["fast"] != before["fast"]:
        raise DemoError("a call with int32 tokens recorded no guard miss")
    show.log(str(misses[-1]))
    difference = _difference(got, wanted)
    if not difference < 1e-4:
        raise DemoError(f"after the guard miss, the result differs from eager by {difference:.2g} of full scale")
    show.line(f"The call ran generic code. Its largest difference from eager: {difference:.0e} of full scale.")


def _new_length(model: Any, fast: Any, corpus: Corpus, random: np.random.Generator, show: _Show) -> None:
    tokens, _, h, c = _batch(model, corpus, random, OTHER_STEPS, BATCH)
    fast.wait(COMPILE_SECONDS)
    before = fast.stats()
    with specjit.no_grad():
        got = [result.numpy() for result in fast(tokens, h, c)]
        wanted = [result.numpy() for result in model(tokens, h, c)]
    fast.wait(COMPILE_SECONDS)
    after = fast.stats()
    compiled, native = after["compiles"] - before["compiles"], after["fast"] - before["fast"]
    difference = _difference(got, wanted)
    show.line(
        f"{OTHER_STEPS} characters instead of {STEPS}: {compiled} compiles, {native} native call, "
        f"largest difference from eager {difference:.0e} of full scale."
    )
    if compiled or native != 1 or not difference < 1e-4:
        raise DemoError(f"a new sequence length should compile nothing, run natively and agree; events: {after}")


def _write(fast: Any, corpus: Corpus, random: np.random.Generator, temperature: float = 0.6) -> str:
    """Feed the prompt, then feed back one sampled character at a time."""
    h, c = fast.start(1)
    text = PROMPT
    with specjit.no_grad():
        for token in corpus.encode(PROMPT):
            logits, h, c = fast(specjit.tensor([[int(token)]]), h, c)
        while len(text) < LENGTH:
            scores = logits[-1, 0].numpy().astype(np.float64) / temperature
            odds = np.exp(scores - scores.max())
            token = random.choice(len(odds), p=odds / odds.sum())
            text += corpus.alphabet[token]
            logits, h, c = fast(specjit.tensor([[int(token)]]), h, c)
    return text


def _time_text(seconds: float) -> str:
    return f"{1e6 * seconds:,.0f} us" if seconds < 1e-3 else f"{1e3 * seconds:,.1f} ms"


class _Show:
    """Output that suits a terminal (colour, a progress bar) and a file (plain whole lines) alike."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def title(self, text: str) -> None:
        self.console.print(Text(f"\n{text}", style="bold"))

    def line(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=not self.console.is_terminal)

    def log(self, text: str) -> None:
        """As recorded; never broken into lines, so that it can be copied."""
        self.console.print(Text(text, style="cyan"), soft_wrap=True)

    def quote(self, text: str) -> None:
        for line in text.splitlines():
            self.console.print(Text(f"    {line}", style="green"), soft_wrap=True)

    def table(self, table: Table) -> None:
        for column in table.columns[1:]:
            column.justify = "right"
        self.console.print(table)

    @contextmanager
    def progress(self, steps: int) -> Iterator[Callable[[int, str], None]]:
        """Yields `report(step, text)`: moves a bar on a terminal, prints every now and then elsewhere."""
        if not self.console.is_terminal:
            yield lambda step, text: self.line(f"step {step:4d}  {text}") if _worth_a_line(step, steps) else None
            return
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self.console) as bar:
            task = bar.add_task("", total=steps)
            yield lambda step, text: bar.update(task, completed=step, description=text)


def _worth_a_line(step: int, steps: int) -> bool:
    return step in (1, steps) or step % max(1, steps // 6) == 0
