"""Benchmarks. `python -m bench.lstm` compares the recurrent nets with the peers that are installed,
`python -m bench.generic` the generic path with the code it was made from.

Importing this package limits every numeric library to one thread. That must happen before they are loaded.
"""

import os
import sys

_LOADED = sorted({"numpy", "torch", "jax", "onnxruntime", "numba"} & sys.modules.keys())
if _LOADED and os.environ.get("OMP_NUM_THREADS") != "1":
    raise ImportError(f"import bench before {', '.join(_LOADED)}: thread counts are read when a library loads")

for _name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",  # the size of XLA's thread pool
):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["JAX_PLATFORMS"] = "cpu"
