"""User classes: made, called, changed; properties, static and class methods, magic methods, inheritance, super."""

from __future__ import annotations

import abc

from specjit import tensor
from tests.capture.programs.table import prog


class Account:
    rate = 2
    opened = 0

    def __init__(self, owner, amount=0):
        self.owner = owner
        self.amount = amount
        self.log = []

    def pay(self, n):
        self.amount += n
        self.log.append(("pay", n))
        return self

    def take(self, n):
        if n > self.amount:
            raise ValueError(f"{self.owner} has only {self.amount}")
        self.amount -= n
        self.log.append(("take", n))

    @property
    def interest(self):
        return self.amount * self.rate / 100

    @property
    def half(self):
        return self.amount // 2

    @half.setter
    def half(self, value):
        self.amount = value * 2

    @staticmethod
    def fee(n):
        return n // 10

    @classmethod
    def named(cls, owner):
        return cls(owner, cls.rate)

    @classmethod
    def count(cls):
        return cls.opened + 1


class Savings(Account):
    rate = 5

    def __init__(self, owner, amount=0, *, bonus=1):
        super().__init__(owner, amount + bonus)
        self.bonus = bonus

    def pay(self, n):
        super().pay(n)
        self.log.append("saved")
        return self

    @property
    def interest(self):
        return super().interest + self.bonus

    @classmethod
    def count(cls):
        return super().count() * 10


class Gold(Savings):
    def pay(self, n):
        return super().pay(n * 2)


class Vector:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def __sub__(self, other):
        return Vector(self.x - other.x, self.y - other.y)

    def __mul__(self, k):
        return Vector(self.x * k, self.y * k) if isinstance(k, (int, float)) else self.x * k.x + self.y * k.y

    __rmul__ = __mul__

    def __neg__(self):
        return Vector(-self.x, -self.y)

    def __eq__(self, other):
        return isinstance(other, Vector) and (self.x, self.y) == (other.x, other.y)

    def __lt__(self, other):
        return self.x < other.x

    def __hash__(self):
        return hash((self.x, self.y))

    def __bool__(self):
        return bool(self.x or self.y)

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return (self.x, self.y)[i]

    def __setitem__(self, i, value):
        if i:
            self.y = value
        else:
            self.x = value

    def __contains__(self, value):
        return value in (self.x, self.y)

    def __iter__(self):
        return iter((self.x, self.y))

    def __call__(self, t):
        return self.x + self.y * t

    def __repr__(self):
        return f"<{self.x}, {self.y}>"

    def __str__(self):
        return f"({self.x};{self.y})"

    def __abs__(self):
        return abs(self.x) + abs(self.y)

    def __iadd__(self, other):
        self.x += other.x
        self.y += other.y
        return self


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

    def describe(self):
        return f"{type(self).__name__} of {self.area()}"


class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2


class Circle(Shape):
    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return 3 * self.radius**2


class Node:
    __slots__ = ("next", "value")

    def __init__(self, value, next=None):
        self.value = value
        self.next = next


class Dynamic:
    def __init__(self):
        self.known = 1

    def __getattr__(self, name):
        if name.startswith(("no", "__")):
            raise AttributeError(f"nothing called {name}")
        return f"made {name}"


@prog((5, 3), (0, 0))
def makes_and_calls(a, b):
    account = Account("ann", a)
    account.pay(b).pay(1)
    return account.amount, account.log, account.owner, account.rate, account


@prog((5, 3), (1, 3))
def method_raises(a, b):
    account = Account("bob", a)
    account.take(b)
    return account.amount


@prog((Account("eve", 10), 3), (Account("eve", 1), 3))
def changes_an_argument(account, n):
    account.take(n)
    account.owner = account.owner.upper()
    account.extra = [n]
    return account.amount


@prog((10,), (7,))
def properties(n):
    a = Account("x", n)
    before = a.interest, a.half
    a.half = 50
    a.half += 1
    return before, a.interest, a.half, a.amount


@prog((Account("x", 1),))
def property_without_setter(a):
    a.interest = 3
    return a


@prog((95,), (0,))
def static_and_class_methods(n):
    a = Account.named("new")
    s = Savings.named("new")
    return (
        Account.fee(n),
        a.fee(n),
        a.amount,
        s.amount,
        s.bonus,
        Account.count(),
        Savings.count(),
        s.count(),
        type(s).__name__,
    )


@prog((10,), (0,))
def inheritance(n):
    s = Savings("s", n, bonus=2)
    s.pay(n)
    g = Gold("g")
    g.pay(n)
    return s.amount, s.interest, s.log, g.amount, g.log, g.interest, isinstance(g, Account), issubclass(Gold, Savings)


