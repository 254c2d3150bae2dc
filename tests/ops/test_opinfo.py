"""Every operator by its row: values, types, gradients, aliasing, errors, the meta device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import specjit
from specjit.dtypes import DType, dtype_of, float64
from specjit.ir.types import Type
from specjit.ops.records.registry import all_ops
from specjit.tensor.gradcheck import gradcheck, gradgradcheck
from specjit.tensor.tensor import Tensor, type_of_tensor
from tests.opinfo import OPINFO, OpInfo, raw, samples

ROWS = sorted(OPINFO)
CASES = [pytest.param(OPINFO[n], d, id=f"{n}-{d.name}") for n in ROWS for d in OPINFO[n].dtypes]


def call(info: OpInfo, args: Any, kwargs: Any) -> Any:
    """The op's own result; for an op that returns nothing, what it wrote."""
    out = info.op.fn(*args, **kwargs)
    return args[0] if out is None else out


def close(got: Any, want: Any, info: OpInfo, dtype: DType) -> None:
    if isinstance(want, (list, tuple)):
        assert len(got) == len(want)
        for g, w in zip(got, want):
            close(g, w, info, dtype)
        return
    if not isinstance(got, Tensor):
        assert got == want or (got != got and want != want)
        return
    want = np.asarray(want)
    found = got.detach().numpy()
    assert found.shape == want.shape
    tolerance = info.tolerance(got.dtype)
    if tolerance:
        limit = float(np.abs(want[np.isfinite(want)]).max(initial=1.0))
        tiny = float(np.finfo(found.dtype).smallest_normal)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(
                found, want.astype(found.dtype), rtol=tolerance, atol=max(tolerance * min(limit, 1.0), tiny)
            )
    else:
        np.testing.assert_array_equal(found, want.astype(found.dtype) if want.dtype.kind == "f" else want)


def test_every_op_has_a_row():
    # An in-place variant of an operator with a row is tested by that row (test_inplace.py).
    covered = {n for n, op in all_ops().items() if op.functional is not None and op.functional.name in OPINFO}
    missing = [n for n in all_ops() if n not in OPINFO and n not in covered and not n.startswith("py.")]
    assert not missing, f"operators without a row in tests/opinfo/: {missing}"
    unknown = [n for n in OPINFO if n not in all_ops()]
    assert not unknown, f"rows without an operator: {unknown}"


@pytest.mark.parametrize(("info", "dtype"), CASES)
def test_value(info, dtype):
    for args, kwargs in samples(info, dtype):
        before = raw(args)
        got = call(info, args, kwargs)
        if info.reference is not None:
            close(got, info.reference(*before, **kwargs), info, dtype)
        if info.properties is not None:
            info.properties(raw(got), *before, **kwargs)


@pytest.mark.parametrize(("info", "dtype"), CASES)
def test_infer(info, dtype):
    op = info.op
    for args, kwargs in samples(info, dtype):
        given = [_type(a) for a in args]
        found = op.infer(*given, **kwargs)
        _agree(found, call(info, args, kwargs) if op.returns else None, info)


def _type(a: Any) -> Any:
    if isinstance(a, Tensor):
        return type_of_tensor(a)
    return type(a)(map(_type, a)) if isinstance(a, (list, tuple)) else a


def _agree(found: Any, got: Any, info: OpInfo) -> None:
    if isinstance(got, Tensor):
        assert found.dtype is got.dtype
        assert found.device == "cpu"
        assert found.requires_grad == got.requires_grad or info.op.traits.writes
        assert len(found.dims) == got.ndim
        assert all(d is None or d == n for d, n in zip(found.dims, got.shape))
    elif isinstance(got, tuple):
        assert len(found) == len(got)
        for f, g in zip(found, got):
            _agree(f, g, info)
    elif isinstance(found, Type):
        assert found.kind == ("none" if got is None else type(got).__name__)
    else:
        assert found == got


@pytest.mark.parametrize("info", [OPINFO[n] for n in ROWS], ids=ROWS)
@pytest.mark.parametrize("hide", ["dims", "dtype", "both", "sizes"])
def test_infer_with_unknowns_never_contradicts(info, hide):
    dtype = info.dtypes[0]
    for args, kwargs in samples(info, dtype):
        known = info.op.infer(*[_type(a) for a in args], **kwargs)
        vague = info.op.infer(*[_vague(_type(a), hide) for a in args], **kwargs)
        _covers(vague, known)


def _vague(t: Any, hide: str) -> Any:
    if isinstance(t, Type) and t.is_tensor:
        if hide == "sizes":
            return t.with_(dims=(None,) * len(t.dims))
        return t.with_(**{k: None for k in ("dims", "dtype") if hide in (k, "both")})
    return type(t)(_vague(x, hide) for x in t) if isinstance(t, (list, tuple)) else t


