"""Functions and values that programs of the table find in another module."""

from __future__ import annotations

FACTOR = 2


def scale(x, k=FACTOR):
    return x * k


def scaled(x, n):
    return x * n if n else x


def step(x, *, bias=0.0):
    y = x * 0.5
    if bias:
        y = y + bias
    return y


def both(x, y):
    return x + y, x - y


def first_divisor(n):
    for k in range(2, n):
        if n % k == 0:
            return k
    return None


def nothing(n):
    if n > 100:
        return n


def append_twice(xs, x):
    xs.append(x)
    xs.append(x)
    return xs


class nested:
    @staticmethod
    def deep(x):
        return x - 1
