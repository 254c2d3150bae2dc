"""Methods and operators of lists, tuples, dicts and sets."""

from __future__ import annotations

from specjit import tensor
from tests.capture.programs.table import prog


@prog(([3, 1, 2],), ([],))
def list_methods_each(xs):
    xs.append(5)
    xs.extend((7, 8))
    xs.insert(1, 9)
    xs.insert(-100, 0)
    a, b = xs.pop(), xs.pop(0)
    xs.remove(9)
    c = xs.index(5), xs.count(5), len(xs)
    xs.sort()
    ys = xs.copy()
    xs.sort(reverse=True)
    xs.sort(key=lambda v: v % 3)
    xs.reverse()
    zs = ys[:]
    zs.clear()
    return a, b, c, ys, zs, xs.append(1)


@prog(([],), ([1],))
def pops_from_a_list(xs):
    return xs.pop(), xs.pop()


@prog(([1, 2], 3), ([1, 2], 2))
def removes_from_a_list(xs, x):
    xs.remove(x)
    return xs.index(x)


@prog(([1, "a"],), ([2, 1],))
def sorts_what_cannot_be(xs):
    xs.sort()
    return xs


@prog(([1, 2], [3]), ([], []))
def list_operators(a, b):
    c = a + b
    d = a * 2
    e = 2 * b
    a += b
    b *= 3
    return a, b, c, d, e, a == c, a < b, [a] == [c], a is not c


@prog((2,), (0,))
def lists_share_their_rows(n):
    rows = [[0] * 2] * n
    own = [[0] * 2 for _ in range(n)]
    for i in range(n):
        rows[i][0] += 1
        own[i][0] += 1
    return rows, own


@prog(((1, 2, 2),), ((),), (("a",),))
def tuple_methods(t):
    return t.count(2), t + (3,), t * 2, 2 in t, t == (1, 2, 2), t < (2,), len(t), t[::-1], (*t, *t)


@prog(((1, 2), 5), ((1, 2), 2))
def index_in_a_tuple(t, x):
    return t.index(x)


@prog(((1, 2),))
def tuples_do_not_change(t):
    t[0] = 3
    return t


@prog(({"a": 1, "b": 2},), ({},))
def dict_reads(d):
    return (
        [d.get("a"), d.get("z"), d.get("z", 9), "a" in d, "z" not in d, len(d), bool(d)],
        [list(d), list(d.keys()), list(d.values()), list(d.items()), sorted(d), [*d], {**d}],
        [dict(d), dict(x=1), dict([("k", 2)]), dict(d, z=3), d.copy() == d, {} == d],
        [max(d, default=None), [k for k in reversed(d)], dict(zip("ab", range(2)))],
    )


@prog(({"a": 1, "b": 2},), ({"a": 5},))
def dict_writes(d):
    d["c"] = 3
    d["a"] += 10
    d.update({"b": 7, "e": 8})
    d.update(f=9)
    d.update([("g", 10)])
    a = d.setdefault("a", 0), d.setdefault("h", [])
    d["h"].append(1)
    b = d.pop("a"), d.pop("zz", None)
    c = d.popitem()
    del d["c"]
    e = d | {"m": 1}
    d |= {"n": 2}
    return a, b, c, e


@prog(({},), ({"a": 1},))
def dict_key_missing(d):
    x = d.pop("a")
    return x, d["a"]


@prog(({},), ({"a": 1},))
def pops_an_item(d):
    item = d.popitem()
    d.clear()
    return item, d


@prog(({"a": [1], "b": []},))
def dict_of_lists(d):
    for k, v in d.items():
        v.append(k)
    d["a"].extend(d["b"])
    first = d["a"]
    d["c"] = first
    first += [9]
    return d["c"] is d["a"]


@prog(({1: "i", 2.5: "f", "s": 1, (1, 2): "t", None: "n"},))
def keys_of_every_type(d):
    out = [d[1], d[2.5], d["s"], d[1, 2], d[None], d[True], len(d)]
    d[1.0] = "same as 1"
    return out, d[1]


@prog(([1],), ({},))
def unhashable_key(k):
    return {k: 1}


@prog(([("a", 1), ("b", 2), ("a", 3)],), ([],))
def groups(pairs):
    out = {}
    for k, v in pairs:
        if k not in out:
            out[k] = []
        out[k].append(v)
    inverse = {tuple(v): k for k, v in out.items()}
    return out, inverse


@prog(({1, 2, 3}, {2, 3, 4}), (set(), {1}), ({1}, {1}))
def set_operators(a, b):
    return a | b, a & b, a - b, a ^ b, a <= b, a < b, a >= b, a == b, a != b, 2 in a, len(a), a.isdisjoint(b)


@prog(({1, 2, 3}, {2, 3, 4}), (set(), {1}))
def set_methods(a, b):
    c = a.union(b), a.intersection(b), a.difference(b), a.symmetric_difference(b), a.issubset(b), a.issuperset(b)
    a.add(9)
    a.discard(1)
    a.discard(100)
    a.update(b, [7])
    d = a.copy()
    a -= {7}
    a |= {8}
    a &= {8, 9, 2}
    a ^= {2}
    d.clear()
    b.intersection_update({3})
    return c, d, sorted(a)


@prog(({1},), (set(),))
def set_key_missing(s):
    s.remove(1)
    x = s.pop() if s else "empty"
    s.remove(1)
    return x


@prog(([3, 1, 3, 2, 1],), ([],))
def removes_duplicates(xs):
    seen, out = set(), []
    for x in xs:
        if x not in seen:
            seen.add(x)
            out.append(x)
    return out, len(seen), frozenset(xs) == seen


@prog((3,), (0,))
def nested_containers(n):
    tree = {"rows": [(i, {"k": [i]}) for i in range(n)], "n": n}
    for i, d in tree["rows"]:
        d["k"].append(i * 2)
    if n:
        tree["rows"][0][1]["k"][0] = "changed"
    return tree


@prog(([5, 2, 8], 3), ([], 1))
def stack_and_queue(xs, n):
    queue, out = xs[:], []
    while queue and len(out) < n:
        out.append(queue.pop(0))
    stack = []
    for x in xs:
        while stack and stack[-1] > x:
            stack.pop()
        stack.append(x)
    return out, queue, stack


@prog(({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, "a"), ({"x": []}, "x"))
def breadth_first(graph, start):
    seen, frontier, order = {start}, [start], []
    while frontier:
        node = frontier.pop(0)
        order.append(node)
        for other in graph[node]:
            if other not in seen:
                seen.add(other)
                frontier.append(other)
    return order


@prog(([tensor([1.0]), tensor([2.0])],), ([tensor([5.0])],))
def lists_of_tensors(xs):
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    xs.append(total)
    xs[0] = xs[0] * 10
    return xs[::-1], len(xs)


@prog(({"x": tensor([1.0]), "y": tensor([2.0])},))
def dicts_of_tensors(d):
    d["z"] = d["x"] + d["y"]
    d["x"] += 1
    return {k: v * 2 for k, v in d.items()}, sum(d.values())


@prog(((tensor([1.0]), [tensor([2.0]), {"k": tensor([3.0])}]),))
def nested_tensors(t):
    a, (b, d) = t
    d["k"] = d["k"] * a
    return [a, (b + d["k"],)], t[1][1]["k"]


@prog(({"a": 1}, {"b": 2}), ({}, {"a": 3}))
def merges_dicts(a, b):
    return {**a, **b, "c": 1}, {**b, "a": 0, **a}, a | b, [*a, *b], {*a, *b} == set(a) | set(b)
