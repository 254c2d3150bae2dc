"""`jit.script` against plain Python: the same results, and errors as PyTorch's scripted functions give them."""

# ruff: noqa: UP006, UP035, UP045 (every spelling of an annotation is tested here)

import copy
import enum
import pickle
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import pytest

import specjit
from specjit import Tensor, jit, nn


def scripted_or_not(x):
    if jit.is_scripting():
        return x + 1
    return x - 1


def test_is_scripting_is_true_in_scripted_code_and_there_only():
    x = specjit.zeros(2)
    scripted = jit.script(scripted_or_not)
    for _ in range(30):  # generic, specialized, and long enough for any verdict on which road is faster
        assert scripted(x).tolist() == [1.0, 1.0]
    scripted.wait()
    for _ in range(30):
        assert scripted(x).tolist() == [1.0, 1.0]
    assert scripted_or_not(x).tolist() == [-1.0, -1.0]
    assert specjit.optimize(scripted_or_not, background=False)(x).tolist() == [-1.0, -1.0]
    assert not jit.is_scripting()


def test_without_specjit_a_scripted_function_is_plain_python():
    scripted = jit.script(scripted_or_not)
    with specjit.config.options(enabled=False):
        assert scripted(specjit.zeros(2)).tolist() == [-1.0, -1.0]


class Pair(NamedTuple):
    a: Tensor
    b: int = 3


class Color(enum.Enum):
    RED = 1
    BLUE = 2


def plain(x, n: int = 2, f: float = 1.5, l: Optional[List[int]] = None, s: str = "a", t: Tuple[int, float] = (1, 2.0)):
    return x * n


def lengths(x, l: List[int]) -> int:
    return len(l)


def rich(p: Pair, c: Color, u: Union[int, str], a: Any, d: Dict[str, Tensor], l: List[Tensor]) -> Tuple[Tensor, int]:
    return p.a, p.b


def keyword_only(x: Tensor, *, y: bool = True) -> None:
    return None


def commented(x, n, m=None):
    # type: (Tensor, List[int], Optional[Tensor]) -> Tuple[Tensor, int]
    return x, n[0]


def commented_one_by_one(
    x,  # type: Tensor
    n=3,  # type: int
):
    # type: (...) -> Tensor
    return x * n


def modern(x: "Tensor | None", n: "list[int]", m: int | None = None, p: "tuple[int, ...]" = ()) -> "dict[str, int]":
    return {"n": len(n)}


@pytest.mark.parametrize(
    ("fn", "schema"),
    [
        (plain, 'plain(Tensor x, int n=2, float f=1.5, int[]? l=None, str s="a", (int, float) t=(1, 2.)) -> Tensor'),
        (lengths, "lengths(Tensor x, int[] l) -> int"),
        (
            rich,
            "rich(Pair p, Enum<Color> c, Union(int, str) u, Any a, Dict(str, Tensor) d, Tensor[] l) -> ((Tensor, int))",
        ),
        (keyword_only, "keyword_only(Tensor x, *, bool y=True) -> NoneType"),
        (commented, "commented(Tensor x, int[] n, Tensor? m=None) -> ((Tensor, int))"),
        (commented_one_by_one, "commented_one_by_one(Tensor x, int n=3) -> Tensor"),
        (modern, "modern(Tensor? x, int[] n, int? m=None, Tuple p=()) -> Dict(str, int)"),
        (scripted_or_not, "scripted_or_not(Tensor x) -> Tensor"),
    ],
)
def test_schemas(fn, schema):
    assert str(jit.script(fn).schema) == schema


