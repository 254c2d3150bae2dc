"""Mutation and aliasing: in-place operations, views, containers that the caller sees, the order of effects."""

from __future__ import annotations

import specjit
from specjit import no_grad, tensor, zeros
from tests.capture.programs.table import prog

X = tensor([1.0, 2.0, 3.0])
M = tensor([[1.0, 2.0], [3.0, 4.0]])


@prog((X,), (M,), traced=True)
def in_place_methods(x):
    x.add_(1).mul_(2)
    x.sub_(1)
    x.div_(2)
    x.neg_()
    x.clamp_(-3, 3)
    x.abs_()
    return x


@prog((X, X * 2), (M, M + 1))
def in_place_with_tensors(x, y):
    x.add_(y, alpha=2)
    y.mul_(x)
    x.copy_(y)
    y.zero_()
    x.fill_(7) if x.sum() < 0 else y.fill_(3)
    return x + y


@prog((X, 1), (X, None), (X, "a"))
def augmented_by_what_is_no_number(x, y):
    x -= y
    return x


@prog((M,), traced=True)
def views_write_through(x):
    row, column, flat = x[0], x[:, 1], x.view(-1)
    row += 10
    column *= 2
    flat[3] = -1
    t = x.t()
    t[0, 1] = 99
    return row, column, flat, t


@prog((M,), traced=True)
def copies_do_not(x):
    y, z = x.clone(), x + 0
    y[0] = 5
    z += 1
    x[1, 1] = 7
    return y, z


@prog((M, 0), (M, 1), traced=True)
def writes_of_items(x, i):
    x[i] = 5
    x[:, i] = tensor([7.0, 8.0])
    x[i, i] = -1
    x[..., 0] += 1
    x[x > 6] = 6
    return x


@prog((X, 2), (X, 0), traced=True)
def writes_in_a_loop(x, n):
    total = 0
    for i in range(n):
        x[i] = x[i] * 10 + i
        total = total + x.sum()
    return x, total


@prog((X, 5), (X, -9))
def write_out_of_range(x, i):
    x += 1
    x[i] = 5
    return x


@prog((X,))
def write_of_a_wrong_shape(x):
    x += 1
    x[0:2] = zeros(3)
    return x


@prog((X, X), traced=True)
def the_same_tensor_twice(x, y):
    x += 1
    y *= 2
    return x is y, x, y + x


@prog((X,), traced=True)
def aliases_by_assignment(x):
    y = x
    z = y
    z += 1
    y = y * 2
    return x is z, y is x, x, y


@prog((M,), traced=True)
def views_of_views(x):
    a = x[0]
    b = a[1:]
    b.fill_(50)
    c = x.reshape(4)[::3]
    c -= 1
    return a, b, c, x.sum()


@prog((M,), (zeros(2, 2),), traced=True)
def returns_its_argument_and_views(x):
    return x, x[0], x.t(), x.view(-1)[1:3], x.expand(2, 2, 2), x.detach()


@prog(([1, 2],), ([],))
def lists_seen_by_the_caller(xs):
    ys = xs
    ys.append(3)
    zs = xs[:]
    zs.append(4)
    xs = [*xs, 5]
    xs.append(6)
    return ys, zs, xs


@prog(([[1], [2]], {"k": [3]}))
def inner_lists_seen_by_the_caller(rows, d):
    for row in rows:
        row.append(0)
    rows[0], rows[1] = rows[1], rows[0]
    d["k"].extend(rows[0])
    d["new"] = rows
    return d["new"][0] is rows[0]


@prog(([X, X * 2],))
def list_of_tensors_seen_by_the_caller(xs):
    xs[0] += 1
    xs[1] = xs[1] * 10
    xs.append(xs[0])
    for x in xs:
        x -= 1
    return xs[0] is xs[2]


@prog(({"a": X},))
def dict_of_tensors_seen_by_the_caller(d):
    d["a"] *= 2
    d["b"] = d["a"].clone()
    d["b"][0] = 0
    return d["a"] is d["b"]


