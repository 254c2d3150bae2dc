"""`loop` and `if` nodes -> items, with the places where carried, stacked and branch results must end up.

Enters: structural nodes. Leaves: `Loop` and `If` items whose bodies are `BlockItems`.
Invariant: after this, every value that leaves a block is either stored where it is wanted (`Source.want`), copied
there by a `Map`, or is
memory that stays and is only pointed at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from specjit.codegen.schedule.index import identity
from specjit.codegen.schedule.items import (
    BlockItems,
    CarriedScalar,
    CarriedTensor,
    If,
    Loop,
    Map,
    Matmul,
    Pick,
    Reduce,
    Scan,
)
from specjit.codegen.schedule.model import Home, Pointer, Scalar, Source, Storage, View
from specjit.codegen.schedule.tensors import tensor_type
from specjit.ir.dims import Size, product
from specjit.ir.graph import Block, Node, Value
from specjit.ir.viewref import contiguous_strides

if TYPE_CHECKING:
    from specjit.codegen.schedule.build import Builder


def claim(block: BlockItems, view: View, home: Home) -> bool:
    """Have the value made at `home` in the first place, if an item of this very block makes it, the view is all of
    it, and it has no
    other place yet."""
    source, maker = view.source, view.source.maker
    if source.owner is not block or not identity(view.ref, source.dims):
        return False
    if isinstance(maker, Map | Reduce | Matmul | Pick | Scan):
        if source.want is not None:
            return False
        source.want = home
        return True
    if home.strides is not None:
        return False
    if isinstance(maker, Loop) and any(t.result is source for t in maker.tensors):
        if source.want is not None:
            return False
        source.want = home
        return True
    base = source.home.base if source.home is not None else None
    if not isinstance(base, Storage) or base.kind != "temp" or base.instead is not None:
        return False
    base.instead = home
    return True


def loop(b: Builder, n: Node) -> None:
    (body_block,) = n.blocks
    trip_value, cond_value, *inits = n.args
    trip = None if trip_value.is_const and trip_value.const is None else b.scalar(trip_value)
    cond = b.scalar(cond_value)
    limit: Size | None = None
    if trip is not None:
        from specjit.codegen.schedule.numbers import size_of

        limit = size_of(trip)
    index = b.new_reg("int", limit)
    index_param, *params = body_block.params
    b.env[index_param] = Scalar("int", index.size)
    tensors: list[CarriedTensor] = []
    scalars: list[CarriedScalar] = []
    carried: list[CarriedTensor | CarriedScalar] = []
    for k, (init, param) in enumerate(zip(inits, params, strict=True)):
        result = n.results[k]
        if param.type.is_tensor:
            made = _carried_tensor(b, init, param, result)
            tensors.append(made)
            b.env[param] = made.param.whole()
            carried.append(made)
        else:
            number = _carried_scalar(b, init, param, result)
            scalars.append(number)
            b.env[param] = Scalar(param.type.kind, number.param.size if param.type.kind == "int" else number.param)
            carried.append(number)
    stacked_results = n.results[len(inits) :]
    stacked = [_stacked(r) for r in stacked_results]
    body = BlockItems(b.block, "loop")
    index.owner = body
    for c in carried:
        c.param.owner = body
    for t in tensors:
        t.flag.param.owner = body
    item = Loop(
        trip=trip, cond=cond, reverse=bool(n.attrs.get("reverse")), body=body, index=index,
        next_cond=Scalar("bool", True), tensors=tensors, scalars=scalars, stacked=stacked,
    )  # fmt: skip

    def inside() -> None:
        b.walk(body_block)
        next_cond, *outs = body_block.outputs
        item.next_cond = b.scalar(next_cond)
        for source, value in zip(stacked, outs[len(inits) :], strict=True):
            _store_row(b, b.tensor(value), source, index.size)
        for c, value in zip(carried, outs, strict=False):
            if isinstance(c, CarriedTensor):
                _carry(b, c, b.tensor(value), tensors)
            else:
                c.next = _number(b, b.scalar(value), c.param.kind)

    b.in_block(body, inside)
    for t in tensors:
        _passed_on(b, t, scalars)
    b.add(item, here=True)
    for c, result in zip(carried, n.results, strict=False):
        if isinstance(c, CarriedTensor):
            unchanged = c.moved is not None and c.moved.source is c.param
            b.env[result] = c.given if unchanged else c.result.whole()
        else:
            b.env[result] = Scalar(result.type.kind, c.result.size if result.type.kind == "int" else c.result)
    for source, result in zip(stacked, stacked_results, strict=True):
        b.env[result] = source.whole()


def _number(b: Builder, found: Scalar, kind: str) -> Scalar:
    if found.kind != kind:
        raise b.fail(f"a {found.kind} where a {kind} is carried")
    return found


def _carried_tensor(b: Builder, init: Value, param: Value, result: Value) -> CarriedTensor:
    dtype, dims = tensor_type(param.type, param.hint or "a carried value")
    out_dtype, out_dims = tensor_type(result.type, result.hint or "a loop result")
    start = b.tensor(init)
    given, shares = start, start.source.shares
    if (dtype, dims) != (out_dtype, out_dims) or start.source.dtype != dtype or start.dims != dims:
        raise b.fail(f"a value carried as {param.type} becomes {result.type}")
    if not start.ref.is_contiguous:
        start = b.copy(start).whole()
    current, following = Pointer(param.hint or "carried"), Pointer(f"{param.hint or 'carried'}'")
    inner = Source(dtype, dims, param.hint, Home(current))
    outer = Source(dtype, dims, result.hint, Home(current))
    reg = b.new_reg("bool")
    b.flags[reg] = [shares]
    inner.shares = Scalar("bool", reg)
    flag = CarriedScalar(shares, reg, reg)
    return CarriedTensor(given, start, inner, outer, current, following, flag, shares)


def _carried_scalar(b: Builder, init: Value, param: Value, result: Value) -> CarriedScalar:
    kind = param.type.kind
    if kind not in ("int", "float", "bool") or result.type.kind != kind:
        raise b.fail(f"a value of type {param.type} carried by a loop")
    start = b.scalar(init)
    if start.kind != kind:
        raise b.fail(f"a {start.kind} where a {kind} is carried")
    reg = b.new_reg(kind)
    return CarriedScalar(start, reg, reg)


def _stacked(result: Value) -> Source:
    dtype, dims = tensor_type(result.type, result.hint or "a stacked value")
    return Source(dtype, dims, result.hint, Home(Storage("temp", dtype, product(dims) or 0, result.hint)))


def _store_row(b: Builder, row: View, stack: Source, index: Size) -> None:
    """Row `index` of the stack is the row value's home, or gets a copy."""
    assert stack.home is not None
    if row.dims != stack.dims[1:] or row.source.dtype != stack.dtype:
        raise b.fail(f"a row of sizes {row.dims} in a stack of {stack.dims}")
    step = contiguous_strides(stack.dims)[0]
    home = Home(stack.home.base, index * step)  # type: ignore[operator]
    if not claim(b.block, row, home):
        b.copy(row, home)


