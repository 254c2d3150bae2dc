"""Tensor ops -> items, by what each record's `lower` says.

Enters: nodes whose op lowers. Leaves: `Map`, `Reduce`, `Matmul`, `Fetch`, `Part` items and views.
Invariant: dtypes follow the record (`infer` gave the result's); this file only spells out the casts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specjit.codegen.abi import Status
from specjit.codegen.schedule.errors import NotSchedulable
from specjit.codegen.schedule.index import at_least
from specjit.codegen.schedule.items import Binding, Check, Instr, Map, Matmul, Reduce
from specjit.codegen.schedule.model import Scalar, Source, View
from specjit.codegen.schedule.windows import windows_of
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.ir.dims import Poly, Size, divide, product
from specjit.ir.graph import Node, Value
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef
from specjit.ops.records import lowering
from specjit.passes.raising import DIVISIONS

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder

PLACEHOLDER = re.compile(r"\{(\d+)\}")
FUNCTION = re.compile(r"(?<![\w.])([a-z]\w*)\(")
SIMD_NAMES = {"select", "fma", "maximum", "minimum", "fmod", "logical_not", "isnan", "isinf", "isfinite", "copysign"}


def tensor_type(t: Type, what: str) -> tuple[str, tuple[Size, ...]]:
    """dtype and dims of a tensor type as kernels name them; NotSchedulable when something is unknown."""
    if not t.is_tensor or t.dtype is None or t.dims is None or any(d is None for d in t.dims):
        raise NotSchedulable(f"{what} has type {t}, which is not known well enough")
    if t.dtype.short not in ITEMSIZE:
        raise NotSchedulable(f"no kernels for {t.dtype.name}")
    if t.device not in (None, "cpu"):
        raise NotSchedulable(f"{what} is on device {t.device}")
    return t.dtype.short, t.dims  # type: ignore[return-value]


def argument(n: Node, name: str) -> Value | None:
    for p, a in zip(n.op.params, n.args, strict=True):
        if p.name == name:
            return a
    return None


def constant(b: Builder, n: Node, name: str, default: Any = None) -> Any:
    """The constant in parameter `name`."""
    value = argument(n, name)
    if value is None:
        return default
    if value.is_const:
        return value.const
    found = b.get(value)
    if isinstance(found, Scalar) and found.is_const:
        return found.value
    if isinstance(found, list) and all(isinstance(f, Scalar) and f.is_const for f in found):
        return [f.value for f in found]
    raise b.fail(f"its {name} is not constant")


# pointwise


def expand(view: View, dims: tuple[Size, ...], b: Builder) -> View:
    ref = view.ref.expand(dims)
    if any(s is None for s in ref.strides) or ref.sizes != tuple(dims):
        raise b.fail(f"sizes {view.dims} do not broadcast to {dims}")
    return view.with_ref(ref)


def promoted(b: Builder, operands: list[tuple[Value, Binding]]) -> str:
    """The dtype that tensors and numbers are compared or combined in."""
    from specjit.tensor.promotion import result_type

    found = result_type(*(v.type if isinstance(f, View) else _python_type(f) for v, f in operands))
    if found is None:
        raise b.fail("the dtype to compute in is not known")
    return found.short


def _python_type(found: Binding) -> Any:
    return Type(found.kind) if isinstance(found, Scalar) else None


def kernel_text(text: str) -> str:
    """A record's text with its functions qualified as kernels name them."""
    return FUNCTION.sub(lambda m: f"{'simd' if m[1] in SIMD_NAMES else 'vecmath'}.{m[1]}(", text)


def without_ones(text: str, n: Node) -> str:
    """Factors that are the number 1 left out (`a + alpha * b`)."""
    for i, arg in enumerate(n.args):
        if arg.is_const and type(arg.const) is int and arg.const == 1:
            text = text.replace(f"{{{i}}} * ", "")
    return text


