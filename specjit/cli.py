"""The `specjit` command: `demo`, `env`, `cache info`, `cache clear`.

Enters: arguments. Leaves: text on stdout (tables when it is a terminal, plain lines otherwise), complaints on stderr,
and an exit code: 0 done, 1 could not be done, 2 wrong arguments, 130 interrupted.
Invariant: `cache clear` removes only files that the kernel cache wrote.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from specjit.version import __version__

# What the kernel cache writes: two-digit folders of files that begin with the same hexadecimal key.
_FOLDER = re.compile(r"[0-9a-f]{2}")
_FILE = re.compile(r"[0-9a-f]{8,}.*\.(kernel|py)|.*\.tmp")


class CommandError(Exception):
    """Something the user can act on; printed without a traceback."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except CommandError as error:
        print(f"specjit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("specjit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `specjit env | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="specjit", description="Plain Python models at hand-tuned native speed.")
    parser.add_argument("--version", action="version", version=f"specjit {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="train a character-level LSTM on English text, eager and optimized")
    demo.add_argument("--steps", type=_positive, default=200, help="optimized training steps (default %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of weights and batches (default %(default)s)")
    demo.set_defaults(run=_demo)

    env = commands.add_parser("env", help="versions, processor, cache folder and settings, for bug reports")
    env.set_defaults(run=_env)

    cache = commands.add_parser("cache", help="the folder of compiled kernels")
    actions = cache.add_subparsers(title="actions", required=True, metavar="ACTION")
    actions.add_parser("info", help="where it is and what it holds").set_defaults(run=_cache_info)
    actions.add_parser("clear", help="remove every compiled kernel").set_defaults(run=_cache_clear)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def _demo(options: argparse.Namespace) -> None:
    from specjit.demo import DemoError, run

    try:
        run(steps=options.steps, seed=options.seed)
    except DemoError as error:
        raise CommandError(f"the demo failed: {error}") from error


def _env(options: argparse.Namespace) -> None:
    from specjit.codegen import cache, target

    host = target.host()
    features = sorted(name[1:] for name in host.features.split(",") if name.startswith("+"))
    rows = [("specjit", __version__), ("python", f"{platform.python_implementation()} {platform.python_version()}")]
    rows += [(name, _version(name)) for name in ("numpy", "numba", "llvmlite")]
    rows += [
        ("platform", platform.platform()),
        ("cpu", f"{host.cpu}, {os.cpu_count()} cores, {host.lanes_bits}-bit vectors"),
        ("cpu features", " ".join(features)),
        ("cache", str(cache.default_folder() or "none: no home folder to put one in")),
    ]
    rows += [
        (name, value) for name, value in sorted(os.environ.items()) if name == "SPECJIT" or name.startswith("SPECJIT_")
    ]
    _print_facts("specjit env", rows)


def _cache_info(options: argparse.Namespace) -> None:
    folder = _cache_folder()
    files = list(_cache_files(folder))
    kernels = [file for file in files if file.path.suffix == ".kernel"]
    _print_facts(
        "specjit cache",
        [
            ("folder", str(folder)),
            ("kernels", f"{len(kernels):,}"),
            ("size", f"{sum(file.bytes for file in files) / 1e6:,.1f} MB in {len(files):,} files"),
        ],
    )


def _cache_clear(options: argparse.Namespace) -> None:
    folder = _cache_folder()
    removed = size = 0
    for file in _cache_files(folder):
        try:
            file.path.unlink(missing_ok=True)
        except OSError as error:
            raise CommandError(f"cannot remove {file.path}: {error.strerror}") from error
        removed += 1
        size += file.bytes
    for child in folder.iterdir() if folder.is_dir() else ():
        if _FOLDER.fullmatch(child.name):
            with contextlib.suppress(OSError):  # not empty: it holds something that is not ours, or a writer just came
                child.rmdir()
    print(f"removed {removed:,} files ({size / 1e6:,.1f} MB) from {folder}")


class _File(NamedTuple):
    path: Path
    bytes: int


def _cache_folder() -> Path:
    from specjit.codegen import cache

    folder = cache.default_folder()
    if folder is None:
        raise CommandError("there is no cache: no home folder to put one in. Set SPECJIT_CACHE_DIR to choose a folder")
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"the cache folder {folder} is not a folder. Set SPECJIT_CACHE_DIR to choose another")
    return folder


def _cache_files(folder: Path) -> Iterator[_File]:
    """The cache's own files; what else lies in the folder is not ours."""
    try:
        for child in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _FOLDER.fullmatch(child.name) and child.is_dir():
                for path in sorted(child.iterdir()):
                    if _FILE.fullmatch(path.name):
                        with contextlib.suppress(FileNotFoundError):  # another process evicted it
                            yield _File(path, path.stat().st_size)
    except PermissionError as error:
        raise CommandError(f"cannot read the cache folder {folder}: {error.strerror}") from error


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _print_facts(title: str, rows: Sequence[tuple[str, str]]) -> None:
    console = Console()
    if not console.is_terminal:  # whole lines, so that they can be pasted and searched
        width = max(len(name) for name, _ in rows)
        print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))
        return
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
