"""Small programs in the style of users, each with the arguments of several runs.

Enters: nothing. Leaves: `PROGRAMS`, (function, cases); a case is a tuple of positional arguments, copied for every run.
"""

# ruff: noqa: E731, F841, F821, UP031
from __future__ import annotations

import contextlib

PROGRAMS = []


def prog(*cases):
    def register(fn):
        PROGRAMS.append((fn, cases))
        return fn

    return register


@prog((3,), (0,), (-2,))
def loop_var_after(n):
    i = "none"
    for i in range(n):
        pass
    return i


@prog((3,), (0,))
def unbound_after(n):
    for i in range(n):
        y = i * 2
    return y


@prog((2, 9, 3), (9, 2, -3), (0, 0, 1), (1, 5, 0))
def range3(a, b, c):
    out = []
    for k in range(a, b, c):
        out.append(k)
    return out


@prog((5,), (-5,))
def range_affine(n):
    out = []
    for k in range(2, n):
        out.append(k)
    for k in range(n, 0, -1):
        out.append(k)
    for k in range(10, 20, 3):
        out.append(k)
    for k in reversed(range(n)):
        out.append(k)
    return out


@prog((1,), (5,), (0,), (-3,))
def early_returns(x):
    if x > 4:
        return "big"
    elif x == 0:
        return None
    y = x * 2
    if y < 0:
        return y, "neg"
    return y


@prog(([1, 2, 3, 4], 3), ([], 3), ([3], 3), ([1, 2], 9))
def for_else(xs, t):
    for i, x in enumerate(xs):
        if x == t:
            found = i
            break
    else:
        found = -1
    return found


@prog((10,), (0,))
def while_else(n):
    k = 0
    while k < n:
        k += 1
        if k == 5:
            break
    else:
        return "done", k
    return "broke", k


@prog((4,), (0,))
def nested_loops(n):
    total = 0
    rows = []
    for i in range(n):
        row = []
        for j in range(i):
            if (i + j) % 3 == 0:
                continue
            if j > 2:
                break
            total += i * j
            row.append((i, j))
        rows.append(row)
    return total, rows


@prog((4, 2), (0, 0), (7, 9))
def return_in_nested(n, t):
    for i in range(n):
        for j in range(n):
            if i * j == t:
                return i, j
    return None


@prog((0,), (1,), (2,), (3,))
def and_or(x):
    a = x and 5
    b = x or "zero"
    c = (x > 1 and x < 3) or None
    d = (not x and []) or {}
    return a, b, c, d


@prog((1, 2, 3), (3, 2, 1), (2, 2, 5))
def chained(a, b, c):
    return a < b < c, a == b != c, 0 < a <= b < c < 10, 1 < a > b


@prog((1, 2), (2.5, 0.5), ("a", "b"), ([1], [2]), (True, False))
def add_any(a, b):
    return a + b


@prog(("x",), (3,), (2.5,), (None,), ([1],))
def fstrings(v):
    w = "in"
    return f"{v} {v!r:>10} {w:{'<'}5}|{{}} '{w}'", "plain", f"{v}tail"


@prog((7, 2), (-7, 2), (7, -2), (7, 0))
def integer_ops(a, b):
    return a // b, a % b, a**2, divmod(a, b), a & b, a | b, a ^ b, ~a, -a, +a, abs(a), a << 3


@prog((7.5, 2), (-7.5, 0.0))
def float_ops(a, b):
    return a / b, a // b, round(a), round(a, 1), int(a), str(b), max(a, b), min(a, b, 1)


@prog(([3, 1, 2],), ([],))
def lists(xs):
    ys = [x * 2 for x in xs if x != 2]
    zs = list(xs)
    zs.append(9)
    zs += [1]
    zs[0] = 5
    t = (*ys, len(zs))
    a, *b = zs
    del zs[0]
    return ys, zs, t, a, b, sorted(xs), sum(xs), zs[::-1], zs[1:], zs[-1], 9 in zs


