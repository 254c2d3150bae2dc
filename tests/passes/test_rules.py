"""Every row of the simplifier on its own: where it fires and where it must not.

Each program is run before and after on random and special values (`tests.golden`); a near miss differs from a firing
program in the one thing that makes the row wrong. `test_simplify.py` has the exact texts.
"""

from __future__ import annotations

import pytest

import specjit.passes as passes
from specjit.ir.graph import copy_graph
from specjit.ir.verify import verify
from specjit.passes.simplify import RULES, simplify
from tests.golden import check_same, graph_of

F = "%x: f32[N,3], %y: f32[N,3]"
D = "%x: f64[N,3], %y: f64[N,3]"
I = "%x: i32[N,3], %y: i32[N,3]"
U = "%x: u8[N,3], %y: u8[N,3]"
B = "%x: bool[N,3], %y: bool[N,3], %f: f32[N,3], %g: f32[N,3]"
S = "%x: f32[2,3,4], %y: f32[2,3,4]"
Z = "%x: f32[], %y: f32[0,3]"
P = "%x: f32[N,2], %y: f32[N,4]"
PAIR = "%l = py.list(%x, %y); "
CAT = PAIR + "%a = cat(%l, 1); "
SUMS = "; %d = sum(%b, 1); %e = sum(%c, 1); %r = sub(%d, %e)"
ROWS = "%a = select(%x, 1, 0); %b = select(%x, 1, 1); %c = select(%x, 1, -1); "
UNBOUND = "%a, %b, %c = unbind(%x, 1); "
CUT = "%a, %b, %c = split(%x, 1, 1); "
HALVES = "%a, %b = chunk(%x, 2, 1); %l = py.list(%a, %b); "
OVER = "%a = select_scatter(%x, %u, 0, 1); %r = "
OVER2 = "%a = slice_scatter(%x, %u, 0, 1, 3); %r = "
LIST = "%l = py.list(%a, %b, %c); "

