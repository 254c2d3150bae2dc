"""`einsum`: sums of products that name their dims.

Enters: an equation, or lists of dim numbers, and tensors. Leaves: their contraction, from left to right, by permuting,
multiplying and `bmm`.
Invariant: each operand is first brought into one order of all labels, with dims of size 1 for those it lacks; so what
remains is a chain of batched products of two.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

from specjit.ops.contractions import count
from specjit.ops.linalg import bmm
from specjit.ops.records.composites import composite_function
from specjit.ops.views import diagonal

LETTERS = string.ascii_uppercase + string.ascii_lowercase
DOTS = "."  # the first letter of an ellipsis' labels: ".0" is its last dim, ".1" the one before


class Plan(NamedTuple):
    """inputs: the labels of each operand's dims; order: the labels of the result, then those summed over."""

    inputs: tuple[tuple[str, ...], ...]
    order: tuple[str, ...]
    kept: int


@composite_function(method=False, inlined=False)
def einsum(*args: Any) -> Any:
    """`einsum("ij,jk->ik", x, y)` or `einsum(x, [0, 1], y, [1, 2], [0, 2])`.

    Labels are letters, or numbers from 0 to 51 in lists; a repeated label of an operand takes its diagonal; labels that
    the result lacks are summed over; an ellipsis stands for dims that broadcast. Without an arrow (or the last list)
    the result has the labels that occur once, in alphabetical order.
    """
    equation, operands = _read(args)
    plan = _plan(equation, tuple([x.ndim for x in operands]))
    return _contract(plan, operands)


def _read(args: Sequence[Any]) -> tuple[str, list[Any]]:
    if args and isinstance(args[0], str):
        rest = args[1:]
        operands = list(rest[0]) if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else list(rest)
        equation = args[0]
    else:
        operands = list(args[: len(args) - len(args) % 2 : 2])
        parts = [_letters(a) for a in args[1::2]]
        equation = ",".join(parts) + ("->" + _letters(args[-1]) if len(args) % 2 else "")
    if not operands:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list"
        )
    return equation, operands


def _letters(labels: Any) -> str:
    out = ""
    for label in labels:
        if label is not Ellipsis and not 0 <= label < len(LETTERS):
            raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
        out += "..." if label is Ellipsis else LETTERS[label]
    return out


@functools.lru_cache(512)
def _plan(equation: str, ranks: tuple[int, ...]) -> Plan:
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        more = "more" if len(ranks) > len(terms) else "fewer"
        raise RuntimeError(f"einsum(): {more} operands were provided than specified in the equation")
    inputs = [_labels(term, i, rank) for i, (term, rank) in enumerate(zip(terms, ranks))]
    every = [label for labels in inputs for label in labels]
    wide = sorted({label for label in every if label[0] == DOTS}, key=lambda label: -int(label[1:]))
    if arrow:
        out = _output(right, wide, set(every))
    else:
        out = [*wide, *sorted(label for label in set(every) if label[0] != DOTS and every.count(label) == 1)]
    summed = [label for label in dict.fromkeys(every) if label not in out]
    return Plan(tuple(map(tuple, inputs)), (*out, *summed), len(out))


def _labels(term: str, operand: int, rank: int) -> list[str]:
    before, dots, after = _split(term, f"operand {operand}")
    named = len(before) + len(after)
    if named > rank or (not dots and named != rank):
        relation = "does not match" if not dots else "exceeds"
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({named}) {relation} the number of dimensions "
            f"({rank}) for operand {operand}{'' if dots else ' and no ellipsis was given'}"
        )
    return [*before, *(DOTS + str(k) for k in reversed(range(rank - named))), *after]


def _output(right: str, wide: list[str], known: set[str]) -> list[str]:
    before, dots, after = _split(right, "the output")
    for label in before + after:
        if (before + after).count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {label} appears more than once in the output")
        if label not in known:
            raise RuntimeError(
                f"einsum(): output subscript {label} does not appear in the equation for any input operand"
            )
    return [*before, *(wide if dots else ()), *after]


