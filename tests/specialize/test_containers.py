"""Lists, tuples and dicts of a program's own, once the shapes are known: the answers of plain Python, and native code
wherever every item is known by then."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from tests.specialize.test_peeling import check_same, outcome


def column(x):
    return x.sum(1).reshape([-1] + [1] * (x.ndim - 1)) + x.reshape((x.shape[0],) + (1,) * (x.ndim - 1) + (-1,))


def turned_around(x):
    order = list(range(x.ndim))
    order[0], order[-1] = order[-1], order[0]
    return x.permute(list(range(x.ndim))[::-1]), x.permute(order)


def starred_sizes(x):
    first, *rest = x.shape
    *lead, last = x.shape
    same = x.reshape(first, *rest), x.view(*lead, last, 1), x.reshape([*lead, 1, last])
    same = (*same, specjit.zeros(*x.shape, 1), x.new_ones(first, *rest), x.repeat(*x.shape))
    return *same, x.reshape(*x.shape, 1), x.reshape(-1, *x.shape[1:]), (*lead, last)


def makes_a_dict(x):
    out = {}
    out["twice"] = x * 2.0
    out["more"] = out["twice"] + 1.0
    out["twice"] += 1.0
    del out["more"]
    return {**out, "sum": x.sum(), "twice": out["twice"] * 1.0} | {"kept": out["twice"]}


def decides_on_sizes(x):
    if any(s == 1 for s in x.shape):
        return x * 2.0
    if all([s > 1 for s in x.shape]):
        return x * 3.0
    return x


def numbers_in_a_list(x):
    strides = []
    step = 1
    for size in reversed(x.shape):
        strides.append(step)
        step = step * size
    return x * strides[-1], strides[::-1]


def methods_of_what_a_dict_holds(x):
    d = {"a": x, "b": [x + 1.0]}
    return d["a"].tanh().sum() + d["b"][0].mean()


PROGRAMS = (
    column,
    turned_around,
    starred_sizes,
    makes_a_dict,
    decides_on_sizes,
    numbers_in_a_list,
    methods_of_what_a_dict_holds,
)


def input_of(*shape):
    return specjit.tensor(np.random.default_rng(len(shape)).uniform(-1, 1, shape).astype(np.float32))


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_containers_whose_items_are_known_are_native(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False, strict=True)
    for shape in ((3, 4), (3, 4), (2, 3, 4), (2, 3, 4), (1, 2), (5, 4)):
        check_same(program(input_of(*shape)), function(input_of(*shape)))
    assert program.stats()["fast"] >= 3
    assert not program.events("SPECIALIZE_FAILED")


def returns_a_number_from_a_loop(n: int, k: int):
    for i in range(n):
        if i * i > k:
            return i
    return -1


def leaves_a_number_unset(n: int, k: int):
    for i in range(n):
        if i > k:
            z = 0.5 * i
    return z


@pytest.mark.parametrize("function", [returns_a_number_from_a_loop, leaves_a_number_unset], ids=lambda f: f.__name__)
def test_a_number_that_some_paths_leave_without_a_value(function) -> None:
    program = specjit.optimize(function, warmup=1, background=False)
    for n, k in ((3, 4), (10, 4), (10, 50), (0, 1), (1000, 90000), (1000, 500)):
        assert outcome(lambda a: program(*a), (n, k)) == outcome(lambda a: function(*a), (n, k))
    assert not program.events("SPECIALIZE_FAILED")


def writes_in_a_branch(x, n: int):
    d, items = {"a": x}, [x, x]
    if n > 2:
        d["a"] = x * 2.0
        items[0] = x * 3.0
    return d["a"], items[0]


def test_a_container_that_a_branch_changes_stays_generic() -> None:
    program = specjit.optimize(writes_in_a_branch, warmup=1, background=False)
    x = input_of(2, 3)
    for n in (1, 3, 2, 5, 1, 4, 1, 6):
        check_same(program(x, n), writes_in_a_branch(x, n))
    (event,) = {e.message for e in program.events("SPECIALIZE_FAILED")}
    assert "an item of a container of the caller or of an outer block is assigned" in event


def counts_of(x, n: int, k: int):
    flags = [n > 3, k > n, x.shape[0] > n]
    return (x * 2.0 if any(flags) else x * 3.0) + (x if all(flags) else x * 0.5)


def test_truth_values_of_run_time_numbers_are_native() -> None:
    program = specjit.optimize(counts_of, warmup=1, background=False)
    for size, n, k in (
        (3, 1, 1),
        (3, 4, 5),
        (6, 5, 7),
        (2, 3, 1),
        (7, 4, 9),
        (3, 2, 9),
        (9, 8, 9),
        (2, 9, 1),
        (8, 4, 5),
    ):
        check_same(program(input_of(size), n, k), counts_of(input_of(size), n, k))
    assert program.stats()["fast"] >= 3
    assert not [e for e in program.events("NOT_FUSED") if "no kernel says" in e.message]


def made_of_constants(x):
    return x * 2.0, sorted((3, 1)), "a,b".split(",")


def test_a_list_made_of_constants_is_another_one_in_every_call() -> None:
    program = specjit.optimize(made_of_constants, warmup=1, background=False)
    for _ in range(3):
        _, numbers, words = program(input_of(2))
        assert (numbers, words) == ([1, 3], ["a", "b"])
        numbers.append(9)
        words.clear()
    assert program.stats()["fast"] == 3


def one_list_twice(x):
    found = [x * 2.0]
    return found, {"found": found}


def test_a_list_that_is_returned_in_two_places_is_one_list() -> None:
    program = specjit.optimize(one_list_twice, warmup=1, background=False)
    for _ in range(3):
        found, named = program(input_of(2))
        assert named["found"] is found
