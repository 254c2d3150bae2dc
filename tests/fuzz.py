"""A long run of random graphs and of whole programs, in every way there is to run them:
`python -m tests.fuzz --minutes 10 [--seed 0] [--only graphs|programs]`; with
`--compiled` their kernels are machine code.

Every problem is printed with its seed and the smallest graph or program that has it; `--dump folder` writes each to a
file of its own. The exit status is 1 if there was one. Programs that are ill-typed on purpose have a run of their own:
`FUZZ_PROGRAMS=0:5000 pytest tests/capture/test_random_programs.py`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from tests.capture.whole import first_problem
from tests.graphs import FULL, LIBRARY, random_graph
from tests.graphs.check import INTERPRETED, PLANNED, Way, find_problem, report, smallest, some_passes

PROGRAMS = 20  # in a batch of one seed; as many graphs as take as long stand beside it


def ways(seed: int) -> list[Way]:
    """The whole pipeline, some of it, and plans whose kernels run in plain Python."""
    return list(dict.fromkeys([INTERPRETED, some_passes(seed), PLANNED]))


def compiled() -> list[Way]:
    from specjit.codegen.compiler import CompilerPool
    from specjit.codegen.loader import KernelLibrary
    from tests.graphs import native

    return [native.compiled(KernelLibrary(pool=CompilerPool()))]


def of_graph(seed: int, native: list[Way] | None) -> str | None:
    name, flavor = [("FULL", FULL), ("LIBRARY", LIBRARY)][seed % 2]
    graph = random_graph(seed, flavor)
    for way in native or ways(seed):
        problem = find_problem(graph, way)
        if problem is not None:
            return f"random_graph({seed}, {name})\n{report(smallest(graph, problem), problem)}\n"
    return None


def of_programs(seed: int, native: list[Way] | None) -> str | None:
    return first_problem(seed, PROGRAMS, native=native is not None)


LOOKS = {"graphs": of_graph, "programs": of_programs}


def turns(kinds: list[str], first: int, native: list[Way] | None) -> Iterator[tuple[str, int, str | None]]:
    """Look at one thing after the other, each kind for the same time: its name, the seed, the problem."""
    seeds = {kind: itertools.count(first) for kind in kinds}
    spent = dict.fromkeys(kinds, 0.0)
    while True:
        kind = min(kinds, key=lambda k: spent[k])
        seed, start = next(seeds[kind]), time.monotonic()
        problem = LOOKS[kind](seed, native)
        spent[kind] += time.monotonic() - start
        yield kind, seed, problem


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the next ones count up from it")
    parser.add_argument("--only", choices=[*LOOKS], help="one kind instead of both")
    parser.add_argument("--compiled", action="store_true", help="with compiled kernels, which takes a few per second")
    parser.add_argument("--dump", type=Path, help="a folder for the problems found")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    kinds = [options.only] if options.only else [*LOOKS]
    looked, found = dict.fromkeys(kinds, 0), 0
    for kind, seed, problem in turns(kinds, options.seed, compiled() if options.compiled else None):
        looked[kind] += 1 if kind == "graphs" else PROGRAMS
        if problem is not None:
            found += 1
            print(problem, flush=True)
            if options.dump:
                options.dump.mkdir(parents=True, exist_ok=True)
                options.dump.joinpath(f"{kind}_{seed}.txt").write_text(problem, encoding="utf-8")
        if time.monotonic() > end:
            break
    counts = ", ".join(f"{n} {kind}" for kind, n in looked.items())
    print(f"{counts}, seeds from {options.seed}: {found or 'no'} problems")
    return int(found > 0)


if __name__ == "__main__":
    raise SystemExit(main())
