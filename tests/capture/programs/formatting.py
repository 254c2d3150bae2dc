"""Text made from values: f-strings with specs, `%`, `.format`, `format`, `print`."""

# ruff: noqa: UP030, UP031, UP032, F524
from __future__ import annotations

from specjit import tensor
from tests.capture.programs.table import prog


@prog((42,), (-7,), (0,), (10**12,))
def integer_specs(n):
    return (
        f"{n:d}|{n:5}|{n:<5}|{n:^5}|{n:05}|{n:+}|{n: }|{n:,}|{n:_}|{n:b}|{n:o}|{n:x}|{n:#X}|{n:e}|{n:%}|{n:c}"
        if n > 0
        else f"{n:=+8}"
    )


@prog((3.14159,), (-0.5,), (1e10,), (float("nan"),), (float("inf"),))
def float_specs(x):
    return f"{x}|{x:.2f}|{x:8.3f}|{x:<9.1e}|{x:g}|{x:+.0f}|{x:010.4f}|{x:,.2f}|{x:.1%}|{x:>+12}|{x:#.3g}"


@prog(("ab",), ("",), ("toolong",))
def string_specs(s):
    return f"{s}|{s:>5}|{s:<5}|{s:^5}|{s:*^7}|{s:.1}|{s:5.1}|{s!r}|{s!s:>4}|{s!a}"


@prog((3.14159, 8, 3, ">"), (-2.5, 4, 0, "<"))
def specs_from_values(x, width, digits, align):
    return f"{x:{width}.{digits}f}|{x:{align}{width}}|{'t':{align}{width}}|{width:0{digits + 2}}"


@prog((1, "a"), ([1], {"k": 2}), (None, True), ((1,), 2.5))
def shows_its_expression(a, b):
    return f"{a=} {b=!r} {a = } {(a, b)=} {len([a, b])=:3}"


@prog((2, [1, 2]), (0, [5]))
def expressions_inside(n, xs):
    return f"{n + 1} {xs[0] * 2} {', '.join(str(x) for x in xs)} {'yes' if n else 'no'} {xs!r:>8} {{literal}} {f'{n}!'}"


@prog((1, "x"), ("s", 2), ([], None))
def percent_formatting(a, b):
    return "%s and %s" % (a, b), "%r-%5s|%-5s|" % (a, b, b), "%s" % [a], "100%% %s" % (a,), "%(k)s" % {"k": b}


@prog((42, 3.7), (-1, 0.0))
def percent_numbers(n, x):
    return "%d %i %5d %05d %+d %x %o %c" % (n, x, n, n, n, abs(n), 8, 65), "%f %.2f %8.1f %e %g" % (x, x, x, x, x)


@prog((1,), ("a",), ((1, 2),))
def percent_with_one_argument(x):
    return "<%s>" % x


@prog(("a",), ((1, 2),))
def percent_that_fails(x):
    return "%d" % x


@prog((1, "x"), (2.5, None))
def format_method(a, b):
    return (
        "{} {}".format(a, b),
        "{1} {0} {1}".format(a, b),
        "{x}-{y:>4}".format(x=a, y=str(b)),
        "{:>5}|{!r:<6}|{:{w}}".format(a, b, "t", w=3),
        "{0[1]} {1.real}".format([a, b], 5),
        "{{}}".format(),
    )


@prog((1,), ("a",))
def format_method_that_fails(a):
    return "{} {}".format(a)


@prog((255, "04x"), (2.5, ".3f"), ("t", ">3"), ("t", "d"))
def format_builtin(x, spec):
    return format(x, spec), format(x)


@prog(([1, "a", None], {"k": (1, 2.0)}), ([], {}))
def texts_of_containers(xs, d):
    return str(xs), repr(d), f"{xs} {d}", "{}".format(d), str((1,)), str({1}), f"{xs!r:.4}"


@prog((tensor([1.0, 2.5]),), (tensor(3),), traced=True)
def texts_of_tensors(x):
    return f"{x}", str(x.shape), f"{x.sum().item():.1f}", repr(x.dtype), f"{x.shape[0] if x.shape else 0:>3}"


@prog((3,), (0,))
def prints_in_order(n):
    print("start", n)
    for i in range(n):
        print(i, end=" " if i % 2 else "\n")
    print(*range(n), sep=",")
    print("a", 1, None, [2], sep="|", end="!\n")
    print()
    return print("done")


@prog((tensor([1.0, 2.0]),), (tensor([3.0]),))
def prints_tensors_between_writes(x):
    print(x)
    x += 1
    print(f"then {x.tolist()}")
    y = x * 2
    print(y.sum().item(), y.shape)
    return y


@prog((1,), (0,))
def prints_before_an_error(n):
    print("before")
    r = 1 // n
    print("after", r)


@prog((3,))
def multi_line_texts(n):
    return (
        f"""first {n}
  second {n * 2:>3}
"""
        "joined "
        f"{n}"
        "and"
        r"\raw {n}"
    )