def pointwise(b: Builder, n: Node, lower: lowering.Pointwise) -> View:
    dtype, dims = tensor_type(n.result.type, n.op.name)
    plain = without_ones(lower.text, n)
    used = list(dict.fromkeys(int(m) for m in PLACEHOLDER.findall(plain)))
    found = [(n.args[i], b.get(n.args[i])) for i in used]
    text = kernel_text(PLACEHOLDER.sub(lambda m: f"{{{used.index(int(m[1]))}}}", plain))
    casts: list[str] = []
    cast = [f for i, f in zip(used, found, strict=True) if i not in lower.keep]
    compute = dtype if lower.compute == "result" else promoted(b, cast)
    if text == "{0}":
        text = ""
    if any(mark in text for mark in DIVISIONS) and compute not in ("f32", "f64"):
        raise b.fail("an integer divisor may be zero")
    operands: list[Any] = []
    for i, (_, binding) in zip(used, found, strict=True):
        keeps = i in lower.keep
        if isinstance(binding, View):
            operands.append(expand(binding, dims, b))
            casts.append(binding.source.dtype if keeps else compute)
        elif isinstance(binding, Scalar):
            operands.append(binding)
            casts.append("bool" if keeps and binding.kind == "bool" else compute)
        else:
            raise b.fail(f"argument {i} is not a tensor or a number")
    out = Source(dtype, dims, n.result.hint)
    b.add(Map(out=out, text=text, operands=operands, casts=casts, compute=compute))
    return out.whole()


def full(b: Builder, dtype: str, dims: tuple[Size, ...], value: Scalar) -> View:
    out = Source(dtype, dims)
    b.add(Map(out=out, text="", operands=[value], casts=[dtype], compute=dtype))
    return out.whole()


# views


def arg_type(b: Builder, value: Value) -> Any:
    from specjit.codegen.schedule.build import as_type

    return value.const if value.is_const and not value.type.is_tensor else as_type(b.get(value), value)


def viewing(b: Builder, n: Node, lower: lowering.Viewing) -> Binding:
    base = b.tensor(n.args[0])
    rest = [arg_type(b, a) for a in n.args[1:]]
    if n.op.name == "select":
        rest[1] = checked_index(b, rest[1], base.dims[rest[0]])
    found = lower.fn(base.ref, *rest)
    if found is None and n.op.name == "view" and _laid_out_as_in_eager(n.args[0]):
        raise b.fail("its sizes need a copy, which a view does not make")
    if found is None:
        fresh = b.copy(base).whole()
        found = lower.fn(fresh.ref, *rest)
        base = fresh
        if found is None:
            raise b.fail("neither a view nor a reshape of a copy")
    if isinstance(found, list | tuple):
        if n.op.name == "split":
            check_sections(b, base.ref, found, rest)
        return [_known(b, base.with_ref(r)) for r in found]
    if n.op.name in ("slice", "narrow"):
        check_part(b, base.ref, found, base.ref.axis(rest[0]), int(rest[3]) if n.op.name == "slice" else 1)
    elif n.op.name == "unfold" and base.ref.rank:
        check_window(b, base.dims[base.ref.axis(rest[0])], rest[1])
    elif n.op.name in ("reshape", "view", "flatten"):
        check_total(b, base.ref, found)
    return _known(b, base.with_ref(found))


def _laid_out_as_in_eager(x: Value) -> bool:
    """Whether a tensor has the strides here that it has in eager mode: inputs and views do. What is computed is
    row-major there, but may be read in another order here."""
    return x.node is None or isinstance(getattr(x.node.op, "lower", None), lowering.Viewing)


def check_total(b: Builder, whole: ViewRef, view: ViewRef) -> None:
    """Leave the region if a reshape with symbolic sizes does not have as many elements as the array."""
    total, wanted = product(whole.sizes), product(view.sizes)
    if total is not None and wanted is not None and total != wanted:
        b.add(numbers_check(b, total - wanted, 0, Status.GUARD))
        b.add(numbers_check(b, wanted - total, 0, Status.GUARD))


def check_window(b: Builder, size: Size, window: Any) -> None:
    """Leave the region if a dim of symbolic size is shorter than a window over it."""
    length = window.dim if isinstance(window, Type) else window
    if length is None:
        raise b.fail("the length of a window is not known")
    if not at_least(size - length, 0):
        b.add(numbers_check(b, size - length, 0))


def check_sections(b: Builder, whole: ViewRef, parts: Sequence[ViewRef], rest: list[Any]) -> None:
    """Refuse a split whose sizes are not known to add up."""
    dim = whole.axis(rest[1] if len(rest) > 1 else 0)
    total: Any = 0
    for part in parts:
        total = None if total is None or part.sizes[dim] is None else total + part.sizes[dim]
    if total != whole.sizes[dim]:
        raise b.fail("its sizes may not add up")


