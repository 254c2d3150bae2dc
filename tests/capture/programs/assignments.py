"""Assignment: augmented of every kind, unpacking, several targets, `del`."""

# ruff: noqa: F821, F841
from __future__ import annotations

import specjit
from specjit import tensor
from tests.capture.programs.table import prog


class Record:
    def __init__(self, **fields):
        self.__dict__.update(fields)


@prog((17, 5), (-17, 5), (4, 0), (2**70, 3))
def augments_names(a, b):
    r = [a]
    a += b
    r.append(a)
    a -= 2 * b
    r.append(a)
    a *= b
    r.append(a)
    a //= 3
    r.append(a)
    a **= 2
    r.append(a)
    a %= 1000
    r.append(a)
    a <<= b
    r.append(a)
    a >>= 1
    r.append(a)
    a |= 9
    r.append(a)
    a &= 1022
    r.append(a)
    a ^= b
    r.append(a)
    a /= b
    r.append(a)
    return r


@prog((Record(n=17, s="a", xs=[1]), 5), (Record(n=1, s="", xs=[]), 0))
def augments_attributes(r, b):
    r.n += b
    r.n -= 1
    r.n *= 3
    r.n //= 2
    r.n **= 2
    r.n %= 100
    r.n <<= 2
    r.n >>= 1
    r.n |= 1
    r.n &= 7
    r.n ^= b
    r.s += "b"
    r.xs += [b]
    r.n /= b
    return r.n


@prog(([17, "a", [1]], 5), ([1, "", []], 0))
def augments_items(xs, b):
    xs[0] += b
    xs[0] -= 1
    xs[0] *= 3
    xs[0] //= 2
    xs[0] **= 2
    xs[0] %= 100
    xs[0] <<= 2
    xs[0] >>= 1
    xs[0] |= 1
    xs[0] &= 7
    xs[0] ^= b
    xs[1] += "b"
    xs[-1] += [b]
    xs[0] /= b
    return xs


@prog((tensor([1.0, 2.0]), tensor([[1.0, 2.0], [3.0, 4.0]])), traced=True)
def augments_tensors(x, w):
    y = x
    y += 1
    y -= w[0]
    y *= w[1]
    y /= 2
    z = x * 1
    z **= 2
    x[0] += 5
    w[0] *= x
    w[:, 1] -= 1
    v = x
    v = v @ w
    return x, y, z, v


@prog((tensor([7, -7]), 2), traced=True)
def augments_integer_tensors(x, n):
    x //= n
    x %= 5
    x <<= 2
    x |= 1
    x &= 30
    x ^= 3
    x >>= 1
    return x


@prog((tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[0.0, 1.0], [1.0, 0.0]])), traced=True)
def augments_with_matmul(x, w):
    x = x * 1
    x @= w
    return x


@prog((3,), (0,))
def augments_evaluate_once(n):
    xs = [0] * 4
    seen = []

    def at(k):
        seen.append(k)
        return k

    xs[at(n)] += at(5)
    xs[at(1)] += xs[at(n)]
    return xs, seen


@prog(("a",), (1,))
def augment_that_fails(x):
    xs = [x]
    xs[0] += 1
    return xs


@prog(([[1, 2], [3, 4]],))
def augments_nested_items(rows):
    rows[0][1] += 10
    rows[1] += [5]
    rows += [[6]]
    rows *= 2
    return rows


@prog(((1, 2, 3, 4),), ((1, 2),), ((1,),))
def unpacks_with_a_star(t):
    a, *b = t
    *c, d = t
    e, *f, g = t
    return a, b, c, d, e, f, g


@prog(([1, 2, 3],), ([1],), ("xyz",), ((),))
def unpacks_any_iterable(xs):
    a, b, c = xs
    return c, b, a


@prog(([1, [2, (3, 4)]],), ([1, [2, (3,)]],))
def unpacks_nested(xs):
    a, [b, (c, d)] = xs
    (e, (f, *g)), h = xs[::-1], 0
    return a, b, c, d, e, f, g


@prog((1, 2, 3))
def swaps(a, b, c):
    a, b = b, a
    a, b, c = c, a, b
    xs = [a, b, c]
    xs[0], xs[2] = xs[2], xs[0]
    i = 0
    i, xs[i] = 1, "first"
    return a, b, c, xs, i


@prog((2,))
def assigns_to_several(n):
    a = b = c = [n]
    b.append(3)
    (x, y), z = w = (1, 2), n
    d = {}
    d["k"] = e = d["m"] = n
    return a, b, c, a is c, x, y, z, w, d, e


@prog((Record(a=1, b=2),))
def unpacks_into_places(r):
    xs = [0, 0]
    r.a, xs[1], *xs[0:1] = 7, r.b, 5, 6
    r.c = r.d = [r.a]
    return xs, r.c is r.d


@prog((3,))
def slices_as_targets(n):
    xs = list(range(6))
    xs[1:3] = ["a", "b", "c"]
    xs[:0] = [n]
    xs[-1:] = []
    ys = list(range(6))
    ys[::2] = [n, n, n]
    ys[1::2] = "xyz"
    del xs[1], ys[4:]
    return xs, ys


@prog((3,), (2,))
def slice_of_the_wrong_length(n):
    ys = list(range(6))
    ys[::2] = [0] * n
    return ys


@prog((1,), (0,))
def deletes_names(k):
    a = b = 1
    del a
    if k:
        del b
    return b


@prog(([1, 2, 3, 4, 5], {"a": 1, "b": 2}), ([1], {}))
def deletes_items(xs, d):
    del xs[0], d["a"]
    del xs[-1]
    del xs[1:2]
    return len(xs), "a" in d


@prog((5,))
def annotated_assignment(n: int):
    a: int = n
    b: list[int] = []
    c: str
    if n > 3:
        c = "big"
    else:
        c = "small"
    d: dict[str, list[int]] = {"a": b}
    b.append(a)
    return a, b, c, d


@prog((5,))
def declared_without_a_value(n: int):
    c: str
    return c


@prog((tensor([1.0, 2.0, 3.0]),), traced=True)
def unpacks_a_tensor(x):
    a, b, c = x
    d, *e = x
    (f, g), h = x[:2], x[2]
    return a + b * c, d, e, f - g, h


@prog((tensor([[1.0, 2.0], [3.0, 4.0]]),), traced=True)
def unpacks_a_shape_and_results(x):
    rows, columns = x.shape
    top, bottom = x.chunk(2)
    values, indices = x.max(dim=1)
    a, b = x.unbind(0)
    return rows * columns, top - bottom, values, indices, a * b


@prog((tensor([1.0, 2.0]),))
def unpacks_too_few(x):
    a, b, c = x
    return a, b, c


@prog((2,), (0,))
def walrus_everywhere(n):
    out = [y := n, y + 1, (z := y * 2)]
    if (a := n) and (b := a - 1):
        out.append(b)
    while (n := n - 1) > -2:
        out.append(n)
    total = sum(last := x for x in out)
    return out, y, z, total, last, a


@prog((tensor([1.0, 2.0]), 2), traced=True)
def rebinds_to_another_type(x, n):
    y = n
    y = x * y
    y = [y, n]
    y = {"k": y}
    y = str(len(y))
    return y, specjit.ones(n)
