"""What autograd promises, kept by native regions: the same gradients, the same absences, the same errors as eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import specjit


def values(*shape: int, seed: int = 0, grad: bool = True) -> specjit.Tensor:
    data = np.random.default_rng(seed).uniform(-0.8, 0.8, shape)
    return specjit.tensor(data).requires_grad_(grad)


def warm(f: Callable[..., Any], *args: Any) -> specjit.Program:
    """An optimized `f` whose next call with such arguments is native, gradients included."""
    program = specjit.optimize(f, warmup=1, background=False)
    for _ in range(3):
        program(*args)
    assert program.stats()["fast"], "\n".join(map(str, program.events()))
    return program


def is_native(program: specjit.Program) -> bool:
    """Whether all of it is one region with native gradients, which never had to run generically."""
    variant = program.specializations[-1]
    backward = [region.backward is not None for region in variant.regions]
    return backward == [True] and variant.python_nodes == 0 and variant.fallbacks == 0


def gradients(f: Callable[..., Any], args: list[Any], pick: Callable[[Any], Any]) -> list[np.ndarray | None]:
    """`.grad` of the arguments after a weighted sum of what `pick` takes of the result went backward."""
    for a in args:
        a.grad = None
    picked = pick(f(*args))
    weights = [specjit.tensor(np.random.default_rng(k).standard_normal(o.shape)) for k, o in enumerate(picked)]
    sum((o * w).sum() for o, w in zip(picked, weights)).backward()
    return [None if a.grad is None else a.grad.numpy().copy() for a in args]


def everything(out: Any) -> list[specjit.Tensor]:
    found = list(out) if isinstance(out, (tuple, list)) else [out]
    return [t for t in found if t.requires_grad]


def check(f: Callable[..., Any], *args: Any, pick: Callable[[Any], Any] = everything) -> specjit.Program:
    """Native gradients are eager's, and None where eager's are."""
    expected = gradients(f, list(args), pick)
    program = warm(f, *args)
    for k, (got, want) in enumerate(zip(gradients(program, list(args), pick), expected, strict=True)):
        assert (got is None) == (want is None), f"argument {k}: {got} where eager has {want}"
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12, err_msg=f"argument {k}")
    return program


def test_no_gradient_flows_through_detach() -> None:
    def f(x, w, h):
        y = (x @ w).tanh()
        return y * y.detach() + h.detach()

    assert is_native(check(f, values(3, 4), values(4, 4, seed=1), values(3, 4, seed=2)))


@pytest.mark.parametrize("grad", [True, False])
def test_only_some_inputs_require_gradients(grad: bool) -> None:
    def f(x, w, h):
        for t in range(x.shape[0]):
            h = (x[t] + h @ w).tanh()
        return h

    assert is_native(check(f, values(5, 3, 4, grad=grad), values(4, 4, seed=1), values(3, 4, seed=2, grad=not grad)))


# -- loops that end on a condition -------------------------------------------------------------------------------------


def settle(x, w, least):
    """A loop whose turns depend on the data; with `least`, as many as one likes."""
    n = 0
    while x.abs().max() > least:
        x = (x @ w).tanh() * 0.9
        n += 1
    return x * 2.0, n


def test_a_while_loop_has_the_room_that_it_needs() -> None:
    x, w = values(4, 4), values(4, 4, seed=1)
    few, many = (specjit.tensor(v, dtype=specjit.float64) for v in (0.3, 1e-12))

    def pick(out: Any) -> list[specjit.Tensor]:
        return [out[0]]

    program = check(settle, x, w, few, pick=pick)
    assert is_native(program)
    (region,) = program.specializations[0].regions
    before = list(region.rooms)
    assert settle(x, w, many)[1] > before[0], "the test is to outgrow the room"
    expected = gradients(settle, [x, w, many], pick)
    for got, want in zip(gradients(program, [x, w, many], pick), expected):
        assert (got is None) == (want is None)
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-14)
    assert region.rooms[0] > before[0]
    assert is_native(program)
    assert "room0" in str(program.explain())
    still = values(4, 4) * 1e-13  # no turn at all
    assert [g is None for g in gradients(program, [still.detach().requires_grad_(), w, many], pick)] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("limit", [1e9, -1e9, 1.0])
def test_a_loop_that_may_end_early(limit: float) -> None:
    def f(x, w, h):
        for t in range(x.shape[0]):
            h = (x[t] + h @ w).tanh()
            if h.sum() > limit:
                break
        return h

    assert is_native(check(f, values(6, 3, 4), values(4, 4, seed=1), values(3, 4, seed=2)))


def test_a_while_loop_inside_a_loop_with_a_branch() -> None:
    def f(x, w, h):
        for t in range(x.shape[0]):
            while h.abs().sum() > 1.0:
                h = h * 0.5 @ w
            if x[t].sum() > 0:
                h = h.sin()
            h = (x[t] + h).tanh()
        return h

    assert is_native(check(f, values(6, 3, 4), values(4, 4, seed=1), values(3, 4, seed=2)))


# -- gradients that are not there --------------------------------------------------------------------------------------


def two_heads(x, u, v):
    h = x.tanh()
    return h @ u, (h @ v).sin()


@pytest.mark.parametrize("used", [[0], [1], [0, 1]])
def test_what_only_an_unused_result_depends_on_gets_no_gradient(used: list[int]) -> None:
    args = values(3, 4), values(4, 4, seed=1), values(4, 4, seed=2)
    assert is_native(check(two_heads, *args, pick=lambda out: [out[k] for k in used]))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_only_the_other_branch_reads_gets_no_gradient(sign: float) -> None:
    def f(x, u, v):
        if x.sum() * sign > 0:
            y = x @ u
        else:
            y = x.tanh() @ v
        return y * 2.0

    assert is_native(check(f, values(3, 4), values(4, 4, seed=1), values(4, 4, seed=2)))


@pytest.mark.parametrize("limit", [1e9, -1e9, 0.0])
def test_what_no_turn_of_a_loop_reads_gets_no_gradient(limit: float) -> None:
    def f(x, u, v, h):
        for t in range(x.shape[0]):
            if x[t].sum() > limit:
                h = h @ u
            else:
                h = (h @ v).sin()
        return h

    args = values(5, 3, 4), values(4, 4, seed=1), values(4, 4, seed=2), values(3, 4, seed=3)
    assert is_native(check(f, *args))


def test_an_optimizer_passes_over_the_head_that_was_not_used() -> None:
    """Zeros instead of no gradient would let weight decay and momentum move it."""
    outcomes = []
    for fast in (False, True):
        x, u, v = values(3, 4), values(4, 4, seed=1), values(4, 4, seed=2)
        call = warm(two_heads, x, u, v) if fast else two_heads
        optimizer = specjit.optim.SGD([u, v], lr=0.1, weight_decay=0.5, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            call(x, u, v)[0].sum().backward()
            optimizer.step()
        outcomes.append((u.detach().numpy(), v.detach().numpy()))
    for a, b in zip(*outcomes):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_array_equal(outcomes[1][1], values(4, 4, seed=2).detach().numpy())


def test_equal_gradients_have_storage_of_their_own() -> None:
    def f(a, b, c):
        return (a + b) * c

    a, b, c = (values(3, 4, seed=k) for k in range(3))
    program = check(f, a, b, c)
    for t in (a, b, c):
        t.grad = None
    for _ in range(2):
        program(a, b, c).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), 2 * c.detach().numpy())
    np.testing.assert_allclose(b.grad.numpy(), 2 * c.detach().numpy())
    a.grad.zero_()
    assert b.grad.abs().sum() > 0


# -- what may be written between forward and backward ------------------------------------------------------------------


def recurrent(x, w, h):
    outs = []
    for t in range(x.shape[0]):
        h = (x[t] + h @ w).tanh()
        outs.append(h)
    return specjit.stack(outs), h


def chain(x, w, h):
    y = (x * 2.0).exp()
    z = y[0] @ w
    return y, z, (z + h).sigmoid(), z.t()


def normed(x, w, h):
    y = specjit.nn.functional.layer_norm(x[0] @ w, (4,))
    return y, specjit.softmax(y + h, -1)


def branches(x, w, h):
    if x.sum() > 0:
        y = h @ w
    else:
        y = h * h
    return y, y.exp()


@pytest.mark.parametrize("function", [recurrent, chain, normed, branches])
def test_writes_between_forward_and_backward_are_errors_where_they_are_in_eager(function: Callable[..., Any]) -> None:
    """Whatever is written (an argument, a result), backward raises the same error or gives the same gradients."""

    def made() -> list[specjit.Tensor]:
        return [values(5, 3, 4), values(4, 4, seed=1), values(3, 4, seed=2)]

    args = made()
    program = warm(function, *args)
    results = len(function(*args))
    verdicts = []
    for what in range(len(args) + results):
        seen = []
        for call in (function, program):
            args = made()
            outs = call(*args)
            with specjit.no_grad():
                [*args, *outs][what].mul_(1.5)
            try:
                sum((o * (k + 1.0)).sum() for k, o in enumerate(outs)).backward()
                seen.append([0.0 if a.grad is None else a.grad.numpy() for a in args])
            except RuntimeError as error:
                assert "modified by an inplace operation" in str(error)
                seen.append("error")
        verdicts.append(seen[0] == "error" if isinstance(seen[0], str) else False)
        assert isinstance(seen[0], str) == isinstance(seen[1], str), f"{what}: {seen[0]} in eager, {seen[1]} natively"
        for a, b in zip(seen[0], seen[1]) if not verdicts[-1] else ():
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
    assert any(verdicts)
    assert not all(verdicts)


def test_a_stacked_output_may_be_changed_in_place_and_the_tape_goes_on_from_there() -> None:
    def run(call: Callable[..., Any], *args: Any) -> list[np.ndarray]:
        for a in args:
            a.grad = None
        ys, h = call(*args)
        ys.mul_(specjit.tensor(np.arange(15.0).reshape(5, 3, 1)))
        ((ys * ys).sum() + h.sum()).backward()
        return [a.grad.numpy().copy() for a in args]

    args = values(5, 3, 4), values(4, 4, seed=1), values(3, 4, seed=2)
    for got, want in zip(run(warm(recurrent, *args), *args), run(recurrent, *args)):
        np.testing.assert_allclose(got, want, rtol=1e-10)


def test_results_that_are_views_are_read_by_backward_as_they_are() -> None:
    def f(x, w):
        a, b = (x @ w).chunk(2, 1)
        return a.t().reshape(-1) * b.t().flatten(), a

    program = check(f, values(3, 4), values(4, 4, seed=1))
    assert is_native(program)


def test_a_loop_without_a_turn_returns_what_it_was_given() -> None:
    def f(x, w, h):
        s = h
        for t in range(x.shape[0]):
            h = (x[t] + h @ w).tanh()
            s = s + h
        return s @ w

    assert is_native(check(f, values(0, 3, 4), values(4, 4, seed=1), values(3, 4, seed=2)))


@pytest.mark.parametrize(
    ("stride", "padding", "groups", "native"),
    [(1, 1, 1, True), (1, 3, 1, True), (1, 0, 2, True), (2, 1, 1, False)],
    ids=["same size", "more padding than kernel", "groups", "windows with gaps"],
)
def test_convolutions(stride, padding, groups, native):
    """Gradients of a convolution are products with windows; with gaps between these, eager's."""
    x, w, b = values(2, 4, 5, 14), values(4, 4 // groups, 3, 3, seed=1), values(4, seed=2)

    def f(x, w, b):
        return specjit.nn.functional.conv2d(x, w, b, stride, padding, 1, groups).relu()

    def pick(y):
        return [y]

    program = warm(f, x, w, b)
    assert bool(program.specializations[-1].regions) is native
    for got, expected in zip(gradients(program, [x, w, b], pick), gradients(f, [x, w, b], pick), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)