def check_part(b: Builder, whole: ViewRef, part: ViewRef, dim: int, step: int) -> None:
    """Leave the region if a part with symbolic bounds does not lie inside its dim (a slice would be clipped, narrow
    raises)."""
    size, length, stride = whole.sizes[dim], part.sizes[dim], whole.strides[dim]
    if size is None or length is None or stride is None or part.offset is None or whole.offset is None:
        return
    moved = part.offset - whole.offset
    if isinstance(size, int) and isinstance(length, int) and isinstance(moved, int):
        return
    first = divide(moved, stride) if stride != 0 else None
    if first is None:
        raise b.fail("where this part starts is not known")
    for value in (first, length, size - first - length * step + (step - 1)):
        low, _ = bounds(b, value)
        if low is None or not at_least(low, 0):
            b.add(numbers_check(b, value, 0, Status.GUARD))


def _known(b: Builder, view: View) -> View:
    r = view.ref
    if not all(b.size_known(s) for s in (*r.sizes, *r.strides, r.offset)):
        raise b.fail("the sizes of this view are not known before the call")
    return view


def checked_index(b: Builder, index: Any, size: Size) -> Any:
    """A run-time index along a dim of `size`, made non-negative, and checked unless it is provably inside."""
    if isinstance(index, int):
        if isinstance(size, int):
            return index
        position: Size = index if index >= 0 else size + index
        b.add(numbers_check(b, size, index + 1 if index >= 0 else -index))
        return position
    if not isinstance(index, Type) or index.dim is None:
        raise b.fail("the index is not known")
    dim = index.dim
    low, high = bounds(b, dim)
    if low is not None and high is not None and at_least(low, 0) and at_least(size - 1 - high, 0):
        return index
    reg = b.new_reg("int", size)
    b.add(Instr(name="INDEX", args=[Scalar("int", dim), Scalar("int", size)], target=reg))
    return Type.int(reg.size)


def numbers_check(b: Builder, size: Size, needed: int, status: Status = Status.INDEX) -> Check:
    """A check that a symbolic size is at least `needed`."""
    reg = b.new_reg("bool")
    b.add(Instr(name="LE", args=[Scalar("int", needed), Scalar("int", size)], target=reg))
    return Check(cond=Scalar("bool", reg), status=status)


def bounds(b: Builder, dim: Size) -> tuple[Size | None, Size | None]:
    """Least and greatest value of a size in which registers with a limit run over 0 .. limit-1."""
    if isinstance(dim, int):
        return dim, dim
    low: Size = 0
    high: Size = 0
    for mono, coef in dim.terms.items():
        regs = [s for s in mono if s in b.regs]
        if not regs:
            term: Size = Poly({mono: coef}) if mono else coef
            low, high = low + term, high + term
            continue
        limit = b.regs[regs[0]].limit
        if len(mono) != 1 or limit is None:
            return None, None
        far = (limit - 1) * coef
        low, high = (low, high + far) if coef > 0 else (low + far, high)
    return low, high


# reductions and products


def reduction(b: Builder, n: Node, lower: lowering.Reduction) -> View:
    arg = b.tensor(n.args[0])
    dtype, dims = tensor_type(n.result.type, n.op.name)
    given = constant(b, n, "dim")
    keepdim = bool(constant(b, n, "keepdim", False))
    rank = arg.ref.rank
    if given is None or rank == 0 or (isinstance(given, list | tuple) and not given):
        axes = tuple(range(rank))
    else:
        axes = tuple(sorted(arg.ref.axis(d) for d in (given if isinstance(given, list | tuple) else [given])))
    compute = arg.source.dtype if lower.kind in ("any", "all", "argmax", "argmin") else dtype
    if lower.kind in ("any", "all"):
        compute = "bool"
    if lower.kind in ("max", "min", "argmax", "argmin"):
        for a in axes:
            if arg.dims[a] == 0:
                raise b.fail("the reduced dimension is empty")
            if not isinstance(arg.dims[a], int):
                b.add(numbers_check(b, arg.dims[a], 1))
    if lower.kind in ("argmax", "argmin") and len(axes) != 1:
        flat = arg.ref.reshape((product(arg.dims),))
        if flat is None:
            arg = b.copy(arg).whole()
            flat = arg.ref.reshape((product(arg.dims),))
        assert flat is not None
        if not axes:
            return full(b, dtype, (), Scalar("int", 0))
        arg, axes, rank = arg.with_ref(flat), (0,), 1
        if keepdim:
            raise b.fail("keepdim over all dimensions")
    if not axes:
        return pointwise_cast(b, arg, dtype)
    out = Source(dtype, tuple(d for i, d in enumerate(arg.dims) if i not in axes), n.result.hint)
    b.add(Reduce(out=out, kind=lower.kind, arg=arg, axes=axes, compute=compute))
    ref = out.whole().ref
    if keepdim:
        for a in axes:
            ref = ref.unsqueeze(a)
    if ref.sizes != dims:
        raise b.fail(f"a reduction to {ref.sizes} where {dims} are expected")
    return View(out, ref)


