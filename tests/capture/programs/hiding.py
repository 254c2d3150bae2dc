"""Attributes that hide what their object's class has, and classes and modules whose members the program binds anew."""

from __future__ import annotations

import types

from specjit import nn, tensor
from specjit.jit import ignore
from tests.capture.programs.table import prog


class Counter:
    step = 1

    def __init__(self, n):
        self.n = n

    def bump(self):
        self.n += self.step
        return self.n

    @staticmethod
    def zero():
        return 0

    @classmethod
    def name(cls):
        return cls.__name__

    @property
    def twice(self):
        return self.n * 2


def hide(counter):
    counter.bump = lambda: "hidden"


@ignore
def hide_in_python(counter):
    counter.bump = lambda: "hidden"


@prog((3,), dynamic=True)
def of_a_new_object(n):
    c = Counter(n)
    before = c.bump()
    c.bump = lambda: "hidden"
    return before, c.bump(), Counter.bump(c), Counter(n).bump()


@prog((Counter(3),), dynamic=True)
def of_an_argument(c):
    before = c.bump()
    c.bump = lambda: "hidden"
    return before, c.bump()


@prog((3,), dynamic=True)
def in_a_function(n):
    c = Counter(n)
    hide(c)
    return c.bump()


@prog((3,), dynamic=True)
def in_code_that_runs_in_python(n):
    c, d = Counter(n), Counter(n)
    hide_in_python(c)
    return c.bump(), d.bump()


@prog((3,))
def not_in_python_of_an_object_that_it_never_saw(n):
    c = Counter(n)
    hide_in_python(types.ModuleType) if n < 0 else None
    return c.bump()


@prog((3,), (1,), dynamic=True)
def after_some_turns(n):
    c, out = Counter(0), []
    for i in range(n):
        out.append(c.bump())
        if i == 1:
            c.bump = lambda: "hidden"
    return out


@prog(("bump", 3), ("other", 3), dynamic=True)
def by_a_name_that_comes(name, n):
    c = Counter(n)
    setattr(c, name, lambda: "hidden")
    return c.bump()


@prog((3,), dynamic=True)
def through_the_dict(n):
    c, d, e = Counter(n), Counter(n), Counter(n)
    c.__dict__["bump"] = lambda: "hidden"
    vars(d)["bump"] = lambda: "hidden"
    e.__dict__.update(bump=lambda: "hidden", n="text")
    return c.bump(), d.bump(), e.bump(), e.n * 2


@prog((3,), dynamic=True)
def through_another_name(n):
    c = Counter(n)
    both = [c, c]
    both[0].bump = lambda: "hidden"
    return c.bump()


@prog((Counter(3), [1]), dynamic=True)
def through_a_list_of_the_caller(c, xs):
    xs.append(c)
    before = c.bump()
    xs[-1].bump = lambda: "hidden"
    return before, c.bump(), xs.pop() is c


@prog((3,), dynamic=True)
def by_the_class_of_all_objects(n):
    c = Counter(n)
    object.__setattr__(c, "bump", lambda: "hidden")
    return c.bump()


@prog((3,), dynamic=True)
def and_deleted_again(n):
    c = Counter(n)
    c.bump = lambda: "hidden"
    hidden = c.bump()
    del c.bump
    return hidden, c.bump()


@prog((3,), dynamic=True)
def static_and_class_methods_hidden(n):
    c = Counter(n)
    before = c.zero(), c.name(), c.step
    c.zero = lambda: "hidden"
    c.name = lambda: "hidden too"
    c.step = 5
    return before, c.zero(), c.name(), c.step, c.n


@prog((3,))
def a_method_hidden_by_data(n):
    c = Counter(n)
    c.bump = "data"
    return c.bump, c.n


@prog((3,))
def a_property_cannot_be_hidden(n):
    c = Counter(n)
    c.__dict__["twice"] = "hidden"
    try:
        c.twice = 1
    except AttributeError:
        c.n += 1
    return c.twice


@prog((3,), dynamic=True)
def a_method_of_the_class_bound_anew(n):
    c = Counter(n)
    bump = Counter.bump
    Counter.bump = lambda self: "anew"
    anew = c.bump(), Counter.bump(c)
    Counter.bump = bump
    return anew, c.bump()


@prog((tensor([1.0]),), (tensor([2.0]),), dynamic=True)
class HidesItsOwnMethod(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def scale(self, x):
        return x * 2

    def forward(self, x):
        y = self.scale(self.linear(x))
        self.scale = lambda x: x * 3
        y = y + self.scale(x)
        del self.scale
        return y


class Doubles:
    """Whatever it is given is kept twice."""

    def __init__(self, n):
        self.n = n

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value * 2)


@prog((3,), ("ab",))
def setattr_of_a_class(n):
    d = Doubles(n)
    d.m = n
    d.m += n
    return d.n, d.m


@prog((Doubles(1), 4))
def setattr_of_an_argument(d, n):
    d.n = n
    setattr(d, "k", [n])
    return d.n, d.k


class Text:
    def __init__(self, n):
        self.n = n

    @property
    def text(self):
        return self.n

    @text.setter
    def text(self, value):
        self.n = str(value)


@prog((Text(3), 4), (Text("a"), 4))
def a_setter_changes_the_type_of_another_attribute(t, n):
    before = t.n * 2
    t.text = n
    return before, t.n * 2, t.text


@ignore
def retype(counter):
    counter.n = "text"


@prog((Counter(3), 3), (Counter(3), 1), (Counter(1), 0))
def an_attribute_changes_its_type_in_python_in_an_earlier_turn(c, n):
    out = []
    for _ in range(n):
        out.append(c.n * 2)
        retype(c)
    return out