@prog(([1, 2, 3],))
def mutate_arg(xs):
    xs.append(4)
    xs[0] = 10
    ys = xs
    ys.extend([7])
    for i in range(len(xs)):
        xs[i] += 1
    return xs is ys


@prog(([1, 2, 3],))
def grow_while_iterating(xs):
    for x in xs:
        if len(xs) < 6:
            xs.append(x * 10)
    return xs


@prog(({"a": 1, "b": 2},), ({},))
def dicts(d):
    out = {}
    for k in d:
        out[k] = d[k] + 1
    for k, v in d.items():
        out[k + "!"] = v
    e = {k: v for k, v in out.items() if v > 1}
    return out, e, d.get("a", 7), "a" in d, len(d), list(d)


@prog((3,), (-1,))
def raising(x):
    if x < 0:
        raise ValueError(f"negative {x}")
    assert x != 3, f"bad {x}"
    return x


@prog(([1, 2], 5), ([1, 2], 1))
def index_error(xs, i):
    y = xs[i]
    return y


@prog((3,))
def closures(n):
    k = n * 2

    def inner(a, b=1, *, c=2):
        return a + b + c + k

    add = lambda u, v=3: u * v + k
    k = 100
    return inner(1), inner(1, 5, c=7), add(2), add(2, v=5)


@prog((3,), (0,))
def prints(n):
    for i in range(n):
        print("row", i, end=";")
    print()
    print(f"{n:03d}", "x", sep="-")


@prog(
    (1, 2),
)
def kwcalls(a, b):
    def f(x, y, z=3):
        return x * 100 + y * 10 + z

    return f(a, b), f(y=a, x=b), f(a, y=b, z=a), f(*(a, b))


@prog(
    ((1, (2, 3)),),
)
def unpacking(t):
    a, (b, c) = t
    (d, e), f = t[1], t[0]
    x = y = a + b
    x, y = y + 1, x
    return a, b, c, d, e, f, x, y


@prog((2,), (0,))
def walrus(n):
    if (m := n * 2) > 3:
        return m
    return -m


@prog(
    (5,),
)
def ternaries(n):
    return ("a" if n > 3 else "b"), (n if n else 0), [k if k % 2 else -k for k in range(n)]


