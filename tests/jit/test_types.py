"""What a script says its types are is checked when it is scripted: arguments of what it calls, results, variables.

Golden errors: place, source line, caret, expected, what came, a way out. And programs that only seem to be wrong."""

# ruff: noqa: UP006, UP035, UP045, RUF013
from __future__ import annotations

import dataclasses
import enum
import re
import textwrap
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

import pytest

import specjit
from specjit import Tensor, jit, nn, tensor


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Point(NamedTuple):
    x: Tensor
    n: int


@dataclasses.dataclass
class Options:
    n: int
    scale: float = 2.0


class Later:
    def __init__(self, v: int):
        self.v = v

    def times(self, x: Tensor, k: float = 1.0) -> Tensor:
        return x * self.v * k


def times(x: Tensor, n: int) -> Tensor:
    return x * n


def maybe_times(x: Tensor, n: Optional[int] = None) -> Tensor:
    return x if n is None else x * n


def total(xs: List[int]) -> int:
    return sum(xs)


def commented(x, n):
    # type: (Tensor, int) -> Tensor
    return x * n


def of_later(x: Tensor, later: Later) -> int:
    return later.v


def implied(x: Tensor, n: int = None) -> Tensor:  # type: ignore[assignment]
    return x if n is None else x * n


def returns_another(x: Tensor) -> int:
    return x


def keyword(x: Tensor):
    return times(x, n="a")


def position(x: Tensor):
    return times(2, 3)


def items(x: Tensor):
    return x * total([1.5])


def by_comment(x: Tensor):
    return commented(x, "s")


def forward_reference(x: Tensor):
    return of_later(x, 3)


def an_enum(c: Color):
    return times(tensor([1.0]), c)


def a_method(x: Tensor):
    return Later(3).times(x, "k")


def a_constructor(x: Tensor):
    return Later("v").times(x)


def unrefined(x: Tensor, n: Optional[int]):
    return times(x, n)


def result(x: Tensor) -> int:
    return x * 2


def result_on_a_path(x: Tensor, b: bool) -> Tensor:
    if b:
        return x
    return 3


def result_of_a_callee(x: Tensor) -> Tensor:
    return x * returns_another(x)


def no_result(x: Tensor) -> Tensor:
    x = x * 2


def a_variable(x: Tensor):
    y: int = x
    return y


def a_pair(x: Tensor) -> Tuple[int, Tensor]:
    return x, 1


ERRORS = {
    keyword: ("int", "str", '"a"'),
    position: ("Tensor", "int", "2"),
    items: ("List[int]", "List[float]", "[1.5]"),
    by_comment: ("int", "str", '"s"'),
    forward_reference: ("Later", "int", "3"),
    an_enum: ("int", "Color", "c"),
    a_method: ("float", "str", '"k"'),
    a_constructor: ("int", "str", '"v"'),
    unrefined: ("int", "NoneType", "n"),
    result: ("int", "Tensor", "x * 2"),
    result_on_a_path: ("Tensor", "int", "3"),
    result_of_a_callee: ("int", "Tensor", "x"),
    a_variable: ("int", "Tensor", "x"),
    a_pair: ("Tuple[int, Tensor]", "Tuple[Tensor, int]", "x, 1"),
}


@pytest.mark.parametrize("fn", ERRORS, ids=lambda f: f.__name__)
def test_a_wrong_type_is_an_error_where_it_is(fn) -> None:
    expected, came, marked = ERRORS[fn]
    with pytest.raises(jit.Error) as caught:
        jit.script(fn)
    error = caught.value
    assert error.kind == "type"
    place, line, caret, way_out = str(error).splitlines()
    assert re.match(rf"{re.escape(__file__)}:\d+:\d+: ", place)
    assert f"type '{expected}'" in place or f"type {expected} but" in place
    assert place.endswith((f"found type '{came}'", f"of type {came}"))
    at = caret.index("^")
    assert line[at : caret.rindex("^") + 1] == marked
    assert f"type '{expected}', or change the annotation" in way_out


def test_the_whole_text() -> None:
    with pytest.raises(jit.Error) as caught:
        jit.script(keyword)
    text = re.sub(r":\d+:", ":LINE:", str(caught.value).replace(__file__, "FILE"), count=1)
    at = times.__code__.co_firstlineno
    wanted = f"""
        FILE:LINE:23: times() Expected a value of type 'int' for argument 'n' but instead found type 'str'
            return times(x, n="a")
                              ^^^
          pass a value of type 'int', or change the annotation at FILE:{at}
        """
    assert text == textwrap.dedent(wanted).strip()
    with pytest.raises(jit.Error) as caught:
        jit.script(no_result)
    text = re.sub(r":\d+:", ":LINE:", str(caught.value).replace(__file__, "FILE"), count=1)
    wanted = """
        FILE:LINE:5: no_result was annotated as having type Tensor, but does not return along all paths
            x = x * 2
            ^^^^^^^^^
          end it with a return of type 'Tensor', or a raise
        """
    assert text == textwrap.dedent(wanted).strip()


