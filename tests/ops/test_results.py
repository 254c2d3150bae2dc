"""Results with names: fields in eager mode, in captured programs and where types come late."""

from __future__ import annotations

import pytest

import specjit
from specjit.ops.records.results import MinMax, ValuesIndices

X = specjit.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])


def fields(x):
    best = x.max(1)
    order = specjit.sort(x, 0)
    ends = x.aminmax()
    return best.values * 2 + best.indices, order.values, x.topk(2).indices, ends.max - ends.min


def branches(x):
    if x.sum() > 0:
        found = x.max(1)
    else:
        found = x.min(1)
    return found.values - found.indices


def loops(x):
    found = x.cummax(1)
    for _ in range(2):
        found = (found.values + 1).cummin(0)
    return found.values, found.indices


def unpacked(x):
    values, indices = x.kthvalue(2)
    return values + indices + x.median(1)[0] + len(x.mode(0))


def returned(x):
    return x.max(1), {"ends": x.aminmax()}, [x.sort(0)]


def whole(x):
    return x.topk(2)


PROGRAMS = [fields, branches, loops, unpacked, returned, whole]


def same(got, want):
    assert type(got) is type(want)
    if isinstance(want, specjit.Tensor):
        assert got.tolist() == want.tolist()
    else:
        pairs = zip(got.values(), want.values()) if isinstance(want, dict) else zip(got, want, strict=True)
        for g, w in pairs:
            same(g, w)


def test_fields():
    assert type(X.max(1)) is ValuesIndices
    assert X.max(1).indices.tolist() == [0, 1]
    assert X.sort(1).values.tolist() == [[1, 2, 3], [0, 4, 5]]
    assert type(X.aminmax()) is MinMax
    assert (X.aminmax().min.item(), X.aminmax().max.item()) == (0, 5)


@pytest.mark.parametrize("program", PROGRAMS)
def test_captured_programs_read_fields(program):
    same(specjit.jit.script(program)(X), program(X))
    same(specjit.jit.trace(program, (X,))(X), program(X))
    fast = specjit.optimize(program, warmup=1, background=False)
    for _ in range(3):
        same(fast(X), program(X))
    assert fast.specializations
