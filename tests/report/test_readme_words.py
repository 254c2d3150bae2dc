"""The README explains every kind of event."""

from __future__ import annotations

import re
from pathlib import Path

from specjit.runtime.events import EventKind

README = Path(__file__).resolve().parents[2] / "README.md"


def test_every_kind_has_a_row() -> None:
    table = [line.split("|")[1] for line in README.read_text().splitlines() if line.startswith("| `")]
    words = {word for cell in table for word in re.findall(r"`(\w+)`", cell)}
    missing = {str(k) for k in EventKind if not {str(k), str(k).split("_", 1)[-1]} & words}
    assert not missing
