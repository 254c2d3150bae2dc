"""Products with copies of windows: which read the windows where they lie, and that they compute the product."""

from __future__ import annotations

import numpy as np
import pytest

from specjit.codegen.kernels.spec import GemmSpec, WindowSpec
from tests.codegen.plans import check, plan_of

MATRIX = "%m: f32[6,18] = reshape(%w, [6, 18])"
COLUMNS = """
  %u: f32[3,2,12,16,3] = unfold(%x, 2, 3, 1)
  %v: f32[3,2,12,14,3,3] = unfold(%u, 3, 3, 1)
  %p: f32[3,2,3,3,12,14] = permute(%v, [0, 1, 4, 5, 2, 3])
  %c: f32[3,18,168] = reshape(%p, [3, 18, 168])
"""
HEAD = "%x: f32[3,2,14,16], %w: f32[6,2,3,3], %b: f32[6,1]"


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def products(body: str, types: str = "f32[3,6,168]", result: str = "%y", head: str = HEAD, shapes=None) -> list[str]:
    """The kinds of the products of a graph; its results are checked."""
    text = f"graph @f({head}) -> {types} {{ {body}\n return {result} }}"
    plan = check(text, *arrays(*(shapes or [(3, 2, 14, 16), (6, 2, 3, 3), (6, 1)])), rtol=1e-4, atol=1e-4)
    kinds = {GemmSpec: "panels", WindowSpec: "windows"}
    return [kinds[type(s)] for s in plan.specs if type(s) in kinds]


@pytest.mark.parametrize(
    ("body", "types", "result"),
    [
        (f"{MATRIX}{COLUMNS} %y: f32[3,6,168] = matmul(%m, %c)", "f32[3,6,168]", "%y"),
        (
            (
                f"{MATRIX}{COLUMNS} %q: f32[3,6,168] = matmul(%m, %c); %a: f32[3,6,168] = add(%q, %b); "
                "%y: f32[3,6,168] = relu(%a)"
            ),
            "f32[3,6,168]",
            "%y",
        ),
        (f"{MATRIX}{COLUMNS} %y: f32[3,6,168] = matmul(%m, %c)", "(f32[3,6,168], f32[3,18,168])", "%y, %c"),
        (
            f"{MATRIX}{COLUMNS} %k: f32[18] = select(%m, 0, 2); %y: f32[3,168] = matmul(%k, %c)",
            "f32[3,168]",
            "%y",
        ),
    ],
    ids=["plain", "with its epilogue", "a copy that is kept", "one row"],
)
def test_windows_are_read_where_they_lie(body, types, result):
    assert products(body, types, result) == ["windows"]


def test_the_copy_is_not_made():
    text = f"graph @f({HEAD}) -> f32[3,6,168] {{ {MATRIX}{COLUMNS} %y: f32[3,6,168] = matmul(%m, %c)\n return %y }}"
    assert [type(s) for s in plan_of(text).specs] == [WindowSpec]


def test_groups_of_channels():
    body = """
      %m: f32[2,3,9] = reshape(%w, [2, 3, 9])
      %u: f32[3,2,12,16,3] = unfold(%x, 2, 3, 1)
      %v: f32[3,2,12,14,3,3] = unfold(%u, 3, 3, 1)
      %p: f32[3,2,3,3,12,14] = permute(%v, [0, 1, 4, 5, 2, 3])
      %c: f32[3,2,9,168] = reshape(%p, [3, 2, 9, 168])
      %y: f32[3,2,3,168] = matmul(%m, %c)
    """
    shapes = [(3, 2, 14, 16), (6, 1, 3, 3), (6, 1)]
    head = HEAD.replace("f32[6,2,3,3]", "f32[6,1,3,3]")
    assert products(body, "f32[3,2,3,168]", head=head, shapes=shapes) == ["windows"]


@pytest.mark.parametrize(
    "body",
    [
        "%c: f32[6,14] = contiguous(%t); %y: f32[4,14] = matmul(%a, %c)",
        (
            "%u: f32[3,2,14,3] = unfold(%z, 2, 3, 2); %p: f32[3,2,3,14] = permute(%u, [0, 1, 3, 2]); "
            "%c: f32[3,6,14] = reshape(%p, [3, 6, 14]); %y: f32[3,4,14] = matmul(%a, %c)"
        ),
        (
            "%u: f32[3,2,4,3] = unfold(%s, 2, 3, 1); %p: f32[3,2,3,4] = permute(%u, [0, 1, 3, 2]); "
            "%c: f32[3,6,4] = reshape(%p, [3, 6, 4]); %y: f32[3,4,4] = matmul(%a, %c)"
        ),
        (
            "%u: f32[3,2,14,3] = unfold(%i, 2, 3, 1); %p: f32[3,2,3,14] = permute(%u, [0, 1, 3, 2]); "
            "%c: f32[3,6,14] = reshape(%p, [3, 6, 14]); %d: f32[3,6,14] = mul(%c, 2.0); "
            "%y: f32[3,4,14] = matmul(%a, %d)"
        ),
    ],
    ids=["turned round", "every other element", "short runs", "work behind the copy"],
)
def test_other_products_have_panels(body):
    head = "%t: f32[6,14], %a: f32[4,6], %z: f32[3,2,29], %s: f32[3,2,6], %i: f32[3,2,16]"
    dims = body.rsplit("%y: ", 1)[1].split(" =")[0]
    shapes = [(6, 14), (4, 6), (3, 2, 29), (3, 2, 6), (3, 2, 16)]
    assert products(body, dims, head=head, shapes=shapes) == ["panels"]
