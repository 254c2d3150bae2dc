"""A long run of random graphs, in every way there is to run them: `python -m tests.fuzz --minutes 10 [--seed 0]`;
with `--compiled` their kernels are machine code.

Every problem is printed with its seed, the smallest graph that has it, and what that becomes; `--dump folder` writes
each to a file of its own. The exit status is 1 if there was one. Random programs have a run of their own:
`FUZZ_PROGRAMS=0:5000 pytest tests/capture/test_random_programs.py`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

from tests.graphs import FULL, LIBRARY, random_graph
from tests.graphs.check import INTERPRETED, PLANNED, Way, find_problem, report, smallest, some_passes

FLAVORS = {"FULL": FULL, "LIBRARY": LIBRARY}


def ways(seed: int) -> list[Way]:
    """The whole pipeline, some of it, and plans whose kernels run in plain Python."""
    return list(dict.fromkeys([INTERPRETED, some_passes(seed), PLANNED]))


def compiled() -> list[Way]:
    from specjit.codegen.compiler import CompilerPool
    from specjit.codegen.loader import KernelLibrary
    from tests.graphs import native

    return [native.compiled(KernelLibrary(pool=CompilerPool()))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the next graphs count up from it")
    parser.add_argument("--compiled", action="store_true", help="with compiled kernels, which takes a few per second")
    parser.add_argument("--dump", type=Path, help="a folder for the problems found")
    options = parser.parse_args()
    native = compiled() if options.compiled else None
    end = time.monotonic() + 60 * options.minutes
    found = 0
    for seed in itertools.count(options.seed):
        if time.monotonic() > end:
            break
        flavor = "LIBRARY" if seed % 2 else "FULL"
        graph = random_graph(seed, FLAVORS[flavor])
        for way in native or ways(seed):
            problem = find_problem(graph, way)
            if problem is not None:
                found += 1
                text = f"random_graph({seed}, {flavor})\n{report(smallest(graph, problem), problem)}\n"
                print(text, flush=True)
                if options.dump:
                    options.dump.mkdir(parents=True, exist_ok=True)
                    options.dump.joinpath(f"{seed}_{way.name}.txt").write_text(text, encoding="utf-8")
                break
    print(f"{seed - options.seed} graphs, seeds from {options.seed}: {found or 'no'} problems")
    return int(found > 0)


if __name__ == "__main__":
    raise SystemExit(main())
