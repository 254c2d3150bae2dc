"""The intermediate representation: typed SSA with structured control flow.

Enters: op records by their interface (name, params, infer, traits). Leaves: graphs, their text, and the verifier's
verdict. `specjit.ir.print(graph)` and `specjit.ir.parse(text)` are for people; the rooms import the modules.
Invariant: imports only `specjit.dtypes`; every class here is data, every algorithm on it lives in a pass.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specjit.ir.text import parse
    from specjit.ir.text import print_graph as print

__all__ = ["parse", "print"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from specjit.ir import text

    return text.parse if name == "parse" else text.print_graph
