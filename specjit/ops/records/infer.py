"""Building blocks of type rules: what goes in is what `infer` sees, what comes out are `Type`s.

Enters: tensor types with any part unknown, constants, `Type.int(dim)`. Leaves: result types, or the error that eager
mode would raise.
Invariant: an error is raised only where the types prove it; an unknown dtype or dim gives an unknown result.
device and requires_grad are left None: `Op.infer` fills them in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from specjit import dtypes
from specjit.dtypes import DType, get_default_dtype
from specjit.ir.dims import Dim, Poly, product
from specjit.ir.types import FLOAT, INT, Type
from specjit.ir.viewref import infer_sizes
from specjit.tensor.promotion import result_type

Dims = tuple[Dim, ...] | None


def is_tensor(x: Any) -> bool:
    return isinstance(x, Type) and x.is_tensor


def dims_of(x: Any) -> Dims:
    """The dims of an operand; a number has none."""
    return x.dims if is_tensor(x) else ()


def dim_of(x: Any) -> Dim:
    """An int argument as a dim."""
    if isinstance(x, Type):
        return x.dim
    return x if x is None or isinstance(x, Poly) else int(x)


def sizes_of(x: Any) -> Dims:
    """An `int[]` argument as dims; None if even its length is unknown."""
    if isinstance(x, Type):
        return None if x.kind != "int" else (x.dim,)
    return tuple(map(dim_of, x)) if isinstance(x, (list, tuple)) else (int(x),)


def int_of(dim: Dim) -> Any:
    return dim if isinstance(dim, int) else Type.int(dim)


def known_int(x: Any) -> int | None:
    d = dim_of(x)
    return d if isinstance(d, int) else None


def known_ints(*args: Any) -> list[Any] | None:
    """`int` and `int[]` arguments as ints and tuples of ints; None unless all of them are known."""
    out: list[Any] = []
    for x in args:
        many = isinstance(x, (list, tuple))
        found = tuple(map(known_int, x)) if many else (known_int(x),)
        if None in found:
            return None
        out.append(found if many else found[0])
    return out


def axis(dim: Any, rank: int | None) -> int | None:
    """A dimension argument as a non-negative int; None if unknown. IndexError if it is out of range."""
    d = known_int(dim)
    if d is None or rank is None:
        return None
    bound = max(rank, 1)
    if not -bound <= d < bound:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {d})")
    return d % bound


def axes(dim: Any, rank: int | None) -> tuple[int, ...] | None:
    """A `dim: int[]?` argument; None (or empty) means all dims. None if unknown."""
    if rank is None:
        return None
    if dim is None or (isinstance(dim, (list, tuple)) and not dim):
        return tuple(range(rank))
    given = dim if isinstance(dim, (list, tuple)) else [dim]
    found = [axis(d, rank) for d in given]
    if None in found:
        return None
    if len(set(found)) < len(found):
        raise RuntimeError(
            f"dim {next(d for d in found if found.count(d) > 1)} appears multiple times in the list of dims"
        )
    return tuple(d for d in found if d is not None and d < rank)


def broadcast_dim(a: Dim, b: Dim, where: int = 0) -> Dim:
    """One dim of a broadcast. A symbol is never 1 where that matters (see `tensor.tracer`)."""
    if a == b and a is not None:
        return a
    if a == 1:
        return b
    if b == 1:
        return a
    if isinstance(a, int) and isinstance(b, int):
        raise RuntimeError(
            f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {where}"
        )
    if isinstance(a, int) and a != 0:
        return a
    if isinstance(b, int) and b != 0:
        return b
    return None


def broadcast(*shapes: Dims) -> Dims:
    """The common shape of a pointwise op."""
    if any(s is None for s in shapes):
        return None
    rank = max((len(s) for s in shapes if s is not None), default=0)
    out: list[Dim] = [1] * rank
    for s in shapes:
        assert s is not None
        lead = rank - len(s)
        for i, d in enumerate(s):
            out[lead + i] = broadcast_dim(out[lead + i], d, lead + i) if out[lead + i] != 1 or d != 1 else 1
    return tuple(out)


def float_of(d: DType | None) -> DType | None:
    """The dtype of a floating-point function's result."""
    return d if d is None or d.is_floating_point else get_default_dtype()


def same(x: Type, *_: Any) -> Type:
    return Type.tensor(x.dtype, x.dims)


def same_float(x: Type, *_: Any) -> Type:
    return Type.tensor(float_of(x.dtype), x.dims)


def like_bool(x: Type, *_: Any) -> Type:
    return Type.tensor(dtypes.bool_, x.dims)


def pointwise(a: Any, b: Any, *_: Any) -> Type:
    """Two operands, broadcast and promoted."""
    return Type.tensor(result_type(a, b), broadcast(dims_of(a), dims_of(b)))


def pointwise_float(a: Any, b: Any, *_: Any) -> Type:
    return Type.tensor(float_of(result_type(a, b)), broadcast(dims_of(a), dims_of(b)))


def compare(a: Any, b: Any, *_: Any) -> Type:
    return Type.tensor(dtypes.bool_, broadcast(dims_of(a), dims_of(b)))


def promoted(*operands: Any) -> Type:
    """Any number of operands (None is left out), broadcast and promoted."""
    given = [x for x in operands if x is not None]
    return Type.tensor(result_type(*given), broadcast(*map(dims_of, given)))