def _split(term: str, where: str) -> tuple[str, str, str]:
    before, dots, after = term.partition("...")
    for label in before + after:
        if label == ".":
            raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
        if label not in LETTERS:
            raise RuntimeError(f"einsum(): invalid subscript {label!r} given, subscripts must be in [a-zA-Z]")
    return before, dots, after


def _contract(plan: Plan, operands: Sequence[Any]) -> Any:
    sizes = _sizes(plan, operands)
    aligned = [_aligned(plan, labels, x) for labels, x in zip(plan.inputs, operands)]
    out = aligned[0]
    rank = len(plan.order)
    for i in range(1, len(aligned)):
        # What no later operand has can be summed over now.
        gone = [
            d for d in range(plan.kept, rank) if not any(plan.order[d] in labels for labels in plan.inputs[i + 1 :])
        ]
        out = _product(out, aligned[i], gone)
    if len(aligned) == 1 and rank > plan.kept:
        out = out.sum(list(range(plan.kept, rank)), True)
    found = out.reshape([sizes[label] for label in plan.order[: plan.kept]]) if rank > plan.kept else out
    return found


def _sizes(plan: Plan, operands: Sequence[Any]) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    for i, (labels, x) in enumerate(zip(plan.inputs, operands)):
        own: dict[str, Any] = {}
        for label, n in zip(labels, x.shape):
            if label in own and own[label] != n:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated for operand {i} but the sizes don't match, "
                    f"{n} != {own[label]}"
                )
            own[label] = n
            seen = sizes.get(label, 1)
            if seen != n and seen != 1 and n != 1:
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {n} for operand {i} which does not broadcast with "
                    f"previously seen size {seen}"
                )
            sizes[label] = n if seen == 1 else seen
    return sizes


def _aligned(plan: Plan, labels: Sequence[str], x: Any) -> Any:
    """The operand with its dims in the plan's order and dims of size 1 for the labels it lacks."""
    own = list(labels)
    for label in dict.fromkeys(labels):
        while own.count(label) > 1:
            first = own.index(label)
            second = own.index(label, first + 1)
            x = diagonal(x, 0, first, second)
            own = [a for d, a in enumerate(own) if d not in (first, second)] + [label]
    present = [label for label in plan.order if label in own]
    order = [own.index(label) for label in present]
    if order != sorted(order):
        x = x.permute(order)
    for d, label in enumerate(plan.order):
        if label not in own:
            x = x.unsqueeze(d)
    return x


def _product(a: Any, b: Any, gone: Sequence[int]) -> Any:
    """a * b, summed over the dims `gone`, which stay with size 1: a batch of matrix products.

    A dim is of the batch if both have it and it stays, of the rows if only `a` has it, of the columns if only `b`.
    """
    batch, rows, columns, inner = [], [], [], []
    for d in range(a.ndim):
        n, m = a.shape[d], b.shape[d]
        if d in gone:
            # Only what both have is contracted; the sum over the rest is one of a single operand.
            if n != 1 and m != 1:
                inner.append(d)
                continue
            a = a.sum(d, True) if n != 1 else a
            b = b.sum(d, True) if m != 1 else b
            batch.append(d)
        elif m == 1:
            rows.append(d)
        elif n == 1:
            columns.append(d)
        else:
            batch.append(d)
    if not inner:
        return a * b
    outer = [a.shape[d] for d in batch], [a.shape[d] for d in rows], [b.shape[d] for d in columns]
    depth, height, width, length = (count(part) for part in (*outer, [a.shape[d] for d in inner]))
    first = a.permute([*batch, *rows, *columns, *inner]).reshape(depth, height, length)
    second = b.permute([*batch, *rows, *inner, *columns]).reshape(depth, length, width)
    joined = bmm(first, second).reshape([*outer[0], *outer[1], *outer[2], *([1] * len(inner))])
    order = [*batch, *rows, *columns, *inner]
    return joined if order == sorted(order) else joined.permute([order.index(d) for d in range(len(order))])