def test_nothing_is_checked_where_annotations_mean_nothing() -> None:
    for fn in (items, result, a_variable, a_pair, result_of_a_callee):
        x = tensor([1.0, 2.0])
        assert repr(specjit.optimize(fn)(x)) == repr(fn(x))


# programs that are right


def refined_by_and(x: Tensor, n: Optional[int], b: bool):
    if b and n is not None:
        x = times(x, n)
    return times(x, n) if n is not None and b else x


def refined_by_or(x: Tensor, n: Optional[int], b: bool):
    if n is None or b:
        return x
    return times(x, n)


def refined_by_assert(x: Tensor, n: Optional[int]):
    assert n is not None, "none"
    return times(x, n)


def refined_by_class(x: Tensor, n: Union[int, str], b: bool):
    if b and isinstance(n, int):
        return times(x, n)
    if isinstance(n, str):
        return x * len(n)
    return times(x, n)


def refined_in_a_loop(x: Tensor, n: Optional[int], b: bool):
    while b and n is not None:
        x = times(x, n)
        n = n - 1 if n > 1 else None
    return x


def defaults(x: Tensor):
    return maybe_times(x) + maybe_times(x, 2) + maybe_times(x, None) + implied(x) + implied(x, 3)


def anything(a: Any, xs: List[Any]) -> Any:
    b: Any = a
    xs.append(b)
    return xs


def dtypes_and_devices(x: Tensor, d: specjit.dtype, where: specjit.device) -> Tensor:
    return x.to(d).to(where)


def calls_what_comes(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return f(f(x))


def records(p: Point, o: Options, c: Color) -> Tuple[Tensor, float, int]:
    q: Point = Point(p.x * 2, p.n + 1)
    made: Options = Options(q.n)
    return q.x * made.n, made.scale * o.scale, c.value


def containers(x: Tensor) -> Dict[str, List[int]]:
    out: Dict[str, List[int]] = {}
    out["a"] = [1, 2]
    out["b"] = []
    empty: List[Tensor] = []
    empty.append(x)
    pair: Tuple[int, Optional[str]] = (len(empty), None)
    out["b"].append(pair[0])
    return out


def numbers(n: int, b: bool) -> float:
    x: float = n
    y: int = b
    return x if y else n


def ends_in_a_loop(n: int) -> int:
    while True:
        n -= 1
        if n < 0:
            return n


def raises_at_the_end(n: int) -> int:
    if n > 0:
        return n
    raise ValueError("small")


def forwards(n: int) -> Later:
    later: Later = Later(n)
    again: NeverDefined = later  # noqa: F821
    return again


class Net(nn.Module):
    last: Optional[Tensor]

    def __init__(self):
        super().__init__()
        self.last = None
        self.linear = nn.Linear(2, 2)

    def step(self, x: Tensor, before: Optional[Tensor]) -> Tuple[Tensor, int]:
        return (x if before is None else x + before), 1

    def forward(self, x: Tensor) -> Tensor:
        y, n = self.step(self.linear(x), self.last)
        self.last = y.detach()
        return y * n


X = tensor([1.0, 2.0])
RIGHT = [
    (refined_by_and, [(X, 2, True), (X, None, True), (X, None, False)]),
    (refined_by_or, [(X, 2, True), (X, None, True), (X, 3, False)]),
    (refined_by_assert, [(X, 2), (X, None)]),
    (refined_by_class, [(X, 2, True), (X, "ab", True), (X, "abc", False), (X, 4, False)]),
    (refined_in_a_loop, [(X, 3, True), (X, None, True), (X, 2, False)]),
    (defaults, [(X,)]),
    (anything, [(1, []), ("a", [X])]),
    (dtypes_and_devices, [(X, specjit.float64, specjit.device("cpu"))]),
    (calls_what_comes, [(specjit.tanh, X)]),
    (records, [(Point(X, 3), Options(2), Color.BLUE)]),
    (containers, [(X,)]),
    (numbers, [(3, True), (3, False)]),
    (ends_in_a_loop, [(3,)]),
    (raises_at_the_end, [(3,), (-3,)]),
]


def outcome(fn, args):
    try:
        return repr(fn(*args))
    except Exception as error:
        return type(error), str(error).partition("\n")[0]  # pytest adds to what assert says


@pytest.mark.parametrize(("fn", "calls"), RIGHT, ids=lambda v: getattr(v, "__name__", ""))
def test_a_right_program_is_right(fn, calls) -> None:
    scripted = jit.script(fn)
    for args in (*calls, *calls):
        plain = [list(a) if isinstance(a, list) else a for a in args]
        given = [list(a) if isinstance(a, list) else a for a in args]
        assert outcome(scripted, given) == outcome(fn, plain)


def test_annotations_of_methods_and_unknown_names() -> None:
    assert jit.script(forwards)(3).v == 3
    specjit.manual_seed(0)
    plain = Net()
    specjit.manual_seed(0)
    scripted = jit.script(Net())
    for _ in range(3):
        assert repr(scripted(X).detach()) == repr(plain(X).detach())
