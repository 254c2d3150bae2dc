"""Lists, tuples, dicts, comprehensions and iterators."""

from __future__ import annotations

from tests.capture.programs.table import prog


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


@prog(([],), ([1],), (["a"],))
def empty_example(xs):
    for x in xs:
        x += x
    xs.append(3)
    return xs[0] * 2, x


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


@prog((3, "ab"), (0, ""))
def zips(n, s):
    out = []
    for i, (a, b) in enumerate(zip(range(n), s), 5):
        out.append((i, a, b))
    return out, [x for x in zip((1, 2), (3, 4))]


@prog(
    ([5, 3, 8],),
)
def sort_key(xs):
    return sorted(xs, key=lambda v: -v), max(xs, key=lambda v: v % 5), sum(x for x in xs)


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
    (3,),
)
def comp_scopes(n):
    x = 7
    ys = [x * n for x in range(n)]
    zs = [[i + j for j in range(i)] for i in range(n)]
    ws = [(a, b) for a in range(n) if a for b in range(a)]
    s = {k % 2 for k in range(n)}
    return x, ys, zs, ws, s


@prog(
    ((1, (2, 3)),),
)
def unpacking(t):
    a, (b, c) = t
    (d, e), f = t[1], t[0]
    x = y = a + b
    x, y = y + 1, x
    return a, b, c, d, e, f, x, y


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


@prog(({"a": 1, "b": 2},), ({},))
def dicts(d):
    out = {}
    for k in d:
        out[k] = d[k] + 1
    for k, v in d.items():
        out[k + "!"] = v
    e = {k: v for k, v in out.items() if v > 1}
    return out, e, d.get("a", 7), "a" in d, len(d), list(d)


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
