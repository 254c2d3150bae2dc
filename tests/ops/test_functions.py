"""Every composite function by its row: values, composed types, gradients, aliasing, script, trace, optimize, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.dtypes import float64
from specjit.ir.builder import Builder
from specjit.ir.graph import Block
from specjit.ops.records import composites, registry
from specjit.tensor import tracer
from specjit.tensor.gradcheck import gradcheck, gradgradcheck
from specjit.tensor.tensor import Tensor, type_of_tensor
from specjit.tensor.tracer import TraceError
from tests.opinfo import FUNCTIONS, OPINFO, OpInfo, raw, samples
from tests.ops.test_opinfo import _all_tensors, _leaves, close
from tests.rowprograms import program

ROWS = sorted(FUNCTIONS)
CASES = [pytest.param(FUNCTIONS[n], d, id=f"{n}-{d.name}") for n in ROWS for d in FUNCTIONS[n].dtypes]
EACH = [pytest.param(FUNCTIONS[n], id=n) for n in ROWS]
INPLACE = {n: c for n, c in composites.all_composites().items() if c.writes}
# Public functions of which a record or a test of their own says everything: fronts, and conversions from Python data.
PLAIN = {"arange", "as_tensor", "from_dlpack", "from_numpy", "nonzero", "randint"}


def test_every_function_has_a_row():
    known = set(composites.all_composites()) - set(INPLACE)
    functional = {f"nn.functional.{n}" for n in dir(nn.functional) if _is_function(n)}
    missing = sorted((known | functional) - set(FUNCTIONS))
    assert not missing, f"functions without a row in tests/opinfo/: {missing}"
    public = {n for n in registry.public_names() if n not in OPINFO and n not in FUNCTIONS and not _is_alias(n)}
    assert public <= PLAIN, f"public, but neither record nor composite: {sorted(public - PLAIN)}"


def _is_alias(name: str) -> bool:
    """Another name of a function that has a row."""
    fn = registry.public(name)
    behind = getattr(fn, "record", None) or getattr(fn, "composite", None)
    return behind is not None and behind.name != name and (behind.name in OPINFO or behind.name in FUNCTIONS)


def _is_function(name: str) -> bool:
    found = getattr(nn.functional, name)
    return not name.startswith("_") and callable(found) and found.__module__.startswith("specjit.nn.functional")


def flat(value: Any) -> list[Any]:
    return [x for v in value for x in flat(v)] if isinstance(value, (list, tuple)) else [value]


def same(got: Any, want: Any, info: OpInfo) -> None:
    """Two results of the same function, on another road."""
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for g, w in zip(got, want):
        if isinstance(w, Tensor):
            assert (g.dtype, g.shape) == (w.dtype, w.shape)
            close(g, w.detach().numpy(), info, g.dtype)
        else:
            assert type(g) is type(w)
            assert g == w or (g != g and w != w)


@pytest.mark.parametrize(("info", "dtype"), CASES)
def test_value(info, dtype):
    for args, kwargs in samples(info, dtype):
        before = raw(args)
        got = info.fn(*args, **kwargs)
        if info.reference is not None:
            close(got, info.reference(*before, **raw_named(kwargs)), info, dtype)
        if info.properties is not None:
            info.properties(raw(got), *before, **raw_named(kwargs))


def raw_named(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {k: raw(v) for k, v in kwargs.items()}


@pytest.mark.parametrize(("info", "dtype"), CASES)
def test_composed_types(info, dtype):
    """The function on tracers gives a graph whose types are those of the results."""
    if not info.traceable:
        pytest.skip("depends on data")
    for args, kwargs in samples(info, dtype):
        block = Block()
        builder = Builder(block, registry.get)

        def traced(a: Any) -> Any:
            if isinstance(a, Tensor):
                return tracer.Tracer(block.param(type_of_tensor(a)), builder)
            return type(a)(map(traced, a)) if isinstance(a, (list, tuple)) else a

        with tracer.recording(builder):
            found = info.fn(*map(traced, args), **{k: traced(v) for k, v in kwargs.items()})
        for f, g in zip(flat(found), flat(info.fn(*args, **kwargs)), strict=True):
            if isinstance(g, Tensor):
                t = f.value.type if isinstance(f, tracer.Tracer) else type_of_tensor(f)
                assert t.dtype is g.dtype
                assert t.dims is None or len(t.dims) == g.ndim
                assert t.dims is None or all(d is None or d == n for d, n in zip(t.dims, g.shape))


def test_tracing_refuses_decisions_on_data():
    block = Block()
    x = tracer.Tracer(block.param(type_of_tensor(specjit.ones(2))), Builder(block, registry.get))
    with pytest.raises(TraceError):
        specjit.allclose(x, x)


@pytest.mark.parametrize("info", EACH)
def test_meta_tensors_have_the_same_shape_and_dtype(info):
    if not info.traceable or info.random:
        pytest.skip("depends on data")
    for args, kwargs in samples(info, info.dtypes[0]):
        tensors = _all_tensors(args)
        if not tensors or any(isinstance(v, Tensor) for v in kwargs.values()):
            continue
        want = flat(info.fn(*args, **kwargs))
        given = [_on_meta(a) for a in args]
        try:
            found = flat(info.fn(*given, **kwargs))
        except (RuntimeError, NotImplementedError) as error:
            assert "meta" in str(error)
            continue
        for g, w in zip(found, want, strict=True):
            if isinstance(w, Tensor):
                assert (g.shape, g.dtype) == (w.shape, w.dtype)


def _on_meta(a: Any) -> Any:
    if isinstance(a, Tensor):
        return a.to(device="meta")
    return type(a)(map(_on_meta, a)) if isinstance(a, (list, tuple)) else a


# gradients


def _of_leaves(info: OpInfo, args: Any, kwargs: Any) -> tuple[Any, list[Tensor]]:
    """The call as a function of contiguous float64 leaves."""
    everything = (args, tuple(kwargs.values()))
    leaves = [t.detach().clone().contiguous().requires_grad_() for t in _leaves(everything)]

    def rebuilt(a: Any, pool: Any) -> Any:
        if isinstance(a, Tensor) and a.dtype.is_floating_point:
            return next(pool)
        return type(a)(rebuilt(x, pool) for x in a) if isinstance(a, (list, tuple)) else a

    def function(*given: Any) -> Any:
        again, named = rebuilt(everything, iter(given))
        return info.fn(*again, **dict(zip(kwargs, named)))

    return function, leaves


DIFFERENTIABLE = [i for i in EACH if i.values[0].grad]


@pytest.mark.parametrize("info", DIFFERENTIABLE)
def test_gradients(info):
    checked = 0
    for args, kwargs in samples(info, float64, True):
        function, leaves = _of_leaves(info, args, kwargs)
        if leaves and sum(t.numel() for t in leaves) <= 60:
            if info.random:
                function = _seeded(function)
            assert gradcheck(function, leaves)
            checked += 1
    assert checked


@pytest.mark.parametrize("info", DIFFERENTIABLE)
def test_second_gradients(info):
    for args, kwargs in samples(info, float64, True)[:6]:
        function, leaves = _of_leaves(info, args, kwargs)
        if info.gradgrad and leaves and 0 < sum(t.numel() for t in leaves) <= 24:
            assert gradgradcheck(_seeded(function) if info.random else function, leaves, atol=1e-4)


def _seeded(function: Any) -> Any:
    def call(*args: Any) -> Any:
        specjit.manual_seed(5)
        return function(*args)

    return call


@pytest.mark.parametrize("info", EACH)
def test_aliasing_is_what_the_row_says(info):
    """A view shares memory and version with the input; anything else is fresh."""
    if info.view is None:
        return
    for args, kwargs in samples(info, info.dtypes[0]):
        inputs = _all_tensors(args)
        for out in flat(info.fn(*args, **kwargs)):
            if not isinstance(out, Tensor) or not out.numel():
                continue
            shared = [a for a in inputs if np.shares_memory(out._data, a._data)]
            assert bool(shared) == info.view
            assert all(a._version is out._version for a in shared)


# other roads to the same result


def _for_capture(info: OpInfo) -> list[Any]:
    """Some samples: the first ones, and every one with other keyword arguments."""
    seen: set[Any] = set()
    picked = []
    for args, kwargs in samples(info, info.dtypes[0]):
        key = (tuple(type(a) for a in args), tuple(kwargs), tuple(map(repr, kwargs.values())))
        if key not in seen or len(picked) < 3:
            picked.append((args, kwargs))
        seen.add(key)
    return picked[:10]


def _run(call: Any) -> Any:
    specjit.manual_seed(3)
    return call()


@pytest.mark.parametrize("info", EACH)
def test_script_is_eager(info):
    if not info.scripted:
        pytest.skip("not for captured programs")
    for args, kwargs in _for_capture(info):
        p = program(info, args, kwargs)
        scripted = specjit.jit.script(p.function)
        same(_run(lambda: scripted(*p.tensors)), _run(p), info)


@pytest.mark.parametrize("info", EACH)
def test_trace_is_eager(info):
    if not info.scripted or not info.traceable:
        pytest.skip("not for traces")
    for args, kwargs in _for_capture(info):
        p = program(info, args, kwargs)
        if p.tensors:
            traced = specjit.jit.trace(p.function, tuple(p.tensors), check_trace=False)
            same(_run(lambda: traced(*p.tensors)), _run(p), info)


@pytest.mark.parametrize("info", EACH)
def test_optimized_is_eager(info):
    if not info.scripted:
        pytest.skip("not for captured programs")
    args, kwargs = samples(info, info.dtypes[0])[1]
    p = program(info, args, kwargs)
    fast = specjit.optimize(p.function, warmup=1, background=False)
    for _ in range(3):
        same(_run(lambda: fast(*p.tensors)), _run(p), info)
    fast.close()


@pytest.mark.parametrize("name", sorted(INPLACE))
def test_in_place_is_the_function(name):
    """`x.name_()` gives x the content of `name(x)`, and the gradient is that of `name`."""
    info = FUNCTIONS[name.removesuffix("_")]
    for args, kwargs in samples(info, float64, info.grad):
        want = info.fn(*args, **kwargs)
        if not isinstance(args[0], Tensor) or want.shape != args[0].shape or want.dtype is not args[0].dtype:
            continue
        target = args[0].clone()
        assert INPLACE[name].fn(target, *args[1:], **kwargs) is target
        same(target, want, info)
        leaves = [t for t in _all_tensors(args) if t.requires_grad]
        if leaves and want.requires_grad:
            for a, b in zip(*(specjit.autograd.grad(o.sum(), leaves, allow_unused=True) for o in (target, want))):
                if b is not None:
                    same(a, b, info)


@pytest.mark.parametrize("info", EACH)
def test_errors(info):
    for function, kind, text in info.errors:
        with pytest.raises(kind, match=text):
            function()


# Methods whose object is known to be a tensor only at specialization


def of_items(xs, y):
    out = []
    for x in xs:
        values, indices = x.max(1)
        out.append(values.rsub(1.0, alpha=2) + x.std(1) + indices)
    return specjit.stack(out) * 2 + y


def in_place_of_item(xs):
    x = xs[0] * 2
    x.deg2rad_()
    return x + 1, x.view_as(xs[0]) * 3


@pytest.mark.parametrize("function", [of_items, in_place_of_item])
def test_methods_of_list_items_are_composed_by_the_specializer(function):
    xs = [specjit.randn(3, 4) for _ in range(2)]
    args = (xs, specjit.randn(3)) if function is of_items else (xs,)
    fast = specjit.optimize(function, warmup=1, background=False)
    for _ in range(3):
        for got, want in zip(flat(fast(*args)), flat(function(*args)), strict=True):
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)
    assert fast.stats()["fast"] == 3
    fast.close()


def test_what_a_body_cannot_decide_stays_generic():
    def decides(xs):
        return xs[0] * 2 if xs[0].allclose(xs[1]) else xs[1] * 2

    fast = specjit.optimize(decides, warmup=1, background=False)
    xs = [specjit.ones(2), specjit.zeros(2)]
    for _ in range(3):
        assert fast(xs).tolist() == [0, 0]
    fast.close()


def test_sizes_and_numbers_beside_list_items():
    """What the specializer makes of numel, of repeated lists, and of a number minus a tensor it has just found."""

    def function(xs):
        x = xs[0]
        return 1 - x.reshape([x.numel()] + [1] * (x.ndim - 2)), x.reshape([1] * x.ndim + [-1])

    xs = [specjit.randn(3, 4)]
    fast = specjit.optimize(function, warmup=1, background=False)
    for _ in range(3):
        for got, want in zip(fast(xs), function(xs), strict=True):
            assert got.shape == want.shape
            np.testing.assert_allclose(got.numpy(), want.numpy())
    assert fast.stats()["fast"] == 3
    fast.close()
