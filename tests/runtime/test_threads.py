"""The number of threads: what is set is what BLAS and the reader see."""

from __future__ import annotations

import subprocess
import sys

import pytest

import specjit

PROGRAM = """
import os
import numpy
import specjit
from threadpoolctl import threadpool_info
assert specjit.get_num_threads() == len(os.sched_getaffinity(0))
for count in (2, 1):
    specjit.set_num_threads(count)
    assert specjit.get_num_threads() == count
    assert [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"] == [count]
"""


def test_count_reaches_blas():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=600)


@pytest.mark.parametrize("count", ["2", 2.0, True, None])
def test_not_an_int(count):
    with pytest.raises(TypeError, match="expects an int"):
        specjit.set_num_threads(count)


@pytest.mark.parametrize("count", [0, -1])
def test_not_positive(count):
    with pytest.raises(RuntimeError, match="positive integer"):
        specjit.set_num_threads(count)
