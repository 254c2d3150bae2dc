"""Every script of `bench/` runs with its cheapest options, and those that have none are imported: what they measure is
read by people, what they call is the package's own and changes.

Each runs in a process of its own, because `bench` is imported before the libraries whose threads it limits. Budget:
20 s of one core together.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"

# Script -> its arguments (None: it has none and measures for minutes, so it is only imported), what must be installed.
SCRIPTS: dict[str, tuple[list[str] | None, list[str]]] = {
    "capture": (None, []),
    "compare_torch": (["abs"], ["torch"]),
    "compare_torch_nn": (["Identity"], ["torch"]),
    "conv": (["--help"], ["torch"]),
    "eager": (["add", "--rounds", "1", "--loops", "1"], []),
    "fit_vecmath": (None, ["mpmath"]),
    "generic": (["--quick", "--only", "chained"], []),
    "kernels": (None, []),
    "lstm": (["--quick", "--only", "forward", "--shapes", "2x1x4x4", "--peers"], []),
    "loops": (["--quick", "--only", "rows"], []),
    "native_spike": (["--loads", "2", "--calls", "1000"], []),
    "passes": (["--model", "LSTM"], []),
}


def test_every_script_is_listed() -> None:
    scripts = {p.stem for p in BENCH.glob("*.py") if '__name__ == "__main__"' in p.read_text()}
    assert scripts == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name: str) -> None:
    arguments, needs = SCRIPTS[name]
    for module in needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    command = ["-c", f"import bench.{name}"] if arguments is None else ["-m", f"bench.{name}", *arguments]
    done = subprocess.run([sys.executable, *command], cwd=BENCH.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert arguments is None or done.stdout
