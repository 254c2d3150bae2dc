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
from specjit.codegen.schedule.model import Home, Pointer, Reg, Scalar, Source, Storage, View
from specjit.codegen.schedule.numbers import instr, size_of
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
    body.index = index
    index.owner = body
    for c in carried:
        c.param.owner = body
    for t in tensors:
        t.origin.param.owner = body
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
    later = [t for t in tensors if not _origin_passed_on(b, t, item)]
    b.add(item, here=True)
    _origins_after(b, later, item)
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
    given, origin = start, b.origins.of(start.source)
    if (dtype, dims) != (out_dtype, out_dims) or start.source.dtype != dtype or start.dims != dims:
        raise b.fail(f"a value carried as {param.type} becomes {result.type}")
    if not start.ref.is_contiguous:
        start = b.copy(start).whole()
    name, elements = param.hint or "carried", product(dims) or 0
    current, following = Pointer(name, dtype, elements), Pointer(f"{name}'", dtype, elements)
    inner = Source(dtype, dims, param.hint, Home(current))
    outer = Source(dtype, dims, result.hint, Home(current))
    number = b.origins.register(b, origin)
    inner.origin = Scalar("int", number)
    return CarriedTensor(given, start, inner, outer, current, following, CarriedScalar(origin, number, number))


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
    c.next.source.origin = b.origins.of(source)


def _origin_passed_on(b: Builder, t: CarriedTensor, item: Loop) -> bool:
    """Carry the number that says which memory the value is. False if it need not be carried for what comes after the
    loop: where every turn of a counted loop makes the value anew, how many turns there were says it."""
    assert t.next is not None
    t.origin.next = following = b.origins.of(t.next.source)
    b.origins.may_become(t.origin.param, following)
    item.scalars.append(t.origin)
    whole = item.trip is not None and item.cond.value is True and item.next_cond.value is True
    if whole and not isinstance(following.value, Reg):
        return False
    t.result.origin = Scalar("int", t.origin.result)
    return True


def _origins_after(b: Builder, tensors: list[CarriedTensor], item: Loop) -> None:
    if not tensors:
        return
    assert item.trip is not None
    turned = instr(b, "LT", "bool", Scalar("int", 0), item.trip)
    last = 0 if item.reverse else size_of(item.trip) - 1
    for t in tensors:
        assert t.origin.next is not None
        t.result.origin = b.origins.after_loop(b, t.origin.init, t.origin.next, item.index, turned, last)


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
    origins: list[list[Scalar]] = []
    for r in n.results:
        if r.type.is_tensor:
            origins.append([])
            dtype, dims = tensor_type(r.type, r.hint or "a branch result")
            results.append(Source(dtype, dims, r.hint, Home(Storage("temp", dtype, product(dims) or 0, r.hint))))
    found: list[list[Scalar]] = [[], []]
    for block, ir_block, numbers in zip((then, other), n.blocks, found, strict=True):

        def inside(ir_block: Block = ir_block, numbers: list[Scalar] = numbers) -> None:
            b.walk(ir_block)
            wanted = iter(zip(results, origins, strict=True))
            for out, r in zip(ir_block.outputs, n.results, strict=True):
                if r.type.is_tensor:
                    result, chosen = next(wanted)
                    chosen.append(b.origins.of(b.tensor(out).source))
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
    for source, (x, y) in zip(results, origins, strict=True):
        number = b.origins.register(b, x, y)
        source.origin = Scalar("int", number)
        scalars.append((number, x, y))
    b.add(If(cond=cond, branches=(then, other), results=results, scalars=scalars), here=True)


def _result(b: Builder, value: View, result: Source) -> None:
    if value.dims != result.dims or value.source.dtype != result.dtype:
        raise b.fail(
            f"a branch gives {value.source.dtype}{list(value.dims)} where {result.dtype}{list(result.dims)} is expected"
        )
    assert result.home is not None
    if not claim(b.block, value, result.home):
        b.copy(value, result.home)
