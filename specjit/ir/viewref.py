"""Where a view's elements lie: offset, sizes and strides as dims, in elements of the base storage.

Enters: the geometry of a base. Leaves: the geometry of views of it, by the same rules as NumPy's basic indexing and
reshape.
Invariant: unknown is legal everywhere (None); an operation that needs a copy answers None instead of a ViewRef.
Symbolic positions are taken to be in bounds (the scheduler emits the checks); constant ones are checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specjit.ir.dims import Dim, divide, product


def add(a: Dim, b: Dim) -> Dim:
    return None if a is None or b is None else a + b


def sub(a: Dim, b: Dim) -> Dim:
    return None if a is None or b is None else a - b


def mul(a: Dim, b: Dim) -> Dim:
    if a == 0 or b == 0:
        return 0
    return None if a is None or b is None else a * b


def contiguous_strides(sizes: Sequence[Dim]) -> tuple[Dim, ...]:
    """Row-major strides. A size of 0 counts as 1, as in NumPy, so that strides of empty tensors stay positive."""
    out: list[Dim] = []
    step: Dim = 1
    for size in reversed(sizes):
        out.append(step)
        step = mul(step, 1 if size == 0 else size)
    return tuple(reversed(out))


@dataclass(frozen=True)
class ViewRef:
    """element(i0, i1, ...) = storage[offset + sum(i_d * strides[d])]."""

    sizes: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    offset: Dim = 0

    @staticmethod
    def contiguous(sizes: Sequence[Dim], offset: Dim = 0) -> ViewRef:
        return ViewRef(tuple(sizes), contiguous_strides(sizes), offset)

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def is_contiguous(self) -> bool:
        """Known to be laid out row-major without gaps (strides of size-1 dims do not matter)."""
        expected = contiguous_strides(self.sizes)
        return all(n == 1 or (s is not None and s == e) for n, s, e in zip(self.sizes, self.strides, expected))

    def axis(self, dim: int) -> int:
        if not -self.rank <= dim < max(self.rank, 1):
            raise IndexError(f"dimension out of range: {dim} for a {self.rank}-d view")
        return dim % self.rank if self.rank else 0

    def permute(self, dims: Sequence[int]) -> ViewRef:
        order = [self.axis(d) for d in dims]
        return ViewRef(tuple(self.sizes[d] for d in order), tuple(self.strides[d] for d in order), self.offset)

    def transpose(self, a: int, b: int) -> ViewRef:
        order = list(range(self.rank))
        if order:
            a, b = self.axis(a), self.axis(b)
            order[a], order[b] = order[b], order[a]
        return self.permute(order)

    def narrow(self, dim: int, start: Dim, length: Dim, step: int = 1) -> ViewRef:
        """`length` elements from `start` along `dim`, every `step`-th."""
        d = self.axis(dim)
        stride = self.strides[d]
        return ViewRef(
            (*self.sizes[:d], length, *self.sizes[d + 1 :]),
            (*self.strides[:d], mul(stride, step), *self.strides[d + 1 :]),
            add(self.offset, mul(start, stride)),
        )

    def select(self, dim: int, index: Dim) -> ViewRef:
        """One position along `dim`, which goes away. A negative constant counts from the end."""
        d = self.axis(dim)
        if isinstance(index, int) and index < 0:
            index = add(self.sizes[d], index)
        ref = self.narrow(d, index, 1)
        return ViewRef((*ref.sizes[:d], *ref.sizes[d + 1 :]), (*ref.strides[:d], *ref.strides[d + 1 :]), ref.offset)

    def expand(self, sizes: Sequence[Dim]) -> ViewRef:
        """Broadcast to `sizes` (-1 keeps a size); new leading dims and stretched dims get stride 0."""
        lead = len(sizes) - self.rank
        if lead < 0:
            raise RuntimeError(f"expand: {len(sizes)} sizes given for a {self.rank}-d view")
        out_sizes, strides = list(sizes[:lead]), [0 for _ in range(lead)]
        rest: list[Dim] = []
        for want, have, stride in zip(sizes[lead:], self.sizes, self.strides):
            same = want == -1 or want == have
            out_sizes.append(have if same else want)
            rest.append(stride if same or (have is None and want is None) else 0 if have == 1 else None)
        return ViewRef(tuple(out_sizes), (*strides, *rest), self.offset)

    def flip(self, dim: int) -> ViewRef:
        """The same elements, backwards along `dim`."""
        d = self.axis(dim)
        if not self.rank:
            return self
        stride = self.strides[d]
        strides = (*self.strides[:d], mul(stride, -1), *self.strides[d + 1 :])
        return ViewRef(self.sizes, strides, add(self.offset, mul(sub(self.sizes[d], 1), stride)))

    def unsqueeze(self, dim: int) -> ViewRef:
        d = dim + self.rank + 1 if dim < 0 else dim
        stride: Dim = mul(self.sizes[d], self.strides[d]) if d < self.rank else 1
        return ViewRef(
            (*self.sizes[:d], 1, *self.sizes[d:]), (*self.strides[:d], stride, *self.strides[d:]), self.offset
        )

    def squeeze(self, dims: Sequence[int] | None = None) -> ViewRef:
        """Drop size-1 dims: all that are known to be 1, or those of `dims` that are."""
        wanted = range(self.rank) if dims is None else {self.axis(d) for d in dims}
        keep = [d for d in range(self.rank) if not (d in wanted and self.sizes[d] == 1)]
        return self.permute(keep)

    def reshape(self, sizes: Sequence[Dim]) -> ViewRef | None:
        """The same elements in row-major order under other sizes (one may be -1); None where that needs a copy or is
        not known to be possible."""
        total = product(self.sizes)
        out = infer_sizes(sizes, total)
        if out == self.sizes:
            return self
        if self.is_contiguous:
            return ViewRef.contiguous(out, self.offset)
        if total == 0:
            return ViewRef.contiguous(out, self.offset)
        strides = _reshaped_strides(self, out)
        return None if strides is None else ViewRef(out, strides, self.offset)


def infer_sizes(sizes: Sequence[Dim], total: Dim) -> tuple[Dim, ...]:
    """`sizes` with a -1 replaced by what is left of `total` elements."""
    out = list(sizes)
    for i, size in enumerate(out):
        if size == -1:
            rest = product([s for k, s in enumerate(out) if k != i])
            out[i] = divide(total, rest)
    return tuple(out)


def _reshaped_strides(ref: ViewRef, sizes: tuple[Dim, ...]) -> tuple[Dim, ...] | None:
    """Strides of a reshape that needs no copy. Old dims fall into chunks that lie evenly in memory; each new dim must
    be cut out of one chunk, and both walks end each chunk at the same product."""
    old = [(n, s) for n, s in zip(ref.sizes, ref.strides) if n != 1]
    out: list[Dim] = [None] * len(sizes)
    new = len(sizes) - 1
    while old:
        size, step = old.pop()
        if size is None or step is None:
            return None
        chunk, base = size, step
        while old:
            outer, outer_stride = old[-1]
            if outer is None or outer_stride is None or outer_stride != mul(base, chunk):
                break
            chunk = chunk * outer
            old.pop()
        seen: Dim = 1
        while new >= 0 and (seen != chunk or sizes[new] == 1):
            out[new] = mul(base, seen)
            seen = mul(seen, sizes[new])
            if seen is None or (isinstance(seen, int) and isinstance(chunk, int) and seen > chunk):
                return None
            new -= 1
        if seen != chunk:
            return None
    while new >= 0:
        if sizes[new] != 1:
            return None
        out[new] = 1
        new -= 1
    return tuple(out)
