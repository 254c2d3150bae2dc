"""The demo's text: the English reference that every CPython carries for `help()`.

Enters: nothing. Leaves: a `Corpus` of token ids, and batches of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Corpus:
    """`ids` index `alphabet`; runs of white space became one, characters outside ASCII `?`."""

    alphabet: str
    ids: np.ndarray

    def batch(self, random: np.random.Generator, steps: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Random passages (steps, batch), and the same shifted by one character: what is to be predicted."""
        starts = random.integers(0, len(self.ids) - steps - 1, batch)
        rows = starts[None, :] + np.arange(steps + 1)[:, None]
        passages = self.ids[rows]
        return passages[:-1], passages[1:]

    def encode(self, text: str) -> np.ndarray:
        return np.array([self.alphabet.index(character) for character in text], np.int64)


def load() -> Corpus:
    """The corpus. ImportError where a Python was installed without the texts of `help()`."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    text = re.sub(
        r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", text)
    )  # tables and indentation are not what is to be learned
    text = "".join(character if character == "\n" or " " <= character <= "~" else "?" for character in text)
    alphabet = "".join(sorted(set(text)))
    codes = np.zeros(128, np.int64)
    codes[[ord(character) for character in alphabet]] = np.arange(len(alphabet))
    return Corpus(alphabet, codes[np.frombuffer(text.encode("ascii"), np.uint8)])