def _carry(b: Builder, c: CarriedTensor, value: View, tensors: list[CarriedTensor]) -> None:
    """Decide where the next value of a carried tensor comes from."""
    if value.dims != c.param.dims or value.source.dtype != c.param.dtype:
        raise b.fail(f"a carried value of sizes {c.param.dims} becomes {value.dims}")
    c.next = value
    source = value.source
    if source is c.param and identity(value.ref, source.dims):
        c.moved = value
        return
    if claim(b.block, value, Home(c.following)):
        return
    taken = any(t is not c and t.next is not None and t.next.source is source for t in tensors)
    place = source.want or source.home
    row = None if place is None else place.resolved()
    if (
        source.owner is b.block
        and row is not None
        and isinstance(row.base, Storage)
        and row.strides is None
        and identity(value.ref, source.dims)
        and not taken
    ):
        c.moved = value  # it is a row of a stack: the next turn reads it there
        return
    if _outlives(b, source) and value.ref.is_contiguous:
        c.moved = value
        return
    c.next = b.copy(value, Home(c.following)).whole()
    c.next.source.shares = source.shares


def _passed_on(b: Builder, t: CarriedTensor, scalars: list[CarriedScalar]) -> None:
    """Whether the loop's result is the caller's memory, as it would be in eager. A fresh value in every turn leaves
    only the case of no
    turn at all, which `lower_loop` looks at."""
    assert t.next is not None
    after = t.next.source.shares
    t.flag.next = after
    b.flags[t.flag.param].append(after)
    scalars.append(t.flag)
    if after.value is not False:
        t.result.shares = Scalar("bool", t.flag.result)


def _outlives(b: Builder, source: Source) -> bool:
    """Whether the source is memory from outside the current block, which no turn overwrites."""
    if source.home is not None and isinstance(source.home.base, Pointer):
        return False
    if source.maker is None:
        return source.home is not None
    return source.owner is not b.block


def branch(b: Builder, n: Node) -> None:
    cond = b.scalar(n.args[0])
    then, other = BlockItems(b.block, "branch"), BlockItems(b.block, "branch")
    results: list[Source] = []
    shared: list[list[Scalar]] = []
    for r in n.results:
        if r.type.is_tensor:
            shared.append([])
            dtype, dims = tensor_type(r.type, r.hint or "a branch result")
            results.append(Source(dtype, dims, r.hint, Home(Storage("temp", dtype, product(dims) or 0, r.hint))))
    found: list[list[Scalar]] = [[], []]
    for block, ir_block, numbers in zip((then, other), n.blocks, found, strict=True):

        def inside(ir_block: Block = ir_block, numbers: list[Scalar] = numbers) -> None:
            b.walk(ir_block)
            wanted = iter(zip(results, shared, strict=True))
            for out, r in zip(ir_block.outputs, n.results, strict=True):
                if r.type.is_tensor:
                    result, flags = next(wanted)
                    flags.append(b.tensor(out).source.shares)
                    _result(b, b.tensor(out), result)
                else:
                    numbers.append(_number(b, b.scalar(out), r.type.kind))

        b.in_block(block, inside)
    scalars = []
    numbers_of = iter(zip(*found, strict=True))
    tensors_of = iter(results)
    for r in n.results:
        if r.type.is_tensor:
            b.env[r] = next(tensors_of).whole()
            continue
        reg = b.new_reg(r.type.kind)
        a, c = next(numbers_of)
        scalars.append((reg, a, c))
        b.env[r] = Scalar(r.type.kind, reg.size if r.type.kind == "int" else reg)
    for source, (x, y) in zip(results, shared, strict=True):
        if x.value is False and y.value is False:
            continue
        flag = b.new_reg("bool")
        b.flags[flag] = [x, y]
        scalars.append((flag, x, y))
        source.shares = Scalar("bool", flag)
    b.add(If(cond=cond, branches=(then, other), results=results, scalars=scalars), here=True)


def _result(b: Builder, value: View, result: Source) -> None:
    if value.dims != result.dims or value.source.dtype != result.dtype:
        raise b.fail(
            f"a branch gives {value.source.dtype}{list(value.dims)} where {result.dtype}{list(result.dims)} is expected"
        )
    assert result.home is not None
    if not claim(b.block, value, result.home):
        b.copy(value, result.home)