@prog((5,), (1,))
def swap_loop(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a, b


@prog((None,), (3,))
def optional(x):
    if x is None:
        x = 10
    y = None
    for i in range(x):
        if y is None:
            y = i
        else:
            y = y + i
    return y


@prog((3, "ab"), (0, ""))
def zips(n, s):
    out = []
    for i, (a, b) in enumerate(zip(range(n), s), 5):
        out.append((i, a, b))
    return out, [x for x in zip((1, 2), (3, 4))]


@prog(
    (4,),
)
def try_stmt(n):
    out = []
    for i in range(n):
        try:
            v = 10 // (i - 2)
        except ZeroDivisionError:
            v = "inf"
        finally:
            out.append("f")
        out.append(v)
    return out


@prog(
    (2,),
)
def with_stmt(n):

    with contextlib.suppress(ValueError):
        x = int("7")
        y = int("q")
    return x + n


@prog(
    ([5, 3, 8],),
)
def sort_key(xs):
    return sorted(xs, key=lambda v: -v), max(xs, key=lambda v: v % 5), sum(x for x in xs)


@prog(
    (6,),
)
def big_ints(n):
    x = 1
    for i in range(n):
        x = x * (2**40) + i
    return x


@prog(
    (3,),
)
def del_var(n):
    a = n
    del a
    return a


@prog(
    ("hello world",),
)
def strings(s):
    out = ""
    for c in s:
        if c in "lo":
            out += c.upper()
        else:
            out += c
    return (
        out,
        s.split(),
        s[::-1],
        s.replace("l", "L"),
        "%s-%d" % (s, 3),
        f"{s:>5}",
        ",".join([s, s]),
        len(s),
        s * 2,
    )


@prog(
    (3,),
)
def while_true(n):
    k = 0
    while True:
        k += 1
        if k > n:
            return k


@prog(
    (3,),
)
def flow_flags(n):
    seen = []
    done = False
    while not done:
        for k in range(10):
            if k == n:
                done = True
                break
            if k == 1:
                continue
            seen.append(k)
        n -= 1
    return seen, n


@prog((0,), (1,), (2,))
def maybe_bound(n):
    if n == 1:
        z = 5
    if n > 0:
        return z
    return "none"


@prog((1.5,), (3,))
def isinst(x):
    if isinstance(x, int):
        return "int"
    if isinstance(x, (float, str)):
        return "float"
    return "?"


@prog(
    (3,),
)
def comp_scopes(n):
    x = 7
    ys = [x * n for x in range(n)]
    zs = [[i + j for j in range(i)] for i in range(n)]
    ws = [(a, b) for a in range(n) if a for b in range(a)]
    s = {k % 2 for k in range(n)}
    return x, ys, zs, ws, s


@prog((4,), (0,), (1,))
def reads_previous_turn(n):
    out = []
    for i in range(n):
        if i > 0:
            out.append(last)
        last = i * 2
    return out


@prog((4,), (0,), (1,))
def reads_previous_turn_unguarded(n):
    out = []
    for i in range(n):
        if i > 1:
            last = i
        if i > 2:
            out.append(last)
    return out, last


@prog((3,), (0,))
def same_value_twice(n):
    h = -1
    for i in range(n):
        h = h + i
        y = h
    return y, h


@prog((3, 2), (3, 9), (0, 0))
def break_leaves_a_value(n, t):
    for i in range(n):
        k = i * 10
        if i == t:
            break
        k = -k
    return k


@prog((5,))
def nested_functions_in_loops(n):
    out = []
    for i in range(n):

        def square(v, k=i):
            return v * v + k

        if i % 2:
            continue
        out.append(square(i) + (lambda a: a + i)(1))
    return out


@prog(([1, 2, 3],), ([],))
def list_methods(xs):
    xs.insert(0, 9)
    a = xs.pop()
    b = xs.index(9)
    xs.reverse()
    c = xs.count(9)
    ys = xs.copy()
    ys.sort()
    xs.remove(9)
    xs += ys
    return a, b, c, ys, len(xs), xs


@prog(([1, "a", 2.5, None],), ([],))
def mixed_list(xs):
    out = []
    for x in xs:
        if x is None:
            out.append("none")
        elif isinstance(x, str):
            out.append(x + "!")
        else:
            out.append(x * 2)
    return out


@prog((3,), (0,))
def list_of_lists(n):
    rows = [[0] * n for _ in range(n)]
    for i in range(n):
        rows[i][i] = 1
        rows[i].append(str(i))
    rows.append([])
    rows[-1].append(None)
    return rows, [len(r) for r in rows]


@prog((2,), (5,))
def elements_change_type(n):
    state = [0, 1]
    for i in range(n):
        if isinstance(state[0], str):
            state.append(len(state[0]))
        else:
            state[0] = f"s{i}"
    return state


@prog((7, 3), (3, 7), (1, 1))
def gcd(a, b):
    while b:
        a, b = b, a % b
    return a


@prog((0,), (3,), (10,))
def collatz(n):
    steps = 0
    while n != 1 and steps < 20:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps, n


@prog(([4, 2, 9, 1],), ([],), ([1],))
def insertion_sort(xs):
    for i in range(1, len(xs)):
        x = xs[i]
        j = i - 1
        while j >= 0 and xs[j] > x:
            xs[j + 1] = xs[j]
            j -= 1
        xs[j + 1] = x
    return xs


@prog((10,), (1,), (0,))
def sieve(n):
    marks = [True] * (n + 1)
    for i in range(2, n + 1):
        if not marks[i]:
            continue
        for j in range(i * i, n + 1, i):
            marks[j] = False
    return [i for i in range(2, n + 1) if marks[i]]


@prog(("(a[b]c)",), ("(]",), ("",), ("((",))
def brackets(text):
    stack = []
    for c in text:
        if c in "([":
            stack.append(c)
        elif c in ")]":
            if not stack:
                return False
            top = stack.pop()
            if top + c not in ("()", "[]"):
                return False
    return not stack


@prog((1, 2, 3), (3, 2, 1), (2, 2, 2))
def many_exits(a, b, c):
    for x in (a, b, c):
        if x == 1:
            for y in range(x, 4):
                if y == b:
                    return "found", y
                if y == c:
                    break
            else:
                continue
            x = 10
        elif x == 3:
            continue
        else:
            x += 1
        if x > 5:
            return "big", x
    return "end", x


@prog(({"x": 1},), ({},))
def dict_methods(d):
    d["y"] = d.get("x", 0) + 1
    d.setdefault("z", []).append(3)
    e = dict(d, w=4)
    keys = sorted(e.keys())
    d.update({"x": 5})
    for k in sorted(d):
        if k == "y":
            del e[k]
    return d, e, keys, list(e.values()), "y" in e


@prog((-3,), (4,), (0,))
def sign(x):
    assert isinstance(x, int), "an int"
    if x < 0:
        return -1
    elif x > 0:
        return 1
    else:
        return 0


@prog((3.7, 2), (-1.5, 3))
def numbers(x, n):
    import math

    return (
        math.floor(x),
        math.sqrt(n),
        x // 1,
        divmod(x, n),
        pow(2, n),
        float("inf") > x,
        1e308 * 10,
        -0.0 + x * 0,
        n / 4,
    )


@prog((5,), (0,))
def generators(n):
    total = sum(i * i for i in range(n))
    biggest = max((i % 3 for i in range(n)), default=-1)
    joined = ",".join(str(i) for i in range(n))
    return (
        total,
        biggest,
        joined,
        any([i > 3 for i in range(n)]),
        tuple(i for i in range(n)),
        sorted(-i for i in range(n)),
    )


@prog(
    (1, 2, 3),
)
def star_args(a, b, c):
    def gather(*args, **kwargs):
        return args, kwargs, len(args), sorted(kwargs)

    rest = (b, c)
    x, *y = rest
    *p, q = [a, b, c]
    return gather(a, *rest, k=a, **{"z": b}), x, y, p, q


@prog((3,))
def augmented_targets(n):
    class_like = {"a": [1, 2], "n": n}
    class_like["n"] += 5
    class_like["a"][0] *= 10
    xs = [1]
    ys = xs
    ys += [2]
    t = (1,)
    u = t
    u += (2,)
    s = "a"
    s *= n
    n **= 2
    n //= 2
    n <<= 1
    n |= 1
    return class_like, xs, ys, t, u, s, n


@prog((0,), (1,), (2,))
def errors_in_order(k):
    out = []

    def note(x):
        out.append(x)
        return x

    try_these = [lambda: note(1) + note("a"), lambda: [note(3)][note(1)], lambda: note({})["q"]]
    return try_these[k]()


@prog((3,))
def deep_nesting(n):
    r = 0
    for a in range(n):
        for b in range(a, n):
            for c in range(b, n):
                if (a + b + c) % 2:
                    if c > 1:
                        r += a * 100 + b * 10 + c
                        if r > 50:
                            break
                    else:
                        r -= 1
                else:
                    continue
    return r


@prog((0, 2), (3, 2), (1, 0))
def break_in_else_of_an_inner_loop(a, b):
    out = []
    for i in range(3):
        for x in (a, b):
            if x == i:
                break
            out.append(x)
        else:
            out.append("else")
            if a:
                break
        for k in range(b):
            if k == 1:
                break
        else:
            if i:
                break
        out.append(i)
    else:
        out.append("end")
    return out


@prog((3,), (1,), (0,))
def deletes_in_a_loop(n):
    x = n
    for i in range(n):
        if i == 2:
            print(x)
        del x
        x = i
        if i == 1:
            del x
    return x


@prog(([],), ([1],), (["a"],))
def empty_example(xs):
    for x in xs:
        x += x
    xs.append(3)
    return xs[0] * 2, x