# Inputs, lines, result; per pattern: where it fires, where it must not.
Program = tuple[str, str]
CASES: dict[str, tuple[list[Program], list[Program]]] = {
    "mul(x, 1)": (
        [(F, "%r = mul(%x, 1.0)"), (F, "%r = mul(1, %x)"), (I, "%r = mul(%x, 1)"), (Z, "%r = mul(%x, 1)")],
        [(F, "%r = mul(%x, -1.0)"), (I, "%r = mul(%x, 1.0)"), (B, "%r = mul(%x, 1)")],
    ),
    "div(x, 1)": (
        [(F, "%r = div(%x, 1)"), (Z, "%r = div(%y, 1.0)")],
        [(F, "%r = div(1, %x)"), (I, "%r = div(%x, 1)")],
    ),
    "pow(x, 1)": (
        [(F, "%r = pow(%x, 1)"), (D, "%r = pow(%x, 1.0)")],
        [(F, "%r = pow(%x, 2)"), (F, "%r = pow(1, %x)")],
    ),
    "sub(x, 0)": (
        [(F, "%r = sub(%x, 0.0)"), (I, "%r = sub(%x, 0)")],
        [(F, "%r = sub(%x, -0.0)"), (F, "%r = sub(0.0, %x)"), (F, "%r = sub(%x, 0, alpha=2)")],
    ),
    "add(x, -0.0)": (
        [(F, "%r = add(%x, -0.0)"), (D, "%r = add(-0.0, %x)")],
        [(F, "%r = add(%x, 0.0)"), (I, "%r = add(%x, -0.0)")],
    ),
    "add(x, 0)": (
        [(I, "%r = add(%x, 0)"), (U, "%r = add(0, %x)")],
        [(F, "%r = add(%x, 0)"), (I, "%r = add(%x, 0.0)"), (B, "%r = add(%x, 0)")],
    ),
    "mul(x, 0)": (
        [(I, "%r = mul(%x, 0)"), (U, "%r = mul(0, %x)")],
        [(F, "%r = mul(%x, 0)"), (I, "%r = mul(%x, 0.0)")],
    ),
    "sub(x, x)": (
        [(I, "%r = sub(%x, %x)"), (U, "%r = sub(%x, %x)")],
        [(F, "%r = sub(%x, %x)"), (I, "%r = sub(%x, %y)"), (I, "%r = sub(%x, %x, alpha=2)")],
    ),
    "mul(x, -1)": (
        [(F, "%r = mul(%x, -1.0)"), (F, "%r = mul(-1, %x)"), (I, "%r = mul(%x, -1)")],
        [(F, "%r = mul(%x, 1.0)"), (F, "%r = mul(%x, -2.0)"), (I, "%r = mul(%x, -1.0)")],
    ),
    "sub(0, x)": (
        [(I, "%r = sub(0, %x)")],
        [(F, "%r = sub(0, %x)"), (I, "%r = sub(1, %x)"), (U, "%r = sub(0, %x)")],
    ),
    "neg(neg(x))": (
        [(F, "%a = neg(%x); %r = neg(%a)"), (I, "%a = neg(%x); %r = neg(%a)"), (U, "%a = neg(%x); %r = neg(%a)")],
        [(F, "%a = abs(%x); %r = neg(%a)"), (F, "%a = neg(%x); %0 = add_(%a, 1); %r = neg(%a)")],
    ),
    "neg(sub(x, y))": (
        [(I, "%a = sub(%x, %y); %r = neg(%a)"), (U, "%a = sub(%x, %y); %r = neg(%a)")],
        [(F, "%a = sub(%x, %y); %r = neg(%a)"), (I, "%a = sub(%x, %y, alpha=2); %r = neg(%a)")],
    ),
    "add(x, neg(y))": (
        [(F, "%a = neg(%y); %r = add(%x, %a)"), (F, "%a = neg(%y); %r = add(%a, %x)")],
        [
            (F, "%a = neg(%y); %r = add(%x, %a, alpha=2)"),
            ("%x: i64[N,3], %y: u8[N,3]", "%a = neg(%y); %r = add(%x, %a)"),
        ],
    ),
    "sub(x, neg(y))": (
        [(F, "%a = neg(%y); %r = sub(%x, %a)"), (I, "%a = neg(%y); %r = sub(%x, %a)")],
        [
            (F, "%a = neg(%y); %r = sub(%a, %x)"),
            ("%x: i64[N,3], %y: i8[N,3]", "%a = neg(%y); %r = sub(%x, %a)"),
        ],
    ),
    "mul(neg(x), neg(y))": (
        [(F, "%a = neg(%x); %b = neg(%y); %r = mul(%a, %b)"), (I, "%a = neg(%x); %r = mul(%a, %a)")],
        [
            (F, "%a = neg(%x); %r = mul(%a, %y)"),
            ("%x: i64[N,3], %y: u8[N,3]", "%a = neg(%x); %b = neg(%y); %r = mul(%a, %b)"),
        ],
    ),
    "div(x, c)": (
        [(F, "%r = div(%x, 4)"), (D, "%r = div(%x, -0.5)")],
        [(F, "%r = div(%x, 3)"), (F, "%r = div(%x, 0)"), (I, "%r = div(%x, 4)"), (F, "%r = div(%x, 4096)")],
    ),
    "where(c, x, x)": (
        [(B, "%r = where(%x, %f, %f)")],
        [(B, "%r = where(%x, %f, %g)"), ("%c: bool[3,N], %v: f32[N]", "%r = where(%c, %v, %v)")],
    ),
    "where(logical_not(c), x, y)": (
        [(B, "%a = logical_not(%x); %r = where(%a, %f, %g)"), (B, "%a = logical_not(%x); %r = where(%a, 1.5, %g)")],
        [(B, "%a = logical_not(%f); %r = where(%a, %f, %g)"), (B, "%a = logical_and(%x, %y); %r = where(%a, %f, %g)")],
    ),
    "logical_not(logical_not(x))": (
        [(B, "%a = logical_not(%x); %r = logical_not(%a)")],
        [(I, "%a = logical_not(%x); %r = logical_not(%a)"), (F, "%a = logical_not(%x); %r = logical_not(%a)")],
    ),
    "logical_not(eq(x, y))": (
        [(F, "%a = eq(%x, %y); %r = logical_not(%a)"), (I, "%a = eq(%x, 3); %r = logical_not(%a)")],
        [(F, "%a = eq(%x, %y); %r = bitwise_not(%a)")],
    ),
    "logical_not(ne(x, y))": (
        [(F, "%a = ne(%x, %x); %r = logical_not(%a)"), (B, "%a = ne(%x, %f); %r = logical_not(%a)")],
        [(F, "%a = logical_xor(%x, %y); %r = logical_not(%a)")],
    ),
    **{
        f"logical_not({op}(x, y))": (
            [(I, f"%a = {op}(%x, %y); %r = logical_not(%a)"), (I, f"%a = {op}(%x, 2); %r = logical_not(%a)")],
            [(F, f"%a = {op}(%x, %y); %r = logical_not(%a)"), (I, f"%a = {op}(%x, 2.5); %r = logical_not(%a)")],
        )
        for op in ("lt", "le", "gt", "ge")
    },
    "bitwise_not(bitwise_not(x))": (
        [(I, "%a = bitwise_not(%x); %r = bitwise_not(%a)"), (B, "%a = bitwise_not(%x); %r = bitwise_not(%a)")],
        [(I, "%a = neg(%x); %r = bitwise_not(%a)")],
    ),
    "bitwise_and(x, x)": ([(I, "%r = bitwise_and(%x, %x)")], [(I, "%r = bitwise_and(%x, %y)")]),
    "bitwise_or(x, x)": ([(U, "%r = bitwise_or(%x, %x)")], [(U, "%r = bitwise_or(%x, %y)")]),
    "bitwise_xor(x, x)": ([(I, "%r = bitwise_xor(%x, %x)")], [(I, "%r = bitwise_xor(%x, %y)")]),
    **{
        f"{f}({f}(x))": (
            [(F, f"%a = {f}(%x); %r = {f}(%a)"), (D, f"%a = {f}(%x); %r = {f}(%a)")],
            [(F, f"%a = neg(%x); %r = {f}(%a)"), (F, f"%a = {f}(%x); %0 = sub_(%a, 0.5); %r = {f}(%a)")],
        )
        for f in ("abs", "relu", "floor", "ceil", "trunc", "rint")
    },
    "py.add(x, 0)": (
        [("%n: int", "%r = py.add(%n, 0)"), ("%n: int", "%r = py.add(0, %n)")],
        [("%n: float", "%r = py.add(%n, 0)"), ("%n: bool", "%r = py.add(%n, 0)")],
    ),
    "py.sub(x, 0)": (
        [("%n: int", "%r = py.sub(%n, 0)")],
        [("%n: int", "%r = py.sub(0, %n)"), ("%n: bool", "%r = py.sub(%n, 0)")],
    ),
    "py.mul(x, 1)": (
        [("%n: int", "%r = py.mul(%n, 1)")],
        [("%n: float", "%r = py.mul(%n, 1)"), ("%n: int", "%r = py.mul(%n, 1.0)")],
    ),
    "cast(cast(x, a), b)": (
        [
            (F, "%a = cast(%x, f64); %r = cast(%a, f32)"),
            (I, "%a = cast(%x, i64); %r = cast(%a, i8)"),  # wraps alike
            (I, "%a = cast(%x, f64); %r = cast(%a, f32)"),
            ("%x: u8[N,3]", "%a = cast(%x, f32); %r = cast(%a, i16)"),
            (B, "%a = cast(%x, f32); %r = cast(%a, u8)"),
            (F, "%a = cast(%x, f64); %r = cast(%a, bool)"),
        ],
        [
            (D, "%a = cast(%x, f32); %r = cast(%a, f64)"),  # rounds
            ("%x: i64[N,3]", "%a = cast(%x, f64); %r = cast(%a, i64)"),  # rounds from 2**53 on
            (I, "%a = cast(%x, i8); %r = cast(%a, i32)"),  # wraps
            ("%x: i8[N,3]", "%a = cast(%x, u8); %r = cast(%a, i32)"),  # wraps
            ("%x: f32[N,3]", "%a = cast(%x, bool); %r = cast(%a, f32)"),
        ],
    ),
    "transpose(x, a, b)": (
        [(S, "%r = transpose(%x, 0, -1)")],
        [(Z, "%r = transpose(%x, 0, 0)"), (S, "%r = permute(%x, [2, 1, 0])")],
    ),
    "t(x)": (
        [(F, "%r = t(%x)"), (Z, "%r = t(%y)")],
        [(Z, "%r = t(%x)"), ("%x: f32[N]", "%r = t(%x)")],
    ),
    "permute(permute(x, p), q)": (
        [(S, "%a = permute(%x, [2, 0, 1]); %r = permute(%a, [-1, 0, 1])")],
        [(S, "%a = permute(%x, [2, 0, 1]); %b = neg(%a); %r = permute(%b, [1, 2, 0])")],
    ),
    "expand(expand(x, a), s)": (
        [
            ("%x: f32[3]", "%a = expand(%x, [2, 3]); %r = expand(%a, [4, 2, -1])"),
            ("%x: f32[N,1]", "%a = expand(%x, [2, -1, 1]); %r = expand(%a, [2, -1, 5])"),
        ],
        [
            (
                "%x: f32[3], %n: int<K>",
                "%l = py.list(%n, 3); %a = expand(%x, %l); %r = expand(%a, [2, -1, -1])",
            )
        ],
    ),
    "reshape(reshape(x, a), s)": (
        [
            (S, "%a = reshape(%x, [6, 4]); %r = reshape(%a, [4, 6])"),
            (Z, "%a = reshape(%y, [3, 0]); %r = reshape(%a, [0])"),
        ],
        [(S, "%a = reshape(%x, [6, 4]); %b = permute(%a, [1, 0]); %r = reshape(%b, [3, 8])")],
    ),
    "reshape(unsqueeze(x, d), s)": (
        [
            (S, "%a = unsqueeze(%x, 1); %r = reshape(%a, [6, 4])"),
            (Z, "%a = unsqueeze(%x, 0); %r = reshape(%a, [1, 1])"),
        ],
        [(S, "%a = expand(%x, [2, 2, 3, 4]); %r = reshape(%a, [-1])")],
    ),
    "reshape(squeeze(x, d), s)": (
        [("%x: f32[2,1,6]", "%a = squeeze(%x, 1); %r = reshape(%a, [3, 4])")],
        [("%x: f32[2,1,6]", "%a = select(%x, 2, 0); %r = reshape(%a, [2])")],
    ),
    "reshape(flatten(x, a, b), s)": (
        [(S, "%a = flatten(%x, 0, 1); %r = reshape(%a, [4, 6])")],
        [(S, "%p = permute(%x, [1, 0, 2]); %a = neg(%p); %r = reshape(%a, [4, 6])")],
    ),
    "reshape(contiguous(x), s)": (
        [(S, "%p = permute(%x, [1, 0, 2]); %a = contiguous(%p); %r = reshape(%a, [4, 6])")],
        [(S, "%p = permute(%x, [1, 0, 2]); %r = reshape(%p, [4, 6])")],
    ),
    "size(y, k)": (
        [
            (F, "%a = exp(%x); %n = size(%a, 0); %r = mul(%y, %n)"),
            (F, "%a = t(%x); %n = size(%a, 1); %r = mul(%y, %n)"),
        ],
        [(F, "%n = size(%x, 0); %r = mul(%y, %n)"), (F, "%a = exp(%x); %n = size(%a, 1); %r = mul(%y, %n)")],
    ),
    "select(stack(l, d), e, k)": (
        [
            (F, PAIR + "%a = stack(%l, 1); %r = select(%a, 1, -2)"),
            (F, PAIR + "%a = stack(%l, -1); %r = select(%a, 2, 1)"),
        ],
        [
            (F, PAIR + "%a = stack(%l, 1); %r = select(%a, 2, 1)"),
            ("%x: f32[N,3], %y: f64[N,3]", PAIR + "%a = stack(%l, 0); %r = select(%a, 0, 0)"),
            ("%x: f32[3], %y: f32[3], %i: int", PAIR + "%a = stack(%l); %r = select(%a, 0, %i)"),
        ],
    ),
    "unbind(stack(l, d), e)": (
        [(F, PAIR + "%a = stack(%l, 1); %b, %c = unbind(%a, -2); %r = sub(%b, %c)")],
        [
            (S, PAIR + "%a = stack(%l, 0); %b, %c, %d = unbind(%a, 2); %r = sub(%b, %d)"),
            ("%x: f32[3], %y: f64[3]", PAIR + "%a = stack(%l); %b, %c = unbind(%a); %r = sub(%b, %c)"),
        ],
    ),
    "chunk(cat(l, d), n, e)": (
        [(F, CAT + "%b, %c = chunk(%a, 2, -1); %r = sub(%b, %c)")],
        [
            (P, CAT + "%b, %c = chunk(%a, 2, 1); %r = sub(%b, %c)"),
            ("%x: f32[2,2], %y: f32[2,2]", CAT + "%b, %c = chunk(%a, 2, 0); %r = sub(%b, %c)"),
        ],
    ),
    "split(cat(l, d), n, e)": (
        [
            (P, CAT + "%b, %c = split(%a, [2, 4], 1)" + SUMS),
        ],
        [
            (P, CAT + "%b, %c = split(%a, [4, 2], 1)" + SUMS),
        ],
    ),
    "stack(l, d)": (
        [
            (S, ROWS + LIST + "%r = stack(%l, 0)"),
            (S, UNBOUND + LIST + "%r = stack(%l, 1)"),
        ],
        [
            (S, ROWS + "%l = py.list(%a, %c, %b); %r = stack(%l, 0)"),
            (S, UNBOUND + "%l = py.list(%a, %b); %r = stack(%l, 0)"),
            (S, "%a, %b = unbind(%x, 0); %c, %d = unbind(%y, 0); %l = py.list(%a, %d); %r = stack(%l, 0)"),
        ],
    ),
    "cat(l, d)": (
        [
            (S, CUT + LIST + "%r = cat(%l, 1)"),
            ("%x: f32[N,6]", HALVES + "%r = cat(%l, -1)"),
        ],
        [
            (S, CUT + "%l = py.list(%a, %c, %b); %r = cat(%l, 1)"),
            (S, CUT + "%l = py.list(%a, %b); %r = cat(%l, 1)"),
            ("%x: f32[N,6]", HALVES + "%r = cat(%l, 0)"),
        ],
    ),
    "select_scatter(x, select(x, d, i), d, i)": (
        [
            (S, "%a = select(%x, 1, 2); %r = select_scatter(%x, %a, 1, 2)"),
            ("%x: f32[3,4], %i: int", "%a = select(%x, 0, %i); %r = select_scatter(%x, %a, 0, %i)"),
        ],
        [
            (S, "%a = select(%x, 1, 2); %r = select_scatter(%x, %a, 1, 1)"),
            (S, "%a = select(%y, 1, 2); %r = select_scatter(%x, %a, 1, 2)"),
        ],
    ),
    "slice_scatter(x, slice(x, d, a, b, s), d, a, b, s)": (
        [(S, "%a = slice(%x, 1, 0, 2, 1); %r = slice_scatter(%x, %a, 1, 0, 2, 1)")],
        [(S, "%a = slice(%x, 1, 0, 2, 1); %r = slice_scatter(%x, %a, 1, 1, 3, 1)")],
    ),
    "select_scatter(select_scatter(x, u, d, i), v, d, i)": (
        [("%x: f32[3,4], %u: f32[4], %v: f32[4]", OVER + "select_scatter(%a, %v, 0, 1)")],
        [
            ("%x: f32[3,4], %u: f32[4], %v: f32[4]", OVER + "select_scatter(%a, %v, 0, 2)"),
            ("%x: f32[3,3], %u: f32[3], %v: f32[3]", OVER + "select_scatter(%a, %v, 1, 1)"),
        ],
    ),
    "slice_scatter(slice_scatter(x, u, d, a, b, s), v, d, a, b, s)": (
        [("%x: f32[4], %u: f32[2], %v: f32[2]", OVER2 + "slice_scatter(%a, %v, 0, 1, 3)")],
        [("%x: f32[4], %u: f32[2], %v: f32[2]", OVER2 + "slice_scatter(%a, %v, 0, 0, 2)")],
    ),
    "select(select_scatter(x, v, d, i), d, i)": (
        [("%x: f32[3,4], %u: f32[4], %v: f32[4]", OVER + "select(%a, 0, 1)")],
        [
            ("%x: f32[3,4], %u: f32[4], %v: f32[4]", OVER + "select(%a, 0, 0)"),
            ("%x: f32[3,4], %u: f64[4], %v: f32[4]", OVER + "select(%a, 0, 1)"),
            ("%x: f32[3,3], %u: f32[3], %v: f32[3]", OVER + "select(%a, 1, 1)"),
        ],
    ),
    "slice(slice_scatter(x, v, d, a, b, s), d, a, b, s)": (
        [("%x: f32[4], %u: f32[2], %v: f32[2]", OVER2 + "slice(%a, 0, 1, 3)")],
        [("%x: f32[4], %u: f32[2], %v: f32[2]", OVER2 + "slice(%a, 0, 1, 2)")],
    ),
    "select(select_scatter(x, v, d, i), d, j)": (
        [("%x: f32[3,4], %u: f32[4], %v: f32[4]", OVER + "select(%a, 0, -1)")],
        [
            ("%x: f32[3,4], %u: f32[4], %v: f32[4]", OVER + "select(%a, 0, -2)"),
            ("%x: f32[3,4], %u: f32[4], %j: int", OVER + "select(%a, 0, %j)"),
            ("%x: f32[N,4], %u: f32[4]", "%a = select_scatter(%x, %u, 0, 0); %r = select(%a, 0, -1)"),
        ],
    ),
    "slice_scatter(x, v, d, a, b, s)": (
        [(F, "%r = slice_scatter(%x, %y)"), ("%x: f32[4,2], %y: f64[4,2]", "%r = slice_scatter(%x, %y, 0, 0, 4)")],
        [("%x: f32[4], %y: f32[3]", "%r = slice_scatter(%x, %y, 0, 1, 4)")],
    ),
    "index_write(x, m, v)": (
        [
            (F, "%m = lt(%x, %y); %r = index_write(%x, %m, 0.5)"),
            (I, "%m = lt(%x, %y); %r = index_write(%x, %m, 3)"),
        ],
        [
            (I, "%m = lt(%x, %y); %r = index_write(%x, %m, 2.5)"),
            ("%x: f32[4,3], %m: bool[4]", "%r = index_write(%x, %m, 0.5)"),
            ("%x: f32[4,3]", "%r = index_write(%x, 1, 0.5)"),
        ],
    ),
}


