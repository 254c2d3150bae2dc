"""Types said in every spelling, and `None` narrowed by tests."""

# ruff: noqa: UP006, UP035, UP045, UP037
from __future__ import annotations

from typing import Any, Dict, Final, List, Optional, Sequence, Set, Tuple, Union

import specjit
from specjit import Tensor, jit, nn, tensor
from tests.capture.programs.table import prog


@prog((1, 2.5, True, "s"), (0, -1.0, False, ""))
def scalars_annotated(n: int, x: float, b: bool, s: str) -> Tuple[int, float, bool, str]:
    return n + 1, x * 2, not b, s + "!"


@prog((1 + 2j, None, (1, "a")), (0j, None, (0, "")))
def others_annotated(z: complex, nothing: None, pair: Tuple[int, str]) -> Any:
    return z * 2, nothing, pair[1] * pair[0]


@prog(([1, 2], [0.5], [[1], []]), ([], [], []))
def lists_annotated(a: List[int], b: list[float], c: List[List[int]]) -> List[int]:
    c.append([len(a)])
    return a + [len(b)] + c[-1]


@prog(({"a": 1}, {1: [2.0]}, {3, 4}), ({}, {}, set()))
def dicts_and_sets_annotated(d: Dict[str, int], e: dict[int, list[float]], s: Set[int]) -> int:
    total = 0
    for k, v in d.items():
        total += v + len(k)
    for v in e.values():
        v.append(1.0)
    return total + len(s)


@prog((1,), (None,))
def optional_old(n: Optional[int]) -> int:
    return 0 if n is None else n + 1


@prog((1,), (None,))
def optional_new(n: int | None = None) -> int:
    if n is None:
        return 0
    return n + 1


@prog((1,), ("a",), (None,))
def unions(x: Union[int, str, None]) -> str:
    if isinstance(x, int):
        return "int" + str(x)
    elif x is None:
        return "none"
    return x.upper()


@prog((1,), (2.5,))
def unions_new(x: int | float) -> float:
    return x / 2 if isinstance(x, int) else x


@prog((tensor([1.0]), None), (tensor([1.0]), tensor([2.0])), traced=True)
def optional_tensor(x: Tensor, y: "Optional[Tensor]" = None) -> Tensor:
    if y is not None:
        x = x + y
    return x * (1 if y is None else 2)


@prog((tensor([1.0]), 2), (tensor([1.0]), 3), traced=True)
def commented(x, n, y=None):
    # type: (Tensor, int, Optional[Tensor]) -> Tensor
    if y is None:
        y = x
    return x * n + y


@prog((tensor([1.0]), 2), traced=True)
def commented_each(
    x,  # type: Tensor
    n,  # type: int
):
    return x * n


@prog((tensor([1.0]),), (tensor([[1.0, 2.0]]),), traced=True)
def tensors_by_default(x):
    return x * 2 + x.sum()


@prog(((1, 2), [3, 4]), ((1,), []))
def any_length(t: Tuple[int, ...], xs: Sequence[int]) -> int:
    return sum(t) + sum(xs)


@prog((3,))
def forward_references(n: int) -> "Later":
    later: "Later" = Later(n)
    return later


class Later:
    value: int

    def __init__(self, value: int):
        self.value = value


@prog(([],), ([1],))
def annotates_empty(xs: List[int]):
    a = jit.annotate(List[int], [])
    b: Dict[str, List[int]] = {}
    c = jit.annotate(Optional[int], None)
    for x in xs:
        a.append(x)
        b["k"] = a
        c = x if c is None else c + x
    return a, b, c


@prog((3, None), (None, 4), (None, None), (1, 2))
def narrows_two(a: Optional[int], b: Optional[int]) -> int:
    if a is None or b is None:
        return -1 if a is None and b is None else (a or 0) + (b or 0)
    return a * b


@prog((None,), (5,), (0,))
def narrows_in_expressions(n: Optional[int]):
    x = n + 1 if n is not None else 0
    y = n is not None and n > 2
    z = n is None or n + 1
    assert n is None or n >= 0
    while n is not None:
        n = n - 1 if n > 0 else None
    return x, y, z, n


@prog((None,), (3,))
def narrows_by_leaving(n: Optional[int]):
    if n is None:
        raise ValueError("none")
    return n + 1


@prog((tensor([1.0]),), (tensor([2.0]),))
class Remembers(nn.Module):
    """`self.last` is None at first: refined by tests, until a write."""

    last: Optional[Tensor]

    def __init__(self):
        super().__init__()
        self.last = None
        self.count = 0

    def forward(self, x):
        if self.last is None:
            y = x
        else:
            y = x + self.last
        self.last = y * 2
        self.count += 1
        if self.last is not None and self.count > 1:
            y = y + self.last.sum()
        return y


@prog((tensor([1.0]), True), (tensor([1.0]), False), (tensor([1.0]), True))
class Forgets(nn.Module):
    """A call between the test and the use may change the attribute."""

    def __init__(self):
        super().__init__()
        self.bias: Optional[Tensor] = tensor([5.0])

    def clear(self, yes):
        if yes:
            self.bias = None

    def forward(self, x, yes: bool):
        if self.bias is not None:
            x = x + self.bias
            self.clear(yes)
        return x * 2 if self.bias is None else x + self.bias


@prog((tensor([1.0]),), traced=True)
class Constants(nn.Module):
    __constants__ = ["scale"]
    steps: Final[int]

    def __init__(self):
        super().__init__()
        self.scale = 3
        self.steps = 2
        self.names: List[str] = ["a", "b"]
        self.table: Dict[str, float] = {"a": 1.0, "b": 2.0}

    def forward(self, x):
        for _ in range(self.steps):
            x = x * self.scale
        for name in self.names:
            x = x + self.table[name]
        return x


@prog((tensor([1.0, 2.0]), 1), (tensor([1.0, 2.0]), 0), traced=True)
def isinstance_refines(x: Any, n: Any):
    if isinstance(n, int) and n:
        y = n + 1
    elif jit.isinstance(n, int):
        y = -1
    else:
        y = 0
    return x * y if isinstance(x, specjit.Tensor) else y