def pointwise_cast(b: Builder, arg: View, dtype: str) -> View:
    out = Source(dtype, arg.dims, arg.source.hint)
    b.add(Map(out=out, text="", operands=[arg], casts=[dtype], compute=dtype))
    return out.whole()


def matmul(b: Builder, n: Node, a: View, c: View) -> View:
    """NumPy's matmul rules: 1-d operands gain a dim that the result loses, batch dims broadcast."""
    dtype, dims = tensor_type(n.result.type, n.op.name)
    if dtype not in ("f32", "f64") or {a.source.dtype, c.source.dtype} != {dtype}:
        raise b.fail(f"no matrix product of {a.source.dtype} and {c.source.dtype}")
    left = a.with_ref(a.ref.unsqueeze(0)) if a.ref.rank == 1 else a
    right = c.with_ref(c.ref.unsqueeze(1)) if c.ref.rank == 1 else c
    rank = max(left.ref.rank, right.ref.rank)
    batch = tuple(dims[: rank - 2])
    m, k, units = left.dims[-2], left.dims[-1], right.dims[-1]
    if right.dims[-2] != k:
        raise b.fail(f"sizes {k} and {right.dims[-2]} do not match")
    if n.op.name != "matmul" and left.dims[:-2] != right.dims[:-2]:
        raise b.fail(f"batch sizes {left.dims[:-2]} and {right.dims[:-2]} may differ")
    left = expand(left, (*batch, m, k), b)
    right = expand(right, (*batch, k, units), b)
    out = Source(dtype, (*batch, m, units), n.result.hint)
    windows = windows_of(right)
    swapped = units == 1 and m != 1 and packed_once(b, left)
    if windows is not None:
        b.add(Matmul(out=out, a=left, b=right, windows=windows))
        product_ref = out.whole()
    elif swapped:
        turned = Source(dtype, (*batch, 1, m), n.result.hint)
        left, right = (v.with_ref(v.ref.transpose(-1, -2)) for v in (left, right))
        b.add(Matmul(out=turned, a=right, b=left))
        product_ref = View(turned, turned.whole().ref.transpose(-1, -2))
    elif (units == 1 or (m == 1 and not spread_rows(right))) and not packed_once(b, right):
        product_ref = row_product(b, left, right, out)
    else:
        b.add(Matmul(out=out, a=left, b=right))
        product_ref = out.whole()
    ref = product_ref.ref
    if a.ref.rank == 1:
        ref = ref.select(rank - 2, 0)
    if c.ref.rank == 1:
        ref = ref.select(-1, 0)
    if ref.sizes != dims:
        raise b.fail(f"a product of sizes {ref.sizes} where {dims} are expected")
    return product_ref.with_ref(ref)


def packed_once(b: Builder, matrix: View) -> bool:
    """Whether packing this matrix is done less often than multiplying with it: it is a parameter's, or comes from
    outside a loop."""
    return matrix.source in b.fixed or (b.block.kind == "loop" and matrix.source.owner is not b.block)


def spread_rows(right: View) -> bool:
    """Whether several batch points share one right operand, which makes rows of them."""
    batch = range(right.ref.rank - 2)
    return any(right.dims[d] != 1 and right.ref.strides[d] == 0 for d in batch)


def row_product(b: Builder, left: View, right: View, out: Source) -> View:
    """A product with one row or one column as multiplications and sums: every element of the matrix is used once, so
    packing it would cost as much as the product."""
    k = left.dims[-1]
    dims = (*out.dims, k)
    products = Source(out.dtype, dims)
    a = expand(left.with_ref(left.ref.unsqueeze(-2)), dims, b)
    c = right.ref.transpose(-1, -2)
    c = c.unsqueeze(c.rank - 2)
    b.add(
        Map(
            out=products,
            text="{0} * {1}",
            operands=[a, expand(right.with_ref(c), dims, b)],
            casts=[out.dtype] * 2,
            compute=out.dtype,
        )
    )
    b.add(Reduce(out=out, kind="sum", arg=products.whole(), axes=(len(dims) - 1,), compute=out.dtype))
    return out.whole()