X = specjit.ones(1)
LENGTHS = "lengths(Tensor x, int[] l) -> int"
DECLARED = 'plain(Tensor x, int n=2, float f=1.5, int[]? l=None, str s="a", (int, float) t=(1, 2.)) -> Tensor'


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "text"),
    [
        (plain, (), {}, f"plain() is missing value for argument 'x'. Declaration: {DECLARED}"),
        (
            plain,
            (3,),
            {},
            f"""plain() Expected a value of type 'Tensor (inferred)' for argument 'x' but instead found type 'int'.
Inferred 'x' to be of type 'Tensor' because it was not annotated with an explicit type.
Position: 0
Value: 3
Declaration: {DECLARED}
Cast error details: Unable to cast 3 to Tensor""",
        ),
        (
            plain,
            (X, 2.5),
            {},
            f"""plain() Expected a value of type 'int' for argument 'n' but instead found type 'float'.
Position: 1
Value: 2.5
Declaration: {DECLARED}
Cast error details: Unable to cast 2.5 to int""",
        ),
        (plain, (X,), {"z": 3}, f"Unknown keyword argument 'z' for operator 'plain'. Schema: {DECLARED}"),
        (
            plain,
            (X,),
            {"x": 3},
            f"Argument 'x' specified both as positional and keyword argument. Schema: {DECLARED}",
        ),
        (
            plain,
            (X,),
            {"t": (1,)},
            f"""plain() Expected a value of type 'Tuple[int, float]' for argument 't' but instead found type 'tuple'.
Position: 5
Value: (1,)
Declaration: {DECLARED}
Cast error details: Object (1,) had a different number of elements than type Tuple[int, float]""",
        ),
        (
            lengths,
            (X, [1], 2, 3),
            {},
            f"lengths() expected at most 2 argument(s) but received 4 argument(s). Declaration: {LENGTHS}",
        ),
        (
            lengths,
            (X, [1.0]),
            {},
            """lengths() Expected a value of type 'List[int]' for argument 'l' but instead found type 'list'.
Position: 1
Value: [1.0]
Declaration: lengths(Tensor x, int[] l) -> int
Cast error details: Unable to cast 1.0 to int""",
        ),
        (
            rich,
            (Pair(X), Color.RED, 1.5, 1, {}, []),
            {},
            """rich() Expected a value of type 'Union[int, str]' for argument 'u' but instead found type 'float'.
Position: 2
Value: 1.5
Declaration: rich(Pair p, Enum<Color> c, Union(int, str) u, Any a, Dict(str, Tensor) d, Tensor[] l) -> ((Tensor, int))
Cast error details: Expected a member of Union[int, str] but instead found type float""",
        ),
    ],
)
def test_a_call_that_does_not_fit_says_so(fn, args, kwargs, text):
    scripted = jit.script(fn)
    with pytest.raises(RuntimeError) as caught:
        scripted(*args, **kwargs)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("fn", "calls"),
    [
        (plain, [(X,), (X, 3), (X, 3, 1), (X, 2, 1.0, [1, 2]), (X, 2, 1.0, None, "b"), (X, True)]),
        (lengths, [(X, []), (X, [1, 2, 3])]),
        (rich, [(Pair(X, 4), Color.RED, 1, None, {}, []), (Pair(X), Color.BLUE, "s", [1], {"k": X}, [X, X])]),
        (commented, [(X, [4]), (X, [5, 6], X)]),
        (commented_one_by_one, [(X,), (X, 5)]),
        (modern, [(X, []), (None, [1], 2), (None, [1, 2], None, (1, 2))]),
        (keyword_only, [(X,)]),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_calls_that_fit_give_what_python_gives(fn, calls):
    scripted = jit.script(fn)
    for args in calls * 2:
        assert repr(scripted(*args)) == repr(fn(*args))


def test_an_annotation_without_meaning_has_a_place():
    def wrong(x: "NoSuchType"):  # noqa: F821
        return x

    with pytest.raises(jit.Error) as caught:
        jit.script(wrong)
    first, source, caret, hint = str(caught.value).splitlines()
    assert first.endswith("the type of 'x' is not understood: name 'NoSuchType' is not defined")
    assert source.strip() == 'def wrong(x: "NoSuchType"):  # noqa: F821'
    assert caret.index("^") == source.index('"')
    assert hint.strip() == "name a type that exists where the function is defined"


@jit.script
def inner(x):
    return scripted_or_not(x) * 2


def outer(x):
    return inner(x) + inner(x + 1)


def test_scripted_functions_call_one_another():
    scripted = jit.script(outer)
    assert scripted(specjit.zeros(1)).tolist() == [6.0]
    assert outer(specjit.zeros(1)).tolist() == [6.0]
    assert not scripted.events("OPAQUE")
    assert jit.script(scripted) is scripted


@jit.unused
def not_for_scripts(x):
    return x


@jit.ignore
def in_python(x):
    return x * (5 if jit.is_scripting() else 7)


def marked(x, n: int):
    x = in_python(x)
    if n > 0:
        return not_for_scripts(x)
    return x


def test_unused_raises_and_ignored_runs_in_python():
    scripted = jit.script(marked)
    assert scripted(specjit.ones(1), 0).tolist() == [7.0]
    with pytest.raises(NotImplementedError, match="not_for_scripts is marked unused"):
        scripted(specjit.ones(1), 1)
    assert marked(specjit.ones(1), 1).tolist() == [7.0]


def typed_values(x, n: int):
    many = jit.annotate(List[Tensor], [])
    found: Optional[Tensor] = None
    for _ in range(n):
        many.append(x)
    if n > 2:
        found = x
    if found is not None:
        many.append(found + 1)
    return many


def test_annotated_values():
    scripted = jit.script(typed_values)
    for n in (0, 2, 3):
        assert repr(scripted(X, n)) == repr(typed_values(X, n))


def asks(v: Any):
    if jit.isinstance(v, List[int]):
        return "ints"
    if jit.isinstance(v, Dict[str, int]):
        return "table"
    if jit.isinstance(v, (Tuple[int, float], float)):
        return "pair or float"
    return "other"


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ([1, 2], "ints"),
        ([1.0], "other"),
        ({"a": 1}, "table"),
        ((1, 2.0), "pair or float"),
        (2.0, "pair or float"),
        (1, "other"),
        ([True], "other"),
    ],
)
def test_isinstance_knows_parameters(value, answer):
    assert asks(value) == answer
    assert jit.script(asks)(value) == answer


