"""Functions, modules and objects that are held in lists, dicts and tuples; recursion."""

from __future__ import annotations

import specjit
import specjit.nn.functional as F
from specjit import Tensor, nn, tensor
from tests.capture.programs.table import prog

X = tensor([[1.0, -2.0], [3.0, 4.0]])


def twice(x):
    return x * 2


def plus(x, k=1):
    return x + k


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def run(self, x):
        return x * self.factor


ACTIVATIONS = {"relu": F.relu, "tanh": specjit.tanh, "gelu": nn.GELU(), "twice": twice}
STEPS = [twice, plus]
SCALES = [Scale(1.5), Scale(2)]
CHANGED = [twice]
PAIR = (twice, plus)


@prog((X, 3))
def from_a_global_list(x, n):
    return STEPS[0](x) + STEPS[-1](x, k=n) + PAIR[1](x)


@prog((X,))
def over_a_global_list(x):
    for step in STEPS:
        x = step(x)
    for k, step in enumerate(PAIR):
        x = step(x) + k
    return x, [step(1) for step in STEPS], len(STEPS)


@prog((X,))
def from_a_global_dict(x):
    y = ACTIVATIONS["relu"](x) + ACTIVATIONS["gelu"](x)
    return y, ACTIVATIONS.get("twice")(x), "relu" in ACTIVATIONS


@prog((X,))
def over_a_global_dict(x):
    out = []
    for name, f in ACTIVATIONS.items():
        out.append((name, f(x)))
    for name in ACTIVATIONS:
        x = ACTIVATIONS[name](x)
    return out, x, [f(x) for f in ACTIVATIONS.values()], list(ACTIVATIONS.keys())


@prog((X,))
def objects_in_a_list(x):
    for s in SCALES:
        x = s.run(x)
    return x, SCALES[0].run(x), SCALES[1].factor


@prog((X, "relu"), (X, "twice"), (X, "none"), dynamic=True)
def by_a_name_that_comes(x, name):
    return ACTIVATIONS[name](x)


@prog((X,), (X,), dynamic=True)
def a_list_that_the_program_changes(x):
    before = CHANGED[0](x)
    CHANGED[0], CHANGED[-1] = plus, plus
    after = CHANGED[0](x)
    CHANGED[0] = twice
    return before, after


@prog((X, 1), (X, 3), dynamic=True)
def changed_in_a_later_turn(x, n):
    out = []
    for _ in range(n):
        out.append(CHANGED[0](x))
        CHANGED.insert(0, plus)
    del CHANGED[:n]
    return out, len(CHANGED)


@prog((X, [CHANGED]), dynamic=True)
def changed_through_another_name(x, lists):
    for fs in lists:
        fs.insert(0, plus)
    return CHANGED[0](x) if len(CHANGED) > 1 else twice(x)


@prog((X,), (X,))
class PlainListOfModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
        self.heads = {"a": nn.Linear(2, 3), "b": nn.Linear(2, 1)}
        self.both = (nn.ReLU(), twice)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        out = [head(x) for head in self.heads.values()]
        return out, self.heads["b"](x), self.both[0](x) + self.both[1](x), self.layers[-1](x)


@prog((X,), (X,))
class NamedActivation(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = "twice"
        self.own = {"relu": F.relu, "twice": twice}
        self.fn = plus
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        return ACTIVATIONS[self.act](self.linear(x)) + self.own[self.act](x) + self.fn(x)


@prog((X, "relu"), (X, "twice"), (X, "relu"), (X, "relu"), (X, "twice"), dynamic=True)
class ActivationThatChanges(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = "relu"

    def forward(self, x, name):
        y = ACTIVATIONS[self.act](x)
        self.act = name
        return y


@prog((X,), dynamic=True)
def a_list_of_functions_made_here(x):
    fs = [twice, plus]
    for f in fs:
        x = f(x)
    return x, {"a": plus}["a"](x)


@prog((0,), (1,), (6,), (30,))
def factorial(n: int) -> int:
    return 1 if n <= 1 else n * factorial(n - 1)


@prog((0,), (7,))
def is_even(n: int) -> bool:
    return True if n == 0 else is_odd(n - 1)


def is_odd(n: int) -> bool:
    return False if n == 0 else is_even(n - 1)


@prog((X, 0), (X, 3))
def tree_of_tensors(x, depth: int):
    if depth == 0:
        return x
    return tree_of_tensors(x * 2, depth - 1) + tree_of_tensors(x + 1, depth - 1)


@prog(([1, [2, [3, []], 4]],), ([],))
def nested_lists(xs: list):
    total = 0
    for x in xs:
        total += nested_lists(x) if isinstance(x, list) else x
    return total


@prog((5,), (0,))
def recursion_that_raises(n: int):
    if n == 0:
        raise ValueError("bottom")
    return recursion_that_raises(n - 1) + 1


@prog((X, 3), (X, 0))
class RecursiveModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def down(self, x: Tensor, n: int) -> Tensor:
        return x if n == 0 else self.down(self.linear(x), n - 1)

    def forward(self, x: Tensor, n: int) -> Tensor:
        return self.down(x, n)


@prog(([3, 1, 2],))
def recursion_over_slices(xs: list[int]) -> list[int]:
    if len(xs) < 2:
        return xs
    first, rest = xs[0], xs[1:]
    return (
        recursion_over_slices([x for x in rest if x < first])
        + [first]
        + recursion_over_slices([x for x in rest if x >= first])
    )


@prog((X, True), (X, False))
def one_of_two(x, b: bool):
    f = twice if b else plus
    return f(x) + f(x)


@prog((X, 0), (X, 1), (X, 2))
def one_of_three(x, n: int):
    if n > 1:
        f = F.relu
    elif n > 0:
        f = specjit.tanh
    else:
        f = twice
    y = f(x)
    return f(y), callable(f), f.__name__


@prog((X, 1), (X, 0))
def one_of_two_as_a_value(x, n: int):
    f = twice if n else plus
    held = {"f": f}
    return f(x), f is twice, f.__name__, len(held)


@prog((X, 3), (X, 0), dynamic=True)
def another_one_in_each_turn(x, n: int):
    f = twice
    for i in range(n):
        x = f(x)
        f = plus if i % 2 else twice
    return x


@prog((X, True), (X, False))
def one_of_two_lambdas(x, b: bool):
    f = (lambda v: v * 3) if b else (lambda v: v - 1)
    return f(x)


@prog((X, True), (X, False), dynamic=True)
def a_function_or_none(x, b: bool):
    f = twice if b else None
    return f(x) if f is not None else x


@prog((X, 1), (X, 0))
def one_that_raises(x, n: int):
    f = twice if n else raises
    try:
        return f(x)
    except ValueError as error:
        return str(error)


def raises(x):
    raise ValueError("no")


@prog((X, True), (X, False), (X * -1, True))
class ChoosesItsLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2)
        self.b = nn.Linear(2, 2)
        self.act = "relu"

    def forward(self, x, b: bool):
        layer = self.a if b else self.b
        act = F.relu if self.act == "relu" else F.gelu
        y = act(layer(x))
        if x.sum() > 0:
            other = self.a
        else:
            other = self.b
        return y + other(x), layer.weight * 1
