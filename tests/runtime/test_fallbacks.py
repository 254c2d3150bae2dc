"""No silent fallback: wherever native or generic code is given up, an event says why and where; `strict` raises."""

from __future__ import annotations

import builtins
import functools
import inspect
import sys

import numpy as np
import pytest

import specjit
from specjit import config
from specjit.codegen import compiler, loader
from specjit.codegen.abi import WHY, Status
from specjit.codegen.cache import DiskCache
from specjit.codegen.compiler import CompileError
from specjit.runtime import dispatch
from tests.runtime.models import uniform

FILE = "test_fallbacks.py"


def line_of(function, text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    (at,) = [k for k, line in enumerate(lines) if text in line]
    return first + at


def tensor(*shape: int, seed: int = 1):
    return specjit.tensor(uniform(*shape, seed=seed))


def optimized(fn, **options):
    return specjit.optimize(fn, **{"warmup": 1, "background": False, **options})


def only(events):
    (event,) = events
    return event


def smooth(x):
    return (x * 2.0 + 1.0).tanh()


# -- capture ----------------------------------------------------------------------------------------------------------


def generator(x):
    yield x * 2


def evaluates(x):
    return x * eval("x.ndim")


def lists_names(x):
    y = x * 2
    return y, sorted(locals())


def calls_evaluates(x):
    return evaluates(x) + 1


def with_decorator(x):
    @functools.cache
    def twice():
        return x * 2

    return twice() + 1


def test_a_function_that_cannot_be_captured() -> None:
    program = optimized(generator)
    for _ in range(3):
        assert np.array_equal(next(program(tensor(3))).numpy(), tensor(3).numpy() * 2)
    event = only(program.events("FALLBACK"))
    assert event.message == "runs as plain Python: generator is a generator function"
    assert event.location == f"{FILE}:{line_of(generator, 'def generator')}"
    assert event.then == "build a list and return it, or call the function without specjit"
    assert event.facts["file"] == __file__
    assert program.stats()["eager"] == 3
    with pytest.raises(specjit.jit.Error, match=f"{FILE}:"):
        optimized(generator, strict=True)(tensor(3))


@pytest.mark.parametrize("fn", [evaluates, lists_names])
def test_a_function_that_looks_at_its_own_variables(fn) -> None:
    program = optimized(fn)
    for _ in range(3):
        got, wanted = program(tensor(3)), fn(tensor(3))
        assert repr(got) == repr(wanted)
    event = only(program.events("FALLBACK"))
    assert "looks at the variables of the function that calls it" in event.message
    assert event.location.startswith(f"{FILE}:")
    assert event.then == "pass it what it needs as arguments"


def test_a_callee_that_looks_at_its_own_variables_stays_a_call() -> None:
    program = optimized(calls_evaluates)
    for _ in range(3):
        np.testing.assert_array_equal(program(tensor(3)).numpy(), calls_evaluates(tensor(3)).numpy())
    event = only(program.events("OPAQUE"))
    assert "eval looks at the variables" in event.message
    assert event.location == f"{FILE}:{line_of(calls_evaluates, 'evaluates(x) + 1')}"


def test_a_statement_that_runs_in_python() -> None:
    program = optimized(with_decorator)
    np.testing.assert_array_equal(program(tensor(3)).numpy(), tensor(3).numpy() * 2 + 1)
    event = program.events("OPAQUE")[0]
    assert event.message == "a decorated nested function: runs in Python"
    assert event.location == f"{FILE}:{line_of(with_decorator, 'def twice')}"
    assert only(program.events("CAPTURED")).facts["opaque"] == len(program.events("OPAQUE"))
    with pytest.raises(specjit.jit.Error, match="a decorated nested function"):
        optimized(with_decorator, strict=True)(tensor(3))


def test_a_function_whose_parameters_are_unknown() -> None:
    program = optimized(builtins.max)
    assert program(3, 4) == 4
    assert "parameters of max" in only(program.events("FALLBACK")).message
    with pytest.raises(specjit.jit.Error, match="parameters of max"):
        optimized(builtins.max, strict=True)


def total(items):
    out = items[0] * 1.0
    for item in items[1:]:
        out = out + item
    return out


def test_too_many_structures_of_arguments(monkeypatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_CAPTURES", 2)
    program, strict = optimized(total, warmup=99), optimized(total, warmup=99, strict=True)
    for n in (1, 2, 3, 4):
        for _ in range(2):
            got = program(tuple(tensor(3, seed=k) for k in range(n)))
            np.testing.assert_allclose(got.numpy(), sum(uniform(3, seed=k) for k in range(n)), rtol=1e-6)
    event = only(program.events("FALLBACK"))
    assert "more structures of arguments came than are captured (2)" in event.message
    assert event.then
    with pytest.raises(specjit.jit.Error, match="more structures"):
        for n in (1, 2, 3):
            strict(tuple(tensor(3) for _ in range(n)))


KIND: object = 1


def reads_a_global(x):
    return x * KIND


def test_captured_again_and_again(monkeypatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_RECAPTURES", 2)
    program = optimized(reads_a_global, warmup=99)
    for kind in (1, 2.0, 3, 4.0, 5):
        monkeypatch.setattr(sys.modules[__name__], "KIND", kind)
        np.testing.assert_array_equal(program(tensor(3)).numpy(), uniform(3, seed=1) * np.float32(kind))
    misses = program.events("GUARD_MISS")
    assert [m.message for m in misses[:2]] == [
        "the captured code: globals['KIND'] type expected int, got float",
        "the captured code: globals['KIND'] type expected float, got int",
    ]
    assert misses[0].location == f"{FILE}:{line_of(reads_a_global, 'x * KIND')}"
    event = only(program.events("FALLBACK"))
    assert "captured 2 times already" in event.message
    assert "globals['KIND']" in event.then


# -- specializing and compiling ---------------------------------------------------------------------------------------


def test_a_graph_that_cannot_be_typed() -> None:
    program = optimized(with_decorator)
    for _ in range(3):
        program(tensor(3))
    event = only(program.events("SPECIALIZE_FAILED"))
    assert event.location.startswith(f"{FILE}:")
    assert event.then == "such calls stay generic"
    assert program.stats()["reasons"]["SPECIALIZE_FAILED"] == {event.facts["reason"]: 1}


def keyed(x, n):
    return {str(n): x * 2.0 + 1.0}


def keyed_by_size(x):
    return {f"{x.shape[0]}": x * 2.0 + 1.0}


@pytest.mark.parametrize("by_size", [False, True])
def test_what_cannot_be_general_is_tried_once_and_then_for_calls_that_come_again(by_size) -> None:
    def call(n):
        return program(tensor(n)) if by_size else program(tensor(3), n)

    program = optimized(keyed_by_size if by_size else keyed, max_specializations=4)
    for n in range(2, 30):  # each of them once
        np.testing.assert_allclose(call(n)[str(n)].numpy(), uniform(n if by_size else 3, seed=1) * 2 + 1, rtol=1e-6)
    event = only(program.events("SPECIALIZE_FAILED"))
    assert "a dict with run-time keys" in event.message
    assert event.then == "such calls are specialized for what does not vary, when they come again"
    assert program.stats()["compiles"] == 1
    for _ in range(70):
        call(29)
    assert program.stats()["compiles"] == 2
    assert "came again" in program.events("SPECIALIZE_QUEUED")[-1].message
    fast = program.stats()["fast"]
    for n in (2, 29):
        assert list(call(n)) == [str(n)]
    assert program.stats()["fast"] == fast + 2
    only(program.events("SPECIALIZE_FAILED"))


def test_a_kernel_that_does_not_compile(monkeypatch) -> None:
    def fails(self, source, symbol, path, cancelled=None):
        raise CompileError(f"{symbol} did not compile ({path})\nTraceback ...\nTypingError: no float77")

    monkeypatch.setattr(compiler.CompilerPool, "compile", fails)

    def unlike_any_other(x):
        return (x * 2.34567 + 1.98765).tanh().exp()

    program = optimized(unlike_any_other)
    for _ in range(3):
        np.testing.assert_allclose(
            program(tensor(3)).numpy(), np.exp(np.tanh(uniform(3, seed=1) * 2.34567 + 1.98765)), rtol=1e-5
        )
    event = only(program.events("SPECIALIZE_FAILED"))
    assert "a kernel did not compile (TypingError: no float77)" in event.message
    assert "\n" not in event.message
    assert event.location == f"{FILE}:{line_of(unlike_any_other, 'return')}"
    assert "did not compile" in event.facts["cause"]
    strict = optimized(unlike_any_other, strict=True)
    strict(tensor(3))
    with pytest.raises(Exception, match="no float77"):
        strict.wait()


def test_a_fault_of_the_compiler_itself(monkeypatch) -> None:
    def broken(*args, **kwargs):
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr("specjit.runtime.build.specialize", broken)
    program = optimized(smooth)
    np.testing.assert_allclose(program(tensor(3)).numpy(), np.tanh(uniform(3, seed=1) * 2 + 1), rtol=1e-6)
    event = only(program.events("SPECIALIZE_FAILED"))
    assert event.message == "ZeroDivisionError: first line"
    assert "report" in event.then
    assert "second line" in event.facts["traceback"]


def prints(x):
    y = x * 2.0
    print(end="")
    return y


def test_ops_that_stay_in_python() -> None:
    program = optimized(prints)
    for _ in range(2):
        program(tensor(3))
    told = {e.message: e.location for e in program.events("NOT_FUSED")}
    assert told["print stays in Python: it has an outside effect"] == f"{FILE}:{line_of(prints, 'print(')}"
    assert told["mul stays in Python: alone it is not worth a call of native code"] == (
        f"{FILE}:{line_of(prints, 'x * 2.0')}"
    )
    (variant,) = program.specializations
    assert [text.partition(" (")[0].strip() for text in variant.refused] == list(told)


# -- running ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", WHY, ids=lambda s: s.name)
def test_a_region_that_stops(status) -> None:
    program = optimized(smooth)
    for _ in range(2):
        expected = program(tensor(3)).numpy()
    (region,) = program.specializations[0].regions
    region.forced = status
    assert np.array_equal(program(tensor(3)).numpy(), expected) or np.allclose(program(tensor(3)).numpy(), expected)
    event = program.events("FALLBACK")[0]
    assert event.message == f"region 0 stopped at {WHY[status]} and ran generic instead, from its start"
    assert event.location == f"{FILE}:{line_of(smooth, 'return')}"
    assert event.specialization == 1
    assert program.stats()["reasons"]["FALLBACK"][WHY[status]] == program.stats()["fallbacks"] >= 1


def test_every_failure_has_words() -> None:
    assert set(WHY) == {s for s in Status if s >= Status.OVERFLOW}


def squares(x, w):
    return (x @ w).tanh().sum()


def test_gradients_of_gradients_need_no_fallback() -> None:
    x, w = tensor(3, 4), tensor(4, 4, seed=2).requires_grad_()
    program = optimized(squares)
    for _ in range(3):
        y = program(x, w)
    (g,) = specjit.autograd.grad(y, [w], create_graph=True)
    (e,) = specjit.autograd.grad(squares(x, w), [w])
    np.testing.assert_allclose(g.detach().numpy(), e.numpy(), rtol=1e-5, atol=1e-6)
    assert not program.events("FALLBACK"), "the gradient is a region of its own"


def test_verification_that_cannot_be_done_says_so() -> None:
    program = optimized(prints)
    program(tensor(3))
    with config.options(verify=1):
        program(tensor(3))
        program(tensor(3))
    event = only(e for e in program.events("FALLBACK"))
    assert "SPECJIT_VERIFY does not look at it" in event.message


def test_a_wrong_result_is_quarantined(capfd) -> None:
    program = optimized(smooth)
    program(tensor(3))
    (variant,) = program.specializations
    right = variant.entry
    variant.entry = lambda *args: right(*args) + 1
    with config.options(verify=1):
        got = program(tensor(3))
    np.testing.assert_allclose(got.numpy(), np.tanh(uniform(3, seed=1) * 2 + 1), rtol=1e-6)
    assert "off by" in only(program.events("VERIFY_MISMATCH")).message
    event = only(program.events("QUARANTINED"))
    assert "report" in event.then
    for _ in range(40):
        program(tensor(3))
    assert program.specializations == ()
    assert len(program.events("QUARANTINED")) == 1
    assert "QUARANTINED" in capfd.readouterr().err


def product_with(weight):
    def product(x):
        return (x @ weight).tanh()

    return product


def test_packing_says_why() -> None:
    weight = tensor(64, 64, seed=4).requires_grad_()
    program = optimized(product_with(weight))
    with specjit.no_grad():
        for _ in range(2):
            program(tensor(8, 64))
        weight.mul_(2.0)
        program(tensor(8, 64))
        event = only(program.events("REPACKED"))
        assert event.message == "region 0: a parameter's values changed: 16,384 bytes packed again"
        assert event.location == f"{FILE}:{line_of(product_with, 'x @ weight')}"
        array = weight.detach().numpy()
        program(tensor(8, 64))
        program(tensor(8, 64))
    live = program.events("REPACKED")[1:]
    assert [e.facts["reason"] for e in live] == ["memory outside specjit shares a parameter"] * 2
    assert ".numpy()" in live[0].then
    assert array is not None


def test_a_cache_entry_that_cannot_be_used(tmp_path) -> None:
    heard = []
    disk = DiskCache(tmp_path, on_event=lambda kind, **facts: heard.append((kind, facts["reason"])))
    library = loader.KernelLibrary(disk, on_event=lambda kind, **facts: heard.append((kind, facts.get("reason"))))
    key = "ab" + "0" * 38
    folder = tmp_path / "ab" / f"{key}.kernel"
    folder.mkdir(parents=True)  # a folder where a file should be: reading it fails
    assert library.disk.load(key) is None
    ((kind, reason),) = heard
    assert kind == "CACHE_REJECT"
    assert reason.startswith("not readable")


# -- tracing ----------------------------------------------------------------------------------------------------------


def test_a_trace_that_does_not_cover_a_call() -> None:
    traced = specjit.jit.trace(smooth, tensor(3))
    traced(tensor(3))
    assert traced.events() == []
    np.testing.assert_allclose(traced(tensor(5)).numpy(), np.tanh(uniform(5, seed=1) * 2 + 1), rtol=1e-6)
    event = only(traced.events("GUARD_MISS"))
    assert event.message == "x shape expected (3,), got (5,)"
    assert event.location == f"{FILE}:{line_of(smooth, 'def smooth')}"
    assert event.call == 2
    with pytest.raises(specjit.jit.Error, match=r"x shape expected \(3,\), got \(5,\)"):
        specjit.jit.trace(smooth, tensor(3), strict=True)(tensor(5))


# -- stances ----------------------------------------------------------------------------------------------------------


def test_a_forbidden_compile_is_made_later() -> None:
    program = optimized(smooth, warmup=2)
    program(tensor(3))
    with specjit.stance("fail_on_compile"), pytest.raises(RuntimeError, match="2 calls of this kind"):
        program(tensor(3))
    program(tensor(3))
    assert len(program.specializations) == 1