@prog(([1, 2, 3], 0), ([1, 2, 3], 1))
def effects_before_an_error(xs, n):
    xs.append(4)
    print("appended")
    xs[0] = 10 // n
    xs.append(5)
    return xs


@prog((X, 0), (X, 2))
def tensor_effects_before_an_error(x, n):
    x += 1
    y = x[n] * 2
    x[0] = 10 // n
    x += y
    return x


@prog((2,))
def order_of_evaluation(n):
    log = []

    def see(x):
        log.append(x)
        return x

    d = {see("k1"): see(1), see("k2"): see(2)}
    r = see(1) + see(2) * see(3) ** see(n), [see(4), see(5)], see([6])[see(0)], (lambda a, b=see(7): a + b)(see(8))
    d[see("k3")] = see(9)
    see([0, 1])[see(1)] = see(10)
    takes = see(max)(see(11), *[see(12)], key=see(abs))
    return r, d, takes, log


@prog((X,))
def print_sees_each_step(x):
    for i in range(2):
        x += i
        print(i, x.tolist())
        y = x * 2
        x[0] = 0
        print(y.tolist(), x.tolist())
    return x


@prog((M,), traced=True)
def swaps_rows(x):
    first = x[0].clone()
    x[0] = x[1]
    x[1] = first
    a, b = x[0], x[1]
    a, b = b, a
    return x, a, b


@prog((X, 3), (X, 0), traced=True)
def accumulates_into_a_buffer(x, n):
    buffer = zeros(4, 3)
    for i in range(n):
        buffer[i] = x * i
        buffer[-1] += x
    return buffer, buffer[n - 1]


@prog((X, 2))
def gradients_of_an_argument(x, n):
    x = x.clone().requires_grad_()
    y = x
    for _ in range(n):
        y = y * x
    y.sum().backward()
    return x.grad, y.requires_grad


@prog((X,), traced=True)
def no_gradient_inside(x):
    w = x.clone().requires_grad_()
    with no_grad():
        y = w * 2
        w += 1
    z = w * y
    return y.requires_grad, z.requires_grad, z.detach(), w.grad


@prog((X,))
def in_place_on_a_leaf(x):
    w = x.clone().requires_grad_()
    w += 1
    return w


@prog((X, 4), (X, 1))
def random_numbers_in_order(x, n):
    specjit.manual_seed(3)
    out = [specjit.rand(2)]
    for _ in range(n):
        out.append(specjit.randn(2) * x[0])
    return out, specjit.rand(1)


@prog((tensor([3, 1, 2]),), (tensor([1]),))
def reads_before_a_write(x):
    y, best = x.cumsum(0), x.argmax()
    x[0] = 100
    return y, best, x.argmax(), x.tolist()


@prog(([1, 2, 3],))
def iterates_over_what_it_returns(xs):
    out = []
    for x in xs:
        out.append(xs)
        if x == 2:
            xs.insert(0, 7) if len(xs) < 5 else xs.append(8)
        if len(out) > 6:
            break
    return len(out), xs


@prog((2,), (0,))
def lists_that_hold_themselves(n):
    xs = [n]
    xs.append(xs)
    return xs[1] is xs, len(xs[1][1]), xs[0]


@prog((X, [X]))
def an_argument_inside_another(x, xs):
    xs.append(x)
    xs[-1] += 1
    xs[0] += 5
    return xs[-1] is x, xs[0] is x


@prog((X, 1), (X, 2), (X, 0))
def fills_with_numbers_of_a_loop(x, n):
    y, i = x * 2, 0
    while i < n:
        y.fill_(i + n)
        i += 1
    return y


@prog((X, 1, 2), (X, 2, 2), traced=True)
def writes_a_constant_at_a_computed_place(x, m, n):
    x = x - m
    x[n - m] = tensor(2.0)
    return x
