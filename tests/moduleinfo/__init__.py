"""One row per layer: constructor arguments, sample inputs, an independent reference. Data, for the tests of `nn` and
for the comparison with PyTorch.

`MODULES[name]` is the row of `nn.<name>`. A layer that only calls its functional needs no reference: it is compared
with that functional (`functional="relu"`), whose own row has one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specjit import nn
from specjit.dtypes import DType, float64
from tests.opinfo import Make


@dataclass
class ModuleInfo:
    """cases(make) yields (constructor args, constructor kwargs, inputs); inputs are a tuple of tensors (or of tuples).

    reference   (module, *inputs) on the live module -> expected arrays, in NumPy; None: `functional`, or `torch` alone
    functional  name in nn.functional, called with the inputs and the constructor's arguments
    grad        gradients of inputs and parameters are checked
    random      results are random in training mode: compared in eval mode
    compared    False: not in PyTorch
    scale       factor of the tolerance
    """

    name: str
    cases: Callable[[Make], Iterator[tuple[tuple[Any, ...], dict[str, Any], tuple[Any, ...]]]]
    reference: Callable[..., Any] | None = None
    functional: str | None = None
    grad: bool = True
    random: bool = False
    compared: bool = True
    scale: float = 1.0

    def make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> nn.Module:
        return getattr(nn, self.name)(*args, **kwargs)

    def samples(self, dtype: DType = float64, grad: bool = False) -> list[Any]:
        return list(self.cases(Make(dtype, grad, self.name)))


MODULES: dict[str, ModuleInfo] = {}


def module(name: str, cases: Any, reference: Any = None, **options: Any) -> ModuleInfo:
    """The row of `nn.<name>`."""
    if name in MODULES:
        raise ValueError(f"two rows for {name}")
    info = MODULES[name] = ModuleInfo(name, cases, reference, **options)
    return info


def layers(*cases: Any) -> Any:
    """Cases as (constructor args, shapes of the inputs)."""

    def each(make: Make) -> Iterator[Any]:
        for args, *shapes in cases:
            kwargs = args[-1] if args and isinstance(args[-1], dict) else {}
            yield tuple(a for a in args if a is not kwargs), kwargs, tuple(make(*s) for s in shapes)

    return each


# The rows are the other files of this folder, by family.
for _path in sorted(Path(__file__).parent.glob("[!_]*.py")):
    importlib.import_module(f"tests.moduleinfo.{_path.stem}")
