"""Products that a loop only collects, or only adds up, become one product after it."""

from __future__ import annotations

import pytest

from tests.golden import check_pass, check_unchanged

HEAD = "(%x: f32[T,B,6], %w: f32[8,6], %b: f32[6], %u: f32[8,8], %h0: f32[B,8], %a0: f32[6,8], %n: int<T>, %c: bool)"
STEP = "%r = matmul(%h1, %u); %h2 = tanh(%r)"


def stacking(body: str, collected: str, after: str = "", outputs: str = "%0") -> str:
    """A loop that carries a state and collects values as %0, %1, ..."""
    names = "".join(f", %{k}" for k in range(collected.count("%")))
    rows = f" | stacked {collected}" if collected else ""
    return f"""{HEAD} {{
      %h{names} = loop %n, True, (%i, %h1 = %h0) {{ {STEP}; {body}; yield True, %h2{rows} }}
      {after}
      return %h, {outputs}
    }}"""


@pytest.mark.parametrize(
    ("body", "collected", "instead", "after"),
    [
        pytest.param("%p = matmul(%h2, %w)", "%p", "%h2", "%out = matmul(%0, %w)", id="projection"),
        pytest.param(
            "%p = matmul(%h2, %w); %q = add(%p, %b)",
            "%q",
            "%h2",
            "%q0 = matmul(%0, %w); %out = add(%q0, %b)",
            id="projection with bias",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %p = matmul(%h2, %w); %q = add(%p, %xt)",
            "%q",
            "%h2",
            "%q0 = matmul(%0, %w); %out = add(%q0, %x)",
            id="beside a row",
        ),
        pytest.param("%xt = select(%x, 0, %i); %q = tanh(%xt)", "%q", "", "%out = tanh(%x)", id="nothing needs turns"),
    ],
)
def test_collected_products(body, collected, instead, after):
    check_pass("sink", stacking(body, collected), stacking(body, instead, after, "%out"), exact=False)


def test_both_the_state_and_its_projection_are_collected():
    check_pass(
        "sink",
        stacking("%p = matmul(%h2, %w)", "%h2, %p", "", "%0, %1"),
        stacking("%p = matmul(%h2, %w)", "%h2", "%q = matmul(%0, %w)", "%0, %q"),
        exact=False,
    )


@pytest.mark.parametrize(
    ("body", "collected"),
    [
        pytest.param("%p = tanh(%h2)", "%p", id="no product"),
        pytest.param("%k = permute(%h1, [1, 0]); %p = matmul(%h2, %k)", "%p", id="no weights"),
        pytest.param("%p = matmul(%h2, %w); %m = amax(%p, [-1], True); %q = sub(%p, %m)", "%q", id="read twice"),
        pytest.param("%p = matmul(%h2, %w); %k = add(%p, %i)", "%k", id="depends on the index"),
    ],
)
def test_near_misses_of_collected_products(body, collected):
    check_unchanged("sink", stacking(body, collected), exact=False)


def summing(body: str, term: str, init: str = "%a0") -> str:
    """A loop that carries a state and the running sum of `term`."""
    return total(
        f"%h, %acc = loop %n, True, (%i, %h1 = %h0, %acc1 = {init}) "
        f"{{ {STEP}; {body}; %acc2 = add(%acc1, {term}); yield True, %h2, %acc2 }}"
    )


def total(lines: str, result: str = "%out") -> str:
    zeros = "%zero = zeros([6, 8]); %zero6 = zeros([6]); %zero86 = zeros([8, 6]); %zero8 = zeros([8])"
    return f"{HEAD} {{ {zeros}; {lines}; %out = tanh(%acc); return %h, {result} }}"


ROW_TIMES_STATE = "%xt = select(%x, 0, %i); %t = permute(%xt, [1, 0]); %p = matmul(%t, %h2)"
FLAT = "%0 = flatten(%x, 0, 1); %1 = flatten(%rows, 0, 1); %2 = permute(%0, [1, 0]); %k = matmul(%2, %1)"


@pytest.mark.parametrize(
    ("body", "term", "rows", "after", "init"),
    [
        pytest.param(ROW_TIMES_STATE, "%p", "%h2", f"{FLAT}; %acc = add(%a0, %k)", "%a0", id="row times state"),
        pytest.param(ROW_TIMES_STATE, "%p", "%h2", FLAT.replace("%k", "%acc"), "%zero", id="from zero"),
        pytest.param(
            f"{ROW_TIMES_STATE}; %q = permute(%p, [1, 0])",
            "%q",
            "%h2",
            f"{FLAT}; %acc = permute(%k, [1, 0])",
            "%zero86",
            id="transposed",
        ),
        pytest.param(
            "%p = matmul(%h2, %w); %q = sum(%p, [0])",
            "%q",
            "%p",
            "%acc = sum(%rows, [0, 1])",
            "%zero6",
            id="sum over the batch",
        ),
        pytest.param(
            "%p = matmul(%h2, %w); %q = sum(%p, [0], True); %d = reshape(%q, [6])",
            "%d",
            "%p",
            "%0 = sum(%rows, [0, 1]); %1 = unsqueeze(%0, 0); %acc = reshape(%1, [6])",
            "%zero6",
            id="sum over the batch, reshaped",
        ),
        pytest.param(
            "%xt = select(%x, 0, %i); %v = select(%xt, 0, 0); %s = select(%h2, 0, 0); %a = unsqueeze(%v, 1); "
            "%d = unsqueeze(%s, 0); %p = mul(%a, %d)",
            "%p",
            "%t, %d",
            "%0 = flatten(%rows, 0, 1); %1 = flatten(%more, 0, 1); %2 = permute(%0, [1, 0]); %acc = matmul(%2, %1)",
            "%zero",
            id="outer product of vectors",
        ),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_running_sums(body, term, rows, after, init, swapped):
    before = summing(body, term, init)
    if swapped:
        before = before.replace(f"add(%acc1, {term})", f"add({term}, %acc1)")
    names = "%rows, %more" if "," in rows else "%rows"
    if "," in rows:
        body += "; %t = permute(%a, [1, 0])"
    loop = f"%h, {names} = loop %n, True, (%i, %h1 = %h0) {{ {STEP}; {body}; yield True, %h2 | stacked {rows} }}"
    check_pass("sink", before, total(f"{loop}; {after}"), exact=False)


@pytest.mark.parametrize(
    ("body", "term", "init"),
    [
        pytest.param("%p = sum(%h2, [0]); %d = mul(%p, %acc1)", "%d", "%zero8", id="reads the sum"),
        pytest.param("%p = mul(%b, %i)", "%p", "%zero6", id="elementwise"),
        pytest.param("%p = matmul(%h2, %w); %q = sum(%p, [0]); %d = tanh(%q)", "%d", "%zero6", id="not linear"),
        pytest.param("%p = matmul(%h2, %w); %q = amax(%p, [0])", "%q", "%zero6", id="not a sum"),
        pytest.param("%k = permute(%w, [1, 0]); %p = matmul(%k, %u)", "%p", "%zero", id="the same in every turn"),
    ],
)
def test_near_misses_of_running_sums(body, term, init):
    check_unchanged("sink", summing(body, term, init), exact=False)


def test_sum_that_may_be_the_start_value_itself():
    """Without a turn the caller gets the start value; after sinking it would be another tensor."""
    body = "%xt = select(%x, 0, %i); %t = permute(%xt, [1, 0]); %p = matmul(%t, %h2)"
    check_unchanged("sink", summing(body, "%p").replace("return %h, %out", "return %h, %acc"), exact=False)
