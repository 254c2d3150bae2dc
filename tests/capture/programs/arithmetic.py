"""Numbers: ints of any size, floats, bools, complex; every operator, and the errors of each."""

from __future__ import annotations

import cmath
import math

from tests.capture.programs.table import prog


@prog((7, 3), (-7, 3), (7, -3), (-7, -3), (6, 3), (0, 5))
def floor_division_and_modulo(a, b):
    return a // b, a % b, divmod(a, b), a // b * b + a % b == a, -a // b, -(a // b), int(a / b)


@prog((7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (-0.0, 2.0), (float("inf"), 2.0), (1.0, float("inf")))
def floor_division_of_floats(a, b):
    return a // b, a % b, divmod(a, b), a / b, math.fmod(a, b)


@prog((1, 0), (1.0, 0.0), (1, 0.0), (True, False))
def division_by_zero(a, b):
    return a / b


@prog((1, 0), (1.0, 0.0))
def floor_division_by_zero(a, b):
    return a // b


@prog((1, 0), (1.0, 0.0))
def modulo_by_zero(a, b):
    return a % b


@prog((0, -1), (0.0, -2), (2, -2), (2, 0.5), (-8, 2), (2, 100), (10, 400))
def powers(a, b):
    return a**b


@prog((10.0, 400), (-8.0, 0.5))
def powers_of_floats(a, b):
    return a**b


@prog((2**62, 2**62), (2**63 - 1, 1), (-(2**63), -1), (3**50, 7))
def ints_beyond_64_bits(a, b):
    return a + b, a - b, a * b, a // b, a % b, -a, abs(a), a << 3, a >> 3, a & b, a | b, a ^ b, ~a, a > b, float(a)


@prog((30,), (70,), (0,))
def factorial(n):
    r = 1
    for i in range(1, n + 1):
        r *= i
    return r, math.factorial(n) == r, r.bit_length(), len(str(r))


@prog((90,), (200,), (1,))
def fibonacci_grows_big(n):
    a, b = 0, 1
    while n:
        a, b, n = b, a + b, n - 1
    return a, hex(a), a % 10**9


@prog((3, 40), (2, -5), (7, 2000))
def power_modulo(a, b):
    return pow(a, b % 50), pow(a, 3, 5), pow(a, abs(b), 7), (a**2) ** 3, -(a**2), 2 ** (3**2)


@prog((5, 2), (-5, 2), (0, 0))
def bits(a, b):
    return a & b, a | b, a ^ b, ~a, a << b, a >> b, -1 >> b, a & ~b, (a | b) ^ (a & b), a.bit_length()


@prog((1, -1), (1, 1000))
def shifts(a, b):
    return a << b


@prog((True, False), (True, True), (False, False))
def bools_are_ints(a, b):
    return a + b, a * 3, a & b, a | b, a ^ b, ~a, -a, a < b, [10, 20][a], sum([a, b, True]), a and b, not a


@prog((1, 2.5), (2.5, 1), (True, 2), (1, 2j), (2**53 + 1, 1.0))
def mixed(a, b):
    return a + b, a - b, a * b, a / b, a == b, -a, +b, abs(a), abs(b)


@prog((1e308,), (-1e308,), (5e-324,), (0.1,))
def float_limits(x):
    return x * 10, x / 10, x + 0.2, x - x, x * 0, 1 / (x * 2), x == x * 1.0000000000000002


@prog((float("inf"),), (float("-inf"),), (float("nan"),), (0.0,), (-0.0,))
def float_specials(x):
    y = -x
    return x == x, x != y, x < y, x > 0, x + 1, x - x, x * 0, abs(x), y, max(x, 1.0), min(1.0, x), x in [x], str(x)


@prog((2.5,), (3.5,), (-2.5,), (2.675,), (1e20,), (-0.4,))
def rounds(x):
    return round(x), round(x, 1), round(x, 2), round(x, -1), int(x), math.floor(x), math.ceil(x), math.trunc(x)


@prog((float("nan"),), (float("inf"),))
def rounds_what_has_no_integer(x):
    return round(x)


@prog((12345,), (-12355,), (5,))
def rounds_integers(n):
    return round(n), round(n, -1), round(n, -2), round(n, 2), n.__abs__(), int(n), float(n), complex(n)


@prog((1 + 2j, 3 - 1j), (0j, 1j), (2.0 + 0j, 2 + 0j))
def complex_numbers(a, b):
    return a + b, a - b, a * b, a / b, a**2, -a, abs(a), a.real, a.imag, a.conjugate(), a == b, complex(1, 2), 1j * 1j


@prog((1j, 2j), (1j, 0))
def complex_that_fails(a, b):
    return a / b if not b else a < b


@prog((0.5, 2), (2.25, 3))
def math_functions(x, n):
    return (
        [math.sqrt(x), math.exp(x), math.log(x), math.log(x, 2), math.log2(x), math.log10(x), math.pow(x, n)],
        [math.sin(x), math.cos(x), math.tan(x), math.atan2(x, n), math.hypot(x, n), math.degrees(x)],
        [math.floor(x), math.ceil(x), math.gcd(n, 6), math.comb(5, n), math.isqrt(n), math.fabs(-x)],
        [math.isclose(x, 0.5), math.copysign(x, -0.0), math.fsum([x, n]), math.prod([x, n]), math.dist([0], [x])],
        [math.pi, math.e, math.tau, math.inf, math.isinf(x), math.isnan(x), math.isfinite(x)],
        math.modf(x),
        math.frexp(x),
    )


@prog((-1.0,), (0.0,))
def math_domain_error(x):
    return math.sqrt(x) + math.log(x)


@prog((1000.0,))
def math_overflow(x):
    return math.exp(x)


@prog((1 + 1j,), (-1,))
def cmath_functions(z):
    return cmath.sqrt(z), cmath.phase(z), cmath.exp(z), cmath.polar(z)


@prog(("12",), (" -7 ",), ("1_000",), ("0x1f",), ("",), ("3.5",), ("nan",))
def parses_numbers(s):
    out = []
    try:
        out.append(int(s))
    except ValueError as error:
        out.append(str(error))
    try:
        out.append(float(s))
    except ValueError as error:
        out.append(str(error))
    return out


@prog(("ff", 16), ("101", 2), ("zz", 36), ("9", 8))
def parses_with_a_base(s, base):
    return int(s, base)


@prog((255,), (-5,), (0,))
def number_texts(n):
    return (
        bin(n),
        oct(n),
        hex(n),
        str(n),
        repr(n),
        chr(abs(n)),
        f"{n:b} {n:x} {n:08.3f}",
        n.to_bytes(2, "big", signed=True),
    )


@prog((10, 3), (10.5, 3.5))
def numeric_methods(a, b):
    return a.real, a.imag, a.conjugate(), float(a + b).is_integer(), a.as_integer_ratio(), b.__add__(a)


@prog((3, 4), (3.5, -4))
def extremes(a, b):
    return min(a, b), max(a, b), min(a, b, 0), max([a, b]), min((a, b)), abs(a - b), max(a, b, key=lambda v: -v)


@prog(([3, 1, 2],), ([],), ([2.5, 1],), ([True],))
def sums(xs):
    return (
        sum(xs),
        sum(xs, 10),
        sum([x * x for x in xs]),
        sum(x for x in xs if x > 1),
        sum(tuple(xs)),
        sum([(1,), (2,)], ()),
    )


@prog((1, "a"), (None, 1), ([], 1), ({}, {}))
def sums_that_fail(a, b):
    return a + b


@prog((3,), ("ab",), (2.5,), (None,))
def negates(x):
    return -x


@prog((48, 18), (17, 5), (0, 9))
def extended_gcd(a, b):
    x0, x1, y0, y1 = 1, 0, 0, 1
    while b:
        q, a, b = a // b, b, a % b
        x0, x1 = x1, x0 - q * x1
        y0, y1 = y1, y0 - q * y1
    return a, x0, y0


@prog((27,), (1,), (10**12 + 39,))
def prime_factors(n):
    out, p = [], 2
    while p * p <= n and p < 1000:
        while n % p == 0:
            out.append(p)
            n //= p
        p += 1 if p == 2 else 2
    return out, n


@prog((2.0,), (10.0,), (0.0,))
def newton(x):
    guess, steps = x / 2 or 1.0, 0
    while abs(guess * guess - x) > 1e-9 and steps < 50:
        guess = (guess + x / guess) / 2
        steps += 1
    return round(guess, 6), steps


@prog((5,), (0,))
def loops_over_floats(n):
    x, total = 0.1, 0.0
    for i in range(n):
        x = x * 3.9 * (1 - x)
        total += x if i % 2 else -x / (i + 1)
    return x, total
