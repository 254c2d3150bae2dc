"""Truth, comparison, and what `and`, `or`, `not` and the ternary give."""

# ruff: noqa: E711, E721
from __future__ import annotations

import specjit
from specjit import tensor
from tests.capture.programs.table import prog


@prog((1, 2, 3), (2, 2, 2), (3, 2, 1), (1, 3, 2))
def chain_evaluates_once(a, b, c):
    seen = []

    def see(x):
        seen.append(x)
        return x

    first = see(a) < see(b) < see(c)
    second = see(a) == see(b) != see(c) <= see(a)
    return first, second, seen


@prog((0, 1), (1, 0), (0, 0), ("", []), ("x", [1]))
def operands_come_back(a, b):
    return a and b, a or b, not a, (a and b) or "else", not (a or b), (a or b) and (b or a)


@prog((0,), (1,), (5,))
def skips_what_it_need_not(n):
    seen = []

    def see(x):
        seen.append(x)
        return x

    r = (see(n) and see(1) and see(0)) or see("last") or see("never")
    s = see(7) if n > 1 else see(8)
    t = n > 3 or (see(n) == 0 and see("and"))
    return r, s, t, seen


@prog((None,), (0,), ([],), ("",), (0.0,), ({},), ((),), (False,), (0j,))
def everything_empty_is_false(x):
    if x:
        return "true"
    return "false", bool(x), not x, [1 for _ in range(2) if x], 1 if x else 2


@prog((1, 1.0), (True, 1), ("a", "b"), ([1], [1]), ((1, 2), (1, 3)), (None, None))
def equal_and_identical(a, b):
    return a == b, a != b, a is b, a is not b, a is a, [a] == [b], (a, b) == (b, a)


@prog(("a", "b"), ([1, 2], [1, 3]), ((1,), (1, 0)), (1, 1.5), ({1}, {1, 2}))
def ordered(a, b):
    return a < b, a <= b, a > b, a >= b, a < b < a, max(a, b), min(a, b)


@prog((1, "a"), (None, 1), ([1], (1,)))
def not_ordered(a, b):
    return a < b


@prog((2, [1, 2]), ("b", "abc"), ("k", {"k": 1}), (3, {1, 2}), (1, (0,)), (None, []))
def membership(x, xs):
    return x in xs, x not in xs, not x in xs, x in xs and x  # noqa: E713


@prog((3, 7), ("a", "bc"))
def membership_that_fails(x, xs):
    return x in xs


@prog((3,), (-1,), (0,))
def nested_ternaries(n):
    a = "pos" if n > 0 else "zero" if n == 0 else "neg"
    b = (1 if n else 2) if n >= 0 else (3 if n < -5 else 4)
    return a, b, [i if i % 2 else -i if i else None for i in range(n)]


@prog((1, 2, 3), (0, 0, 0), (5, 1, 5))
def nested_ifs(a, b, c):
    if a > b:
        if b > c:
            r = "abc"
        elif a > c:
            r = "acb"
        else:
            r = "cab"
            if a == c:
                r += "="
    elif a == b:
        r = "tie" if c else "all"
    else:
        if c > b:
            pass
        else:
            return "early", r if a > 10 else None
        r = "bigger"
    return r


@prog((tensor(1.0), tensor(2.0)), (tensor(3.0), tensor(0.0)), (tensor(0.0), tensor(0.0)), traced=True)
def decides_on_tensors(x, y):
    if x > y:
        return x - y
    if x and y:
        return x * y
    if not x:
        return y + 10
    return x


@prog((tensor([1.0, 2.0]), tensor([2.0, 1.0])), (tensor([0.0]), tensor([0.0])), traced=True)
def decides_on_reductions(x, y):
    if (x > y).any() and x.sum() >= y.sum():
        return x
    elif (x == y).all():
        return y * 2
    return -y


@prog((tensor([1.0, 2.0]),))
def truth_of_many_elements(x):
    if x:
        return 1
    return 2


@prog((tensor([1.0, 2.0]), tensor([1.0, 3.0])), traced=True)
def compares_elementwise(x, y):
    return x == y, x != y, x < y, x <= y, x > 1, 2 >= y, ~(x == y), (x < y) & (x > 0), (x < y) | (y < x)


@prog((tensor([1.0, 2.0]), tensor([1.0, 2.0])), traced=True)
def identity_of_tensors(x, y):
    z = x
    return z is x, x is y, x is not None, x in [x], [z] == [x]


@prog((None, 1), (2, None), (3, 4), (None, None))
def none_narrows(a, b):
    if a is None and b is None:
        return "none"
    if a is None:
        return b + 1
    if b is not None:
        return a + b
    return a * 2


@prog((None,), ([1, 2],), ([],))
def none_or_default(xs):
    ys = xs or [9]
    zs = [7] if xs is None else xs
    zs.append(1)
    return ys, zs, xs == None


@prog((1,), (True,), ("s",), (2.0,), (None,), ([1],), ((),), ({},))
def isinstance_of_everything(x):
    if isinstance(x, bool):
        return "bool"
    if isinstance(x, (int, float)):
        return x + 1
    if isinstance(x, str):
        return x.upper()
    if isinstance(x, list):
        x.append(2)
        return x
    if isinstance(x, (tuple, dict)):
        return len(x)
    return type(x) is type(None), x is None


@prog((1,), (True,), (1.0,))
def type_identity(x):
    return type(x) is int, type(x) == float, type(x) in (bool, str), type(x).__name__, issubclass(bool, int)


@prog((tensor([1.0]),), (2,), ([3],), traced=True)
def tensor_or_not(x):
    if isinstance(x, specjit.Tensor):
        return x + 1
    if specjit.is_tensor(x):
        return "never"
    return [x]


@prog((5,), (50,), (500,))
def if_chain_assigns(n):
    if n < 10:
        kind, size = "small", 1
    elif n < 100:
        kind, size = "medium", 2
    else:
        kind, size = "large", [3]
    return kind, size


@prog((3,), (0,))
def assert_with_effects(n):
    seen = []
    assert [seen.append(1), n][1], f"no {seen.append(2)}"
    assert n and (n > 1 or seen)
    assert [n, "always true"]
    return seen


@prog((1, [1]), (0, [1]), (2, []))
def assert_in_a_loop(n, xs):
    for k in range(3):
        assert k != n or xs, ("k", k, xs)
        xs.append(k)
    return xs
