"""Variables of other functions and of the module: `nonlocal`, `global`, `del` of attributes and items."""

from __future__ import annotations

from tests.capture.programs.table import prog

COUNT = 0


@prog((3,), (0,))
def counts_nonlocally(n):
    total = 0

    def add(k):
        nonlocal total
        total += k
        return total

    seen = [add(k) for k in range(n)]
    total = total * 10
    return seen, total, add(1)


@prog((0,), (1,))
def nonlocal_without_a_value(k):
    def bind():
        nonlocal x
        x = 5

    if k:
        bind()
    x = x + 1  # noqa: F821
    return x


@prog((4,), (0,))
def two_closures_share(n):
    last, turns = None, 0

    def remember(v):
        nonlocal last, turns
        last, before = v, last
        turns += 1
        return before

    def forget():
        nonlocal last
        last = None

    out = []
    for i in range(n):
        out.append(remember(i))
        if i == 2:
            forget()
    return out, last, turns


@prog((2,), (5,))
def counts_globally(n):
    global COUNT
    COUNT = 0
    for _ in range(n):
        COUNT += 1
    return COUNT, reads_the_count()


def reads_the_count():
    return COUNT * 2


@prog((0,), (2,))
def global_in_a_handler(k):
    global COUNT
    try:
        COUNT = 7
        COUNT = 10 // k
    except ZeroDivisionError:
        return "failed", COUNT
    return "fine", COUNT


class Box:
    def __init__(self):
        self.a = 1
        self.b = 2

    def __deepcopy__(self, memo):
        return Box()

    def __repr__(self):
        return f"Box{sorted(vars(self))}"


@prog((Box(), 0), (Box(), 1))
def deletes_attributes(box, k):
    del box.a
    if k:
        del box.a
    return hasattr(box, "a"), box


@prog(([1, 2, 3], 0), ([1], 5))
def deletes_items_and_names(xs, i):
    y = xs
    del xs[i], y
    try:
        return y  # noqa: F821
    except UnboundLocalError as error:
        return str(error), xs


@prog((3,), (0,))
def nonlocal_changed_in_a_loop(n):
    total, last = 1, None

    def double():
        nonlocal total
        total *= 2

    for k in range(n):
        total += k
        last = k
    while total < 5:
        total = total + 1
    before = total
    double()
    return before, total, last


@prog((3,), (0,))
def nonlocal_of_a_function_that_is_never_made(n):
    for k in range(n):
        n += k
    if False:

        def unused():
            nonlocal n
            n = 0

    return n


@prog((3,), (0,))
def nonlocal_and_try(n):
    state = "start"

    def step(k):
        nonlocal state
        state = f"step {k}"
        return 10 // k

    try:
        step(2)
        step(n)
    except ZeroDivisionError:
        return "failed in", state
    return "done", state


@prog((3,))
def comprehension_variable_is_its_own(n):
    x = "outer"
    try:
        ys = [x * 2 for x in range(n)]
        raise ValueError(ys)
    except ValueError as error:
        return x, error.args
