"""What a traced run could see in Python is guarded, and what it did that ops do not repeat is refused.

Each function is traced with one call's arguments and then called with others, in which it decides otherwise.
"""

from __future__ import annotations

import pytest

import specjit
from specjit import jit, nn, tensor
from tests.capture.programs.observe import run

A, B = tensor([1.0, 2.0, 3.0]), tensor([4.0, -5.0, 6.0])
W = tensor([1.0, 1.0, 1.0], requires_grad=True)
ROWS, COLUMNS = specjit.ones(2, 3), specjit.ones(3, 2).t()


def partly_without_gradient(x, w):
    with specjit.no_grad():
        y = x * w
        with specjit.enable_grad():
            z = y + w
    return y, z * x, y + x


def nothing_but_without_gradient(x, w):
    with specjit.no_grad():
        return x * w


SEEN_AGAIN = {
    "one object twice": (lambda x, y: x + y, (A, A), (A, B)),
    "one list twice": (lambda x, y: x[0] + y[0], ([A],) * 2, ([A], [B])),
    "zeros have signs": (lambda x, f: x * f, (A, 0.0), (A, -0.0)),
    "types of numbers": (lambda x, n: x * n, (A, 1), (A, True)),
    "order of keys": (lambda d: next(iter(d.values())) * 1, ({"a": A, "b": B},), ({"b": B, "a": A},)),
    "strides": (lambda x: x + x.stride()[0], (ROWS,), (COLUMNS,)),
    "contiguous or not": (lambda x: x + 1 if x.is_contiguous() else x, (ROWS,), (COLUMNS,)),
    "tolist": (lambda x: x + sum(x.tolist()), (A,), (B,)),
    "text": (lambda x: (x, f"{x.sum()}", str(x)), (A,), (B,)),
    "index": (lambda x, i: [x + k for k in range(i)], (A, tensor(2)), (B, tensor(3))),
    "rows of a mask": (lambda x: x[x > 0].sum() / x[x > 0].shape[0], (A,), (B,)),
    "nonzero": (lambda x: x * x.nonzero().shape[0], (A,), (tensor([0.0, 1.0, 0.0]),)),
    "unique": (lambda x: x * x.unique().numel(), (A,), (specjit.ones(3),)),
    "data": (lambda x: x.data + 1, (A,), (B,)),
    "python's own max": (lambda x: max(x, x * 2, key=lambda t: t.sum()), (A,), (-A,)),
    "requires_grad": (lambda x: x + 1 if x.requires_grad else x - 1, (A,), (W,)),
    "written before a decision, but its own": (
        lambda x: (x + 1).add_(1) if x.clone().add_(1).sum() > 0 else x,
        *((A,), (-10 * A,)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN_AGAIN)
def test_another_decision_is_seen(name) -> None:
    fn, example, other = SEEN_AGAIN[name]
    traced = jit.trace(fn, example)
    for case in (example, other, example):
        assert run(traced, case) == run(fn, case), traced.code
    if name != "data":
        assert traced.misses == 1


@pytest.mark.parametrize("fn", [partly_without_gradient, nothing_but_without_gradient])
def test_a_grad_mode_inside_is_repeated(fn) -> None:
    traced = jit.trace(fn, (A, W))
    assert run(traced, (B, W)) == run(fn, (B, W))
    assert traced.misses == 0
    with specjit.no_grad():
        assert run(traced, (B, W)) == run(fn, (B, W))
    assert traced.misses == 1  # the mode of the caller is a guard


def returns_what_it_got(xs, d):
    pair = [d["x"], xs]
    return pair, pair, xs, d


def test_results_are_the_objects_that_python_returns() -> None:
    traced = jit.trace(returns_what_it_got, ([A], {"x": A}))
    assert run(traced, ([B], {"x": A})) == run(returns_what_it_got, ([B], {"x": A}))
    assert run(traced, ([A], {"x": B})) == run(returns_what_it_got, ([A], {"x": B}))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(specjit.ones(3))
        self.scale = 2.0
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(x * self.w * self.scale) if self.training else x


def _evaluates(model) -> None:
    model.eval()


def _rescales(model) -> None:
    model.scale = 3.0


def _replaces_a_layer(model) -> None:
    model.inner = nn.ReLU()


def _adds_a_hook(model) -> None:
    model.inner.register_forward_hook(lambda module, args, out: out * 10)


@pytest.mark.parametrize("change", [_evaluates, _rescales, _replaces_a_layer, _adds_a_hook])
def test_attributes_of_modules_are_guarded(change) -> None:
    model = Scaled()
    traced = jit.trace(model, (A,))
    assert traced(B).tolist() == model(B).tolist()
    assert traced.misses == 0
    assert "constant  self.scale = 2.0" in traced.explain()
    change(model)
    for _ in range(2):
        assert traced(B).tolist() == model(B).tolist()
    assert traced.misses == 2


class Doubled(specjit.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 100


def test_a_function_with_a_gradient_of_its_own_keeps_it() -> None:
    traced = jit.trace(lambda w: Doubled.apply(w) + 1, (W,))
    w = tensor([1.0, 2.0, 3.0], requires_grad=True)
    traced(w).sum().backward()
    assert traced.misses == 0
    assert w.grad.tolist() == [100.0, 100.0, 100.0]


def appends(xs, x):
    xs.append(x)
    return x + 1


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.register_buffer("state", specjit.zeros(3))

    def forward(self, x):
        self.count += 1
        return x

    def replaces(self, x):
        self.state = self.state + x
        return self.state


class Held:
    """Not a thing that a trace can make."""


def differentiates(x, w):
    (x * w).sum().backward()
    return x


REFUSED = {
    "the function changes xs, and a trace repeats only what is done to tensors": (appends, ([A], A)),
    "the function changes self.count": (Counts(), (A,)),
    "the function changes self.state": (Counts().replaces, (A,)),
    "the function returns a Held, which a trace would make only once": (lambda x: (x, Held()), (A,)),
    "a tensor is handed to NumPy": (lambda x: x + float(x.numpy().sum()), (A,)),
    "a gradient is computed within the function": (differentiates, (A, W)),
    "a random generator is seeded": (lambda x: specjit.manual_seed(3) and x, (A,)),
    "the address of a tensor": (lambda x: x + x.data_ptr() % 2, (A,)),
    "a tensor gets other memory": (lambda x: setattr(x, "data", x + 1), (A.clone(),)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_a_trace_cannot_repeat_is_refused(reason) -> None:
    fn, args = REFUSED[reason]
    with pytest.raises(jit.Error) as caught:
        jit.trace(fn, args, check_trace=False)
    first, _, caret, way_out = str(caught.value).splitlines()
    assert first.startswith(f"{__file__}:")
    assert f": {reason}" in first
    assert caret.strip() == "^"
    assert way_out.strip()


def test_an_argument_that_is_a_parameter_is_refused() -> None:
    model = Scaled()
    with pytest.raises(jit.Error, match=r"x is self\.w itself(?s:.*)pass a copy: x\.clone\(\)"):
        jit.trace(model, (model.w,))


def decides(x):
    y = x * 2
    return y + 1 if y.sum() > 0 else y


@pytest.mark.parametrize(
    ("args", "line", "what"),
    [((-A,), 2, "a tensor's value: expected True, got False"), ((ROWS,), 0, "x shape expected (3,), got (2, 3)")],
)
def test_strict_errors_say_where_and_a_way_out(args, line, what) -> None:
    traced = jit.trace(decides, (A,), strict=True)
    with pytest.raises(jit.Error) as caught:
        traced(*args)
    first, _, _, way_out = str(caught.value).splitlines()
    expected = f"{__file__}:{decides.__code__.co_firstlineno + line}:1: the trace does not cover this call: {what}"
    assert first == expected
    assert way_out.strip().startswith("trace again with inputs like these, leave strict=True out")


def test_what_the_original_raises_after_a_guard_has_no_context() -> None:
    def program(x):
        return x * 2 if x.sum() > 0 else [x][1]

    traced = jit.trace(program, (A,))
    with pytest.raises(IndexError) as caught:
        traced(-A)
    assert caught.value.__context__ is None
