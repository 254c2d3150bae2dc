"""The example in README.md runs as it stands, becomes native, and gives what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
CHECK = """
import numpy as np
xs, h = specjit.randn(7, 2, 64), specjit.zeros(2, 64)
for _ in range(4):
    fast(xs, h)
fast.wait()
(outputs, last), w = fast(xs, h), fast.w.detach().numpy().astype(float)
assert fast.stats()["fast"] > 0, "\\n".join(map(str, fast.events()))
state = np.zeros((2, 64))
for x, got in zip(xs.numpy(), outputs.detach().numpy()):
    state = np.tanh(np.concatenate([x, state], -1) @ w)
    np.testing.assert_allclose(got, state, atol=1e-5)
np.testing.assert_allclose(last.detach().numpy(), state, atol=1e-5)
"""


def test_example(tmp_path):
    example = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert example is not None
    file = tmp_path / "example.py"
    file.write_text(example[1] + CHECK)
    result = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