def factorial(n: int) -> int:
    if n <= 1:
        return 1000 if jit.is_scripting() else 1
    return n * factorial(n - 1)


def is_even(n: int) -> bool:
    return True if n == 0 else is_odd(n - 1)


def is_odd(n: int) -> bool:
    return False if n == 0 else is_even(n - 1)


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.turns = 0

    def forward(self, x, n: int):
        return self.halve(x, n)

    def halve(self, x, n):
        self.turns += 1
        return x if n == 0 else self.halve(x / 2, n - 1)


def test_recursion():
    scripted = jit.script(factorial)
    assert [scripted(n) for n in (5, 1, 20, 30)] == [factorial(n) * 1000 for n in (5, 1, 20, 30)]
    for n in (0, 3, 10):
        assert jit.script(is_even)(n) is is_even(n)
    halves = jit.script(Halves())
    assert halves(specjit.ones(1), 3).tolist() == [0.125]
    assert halves.turns == 4


def test_containers_keep_their_members():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    scripted, x = jit.script(model), specjit.ones(1, 2)
    assert len(scripted) == 2
    assert list(scripted) == list(model)
    assert scripted[0] is model[0]
    np.testing.assert_allclose(scripted(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-6)


# modules


class Block(nn.Module):
    scale: jit.Final[int]
    __constants__ = ["depth"]

    def __init__(self, scale=3):
        super().__init__()
        self.scale = scale
        self.depth = 2
        self.w = nn.Parameter(specjit.full((2,), 2.0))
        self.count = 0
        self.table = jit.Attribute({"a": 1}, Dict[str, int])

    def forward(self, x, more: bool = False):
        for _ in range(self.depth):
            x = x * self.w
        self.count += 1
        return self.helper(x) if more else x * self.scale

    def helper(self, x):
        return x + (100 if jit.is_scripting() else 200)

    @jit.export
    def also(self, x, n: int):
        return self.helper(x) * n


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.blocks = nn.ModuleList([Block(1), Block(2)])

    def forward(self, x):
        for b in self.blocks:
            x = b(x)
        return self.block(x, True)


def test_modules():
    model, x = Block(), specjit.ones(2)
    scripted = jit.script(model)
    assert isinstance(scripted, jit.ScriptModule)
    assert isinstance(scripted, nn.Module)
    assert not isinstance(model, jit.ScriptModule)
    assert str(scripted.schema) == "forward(Block self, Tensor x, bool more=False) -> Tensor"
    assert scripted(x).tolist() == [12.0, 12.0]
    assert scripted(x, more=True).tolist() == [104.0, 104.0]
    assert scripted.count == model.count == 2
    assert scripted.table == {"a": 1}
    assert scripted.also(x, 2).tolist() == [202.0, 202.0]
    assert str(scripted.also.schema) == "also(Block self, Tensor x, int n) -> Tensor"
    assert scripted.helper(x).tolist() == [201.0, 201.0]  # not compiled: plain Python
    assert scripted.forward(x).tolist() == [12.0, 12.0]
    with pytest.raises(
        RuntimeError, match=r"^forward\(\) Expected a value of type 'Tensor \(inferred\)'.*\nInf.*\nPosition: 1\n"
    ):
        scripted(3)
    assert "w" in scripted.state_dict()
    assert scripted.eval() is scripted
    assert not model.training


@pytest.mark.parametrize(("name", "value"), [("scale", 3), ("depth", 2)])
def test_constants_cannot_be_set(name, value):
    scripted = jit.script(Block())
    with pytest.raises(RuntimeError, match=f"^Can't set constant '{name}' which has value:{value}$"):
        setattr(scripted, name, 5)
    scripted.count = 5
    assert scripted._model.count == 5
    scripted._model.scale = 4  # behind its back: seen all the same
    assert scripted(specjit.ones(2)).tolist() == [16.0, 16.0]


def test_nested_modules_and_copies():
    model, x = Net(), specjit.ones(2)
    scripted = jit.script(model)
    expected = [4 * 1 * 4 * 2 * 4 + 100.0] * 2
    assert scripted(x).tolist() == expected
    assert isinstance(scripted.block, jit.ScriptModule)
    assert scripted.block is scripted.block
    assert scripted.block(x, True).tolist() == [104.0, 104.0]
    assert "self.w" in scripted.block.code or "w" in str(scripted.block.graph)
    for again in (copy.deepcopy(scripted), pickle.loads(pickle.dumps(scripted))):
        assert isinstance(again, jit.ScriptModule)
        assert again(x).tolist() == expected

    class Around(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x) + 1

    around = Around(scripted)
    assert around(x).tolist() == [v + 1 for v in expected]
    assert jit.script(around)(x).tolist() == [v + 1 for v in expected]


def test_hooks_run_around_the_compiled_forward():
    scripted = jit.script(Block())
    handle = scripted.register_forward_hook(lambda module, args, out: out + 1)
    assert scripted(specjit.ones(2), True).tolist() == [105.0, 105.0]
    handle.remove()
    assert scripted(specjit.ones(2), True).tolist() == [104.0, 104.0]


class Old(jit.ScriptModule):
    def __init__(self, n):
        super().__init__()
        self.n = n
        self.w = nn.Parameter(specjit.ones(2))

    @jit.script_method
    def forward(self, x):
        return self.step(x) if jit.is_scripting() else x

    @jit.script_method
    def step(self, x):
        return x * self.n + self.w


def test_script_modules():
    old = Old(3)
    assert isinstance(old, Old)
    assert isinstance(old, jit.ScriptModule)
    assert old(specjit.ones(2)).tolist() == [4.0, 4.0]
    assert old.step(specjit.ones(2)).tolist() == [4.0, 4.0]
    assert str(old.step.schema) == "step(Old self, Tensor x) -> Tensor"
    assert [name for name, _ in old.named_parameters()] == ["w"]


@jit.interface
class Stage:
    def run(self, x: Tensor) -> Tensor:
        pass


class Doubles:
    def run(self, x):
        return x * 2


def through(s: Stage, x):
    return s.run(x)


def test_interfaces_and_classes():
    scripted = jit.script(through)
    with pytest.raises(RuntimeError, match="int has no method 'run' of the interface Stage"):
        scripted(3, X)
    assert scripted(Doubles(), X).tolist() == [2.0]
    assert jit.script(Doubles) is Doubles

    class Wrong:
        def run(self, x: "Nowhere"):  # noqa: F821
            return x

    with pytest.raises(jit.Error, match="'Nowhere' is not defined"):
        jit.script(Wrong)


def test_gradients_go_through_scripted_modules():
    scripted = jit.script(Block())
    for _ in range(5):
        scripted._model.w.grad = None
        scripted(specjit.ones(2)).sum().backward()
        np.testing.assert_allclose(scripted.w.grad.numpy(), [12.0, 12.0])


# frozen


def test_freeze():
    model, x = Block().eval(), specjit.ones(2)
    scripted = jit.script(model)
    frozen = jit.freeze(scripted, preserved_attrs=["also", "count"])
    assert frozen(x).tolist() == [12.0, 12.0]
    assert frozen.also(x, 1).tolist() == [101.0, 101.0]
    assert frozen.count == 1
    model.w = nn.Parameter(specjit.zeros(2))
    model.scale = 100
    assert frozen(x).tolist() == [12.0, 12.0]
    assert isinstance(frozen, jit.ScriptModule)
    assert list(frozen.parameters()) == []
    assert not frozen.training
    with pytest.raises(AttributeError, match="'w' is not among its preserved_attrs"):
        frozen.w
    for name in ("w", "count", "new"):
        with pytest.raises(RuntimeError, match="is frozen"):
            setattr(frozen, name, 1)
    with pytest.raises(RuntimeError, match="stays in eval mode"):
        frozen.train()
    for again in (copy.deepcopy(frozen), copy.copy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert again(x).tolist() == [12.0, 12.0]
        assert again.also(x, 1).tolist() == [101.0, 101.0]
        with pytest.raises(RuntimeError, match="is frozen"):
            again.count = 3


def test_freeze_wants_a_scripted_module_in_eval_mode():
    with pytest.raises(RuntimeError, match=r"^Freezing expects a ScriptModule as input"):
        jit.freeze(Block())
    with pytest.raises(RuntimeError, match=r"^Freezing is currently only implemented for modules in eval mode"):
        jit.freeze(jit.script(Block()))
    with pytest.raises(AttributeError, match="a attribute named nothing"):
        jit.freeze(jit.script(Block()).eval(), preserved_attrs=["nothing"])
