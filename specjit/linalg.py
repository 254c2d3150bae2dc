"""`specjit.linalg`: decompositions, solvers and norms under PyTorch's names.

The functions are those whose operators are named `linalg.<name>`; their families are loaded on first use.
"""

from typing import Any

from specjit.ops.records import registry


def __getattr__(name: str) -> Any:
    found: Any = None
    if name == "LinAlgError":
        from specjit.ops.matrix_functions import LinAlgError

        found = LinAlgError
    else:
        found = registry.public(f"linalg.{name}")
    if found is None:
        raise AttributeError(f"module 'specjit.linalg' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return ["LinAlgError", *registry.public_names("linalg")]
