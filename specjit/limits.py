"""Every limit of what a Program, or the process, keeps between calls, in one place.

Invariant: a table that grows with calls is named here and stops growing at its limit (`tests/runtime/test_limits.py`).
Arguments are never kept alive, with two exceptions that are as bounded: a capture keeps the functions and classes that
were passed to it, which its graph calls, and a specialization keeps the objects whose attributes it was made for.

Per Program: live specializations are limited by the option `max_specializations`.
"""

from __future__ import annotations

# Per Program.
MAX_CAPTURES = 8  # structures of arguments that are captured; others run as plain Python
MAX_SCRIPTED = 64  # the same of a script, whose other calls are errors
MAX_RECAPTURES = 16  # of one Program, because a global, a closure or a method that it relies on changed
MAX_EVENTS = 10_000  # the latest ones
MAX_REASONS = 200  # told apart per kind of event; the rest are counted together
MAX_RETIRED = 64  # counters of specializations that are gone, before they are added up

# Per capture.
MAX_PROFILES = 32  # kinds of calls (dtypes, ranks, strings, identities of objects) observed side by side
MAX_SIGNATURES = 32  # calls that one profile remembers
MAX_GLANCES = 64  # calls whose profile is found by a cheap key

# Per native region.
MAX_FRAMES = 16  # waiting for their next call; more calls at once get frames that are then dropped

MAX_SEQUENCE_BYTES = 64 << 20  # that rewrites may add to a graph's peak, or as much as its inputs and outputs take

# Per process.
MAX_PARSED_FILES = 64  # of the user's sources
MAX_SHOWN_CAUSES = 1_000  # remembered so that a cause is logged once; past it they may be logged again

# Per kernel.
WINDOW_ENTRIES = 1 << 14  # of a table of offsets in a product with windows: 128 KB of stack

# Per item.
MAX_CONSTANT = 1_000  # characters of a string argument that is told from others by its value
MAX_TEXT = 1_000  # characters of a value, or a reason, in an event


def clipped(text: str) -> str:
    """`text`, or its beginning where it is longer than an event may be."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."
