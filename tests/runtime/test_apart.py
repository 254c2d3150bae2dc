"""Arguments that share memory, of which one is written: every road gives what plain Python gives.

The numbers are NumPy's, of arrays that share memory in the same way.
"""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import nn

SQUARE = np.arange(16, dtype=np.float32).reshape(4, 4) / 8
WAYS = {
    "the same": lambda t: (t, t),
    "a view": lambda t: (t, t[0:]),
    "turned": lambda t: (t, t.T),
    "rows": lambda t: (t[:3], t[1:]),
}
MISS = "memory expected shared with no other input, got shared with"


def before_and_after(x, y):
    a = (y * 2).tanh()
    x.add_(1)
    return a + (y * 2).tanh()


def reference(x, y):
    a = np.tanh(y * 2)
    x += 1
    return a + np.tanh(y * 2)


def reads_only(x, y):
    return (y * 2).tanh() + x + (y * 2).tanh()


def ready(model, *calls, **options):
    program = specjit.optimize(model, **{"warmup": 1, "background": False, **options})
    for args in calls:
        program(*args())
    assert program.specializations, "\n".join(map(str, program.events()))
    return program


def apart(shape=(4, 4)):
    return lambda: tuple(specjit.tensor(np.resize(SQUARE, shape)) for _ in range(2))


@pytest.fixture
def program():
    return ready(before_and_after, apart(), apart(), apart((3, 4)))


@pytest.mark.parametrize("way", WAYS)
def test_shared_memory_is_a_miss_and_the_numbers_are_right(program, way) -> None:
    given, array = specjit.tensor(SQUARE.copy()), SQUARE.copy()
    fast = program.stats()["fast"]
    found, expected = program(*WAYS[way](given)), reference(*WAYS[way](array))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(given.numpy(), array)
    assert program.stats()["fast"] == fast
    assert ["x", "shared with y"] in [
        [guard.split()[0], actual.strip("'")] for guard, actual in program.events("GUARD_MISS")[-1].facts["failures"]
    ]


def test_apart_in_one_memory_is_no_miss(program) -> None:
    """Two halves of one tensor do not overlap."""
    given, array = specjit.tensor(np.resize(SQUARE, (8, 4))), np.resize(SQUARE, (8, 4))
    fast = program.stats()["fast"]
    np.testing.assert_allclose(program(given[:4], given[4:]).numpy(), reference(array[:4], array[4:]), rtol=1e-6)
    np.testing.assert_array_equal(given.numpy(), array)
    assert program.stats()["fast"] == fast + 1


def test_who_writes_nothing_does_not_ask() -> None:
    program = ready(reads_only, apart(), apart())
    (variant,) = program.specializations
    assert not [g for g in variant.guards if g.kind == "memory"]
    assert "_shared" not in variant.source
    given, fast = specjit.tensor(SQUARE.copy()), program.stats()["fast"]
    program(given, given)
    assert program.stats()["fast"] == fast + 1


def test_the_guard_is_told_and_checked() -> None:
    program = ready(before_and_after, apart(), apart())
    (variant,) = program.specializations
    (guard,) = [g for g in variant.guards if g.kind == "memory"]
    assert guard.source == "x"
    assert "test_apart.py:" in guard.origin
    assert not variant.check(*apart()())
    t = specjit.tensor(SQUARE.copy())
    assert variant.check(t, t) == [guard]


def test_such_calls_build_nothing_again() -> None:
    program = ready(before_and_after, apart(), apart())
    for _ in range(20):
        t = specjit.tensor(SQUARE.copy())
        program(t, t)
    assert program.stats()["compiles"] == 1
    assert "share" in program.events("GUARD_MISS")[-1].then


def test_tensors_inside_containers() -> None:
    def f(pair, state):
        return before_and_after(pair[0], state["y"])

    program = ready(f, *[lambda: ([apart()()[0], 2.0], {"y": apart()()[1]})] * 2)
    given, array = specjit.tensor(SQUARE.copy()), SQUARE.copy()
    found = program([given[:3], 2.0], {"y": given[1:]})
    np.testing.assert_allclose(found.numpy(), reference(array[:3], array[1:]), rtol=1e-6)
    t, array = specjit.tensor(SQUARE.copy()), SQUARE.copy()
    fast = program.stats()["fast"]
    np.testing.assert_allclose(program([t, 2.0], {"y": t}).numpy(), reference(array, array), rtol=1e-6)
    assert program.stats()["fast"] == fast


class Counter(nn.Module):
    """Writes a tensor of its own between two readings of its argument."""

    def __init__(self, state) -> None:
        super().__init__()
        self.register_buffer("state", state)

    def forward(self, y):
        return before_and_after(self.state, y)


def test_a_buffer_that_is_written_and_given() -> None:
    model = Counter(specjit.tensor(SQUARE.copy()))
    program = ready(model, *[lambda: apart()()[:1]] * 2)
    fast, array = program.stats()["fast"], model.state.numpy().copy()
    np.testing.assert_allclose(program(model.state).numpy(), reference(array, array), rtol=1e-6)
    np.testing.assert_array_equal(model.state.numpy(), array)
    assert program.stats()["fast"] == fast
    assert f"self.state {MISS} y" in program.events("GUARD_MISS")[-1].message


def test_two_buffers_on_one_memory_are_refused() -> None:
    class Both(Counter):
        def forward(self, y):
            return before_and_after(self.state, self.part) + y

    model = Both(specjit.tensor(SQUARE.copy()))
    model.register_buffer("part", model.state[:])
    program = specjit.optimize(model, warmup=1, background=False)
    for _ in range(3):
        array = model.state.numpy().copy()
        found = program(specjit.zeros(4, 4))
        np.testing.assert_allclose(found.numpy(), reference(array, array), rtol=1e-6)
    assert not program.specializations
    assert "shares memory with self.part" in program.events("SPECIALIZE_FAILED")[-1].message


def weighed(w, x, y):
    return (w * before_and_after(x, y)).sum()


def weighed_directly(w, x, y):
    """Backward needs the y of before."""
    a = w * y
    x.add_(1)
    return (a + (y * 2).tanh()).sum()


def trained(f):
    """The function, ready for calls with a weight that wants a gradient and two tensors, and a maker of calls."""

    def call(share=lambda t: (t, t.clone())):
        x, y = share(specjit.tensor(SQUARE.copy()))
        return specjit.ones(*y.shape).requires_grad_(), x, y

    return ready(f, call, call, lambda: call(lambda t: (t[:3].clone(), t[1:].clone()))), call


@pytest.mark.parametrize("way", ["the same", "a view", "rows"])
def test_gradients_of_what_shares_memory(way) -> None:
    """The gradient of a weight is what it is multiplied with."""
    program, call = trained(weighed)
    w, x, y = call(WAYS[way])
    fast = program.stats()["fast"]
    program(w, x, y).backward()
    np.testing.assert_allclose(w.grad.numpy(), reference(*WAYS[way](SQUARE.copy())), rtol=1e-6)
    assert program.stats()["fast"] == fast


@pytest.mark.parametrize("way", ["the same", "a view", "rows"])
def test_a_write_to_what_backward_needs_raises(way) -> None:
    program, call = trained(weighed_directly)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        weighed_directly(*call(WAYS[way])).backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        program(*call(WAYS[way])).backward()
    w, x, y = call()
    program(w, x, y).backward()
    np.testing.assert_array_equal(w.grad.numpy(), SQUARE)
