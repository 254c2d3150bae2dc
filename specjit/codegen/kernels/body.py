"""The instructions of a body inside loops, one dimension of which runs in vector lanes.

Enters: a body, the loop order and the vector dimension. Leaves: statements in a `Writer`, each at the depth of the
innermost loop that it depends on. Invariant: with a mask set, no lane outside it is read or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from specjit.codegen.kernels import writer as w
from specjit.codegen.kernels.spec import Access, Inst, Store
from specjit.codegen.kernels.writer import Writer
from specjit.codegen.vectors.lanes import ITEMSIZE


class BodyWriter:
    """Writes instructions; `order` lists the dimensions from the outermost loop in, the index of dimension d is
    called i<d>, the value of instruction n v<n>. With a `tag`, which these names start with, two bodies fit into one
    kernel.
    """

    def __init__(
        self, body: Sequence[Inst], order: list[int], vector: int | None, lanes: int, row_level: int, tag: str = ""
    ):
        self.out = Writer()
        self.tag = tag
        self.body, self.order, self.vector, self.lanes = body, order, vector, lanes
        self.mask: str | None = None
        self.stage: list[int] = []  # the reductions before an instruction's value is known
        self.level: list[int] = []  # how many loops it is inside of
        self.row_level = row_level  # that of a reduction's value
        self.kept: dict[int, str] = {}  # values put aside for a later sweep over the same points: the address of each
        self.saved: set[int] = set()  # those of them that are there already
        for inst in body:
            before = max((self.stage[a] for a in inst.args), default=0)
            self.stage.append(before + 1 if inst.kind == "reduce" else before)
            self.level.append(self._level(inst))

    def _level(self, inst: Inst) -> int:
        if inst.kind == "reduce":
            return self.row_level
        if inst.kind == "acc":
            return len(self.order)
        if inst.kind == "load" and inst.access is not None:
            return self.access_level(inst.access)
        if inst.kind == "index":
            return self.order.index(inst.dim) + 1
        return max((self.level[a] for a in inst.args), default=0)

    def access_level(self, access: Access) -> int:
        return max((p + 1 for p, d in enumerate(self.order) if access.strides[d] != 0), default=0)

    def cone(self, roots: Iterable[int]) -> set[int]:
        """The instructions that `roots` need, with themselves; a reduction's argument, or a saved value's, is not
        followed.
        """
        seen: set[int] = set()
        todo = list(roots)
        while todo:
            i = todo.pop()
            if i not in seen:
                seen.add(i)
                if self.body[i].kind != "reduce" and i not in self.saved:
                    todo.extend(self.body[i].args)
        return seen

    def emit_level(self, level: int, needed: set[int], stage: int = 0) -> None:
        """The instructions that belong at this depth and whose reductions are done (exactly `stage` of them on row
        level).
        """
        for i, inst in enumerate(self.body):
            if i not in needed or inst.kind == "reduce" or self.level[i] != level:
                continue
            if self.stage[i] == stage if level <= self.row_level else self.stage[i] <= stage:
                cls = w.class_name(inst.dtype)
                name = self.value(i)
                if i in self.saved:
                    self.out.line(f"{name} = simd.load({cls}, {self.kept[i]})")
                    continue
                self.out.line(self._statement(name, inst))
                if i in self.kept:
                    self.out.line(f"simd.store({name}, {self.kept[i]})")

    def value(self, number: int) -> str:
        """The name of an instruction's value."""
        return f"{self.tag}v{number}"

    def index(self, dim: int) -> str:
        """The name of a dimension's index."""
        return f"{self.tag}i{dim}"

    def _statement(self, name: str, inst: Inst) -> str:
        if inst.kind == "load" and inst.access is not None:
            return f"{name} = {self._load(inst.access)}"
        if inst.kind == "index":
            step = 1 if inst.dim == self.vector else 0
            return f"{name} = simd.iota({w.class_name(inst.dtype)}, {self.index(inst.dim)}, {step})"
        if inst.kind == "acc":
            return f"{name} = {self.accumulator(inst)}"
        return w.statement(inst, name, [self.value(a) for a in inst.args])

    def accumulator(self, inst: Inst) -> str:
        raise ValueError("`acc` belongs to a GEMM epilogue")

    def _place(self, access: Access) -> str:
        return w.address(access, [(self.index(d), access.strides[d]) for d in self.order])

    def _load(self, access: Access) -> str:
        cls, at = w.class_name(access.dtype), self._place(access)
        stride = 0 if self.vector is None else access.strides[self.vector]
        if stride == 0:
            return f"simd.load_scalar({cls}, {at})"
        if stride == 1:
            return f"simd.load({cls}, {at})" if self.mask is None else f"simd.load_masked({cls}, {at}, {self.mask})"
        return f"simd.gather({cls}, {at}, {self._stride_bytes(access)}, {self._lanes_mask(cls)})"

    def _stride_bytes(self, access: Access) -> str:
        assert self.vector is not None
        return str(w.Size.of(access.strides[self.vector]) * ITEMSIZE[access.dtype])

    def _lanes_mask(self, cls: str) -> str:
        return self.mask or f"simd.first({cls}, {self.lanes})"

    def store_all(self, stores: Iterable[Store]) -> None:
        for store in stores:
            access, value = store.access, self.value(store.value)
            at = self._place(access)
            stride = 0 if self.vector is None else access.strides[self.vector]
            if stride == 0:
                self.out.line(f"simd.store_scalar({value}, {at})")
            elif stride == 1:
                mask = "" if self.mask is None else f", {self.mask}"
                self.out.line(f"simd.store{'_masked' if mask else ''}({value}, {at}{mask})")
            else:
                mask = self._lanes_mask(w.class_name(access.dtype))
                self.out.line(f"simd.scatter({value}, {at}, {self._stride_bytes(access)}, {mask})")
