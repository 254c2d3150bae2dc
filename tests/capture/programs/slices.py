"""Subscripts: indices and slices with steps on lists, tuples, strings, ranges and tensors."""

from __future__ import annotations

import specjit
from specjit import tensor
from tests.capture.programs.table import prog

GRID = specjit.arange(24, dtype=specjit.float32).reshape(2, 3, 4)


@prog(([0, 1, 2, 3, 4, 5], 1, 4, 2), ([0, 1, 2, 3, 4, 5], 4, 1, -1), ([0, 1, 2], -9, 9, 3), ([], 0, 5, 1))
def slices_of_lists(xs, a, b, c):
    return xs[a:b:c], xs[a:], xs[:b], xs[::c], xs[::-1], xs[-2:], xs[:-2], xs[a:b], xs[5:2], xs[:]


@prog(((0, 1, 2, 3, 4, 5), 1, 4, 2), ((0, 1, 2), 2, 0, -1), ((), 0, 1, 1))
def slices_of_tuples(xs, a, b, c):
    return xs[a:b:c], xs[a:], xs[:b], xs[::c], xs[::-1], xs[-2:], xs[:-2], xs[1:3] + xs[:1]


@prog(("abcdef", 1, 4, 2), ("abc", 2, 0, -1), ("", 0, 1, 1))
def slices_of_strings(s, a, b, c):
    return s[a:b:c], s[a:], s[:b], s[::c], s[::-1], s[-2:], s[:-2], s[1:3] + s[:1]


@prog((10, 1, 8, 3), (10, 8, 1, -2), (0, 0, 1, 1))
def slices_of_ranges(n, a, b, c):
    r = range(n)[a:b:c]
    return r, list(r), len(r), a in r, r[-1] if len(r) else None, range(2, n)[1:3]


@prog(([1, 2, 3], 0), ([1, 2, 3], -1), ([1, 2, 3], 3), ([1, 2, 3], -4))
def indexes_lists(xs, i):
    return xs[i], [xs, xs][0][i], (xs[i],)


@prog(((1, "a", None), 0), ((1, "a", None), -1), ((1, "a"), 2))
def indexes_tuples(t, i):
    return t[i], t[0], (t, i)[1]


@prog(("abc", 1), ("abc", -3), ("abc", 3))
def indexes_strings(s, i):
    return s[i], s[i][0][0]


@prog(([1, 2], "a"), ([1, 2], 1.0), ((1, 2), None))
def index_of_the_wrong_type(xs, i):
    return xs[i]


@prog(({"a": 1}, "a"), ({"a": 1}, "b"), ({1: {2: 3}}, 1))
def indexes_dicts(d, k):
    return d[k]


@prog(([1, 2, 3, 4], 0))
def slice_with_a_zero_step(xs, c):
    return xs[::c]


@prog(([1, 2, 3, 4], slice(1, 3)), ([1, 2, 3, 4], slice(None, None, -1)))
def slice_objects(xs, s):
    return xs[s], xs[slice(1, None)], s.start, s.stop, s.step


@prog(([True, False],), ([False, True, True],))
def bools_index(xs):
    return [[10, 20][x] for x in xs], "ab"[xs[0]]


@prog((GRID,), traced=True)
def slices_of_tensors(x):
    return x[0], x[-1], x[0, 1], x[0, 1, 2], x[:, 1], x[..., 0], x[:, :, 1:3], x[:, ::2], x[1:], x[:-1, -1], x[..., -2:]


@prog((GRID, 1), (GRID, -2), (GRID, 0), traced=True)
def tensor_index_that_varies(x, i):
    return x[i], x[:, i], x[0, i, i], x[:, :, i], x[..., i:]


@prog((GRID, 0, 2), (GRID, 1, 3), (GRID, 2, 1), (GRID, -3, 9), traced=True)
def tensor_slice_that_varies(x, a, b):
    return x[:, a:b], x[..., a:b].shape, x[:, a:b].sum(), x[:, a:], x[:, :b]


@prog((GRID, 5), (GRID, -3))
def tensor_index_out_of_range(x, i):
    return x[i]


@prog((GRID, 2), (GRID, -1))
def tensor_slice_with_a_step(x, c):
    return x[:, ::c]


@prog((GRID,), traced=True)
def new_dimensions(x):
    return x[None].shape, x[:, None].shape, x[..., None].shape, x[0, None, :, None].shape, x[None, 0]


@prog((GRID, tensor([0, 2])), (GRID, tensor([-1, 0])), traced=True)
def tensor_indexes(x, i):
    return x[:, i], x[0, i], x[..., i], x[0][i, i]


@prog((GRID,), traced=True)
def masks(x):
    return x * (x > 5), specjit.where(x > 5, x, -x), (x > 5).sum()


@prog((GRID,), traced=True)
def boolean_mask(x):
    return x[x > 5], x[0][x[0] > 100]


@prog((GRID,), (GRID * 2,), traced=True)
def list_index(x):
    return x[[0, 1]], x[:, [0, 2]]


@prog(([GRID, GRID + 1], 1), ([GRID], -1), traced=True)
def indexes_a_list_of_tensors(xs, i):
    return xs[i][0, 0], xs[i:][0].shape


@prog((GRID,))
def too_many_indices(x):
    return x[0, 0, 0, 0]


@prog(([[1, 2], [3, 4]], 0, 1), ([[1, 2], [3]], 1, 1))
def indexes_twice(rows, i, j):
    return rows[i][j], rows[-1][0], [r[0] for r in rows], rows[i : j + 1]


@prog(([5, 3, 9, 1],), ([],), ([1],))
def bubble_sort(xs):
    for i in range(len(xs)):
        for j in range(len(xs) - 1 - i):
            if xs[j] > xs[j + 1]:
                xs[j], xs[j + 1] = xs[j + 1], xs[j]
    return xs


@prog(([1, 3, 5, 7, 9], 5), ([1, 3, 5, 7, 9], 4), ([], 1))
def binary_search(xs, t):
    low, high = 0, len(xs) - 1
    while low <= high:
        mid = (low + high) // 2
        if xs[mid] == t:
            return mid
        if xs[mid] < t:
            low = mid + 1
        else:
            high = mid - 1
    return -1


@prog(("kitten", "sitting"), ("", "abc"), ("same", "same"))
def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        before, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            before, row[j + 1] = row[j + 1], min(row[j] + 1, row[j + 1] + 1, before + (x != y))
    return row[-1]


@prog(([[1, 2], [3, 4]], [[0, 1], [1, 0]]), ([[1]], [[2]]))
def matrix_product_of_lists(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]
