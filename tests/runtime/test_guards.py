"""Guards as data: every one has the user's place, a miss names the closest variant's guard, and `check` agrees with
what a call does."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import numpy as np
import pytest

import specjit
from specjit import nn
from tests.runtime.models import LSTM, arguments, uniform

FILE = "test_guards.py"


def line_of(function, text: str) -> int:
    """The line of this file where `text` stands inside `function`."""
    lines, first = inspect.getsourcelines(function)
    (at,) = [k for k, line in enumerate(lines) if text in line]
    return first + at


def ready(model, *args, **options):
    program = specjit.optimize(model, **{"warmup": 2, "background": False, **options})
    with specjit.no_grad():
        for _ in range(3):
            program(*args)
    assert program.specializations, "\n".join(map(str, program.events()))
    return program


def tensor(*shape: int, seed: int = 1):
    return specjit.tensor(uniform(*shape, seed=seed))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(tensor(4, 4, seed=9))
        self.head = nn.Linear(4, 2)
        self.factor = 2.0

    def forward(self, x, states, options=None):
        h, c = states
        y = x[0] @ self.w
        z = self.head(y + h)
        c = c * self.factor
        return z.tanh(), c


@pytest.fixture(scope="module")
def net():
    program = ready(Net(), tensor(3, 5, 4), (tensor(5, 4), tensor(5, 4)))
    return program, program.specializations[0]


def origins(variant) -> dict[tuple[str, str], str]:
    return {(g.source, g.kind): g.origin for g in variant.guards}


def test_every_guard_has_a_place(net) -> None:
    program, variant = net
    for guard in [*variant.guards, *program._sites.latest().captured.guards]:
        assert re.search(rf"{FILE}:\d+$", guard.origin), guard


def test_an_argument_shows_its_first_use(net) -> None:
    found = origins(net[1])
    matmul = f"matmul at {FILE}:{line_of(Net.forward, '@ self.w')}"
    assert found["x", "dtype"] == matmul
    assert found["x.shape[1]", "size"] == matmul
    assert found["states[0]", "dtype"] == f"add at {FILE}:{line_of(Net.forward, 'y + h')}"
    assert found["states[1].shape[0]", "size"] == f"mul at {FILE}:{line_of(Net.forward, 'c * self')}"


def test_structure_shows_the_parameter(net) -> None:
    place = f"{FILE}:{line_of(Net.forward, 'def forward')}"
    found = origins(net[1])
    assert found["states", "type"] == found["len(states)", "value"] == found["options", "value"] == place


def test_attributes_show_the_users_line_that_reads_them(net) -> None:
    found = origins(net[1])
    assert found["self.w", "identity"] == f"{FILE}:{line_of(Net.forward, '@ self.w')}"
    assert found["self.factor", "value"] == f"{FILE}:{line_of(Net.forward, 'self.factor')}"
    # Read inside nn.Linear: the place is the user's call of it.
    assert found["self.head.weight", "identity"] == f"{FILE}:{line_of(Net.forward, 'self.head(')}"


def shapes(x, y):
    rows = []
    for t in range(x.shape[0]):
        rows.append((x[t] * y).tanh())
    return specjit.stack(rows)


def test_a_size_that_is_read_shows_the_reading() -> None:
    found = origins(ready(shapes, tensor(3, 4), tensor(4)).specializations[0])
    assert found["x.shape[0]", "size"] == f"size at {FILE}:{line_of(shapes, 'x.shape[0]')}"
    assert found["x.shape[1]", "size"] == f"mul at {FILE}:{line_of(shapes, 'x[t] * y')}"


SCALE = 3.0


def uses_global(x):
    return (x * SCALE).tanh() + x


def uses_dict(x):
    return (x["a"] * 2).tanh() + x["b"]


def test_globals_and_dictionaries() -> None:
    found = origins(ready(uses_global, tensor(3)).specializations[0])
    assert found["globals()['SCALE']", "value"] == f"{FILE}:{line_of(uses_global, 'SCALE')}"
    (variant,) = ready(uses_dict, {"a": tensor(3), "b": tensor(3)}).specializations
    assert {g.kind for g in variant.guards if g.source == "x"} == {"keys"}
    with specjit.no_grad():
        (failed,) = variant.check({"b": tensor(3), "a": tensor(3)})
    assert failed.origin == f"{FILE}:{line_of(uses_dict, 'def uses_dict')}"


def good():
    return tensor(3, 5, 4), (tensor(5, 4), tensor(5, 4))


MISSES = {
    "dtype": (lambda x, s: (x.double(), s), "x dtype expected specjit.float32, got specjit.float64"),
    "rank": (lambda x, s: (x[0], s), "x rank expected 3, got 2"),
    "size": (lambda x, s: (x[:, :2], s), "x.shape[1] expected 5, got 2"),
    "layout": (lambda x, s: (tensor(3, 4, 5).transpose(1, 2), s), "x strides expected contiguous, got (20, 1, 5)"),
    "grad": (lambda x, s: (x.clone().requires_grad_(), s), "x requires_grad expected False, got True"),
    "structure": (
        lambda x, s: (x, list(s)),
        "states structure expected tuple[tensor, tensor], got list[tensor, tensor]",
    ),
    "constant": (lambda x, s: (x, s, "fast"), "options structure expected None, got 'fast'"),
}


@pytest.mark.parametrize("what", MISSES)
def test_check_says_what_differs(net, what) -> None:
    _, variant = net
    change, words = MISSES[what]
    with specjit.no_grad():
        assert variant.check(*good()) == []
        assert variant.check(*good(), options=None) == []
        arguments = variant.bind(*change(*good()))
        texts = [guard.missed(actual) for guard, actual in variant.failures(arguments)]
        assert words in texts
        assert {g.source for g in variant.check(*change(*good()))} <= {g.source for g, _ in variant.failures(arguments)}


def test_check_needs_arguments_that_fit(net) -> None:
    with pytest.raises(TypeError):
        net[1].check(tensor(3))


def test_gradient_mode_is_a_guard(net) -> None:
    with specjit.enable_grad():
        (failed,) = net[1].check(*good())
    assert (failed.source, failed.kind, failed.expected) == ("grad mode", "value", False)


def signed_zero(x, scale):
    return (x * scale).tanh() + scale


def test_the_sign_of_a_zero_is_a_miss() -> None:
    (variant,) = ready(signed_zero, tensor(3), 0.0).specializations
    with specjit.no_grad():
        assert variant.check(tensor(3), 0.0) == []
        ((guard, actual),) = variant.failures(variant.bind(tensor(3), -0.0))
        assert guard.missed(actual) == "scale expected 0.0, got -0.0"
        ((guard, actual),) = variant.failures(variant.bind(tensor(3), 0))
        assert (guard.source, guard.expected, actual) == ("scale", "float", "int")


def test_a_changed_model_fails_by_name() -> None:
    program = ready(Net(), *good())
    (variant,) = program.specializations
    model = program.__specjit_model__

    def failed() -> list[str]:
        with specjit.no_grad():
            return [guard.missed(actual) for guard, actual in variant.failures(variant.bind(*good()))]

    assert failed() == []
    model.factor = 0.5
    assert failed() == ["self.factor expected 2.0, got 0.5"]
    model.factor = 2.0
    model.w = nn.Parameter(tensor(4, 4, seed=3))
    assert failed() == ["self.w identity expected Parameter, got another Parameter"]
    del model.factor
    assert "self.factor expected 2.0, got nothing that can be read" in failed()


def test_a_miss_is_told_as_the_readme_says() -> None:
    program = ready(LSTM(6, 8), *arguments(4, 3, 6, 8), name="lstm")
    with specjit.no_grad():
        program(*arguments(4, 5, 6, 8))
    (event,) = program.events("GUARD_MISS")
    first, second = str(event).splitlines()
    head = "[specjit lstm   ] "
    at = r"\(matmul at models\.py:\d+\)"
    words = rf"GUARD_MISS call 4  closest #1: x\.shape\[1\] expected 3, got 5 \(and 2 other guards\)  {at}"
    assert re.fullmatch(re.escape(head) + words, first), first
    assert second == " " * len(head) + "next: #2 with x.shape[1] as a symbol"
    assert event.facts["closest"] == 1
    assert len(event.facts["failures"]) == 3
    assert program.stats()["reasons"]["GUARD_MISS"] == {"x.shape[1] size": 1}
    assert program.specializations[-1].number == 2


def test_a_capture_guard_is_told_with_what_came() -> None:
    model = Net()
    program = ready(model, *good())
    model.head.register_forward_hook(lambda module, args, out: out * 0)
    with specjit.no_grad():
        got, _ = program(*good())
    assert np.array_equal(got.numpy(), np.zeros((5, 2), np.float32))
    (event,) = program.events("GUARD_MISS")
    assert event.message.startswith("the captured code: self.head._forward_hooks empty expected {}, got ")
    assert event.location == f"{FILE}:{line_of(Net.forward, 'self.head(')}"
    assert event.then == "captured again"


def test_captures_for_different_arguments_stand_side_by_side() -> None:
    """The inner loop of MAML: a list of parameters, then lists of tensors that an update gave, and so on."""

    def apply(x: Any, weights: Any) -> Any:
        return specjit.matmul(x, weights[0]).add(weights[1])

    program = specjit.optimize(apply, warmup=1, background=False)
    x = specjit.ones(2, 3)
    slow = [nn.Parameter(specjit.ones(3, 3)), nn.Parameter(specjit.ones(3))]
    for _ in range(6):
        fast = [w.detach() * 2 for w in slow]
        assert program(x, slow).tolist() == apply(x, slow).tolist()
        assert program(x, fast).tolist() == apply(x, fast).tolist()
    assert len(program.events("CAPTURED")) == 2
    assert program.events("GUARD_MISS") == []
    assert program.stats()["compiles"] == 2


class Remembering(nn.Module):
    """Its state is a tuple of tensors first, then a number: what guards compare, may have become anything."""

    state: Any

    def __init__(self) -> None:
        super().__init__()
        self.state = 2.0

    def forward(self, x: Any) -> Any:
        return x * self.state


def test_an_attribute_that_becomes_a_tensor_is_a_miss() -> None:
    model = Remembering()
    program = ready(model, specjit.ones(3))
    for now in (specjit.ones(3), (1.0, 2.0), 3.0, math.nan):
        model.state = now
        if not isinstance(now, tuple):
            assert np.array_equal(program(specjit.ones(3)).numpy(), (specjit.ones(3) * now).numpy(), equal_nan=True)
    assert program.events("GUARD_MISS")


class Tupled(nn.Module):
    state: Any

    def __init__(self) -> None:
        super().__init__()
        self.state = (specjit.ones(3), specjit.ones(3))

    def forward(self, x: Any) -> Any:
        return x + len(self.state)


def test_a_tuple_of_tensors_is_compared_by_identity() -> None:
    model = Tupled()
    program = ready(model, specjit.ones(3))
    for state in ((specjit.zeros(3), specjit.zeros(3)), (specjit.zeros(3),)):
        model.state = state
        assert program(specjit.ones(3)).tolist() == [1.0 + len(state)] * 3
