"""Whole-sequence products move out of loops."""

from __future__ import annotations

import pytest

from specjit.passes import hoist
from tests.golden import check_pass, check_unchanged, run_pass

HEAD = (
    "(%x: f32[T,B,6], %y: f32[B,T,6], %z: f32[T,6], %w: f32[6,8], %b: f32[8], %u: f32[8,8], %v: f32[6], %k: f32[8,6],"
    " %h0: f32[B,8], %n: int<T>, %m: int, %c: bool, %x1: f32[T+1,B,6], %y6: f32[T,6,B], %u3: f32[3,8])"
)


def loop(body: str, before: str = "", header: str = "loop %n, True, (%i, %h1 = %h0)") -> str:
    rest = "%r = matmul(%h1, %u); %s = add(%q, %r); yield True, %s"
    return f"{HEAD} {{ {before}\n %h = {header} {{ {body}; {rest} }}\n return %h }}"


@pytest.mark.parametrize(
    ("body", "before", "after"),
    [
        pytest.param(
            "%xt = select(%x, 0, %i); %q = matmul(%xt, %w)",
            "%q_ = matmul(%x, %w)",
            "%xt = select(%x, 0, %i); %q = select(%q_, 0, %i)",
            id="row times weights",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %q = mm(%xt, %w)",
            "%q_ = matmul(%x, %w)",
            "%xt = select(%x, 0, %i); %q = select(%q_, 0, %i)",
            id="a product of matrices is one of batches",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %p = matmul(%xt, %w); %q = add(%p, %b)",
            "%0 = matmul(%x, %w); %q_ = add(%0, %b)",
            "%xt = select(%x, 0, %i); %p = matmul(%xt, %w); %q = select(%q_, 0, %i)",
            id="with its bias",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %a = tanh(%xt); %d = mul(%a, %v); %q = matmul(%d, %w)",
            "%0 = tanh(%x); %1 = mul(%0, %v); %q_ = matmul(%1, %w)",
            "%xt = select(%x, 0, %i); %a = tanh(%xt); %d = mul(%a, %v); %q = select(%q_, 0, %i)",
            id="behind elementwise work",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %a = sum(%xt, [-1], True); %d = div(%xt, %a); %q = matmul(%d, %w)",
            "%0 = sum(%x, [2], True); %1 = div(%x, %0); %q_ = matmul(%1, %w)",
            "%xt = select(%x, 0, %i); %a = sum(%xt, [-1], True); %d = div(%xt, %a); %q = select(%q_, 0, %i)",
            id="behind a reduction inside the row",
        ),
        pytest.param(
            "%xt = select(%y, 1, %i); %q = matmul(%xt, %w)",
            "%0 = permute(%y, [1, 0, 2]); %q_ = matmul(%0, %w)",
            "%xt = select(%y, 1, %i); %q = select(%q_, 0, %i)",
            id="time second",
        ),
        pytest.param(
            "%zt = select(%z, 0, %i); %q = matmul(%zt, %w)",
            "%q_ = matmul(%z, %w)",
            "%zt = select(%z, 0, %i); %q = select(%q_, 0, %i)",
            id="vector times weights",
        ),
        pytest.param(
            "%zt = select(%z, 0, %i); %q = matmul(%k, %zt)",
            "%0 = permute(%k, [1, 0]); %q_ = matmul(%z, %0)",
            "%zt = select(%z, 0, %i); %q = select(%q_, 0, %i)",
            id="weights times vector",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %zt = select(%z, 0, %i); %a = add(%xt, %zt); %q = matmul(%a, %w)",
            "%0 = unsqueeze(%z, 1); %1 = add(%x, %0); %q_ = matmul(%1, %w)",
            "%xt = select(%x, 0, %i); %zt = select(%z, 0, %i); %a = add(%xt, %zt); %q = select(%q_, 0, %i)",
            id="rows of different rank",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %a = matmul(%xt, %w); %d = tanh(%a); %q = matmul(%d, %u)",
            "%0 = matmul(%x, %w); %1 = tanh(%0); %q_ = matmul(%1, %u)",
            "%xt = select(%x, 0, %i); %a = matmul(%xt, %w); %d = tanh(%a); %q = select(%q_, 0, %i)",
            id="two layers",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %p = matmul(%xt, %w); %a = amax(%p, [-1], True); %q = sub(%p, %a)",
            "%0 = matmul(%x, %w); %1 = amax(%0, [2], True); %q_ = sub(%0, %1)",
            "%xt = select(%x, 0, %i); %p = matmul(%xt, %w); %a = amax(%p, [-1], True); %q = select(%q_, 0, %i)",
            id="with all row-independent work behind it",
        ),
        pytest.param(
            "%j = py.sub(%n, 1); %k1 = py.sub(%j, %i); %xt = select(%x, 0, %k1); %q = matmul(%xt, %w)",
            "%q_ = matmul(%x, %w)",
            "%j = py.sub(%n, 1); %k1 = py.sub(%j, %i); %xt = select(%x, 0, %k1);"
            " %l = py.sub(%n, 1); %m1 = py.sub(%l, %i); %q = select(%q_, 0, %m1)",
            id="from the last row on",
        ),
        pytest.param(
            "%j = py.sub(-1, %i); %xt = select(%y, 1, %j); %q = matmul(%xt, %w)",
            "%0 = permute(%y, [1, 0, 2]); %q_ = matmul(%0, %w)",
            "%j = py.sub(-1, %i); %xt = select(%y, 1, %j);"
            " %l = py.sub(%n, 1); %m1 = py.sub(%l, %i); %q = select(%q_, 0, %m1)",
            id="from the end, time second",
        ),
        pytest.param(
            "%j = py.add(%i, 1); %xt = select(%x1, 0, %j); %q = matmul(%xt, %w)",
            "%0 = narrow(%x1, 0, 1, %n); %q_ = matmul(%0, %w)",
            "%j = py.add(%i, 1); %xt = select(%x1, 0, %j); %q = select(%q_, 0, %i)",
            id="all but the first row",
        ),
        pytest.param(
            "%j = py.add(%i, 1); %a = select(%x1, 0, %j); %d = select(%x1, 0, %i); %e = sub(%a, %d);"
            " %q = matmul(%e, %w)",
            "%0 = narrow(%x1, 0, 1, %n); %1 = narrow(%x1, 0, 0, %n); %2 = sub(%0, %1); %q_ = matmul(%2, %w)",
            "%j = py.add(%i, 1); %a = select(%x1, 0, %j); %d = select(%x1, 0, %i); %e = sub(%a, %d);"
            " %q = select(%q_, 0, %i)",
            id="rows next to each other",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %a, %d = chunk(%xt, 2, -1); %e = mul(%a, %d); %q = matmul(%e, %u3)",
            "%0, %1 = chunk(%x, 2, 2); %2 = mul(%0, %1); %q_ = matmul(%2, %u3)",
            "%xt = select(%x, 0, %i); %a, %d = chunk(%xt, 2, -1); %e = mul(%a, %d); %q = select(%q_, 0, %i)",
            id="behind a cut",
        ),
        pytest.param(
            "%yt = select(%y6, 0, %i); %a = permute(%yt, [1, 0]); %q = matmul(%a, %w)",
            "%0 = permute(%y6, [0, 2, 1]); %q_ = matmul(%0, %w)",
            "%yt = select(%y6, 0, %i); %a = permute(%yt, [1, 0]); %q = select(%q_, 0, %i)",
            id="behind a transpose",
        ),
        pytest.param(
            "%zt = select(%z, 0, %i); %a = unsqueeze(%zt, 0); %q = matmul(%a, %w)",
            "%0 = unsqueeze(%z, 1); %q_ = matmul(%0, %w)",
            "%zt = select(%z, 0, %i); %a = unsqueeze(%zt, 0); %q = select(%q_, 0, %i)",
            id="behind a new dimension",
        ),
        pytest.param(
            "%zt = select(%z, 0, %i); %p = matmul(%zt, %w); %q = add(%p, %h0)",
            "%p_ = matmul(%z, %w)",
            "%zt = select(%z, 0, %i); %p = select(%p_, 0, %i); %q = add(%p, %h0)",
            id="but not where that grows",
        ),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_products_of_rows_move(body, before, after, reverse):
    header = "loop %n, True, (%i, %h1 = %h0)" + (" reverse" if reverse else "")
    check_pass("hoist", loop(body, header=header), loop(after, before, header), exact=False)


@pytest.mark.parametrize(
    ("body", "header"),
    [
        pytest.param("%xt = select(%x, 0, %i); %a = matmul(%h1, %u); %q = add(%a, %b)", "", id="no row"),
        pytest.param("%xt = select(%x, 0, 1); %q = matmul(%xt, %w)", "", id="always the same row"),
        pytest.param("%j = py.sub(%i, 1); %xt = select(%x, 0, %j); %q = matmul(%xt, %w)", "", id="past the start"),
        pytest.param("%j = py.add(%i, 1); %xt = select(%x, 0, %j); %q = matmul(%xt, %w)", "", id="past the end"),
        pytest.param("%j = py.mul(%i, 2); %xt = select(%x, 0, %j); %q = matmul(%xt, %w)", "", id="every other row"),
        pytest.param(
            "%j = py.sub(-1, %i); %a = select(%x, 0, %j); %d = select(%x, 0, %i); %e = sub(%a, %d);"
            " %q = matmul(%e, %w)",
            "",
            id="rows of both directions in one product",
        ),
        pytest.param(
            "%yt = select(%y6, 0, %i); %a = narrow(%yt, 0, %m, 3); %d = permute(%a, [1, 0]); %q = matmul(%d, %u3)",
            "",
            id="behind a cut at a place that is not known",
        ),
        pytest.param("%xt = select(%x, 0, %i); %q = tanh(%b)", "", id="no product"),
        pytest.param("%xt = select(%x, 0, %i); %a = sum(%xt); %q = add(%b, %a)", "", id="a reduction is no product"),
        pytest.param(
            "%xt = select(%x, 2, 0); %a = select(%x, 1, %i); %q = matmul(%a, %w)", "", id="not the turns' dimension"
        ),
        pytest.param("%xt = select(%x, 0, %i); %q = matmul(%xt, %w)", "loop %m, True", id="other trip count"),
        pytest.param("%xt = select(%x, 0, %i); %q = matmul(%xt, %w)", "loop %n, %c", id="may stop early"),
    ],
)
def test_near_misses(body, header):
    check_unchanged("hoist", loop(body, header=f"{header or 'loop %n, True'}, (%i, %h1 = %h0)"), exact=False)


def test_written_weights_stay():
    body = "%xt = select(%x, 0, %i); %q = matmul(%xt, %w); %0 = add_(%w, 1.0)"
    check_unchanged("hoist", loop(body), exact=False)


def test_inner_loops_first():
    """A product of rows of rows moves through both loops."""
    text = """(%x: f32[S,T,B,6], %w: f32[6,8], %h0: f32[B,8], %s: int<S>, %n: int<T>) {{
      {before}
      %h = loop %s, True, (%j, %h1 = %h0) {{
        %xs = select(%x, 0, %j)
        {middle}
        %g = loop %n, True, (%i, %g1 = %h1) {{
          {inner}
          %g2 = add(%g1, %p)
          yield True, %g2
        }}
        yield True, %g
      }}
      return %h
    }}"""
    check_pass(
        "hoist",
        text.format(before="", middle="", inner="%xt = select(%xs, 0, %i); %p = matmul(%xt, %w)"),
        text.format(
            before="%p1 = matmul(%x, %w)",
            middle="%p2 = select(%p1, 0, %j)",
            inner="%xt = select(%xs, 0, %i); %p = select(%p2, 0, %i)",
        ),
        exact=False,
    )


@pytest.mark.parametrize(
    ("rows", "weights", "moves"),
    [(1, 4096, True), (0, 4096, True), (2, 4096, False), (2, 1 << 22, True), (3, 1 << 22, False), (None, 4096, True)],
)
def test_few_rows_pay(rows, weights, moves):
    assert hoist.pays(rows, weights) is moves


def test_many_rows_stay():
    text = """(%x: f32[T,4,6], %w: f32[6,8], %h0: f32[4,8], %n: int<T>) {
      %h = loop %n, True, (%i, %h1 = %h0) {
        %xt = select(%x, 0, %i); %q = matmul(%xt, %w); %s = add(%q, %h1); yield True, %s
      }
      return %h
    }"""
    check_unchanged("hoist", text, exact=False)
    few = text.replace("4,8", "1,8").replace("4,6", "1,6")
    assert "matmul(%x, %w)" in str(run_pass("hoist", few, exact=False))
