"""`python -m bench.capture`: the time of capture and of generating code for large modules (`tests.capture.large`).

Processor time of one cold capture each, in seconds; the promise is under 3 s for 3,000 lines.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import specjit
from specjit.capture.script import capture
from specjit.codegen.generic.python import generate
from tests.capture.large import SHAPES

LINES = (750, 1500, 3000, 6000)


def load(source: str, path: Path) -> Any:
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def main() -> None:
    table = Table("module", "lines", "capture", "generation", "nodes")
    with tempfile.TemporaryDirectory() as folder:
        for name, source in SHAPES.items():
            for lines in LINES:
                program = load(source(lines), Path(folder, f"module_{len(table.rows)}.py"))
                start = time.process_time()
                captured = capture(program, {"x": specjit.ones(3), "y": specjit.ones(3), "n": 2})
                middle = time.process_time()
                generate(captured.graph, name="program")
                end = time.process_time()
                nodes = sum(1 for _ in captured.graph.walk())
                table.add_row(name, str(lines), f"{middle - start:.2f} s", f"{end - middle:.2f} s", str(nodes))
    Console().print(table)


if __name__ == "__main__":
    main()