def fired(pattern: str, inputs: str, lines: str, tail: str) -> int:
    """How often the row fires; before and after must do the same."""
    text = f"({inputs}) {{ {lines}; {tail} }}"
    alone = graph_of(text)
    without = passes.Context()
    simplify(alone, without, ())  # what is dropped without any row
    graph = graph_of(text)
    verify(graph, "parsing")
    before = copy_graph(graph)
    ctx = passes.Context()
    simplify(graph, ctx, [rule for rule in RULES if rule.pattern == pattern])
    verify(graph, pattern)
    check_same(before, graph)
    return ctx.fired - without.fired


def hidden(inputs: str, lines: str) -> str:
    """The result goes into one more op, so that the caller does not get hold of its storage."""
    number = "py." in lines.rpartition("%r = ")[2]
    return "return %r" if number else "%out = isfinite(%r); %rest = add(%r, %r); return %out, %rest"


def test_every_row_has_cases_and_says_why():
    assert set(CASES) == {rule.pattern for rule in RULES}
    assert all(rule.because for rule in RULES)
    assert all(fires and stays for fires, stays in CASES.values())


def of(which: int) -> list[tuple[str, str, str]]:
    return [(pattern, *program) for pattern, cases in CASES.items() for program in cases[which]]


@pytest.mark.parametrize(("pattern", "inputs", "lines"), of(0))
def test_fires(pattern, inputs, lines):
    assert fired(pattern, inputs, lines, hidden(inputs, lines)) == 1


@pytest.mark.parametrize(("pattern", "inputs", "lines"), of(1))
def test_near_miss(pattern, inputs, lines):
    assert fired(pattern, inputs, lines, hidden(inputs, lines)) == 0


@pytest.mark.parametrize(("pattern", "inputs", "lines"), of(0))
def test_what_the_caller_gets_keeps_its_storage(pattern, inputs, lines):
    """The row may fire or not; fresh results stay fresh and views stay views (compared by `check_same`)."""
    fired(pattern, inputs, lines, "return %r")


@pytest.mark.parametrize(("pattern", "inputs", "lines"), [c for c in of(0) if "py." not in c[0] and "%x" in c[2]])
def test_nothing_that_is_written_is_looked_through(pattern, inputs, lines):
    """A write to an input between the two halves of a match, and one after it."""
    *first, last = lines.split("; ")
    write = "%w = neg_(%x)" if "bool" not in inputs.split("%y")[0] else "%w = masked_fill_(%x, %x, False)"
    for program in ([*first, write, last], [*first, last, write]):
        lines = "; ".join(program)
        fired(pattern, inputs, lines, "return %r")
        fired(pattern, inputs, lines, hidden(inputs, lines))
