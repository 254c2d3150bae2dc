"""IR nodes -> items: arrays computations, number instructions, loops and branches.

Enters: a typed block. Leaves: `BlockItems` for the region and for its prologue (what depends on parameters alone).
Invariant: no item has an outside effect, every view is checked to be in bounds (by proof or by an INDEX instruction),
and whatever cannot be expressed raises `NotSchedulable` with the place in the user's program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from specjit.codegen.abi import Status
from specjit.codegen.schedule import control_items, dispatch, numbers, tensors
from specjit.codegen.schedule.errors import NotSchedulable
from specjit.codegen.schedule.items import Binding, BlockItems, Item, Map, Pick
from specjit.codegen.schedule.model import CALLERS, Home, Reg, Scalar, Source, Storage, View
from specjit.codegen.schedule.origins import Origins
from specjit.codegen.vectors.lanes import ITEMSIZE
from specjit.ir.dims import Poly, Size, product, symbol
from specjit.ir.graph import Block, Location, Node, Value
from specjit.ir.structure import IF, LOOP
from specjit.ir.types import Type
from specjit.ir.viewref import ViewRef


class Builder:
    """Walks a region's block. `env` binds IR values; `block` is where items go."""

    def __init__(self, block: Block, layouts: dict[Value, tuple[Any, ...]], parameters: set[Value]) -> None:
        self.top = BlockItems(None, "top")
        self.prologue = BlockItems(None, "prologue")
        self.block = self.top
        self.env: dict[Value, Binding] = {}
        self.regs: dict[str, Reg] = {}
        self.inputs: list[Storage | Reg | None] = []
        self.symbols: set[str] = set()
        self.given: set[str] = set()  # symbols that ints brought: they may be negative
        self.shapes: set[str] = set()  # symbols that the shapes of input tensors brought: they are not
        self.origins = Origins()
        self.constants: list[tuple[Storage, np.ndarray]] = []
        self.packed: list[Storage] = []  # what the prologue hands to the region
        self.apart: dict[Source, Source] = {}  # copies for the caller of sources that are in memory of another kind
        self.fixed: set[Source] = set()  # sources that are parameters or made in the prologue
        self.loc: Location | None = None
        self.op = ""
        for value in block.params:
            self._bind_symbols((value.type.dim,) if value.type.kind == "int" else value.type.dims or ())
            self._bind_symbols(layouts.get(value) or ())
        for value in block.params:
            self.inputs.append(self._input(value, layouts.get(value), value in parameters))

    # inputs

    def _input(self, value: Value, strides: tuple[Any, ...] | None, parameter: bool) -> Storage | Reg | None:
        t = value.type
        if (
            t.kind == "int" and t.dim is not None and self.size_known(t.dim)
        ):  # else no other input tells of some size in it
            self.env[value] = Scalar("int", t.dim)
            self.given |= t.dim.symbols() if isinstance(t.dim, Poly) else set()
            return None
        if t.kind in ("int", "float", "bool"):
            reg = self.new_reg(t.kind)
            self.env[value] = Scalar(t.kind, reg)
            return reg
        dtype, dims = tensors.tensor_type(t, value.hint or "input")
        self.shapes |= {s for d in dims if isinstance(d, Poly) for s in d.symbols()}
        storage = Storage("input", dtype, product(dims) or 0, value.hint)
        storage.index = len(self.inputs)
        source = Source(dtype, dims, value.hint, Home(storage))
        source.origin = CALLERS
        ref = ViewRef.contiguous(dims) if strides is None else ViewRef(dims, tuple(strides))
        self.env[value] = View(source, ref)
        if parameter:
            self.fixed.add(source)
        return storage

    def _bind_symbols(self, dims: Sequence[Any]) -> None:
        for d in dims:
            if isinstance(d, Poly) and list(d.terms.values()) == [1] and sum(map(len, d.terms)) == 1:
                self.symbols |= d.symbols()

    def new_reg(self, kind: str, limit: Size | None = None) -> Reg:
        reg = Reg(kind, f"_r{len(self.regs)}", limit)
        reg.owner = self.block
        self.regs[reg.name] = reg
        return reg

    # values

    def fail(self, reason: str) -> NotSchedulable:
        return NotSchedulable(f"{self.op}: {reason}" if self.op else reason, self.loc)

    def get(self, value: Value) -> Binding:
        if not value.is_const:
            try:
                return self.env[value]
            except KeyError:
                raise self.fail(f"the value {value} has no native form") from None
        const = value.const
        if isinstance(const, np.ndarray):
            return self.constant_array(const)
        if isinstance(const, bool | int | float):
            return Scalar(type(const).__name__, const)
        if isinstance(const, list | tuple):
            return [self.get(Value.constant(c)) for c in const]
        data = getattr(const, "_data", None)
        if isinstance(data, np.ndarray):
            return self.constant_array(data)
        raise self.fail(f"a constant of type {type(const).__name__}")

    def tensor(self, value: Value) -> View:
        found = self.get(value)
        if not isinstance(found, View):
            raise self.fail("a tensor is needed")
        return found

    def scalar(self, value: Value) -> Scalar:
        found = self.get(value)
        if not isinstance(found, Scalar):
            raise self.fail("a number is needed")
        return found

    def constant_array(self, data: np.ndarray) -> View:
        from specjit.dtypes import dtype_of

        short = dtype_of(data.dtype).short
        if short not in ITEMSIZE:
            raise self.fail(f"no kernels for {short}")
        data = np.ascontiguousarray(data).reshape(np.shape(data))  # which makes 0-d arrays 1-d
        storage = Storage("packed", short, data.size, f"const{len(self.constants)}")
        self.constants.append((storage, data))
        source = Source(short, data.shape, storage.name, Home(storage))
        self.fixed.add(source)
        return source.whole()

    def size_known(self, size: Any) -> bool:
        return isinstance(size, int) or (
            isinstance(size, Poly) and all(s in self.symbols or s in self.regs for s in size.symbols())
        )

    # items

    def add(self, item: Item, *, here: bool = False) -> Item:
        """Put an item into the current block, or into the prologue when it depends on parameters alone."""
        item.loc, item.op = self.loc, self.op
        sizes = [*item.sizes(), *(d for s in item.makes() for d in s.dims)]
        for size in sizes:
            if not self.size_known(size):
                raise self.fail(f"a size ({size}) is not known before the call")
        self.check_signs(sizes)
        block = self.block
        reads = list(item.views())
        if (
            not here
            and not isinstance(item, Pick)  # it may fail, which a prologue must not
            and reads
            and all(v.source in self.fixed for v in reads)
            and all(isinstance(s, int) for s in item.sizes())
            and all(n.is_const for n in item.numbers())
            and item.makes()
        ):
            block = self.prologue
            self.fixed.update(item.makes())
        block.add(item)
        return item

    def check_signs(self, sizes: Iterable[Any]) -> None:
        """Leave the region, before anything else, if an int of the caller's that is used as a size is negative."""
        used = {name for size in sizes if isinstance(size, Poly) for name in size.symbols()}
        for name in sorted(used & (self.given - self.shapes)):
            self.given.discard(name)
            self.in_block(self.top, functools.partial(self._check_first, symbol(name)))

    def _check_first(self, size: Size) -> None:
        """Check at the very start that a size is not negative."""
        items = self.top.items
        self.add(tensors.numbers_check(self, size, 0, Status.GUARD))
        items[:] = [*items[-2:], *items[:-2]]

    def copy(self, view: View, want: Home | None = None, *, here: bool = False) -> Source:
        """A fresh row-major copy of a view, put at `want` if given."""
        out = Source(view.source.dtype, view.dims, view.source.hint)
        out.want = want
        item = Map(out=out, text="", operands=[view], casts=[out.dtype], compute=out.dtype)
        self.add(item, here=here or want is not None)
        return out

    # nodes

    def walk(self, block: Block) -> None:
        for node in block.nodes:
            loc, op = self.loc, self.op
            self.loc, self.op = node.loc or self.loc, node.op.name
            self.node(node)
            self.loc, self.op = loc, op

    def node(self, node: Node) -> None:
        if node.op is IF:
            control_items.branch(self, node)
        elif node.op is LOOP:
            control_items.loop(self, node)
        elif node.blocks:
            raise self.fail("a nested region")
        elif all(r.type.kind == "int" and self.size_known(r.type.dim) for r in node.results) and node.results:
            for r in node.results:
                self.env[r] = Scalar("int", r.type.dim)  # type: ignore[arg-type]
        elif node.op.name in numbers.RULES:
            numbers.RULES[node.op.name](self, node)
        else:
            dispatch.node(self, node)

    def bind(self, node: Node, found: Binding | Sequence[Binding]) -> None:
        if len(node.results) == 1 and not (isinstance(found, list) and node.results[0].type.is_tensor):
            found = [found]
        if len(found) != len(node.results):  # type: ignore[arg-type]
            raise self.fail(f"{len(found)} results where {len(node.results)} are expected")  # type: ignore[arg-type]
        for result, binding in zip(node.results, found, strict=True):  # type: ignore[arg-type]
            self.env[result] = binding
            if isinstance(binding, View) and result.hint and not binding.source.hint:
                binding.source.hint = result.hint

    def in_block(self, block: BlockItems, run: Callable[[], object]) -> None:
        outer, self.block = self.block, block
        try:
            run()
        finally:
            self.block = outer


def as_type(binding: Binding, value: Value) -> Any:
    """What `infer` and view rules see of an argument: constants, `Type.int(dim)` with run-time integers as symbols,
    lists of these."""
    if isinstance(binding, Scalar):
        if binding.is_const:
            return binding.value
        if isinstance(binding.value, Poly):
            return Type.int(binding.value)
        assert isinstance(binding.value, Reg)
        return Type.int(binding.value.size) if binding.kind == "int" else Type(binding.kind)
    if isinstance(binding, list):
        return [as_type(b, value) for b in binding]
    return value.type
