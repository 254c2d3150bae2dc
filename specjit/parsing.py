"""Python's parser, for any number of threads.

Enters: source text. Leaves: its syntax tree.
Invariant: a text that can be parsed is. CPython before 3.13 counts the depth of the tree it builds in a variable of the
interpreter: where another thread parses in between (a finalizer may let it run), `ast.parse` raises SystemError.
"""

from __future__ import annotations

import ast
from typing import Any

from specjit import locks

ATTEMPTS = 10  # other parsers than ours may come in between, too
_lock = locks.lock()


def parse(text: str, file: str = "<unknown>", **how: Any) -> Any:
    """`ast.parse(text, file, **how)`."""
    with _lock:
        for _ in range(ATTEMPTS):
            try:
                return ast.parse(text, file, **how)
            except SystemError as error:
                failure = error
    raise failure