def _covers(vague: Any, known: Any) -> None:
    if isinstance(known, (list, tuple)):
        if isinstance(vague, (list, tuple)):
            assert len(vague) == len(known)
            for v, k in zip(vague, known):
                _covers(v, k)
        else:
            for k in known:
                _covers(vague.args[0], k)
    elif isinstance(known, Type) and known.is_tensor:
        assert vague.dtype in (None, known.dtype)
        if vague.dims is not None and known.dims is not None:
            assert len(vague.dims) == len(known.dims)
            assert all(v is None or k is None or v == k for v, k in zip(vague.dims, known.dims))


DIFFERENTIABLE = [n for n in ROWS if OPINFO[n].grad]


def test_rows_say_which_ops_have_gradients():
    # Zeros; and one that has only an error to say that it has none.
    quiet = {"bernoulli", "normal", "ctc_backward"}
    # Of matrices of which one triangle is read: the gradients of symmetric changes, in test_matrices.py.
    quiet |= {"linalg.cholesky", "eigh_factors"}
    assert {n for n in ROWS if OPINFO[n].op.differentiable} - quiet == set(DIFFERENTIABLE)


def _leaves(args: Any) -> list[Tensor]:
    found = []
    for a in args:
        if isinstance(a, Tensor) and a.dtype.is_floating_point:
            found.append(a)
        elif isinstance(a, (list, tuple)):
            found += _leaves(a)
    return found


def _as_function(info: OpInfo, args: Any, kwargs: Any) -> tuple[Any, list[Tensor]]:
    """The call as a function of contiguous float64 leaves, which writes to copies only."""
    leaves = [t.detach().clone().contiguous().requires_grad_() for t in _leaves(args)]

    def rebuilt(a: Any, pool: Any) -> Any:
        if isinstance(a, Tensor) and a.dtype.is_floating_point:
            return next(pool)
        return type(a)(rebuilt(x, pool) for x in a) if isinstance(a, (list, tuple)) else a

    def function(*given: Any) -> Any:
        again = list(rebuilt(args, iter(given)))
        if info.op.traits.writes:
            again[0] = again[0].clone()
        return call(info, tuple(again), kwargs)

    return function, leaves


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    info = OPINFO[name]
    checked = 0
    for args, kwargs in samples(info, float64, True):
        function, leaves = _as_function(info, args, kwargs)
        if leaves and sum(t.numel() for t in leaves) <= 60:
            assert gradcheck(function, leaves)
            checked += 1
    assert checked


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_second_gradients(name):
    info = OPINFO[name]
    for args, kwargs in samples(info, float64, True)[:6]:
        function, leaves = _as_function(info, args, kwargs)
        if info.gradgrad and leaves and 0 < sum(t.numel() for t in leaves) <= 24:
            assert gradgradcheck(function, leaves, atol=1e-4)


@pytest.mark.parametrize(("info", "dtype"), CASES)
def test_aliasing_is_what_the_traits_say(info, dtype):
    for args, kwargs in samples(info, dtype):
        tensors = [a for a in args if isinstance(a, Tensor)]
        out = info.op.fn(*args, **kwargs)
        outs = out if isinstance(out, tuple) else (out,)
        for o in outs:
            if not isinstance(o, Tensor) or not o.numel():
                continue
            shared = [a for a in tensors if np.shares_memory(o._data, a._data)]
            if info.op.traits.view_of is None:
                assert not shared
            for a in shared:
                assert o._version is a._version
            if shared and info.op.traits.view_of is not None:
                count = o._version[0]
                if not info.op.traits.writes:
                    o.zero_()
                    assert shared[0]._version[0] == count + 1


@pytest.mark.parametrize("name", ROWS)
def test_meta_tensors_have_the_same_shape_and_dtype(name):
    info = OPINFO[name]
    for args, kwargs in samples(info, info.dtypes[0]):
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors or len(tensors) < len(_all_tensors(args)):
            continue
        want = call(info, tuple(a.clone() if isinstance(a, Tensor) else a for a in args), kwargs)
        if not isinstance(want, Tensor):
            continue
        given = [a.to(device="meta") if isinstance(a, Tensor) else a for a in args]
        try:
            got = call(info, tuple(given), kwargs)
        except RuntimeError as error:
            assert "depends on data" in str(error)
            continue
        assert got.is_meta
        assert got.shape == want.shape
        assert got.dtype is want.dtype


def _all_tensors(args: Any) -> list[Tensor]:
    out = []
    for a in args:
        if isinstance(a, Tensor):
            out.append(a)
        elif isinstance(a, (list, tuple)):
            out += _all_tensors(a)
    return out


@pytest.mark.parametrize("name", ROWS)
def test_errors(name):
    for function, kind, text in OPINFO[name].errors:
        with pytest.raises(kind, match=text):
            function()


@pytest.mark.parametrize("name", [n for n in ROWS if OPINFO[n].random])
def test_random_ops_repeat_under_one_seed(name):
    info = OPINFO[name]
    draws = []
    for _ in range(2):
        specjit.manual_seed(7)
        draws.append([call(info, args, kwargs).numpy().copy() for args, kwargs in samples(info, info.dtypes[0])])
    for a, b in zip(*draws):
        np.testing.assert_array_equal(a, b)


def test_dtypes_of_rows_are_those_of_results():
    assert dtype_of(np.dtype("float64")) is float64
