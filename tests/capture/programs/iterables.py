"""`for` over everything that Python iterates."""

from __future__ import annotations

from specjit import nn, tensor
from tests.capture.programs.table import prog

VECTOR = tensor([1.0, -2.0, 3.0])
MATRIX = tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


@prog(([3, 1, 2],), ([],), (["a", 1, None],))
def over_a_list(xs):
    out = []
    for x in xs:
        out.append(x)
    return out


@prog(((1, 2.5, "x"),), ((),), ((None,),))
def over_a_tuple(t):
    out = []
    for x in t:
        out.append((x, len(out)))
    return out


@prog(({"b": 1, "a": 2},), ({},), ({1: 2},))
def over_a_dict(d):
    out = []
    for k in d:
        out.append((k, d[k]))
    return out


@prog(({"b": 1, "a": 2},), ({},))
def over_views_of_a_dict(d):
    keys, values, items = [], [], []
    for k in d.keys():
        keys.append(k)
    for v in d.values():
        values.append(v)
    for k, v in d.items():
        items.append([v, k])
    for i, (k, v) in enumerate(d.items()):
        items.append((i, k, v))
    return keys, values, items


@prog(({3, 1, 2},), (set(),))
def over_a_set(s):
    total = 0
    for x in s:
        total += x
    return total, sorted(s)


@prog(("abc",), ("",))
def over_a_string(s):
    out = ""
    for k, c in enumerate(s, 1):
        out = c * k + out
    return out


@prog((VECTOR,), (tensor([0.0]),), traced=True)
def over_a_tensor(x):
    total = x[0] * 0
    for v in x:
        total = total * 2 + v
    return total


@prog((MATRIX,), (MATRIX[:1],), traced=True)
def over_rows(x):
    last = x[0]
    rows = []
    for i, row in enumerate(x):
        rows.append(row + last * i)
        last = row
    return rows


@prog((MATRIX, VECTOR), (MATRIX[:1], VECTOR), traced=True)
def over_two_tensors(x, y):
    return [a * b for a, b in zip(x, y)]


@prog(([1, 2, 3], "ab", (4, 5, 6)), ([], "ab", ()))
def over_a_nested_zip(xs, s, t):
    out = []
    for i, ((x, c), y) in enumerate(zip(zip(xs, s), t)):
        out.append((i, x, c, y))
    for (i, x), (j, y) in zip(enumerate(xs), enumerate(t, 10)):
        out.append(i * j + x * y)
    return out


@prog(([1, 2, 3],), ([],))
def over_reversed(xs):
    out = []
    for x in reversed(xs):
        out.append(x)
    for x in reversed((1, "a")):
        out.append(x)
    for c in reversed("xyz"):
        out.append(c)
    for i in reversed(range(1, 8, 3)):
        out.append(i)
    for i, x in reversed(list(enumerate(xs))):
        out.append((i, x))
    return out


@prog(([1, 2, 3], 2), ([], 0))
def over_zip_of_ranges(xs, n):
    return [(i, j, x) for i, j, x in zip(range(n), range(10, 0, -3), xs)], list(zip(xs))


@prog(([1, 2], [3]), ([], []))
def over_a_sum_of_lists(a, b):
    out = []
    for x in a + b * 2:
        out.append(x)
    for x in [*a, 9, *b]:
        out.append(-x)
    return out


@prog((["b", "a"],), ([],))
def over_sorted_and_map(xs):
    out = []
    for x in sorted(xs):
        out.append(x)
    for x in map(str.upper, xs):
        out.append(x)
    for x in filter(None, [*xs, ""]):
        out.append(x)
    for x in set(xs):
        out.append(len(x))
    return out


@prog(([[1, 2], [3], []],))
def over_lists_in_a_list(rows):
    out = []
    for i, row in enumerate(rows):
        for j, x in enumerate(row):
            out.append((i, j, x))
        row.append(i)
    return out


@prog(([(1, (2, 3)), (4, (5, 6))],))
def over_nested_tuples(pairs):
    total = 0
    for a, (b, c) in pairs:
        total += a * b - c
    for first, *rest in [(1, 2, 3), (4,)]:
        total += first * len(rest)
    return total


@prog((4,), (0,))
def targets_that_are_no_names(n):
    xs = [0, 0]
    d = {}
    for xs[0] in range(n):
        xs[1] += xs[0]
    for d["k"], xs[1] in [(1, 2), (3, 4)]:
        pass
    return xs, d


@prog((1,), (7,))
def over_what_cannot_be_iterated(n):
    for x in n:
        return x


@prog(([1, 2],), ([1, 2, 3],))
def rows_of_another_length(row):
    out = []
    for a, b in [(0, 0), row]:
        out.append(a + b)
    return out


@prog((3,), (0,))
def over_an_iterator(n):
    it = iter(range(n))
    out = [next(it, "none")]
    for x in it:
        out.append(x)
    return out, next(it, None)


@prog(({"a": 1, "b": 2},))
def dict_changes_size_while_iterated(d):
    for k in d:
        d[k + "x"] = 1
    return d


@prog(({"a": 1, "b": 2},))
def dict_values_change_while_iterated(d):
    for k in d:
        d[k] *= 10
    for k in list(d):
        if k == "a":
            del d[k]
    return d


@prog(([1, 2, 3, 4],))
def list_shrinks_while_iterated(xs):
    seen = []
    for x in xs:
        seen.append(x)
        if x % 2:
            xs.remove(x)
    return seen, xs


@prog((VECTOR, 2), (VECTOR, 0), traced=True)
class ListOfModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Identity(), nn.Linear(3, 3)])

    def forward(self, x, n):
        for layer in self.layers:
            x = layer(x)
        for i, layer in enumerate(self.layers):
            if i == n:
                x = x + layer(x)
        for layer in reversed(self.layers):
            x = layer(x)
        for layer in self.layers[1:]:
            x = layer(x)
        return x, len(self.layers)


@prog((VECTOR,), (VECTOR * 2,), traced=True)
class DictOfModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"first": nn.Linear(3, 3), "second": nn.Identity()})

    def forward(self, x):
        names = []
        for name, part in self.parts.items():
            x = part(x)
            names.append(name)
        for name in self.parts:
            names.append(name)
        for part in self.parts.values():
            x = x + part(x)
        return self.parts["second"](x), names, "first" in self.parts, len(self.parts)


@prog((VECTOR,), traced=True)
class SequentialOfModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 3))

    def forward(self, x):
        y = self.body(x)
        for part in self.body:
            x = part(x)
        return x - y, self.body[0](x), len(self.body)


@prog((VECTOR,), traced=True)
class ZipOfModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.v, self.w = nn.Parameter(VECTOR * 1), nn.Parameter(VECTOR * 2)

    def forward(self, x):
        for (i, a), w in zip(enumerate(self.a), (self.v, self.w)):
            x = a(x) * w + i
        return x


@prog(([1, 2, 3],), ([],))
def iterators_run_out(xs):
    pairs, numbered, doubled = zip(xs, xs), enumerate(xs), map(lambda x: x * 2, xs)
    first = list(pairs), list(pairs), list(numbered), list(numbered), list(doubled), list(doubled)
    back, span = reversed(xs), range(2)
    held = (zip(xs, "ab"), 1)
    return first, list(back), list(back), list(span), list(span), [*held[0]], [*held[0]], twice_over(zip(xs, xs))


def twice_over(items):
    return list(items), list(items)


@prog(([1, 2],), ([],))
def numbers_a_zip_of_a_map(xs):
    out = []
    for i, (x, text) in enumerate(zip(xs, map(str, xs))):
        out.append((i, x, text))
    return out