def reduced(dims: Dims, which: tuple[int, ...] | None, keepdim: Any) -> Dims:
    if dims is None or which is None or not isinstance(keepdim, bool):
        return None
    if keepdim:
        return tuple(1 if i in which else d for i, d in enumerate(dims))
    return tuple(d for i, d in enumerate(dims) if i not in which)


def reduction(dtype: Callable[[DType | None], DType | None]) -> Callable[..., Type]:
    """`(input, dim, keepdim, ...)` with the result dtype from the input's."""

    def infer(x: Type, dim: Any = None, keepdim: Any = False, *_: Any) -> Type:
        return Type.tensor(dtype(x.dtype), reduced(x.dims, axes(dim, x.rank), keepdim))

    return infer


def along(dtype: Callable[[DType | None], DType | None] = lambda d: d) -> Callable[..., Type]:
    """`(input, dim, ...)` with a result of the input's shape: scans, softmax."""

    def infer(x: Type, dim: Any, *_: Any) -> Type:
        axis(dim, x.rank)
        return Type.tensor(dtype(x.dtype), x.dims)

    return infer


def with_indices(rule: Callable[..., Type]) -> Callable[..., tuple[Type, Type]]:
    """(values, int64 indices) of one shape, from the rule of the values: max along a dim, cummax, sort."""

    def infer(*args: Any) -> tuple[Type, Type]:
        values = rule(*args)
        return values, Type.tensor(dtypes.int64, values.dims)

    return infer


def summed_dtype(d: DType | None) -> DType | None:
    """Sums of bools and ints are int64."""
    return dtypes.int64 if d is not None and not d.is_floating_point else d


def matmul(a: Type, b: Type) -> Type:
    dtype = a.dtype if a.dtype is b.dtype else None
    if a.dtype is not None and b.dtype is not None and a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype.name} != {b.dtype.name}")
    if a.dims is None or b.dims is None:
        return Type.tensor(dtype)
    if not a.dims or not b.dims:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {len(a.dims)}D and {len(b.dims)}D"
        )
    k = b.dims[-2] if len(b.dims) > 1 else b.dims[-1]
    if isinstance(a.dims[-1], int) and isinstance(k, int) and a.dims[-1] != k:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_shape(a.dims)} and {_shape(b.dims)}): {a.dims[-1]} != {k}"
        )
    batch = broadcast(a.dims[:-2], b.dims[:-2])
    assert batch is not None
    rows = a.dims[-2:-1]
    columns = b.dims[-1:] if len(b.dims) > 1 else ()
    return Type.tensor(dtype, (*batch, *rows, *columns))


def _shape(dims: Sequence[Dim]) -> str:
    return "x".join("?" if d is None else str(d) for d in dims)


def reshaped(x: Type, sizes: Any) -> Type:
    wanted = sizes_of(sizes)
    if wanted is None:
        return Type.tensor(x.dtype)
    if sum(s == -1 for s in wanted) > 1:
        raise RuntimeError("only one dimension can be inferred")
    total = None if x.dims is None else product(x.dims)
    out = infer_sizes(wanted, total)
    if isinstance(total, int) and all(isinstance(s, int) for s in wanted):
        given = product([s for s in wanted if s != -1])
        assert isinstance(given, int)
        if -1 in wanted and given == 0:
            raise RuntimeError(
                f"cannot reshape tensor of {total} elements into shape {list(wanted)} because the unspecified "
                "dimension size "
                "-1 can be any value and is ambiguous"
            )
        if (-1 in wanted and total % given) or (-1 not in wanted and given != total):
            raise RuntimeError(f"shape '{list(wanted)}' is invalid for input of size {total}")
    if any(isinstance(s, int) and s < -1 for s in wanted):
        raise RuntimeError(f"invalid shape dimension in {list(wanted)}")
    return Type.tensor(x.dtype, out)


def expanded(x: Type, sizes: Any) -> Type:
    wanted = sizes_of(sizes)
    if wanted is None or x.dims is None:
        return Type.tensor(x.dtype)
    lead = len(wanted) - len(x.dims)
    if lead < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(wanted)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({len(x.dims)})"
        )
    if -1 in wanted[:lead]:
        raise RuntimeError("The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension 0")
    out = list(wanted[:lead])
    for i, (want, have) in enumerate(zip(wanted[lead:], x.dims)):
        if isinstance(want, int) and isinstance(have, int) and want not in (-1, have) and have != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({want}) must match the existing size ({have}) at non-singleton "
                f"dimension {lead + i}"
            )
        out.append(have if want == -1 else want)
    return Type.tensor(x.dtype, out)


def check_write(result: DType | None, dims: Dims, x: Type) -> None:
    """An in-place op keeps the shape of its target `x` and the category of its dtype."""
    if result is not None and x.dtype is not None and result.category > x.dtype.category:
        raise RuntimeError(
            f"result type {dtypes.TITLES[result.name]} can't be cast to the desired output type "
            f"{dtypes.TITLES[x.dtype.name]}"
        )
    if dims is not None and x.dims is not None and tuple(dims) != tuple(x.dims):
        known = all(isinstance(d, int) for d in (*dims, *x.dims))
        if known or len(dims) != len(x.dims):
            raise RuntimeError(f"output with shape {list(x.dims)} doesn't match the broadcast shape {list(dims)}")


def number_type(dtype: DType | None) -> Type:
    """The Python number that an element of `dtype` becomes."""
    if dtype is None:
        return Type("any")
    return FLOAT if dtype.is_floating_point else INT if dtype.category else Type("bool")