@prog((Account("a", 5),), (Savings("b", 5),), (Gold("c", 5),))
def dispatches_on_the_class(account):
    account.pay(10)
    return account.amount, account.interest, account.log


@prog(([Square(2), Circle(1), Square(3)],), ([],), dynamic=True)
def different_classes_in_a_list(shapes):
    return [s.describe() for s in shapes], sum(s.area() for s in shapes), [isinstance(s, Square) for s in shapes]


@prog((Vector(1, 2), Vector(3, 4)), (Vector(0, 0), Vector(0, 0)))
def operators_of_a_class(v, w):
    r = [v + w, v - w, v * 2, 3 * v, v * w, -v, abs(v)]
    v += w
    return r, v, v == w, v != w, v < w, w > v


@prog((Vector(1, 2),), (Vector(0, 0),))
def a_class_as_a_container(v):
    v[1] = 7
    x, y = v
    return (
        v[0],
        v[-1],
        len(v),
        7 in v,
        list(v),
        x * y,
        v(10),
        "true" if v else "false",
        [a for a in v],
        str(v),
        f"{v!r} {v}",
    )


@prog((Vector(1, 2), Vector(1, 2)))
def instances_as_keys(v, w):
    d = {v: "v"}
    d[w] = "w"
    return len(d), d[v], {v, w} == {w}, v in d, sorted([Vector(3, 0), v])[0].x


@prog((Vector(1, 2), 3), (Vector(1, 2), None))
def operator_that_a_class_lacks(v, n):
    return v + n


@prog((4,), (0,))
def linked_list(n):
    head = None
    for i in range(n):
        head = Node(i, head)
    total, length, node = 0, 0, head
    while node is not None:
        total += node.value
        length += 1
        node = node.next
    return total, length, head.next.value if n > 1 else None


@prog(([5, 2, 8, 1],), ([],))
def binary_tree(xs):
    root = None
    for x in xs:
        if root is None:
            root = Node((x, None), None)
            continue
        node = root
        while node.next is not None:
            node = node.next
        node.next = Node((x, node.value[0]))
    out, node = [], root
    while node:
        out.append(node.value)
        node = node.next
    return out


@prog((Dynamic(), 1), (Dynamic(), 0), opaque=True)
def getattr_of_a_class(d, n):
    return d.known, d.other, d.nothing if n else "fine", hasattr(d, "nope")


@prog((3,))
def classes_as_values(n):
    cls = Savings if n > 2 else Account
    made = [c("k", n) for c in (Account, cls)]
    return [m.amount for m in made], cls.__name__, cls is Savings, cls.rate, type(made[1]) is cls


@prog((3,), (0,))
def class_attributes(n):
    a, b = Account("a"), Account("b")
    a.rate = n
    return a.rate, b.rate, Account.rate, "rate" in vars(a), a.__class__.__name__, Account.__mro__[0].__name__


@prog((tensor([1.0, 2.0]), 2), (tensor([1.0, 2.0]), 0), dynamic=True, traced=True)
def tensors_in_instances(x, n):
    v = Vector(x, x * 2)
    for _ in range(n):
        v = v + Vector(x, v.x * v.y)
        v.x = v.x * 0.5
    return v.x, v.y, v(3)


@prog(
    (Vector(tensor([1.0]), tensor([2.0])), tensor([3.0])),
)
def tensor_fields_of_an_argument(v, x):
    v.x += x
    v.y = v.x * v.y
    return v.x + v.y


@prog((2,), (0,))
def exceptions_of_the_user(n):
    class_name = []
    try:
        if n:
            raise Broke("too much", n)
        raise Fatal("all")
    except Broke as error:
        class_name.append((type(error).__name__, error.amount, str(error)))
    except Fatal as error:
        class_name.append(error.args)
    return class_name


class Broke(ValueError):
    def __init__(self, text, amount):
        super().__init__(text)
        self.amount = amount


class Fatal(Broke):
    def __init__(self, text):
        super().__init__(text, -1)


@prog((3,), dynamic=True)
def instance_methods_as_values(n):
    account = Account("m", n)
    pay, fee = account.pay, Account.fee
    pay(2)
    later = [account.pay, account.pay]
    for f in later:
        f(n)
    return account.amount, fee(50), Account.pay(account, 1) is account


@prog((Account("a", 3), Account("b", 4)))
def objects_share(a, b):
    pair = [a, b, a]
    pair[0].amount += 10
    b.log = a.log
    b.log.append("shared")
    a.friend = b
    return pair[2].amount, a.friend is b, a is not b, pair
