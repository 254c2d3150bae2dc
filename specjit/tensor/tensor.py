"""`Tensor`: a NumPy array with a dtype, a gradient and a version.

Enters: ndarrays of the supported dtypes in native byte order. Leaves: tensors whose methods are the operators of
`specjit.ops`.
Invariant: `_data` is an ndarray (never a NumPy scalar), or None on the `meta` device, where `_meta` holds (dtype,
shape).
`_requires_grad` is a real bool. Views share `_version` with their `_base`, which is never itself a view.
The first slots are read natively at fixed offsets; subclasses add none before them.
Results are made by `blank`, which costs less than half of a class with a constructor: `Tensor` has none of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from specjit import locks
from specjit.dtypes import DType, dtype_of, get_default_dtype
from specjit.ir.types import Type
from specjit.ir.viewref import contiguous_strides
from specjit.tensor import devices, state, storage
from specjit.tensor.devices import device
from specjit.tensor.methods import TensorMethods
from specjit.tensor.size import Size

_new = object.__new__
_counting = locks.lock()


class TensorType(type):
    """The class of tensor classes: holds the constructor of `Tensor`, and gives subclasses one that they can extend."""

    # What a subclass derives from when it names the key.
    bases: dict[type, type] = {}

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> TensorType:
        return super().__new__(mcs, name, tuple(mcs.bases.get(b, b) for b in bases), namespace, **options)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _construct(_init(blank(), None), *args, **kwargs) if cls is Tensor else super().__call__(*args, **kwargs)


class Tensor(TensorMethods, metaclass=TensorType):
    """A multi-dimensional array. Make one with `specjit.tensor(data)`; `Tensor(sequence)` and `Tensor(2, 3)` give
    float32.

    grad            the accumulated gradient of a leaf, or None
    requires_grad   whether ops on it are recorded for `backward`
    """

    __slots__ = (
        "_data",
        "_requires_grad",
        "grad",
        "_node",
        "_counter",
        "_base",
        "_attached",
        "_hooks",
        "_meta",
        "__weakref__",
    )

    _data: Any
    _requires_grad: bool
    grad: Tensor | None
    _node: Any
    _counter: list[Any] | None
    _base: Tensor | None
    _attached: int
    _hooks: dict[int, Callable[..., Any]] | None
    _meta: tuple[DType, tuple[int, ...]]

    @property
    def _version(self) -> list[Any]:
        """The count of writes to the storage (`storage` says what else is in the list), made when first asked for:
        nobody can have missed a write before."""
        return self._counter or _counted(self)

    @_version.setter
    def _version(self, version: list[Any]) -> None:
        self._counter = version

    @property
    def dtype(self) -> DType:
        """The element type."""
        data = self._data
        return self._meta[0] if data is None else dtype_of(data.dtype)

    @property
    def shape(self) -> Size:
        """The sizes of all dims."""
        data = self._data
        return Size(self._meta[1] if data is None else data.shape)

    @property
    def ndim(self) -> int:
        """The number of dims."""
        data = self._data
        return len(self._meta[1]) if data is None else data.ndim

    @property
    def device(self) -> device:
        """Where the data is: cpu, or meta for none."""
        return devices.meta if self._data is None else devices.cpu

    @property
    def is_cpu(self) -> bool:
        """Whether it has data."""
        return self._data is not None

    @property
    def is_meta(self) -> bool:
        """Whether it has a shape and a dtype but no data."""
        return self._data is None

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.dtype.itemsize * self.numel()

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def requires_grad(self) -> bool:
        """Whether ops on it are recorded for `backward`."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        value = bool(value)
        if value and not self.dtype.is_floating_point:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if self._node is not None and not value:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
                "a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        self._requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made it."""
        return not self._requires_grad or self.grad_fn is None

    @property
    def grad_fn(self) -> Any:
        """The node that computed this tensor, None for a leaf."""
        from specjit.tensor import tape

        node = tape.node_of(self)
        return node.public if node is not None else None

    @property
    def output_nr(self) -> int:
        """Which result of `grad_fn` it is."""
        return getattr(self._node, "index", 0)

    @property
    def data(self) -> Tensor:
        """The same storage without history and with a version of its own: writes to it are not noticed by autograd."""
        if state.recorders and state.thread.recorder is not None:
            return self.detach()
        out = self._detached([0])
        storage.share(self._version, out)
        return out

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        state.refuse("a tensor gets other memory (x.data = ...)", "write it in place: x.copy_(...)")
        if value._data is None:
            self._meta = value._meta
        self._data = value._data
        state.bump_write_epoch()

    def _detached(self, version: list[Any]) -> Tensor:
        out = wrap(self._data)
        out._version = version
        if self._data is None:
            out._meta = self._meta
        return out

    def exported(self) -> bool:
        """Whether memory outside (a live `numpy()` array, DLPack, `from_numpy`) shares this storage."""
        return self._counter is not None and storage.exported(self._counter)

    def stride(self, dim: int | None = None) -> Any:
        """Strides in elements, or the one of `dim`."""
        data = self._data
        strides: tuple[Any, ...] = (
            contiguous_strides(self._meta[1]) if data is None else tuple(s // data.itemsize for s in data.strides)
        )
        state.reads(self, "stride", strides)
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """Elements between the start of the storage and the first element."""
        elements = 0
        if self._base is not None and self._data is not None:
            elements = (address(self._data) - address(self._base._data)) // self._data.itemsize
        state.reads(self, "storage_offset", elements)
        return elements

    def data_ptr(self) -> int:
        """The address of the first element; 0 on meta."""
        state.refuse("the address of a tensor (data_ptr)", "compare tensors with `is`, or leave it out of the trace")
        return 0 if self._data is None else address(self._data)

    def dim(self) -> int:
        """The number of dims."""
        return self.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        data = self._data
        return self.shape.numel() if data is None else data.size

    nelement = numel

    def is_floating_point(self) -> bool:
        """Whether the dtype is a float."""
        return self.dtype.is_floating_point

    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        found = self._data is None or self._data.flags.c_contiguous
        state.reads(self, "is_contiguous", found)
        return found

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """An ndarray on the same memory. `force=True` detaches first."""
        if self._data is None:
            raise RuntimeError("a tensor on the meta device has no data to give to NumPy")
        if self._requires_grad and not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        state.refuse(
            "a tensor is handed to NumPy, whose work a trace does not record",
            "use specjit's operators, or specjit.optimize, which runs such lines in Python",
        )
        return storage.export(self._version, self._data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy and self._data is not None and not self._requires_grad:
            return np.array(self._data, dtype=dtype)
        out = self.numpy()
        return out if dtype is None or out.dtype == dtype else out.astype(dtype)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.numpy().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def tolist(self) -> Any:
        """Nested Python lists of Python numbers; a number for a 0-d tensor."""
        found = self._needs_data("tolist").tolist()
        state.reads(self, "tolist", found)
        return found

    def _needs_data(self, what: str) -> np.ndarray:
        if self._data is None:
            raise RuntimeError(f"Tensor.{what}() cannot be called on meta tensors")
        data: np.ndarray = self._data
        return data

    def _scalar(self) -> Any:
        data = self._needs_data("item")
        if data.size != 1:
            raise RuntimeError(f"a Tensor with {data.size} elements cannot be converted to Scalar")
        if state.recorders and state.thread.recorder is not None:
            return self.item()
        return data.item()

    def __bool__(self) -> bool:
        data = self._needs_data("__bool__")
        if data.size != 1:
            if not data.size:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    def __float__(self) -> float:
        return float(self._scalar())

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def __index__(self) -> int:
        if self.dtype.is_floating_point or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._scalar())

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, item: Any) -> bool:
        return bool((self == item).any())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from specjit.tensor.printing import show

        if not (state.recorders and state.thread.recorder is not None):
            return show(self)
        with state.recording(None):
            text = show(self)
        state.reads(self, "__repr__", text)
        return text

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 and self._data is not None else format(repr(self), spec)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradient of this tensor to the `.grad` of the leaves it was computed from.

        gradient: of this tensor's shape; may be left out for a tensor with one element (it is 1).
        """
        from specjit.tensor import engine

        engine.backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call `hook(grad)` whenever the gradient of this tensor is computed; what it returns replaces the gradient."""
        from specjit.tensor import tape

        return tape.register_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> Any:
        """Call `hook(tensor)` whenever a gradient has been added to the `.grad` of this leaf."""
        from specjit.tensor import tape

        return tape.register_post_accumulate_grad_hook(self, hook)

    @property
    def retains_grad(self) -> bool:
        """Whether this non-leaf tensor keeps its gradient in `.grad`."""
        from specjit.tensor import tape

        return tape.retains_grad(self)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf tensor in `.grad` too."""
        from specjit.tensor import tape

        tape.retain_grad(self)

    def detach_(self) -> Tensor:
        """Cut this tensor from its history, in place."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._node = None
        self._requires_grad = False
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        from specjit.tensor import copies

        return copies.deep(self, memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        from specjit.tensor import copies

        return copies.reduced(self)


# A plain call of the class, past the metaclass.
blank: Callable[[], Any] = type.__call__.__get__(Tensor)


def _construct(out: Any, *args: Any, dtype: DType | None = None) -> Any:
    """What `Tensor(...)` puts into the new tensor."""
    wanted = (dtype or get_default_dtype()).numpy
    if all(isinstance(a, int) and not isinstance(a, bool) for a in args):
        out._data = np.zeros(args or 0, wanted)
    elif len(args) == 1:
        out._data = np.array(to_numpy(args[0]), dtype=wanted)
    else:
        raise TypeError("Tensor() takes one sequence, or sizes as ints")
    return out


class _Extensible(Tensor):
    """The base of subclasses of `Tensor`: its constructor as methods."""

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return bare(cls, np.empty(0, np.float32))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args:
            _construct(self, *args, **kwargs)


TensorType.bases[Tensor] = _Extensible


def _init(out: Any, data: Any) -> Any:
    out._data = data
    out._requires_grad = False
    out.grad = None
    out._node = None
    out._counter = None
    out._base = None
    return out


def bare(cls: type[Tensor], data: Any) -> Any:
    """A tensor of a class around `data`, past its constructor."""
    return _init(_new(cls), data)


def _counted(t: Tensor) -> list[Any]:
    """The version of a tensor that had none: one for all threads that ask."""
    with _counting:
        if t._counter is None:
            t._counter = [0]
        return t._counter


def wrap(data: Any) -> Tensor:
    """A new tensor around an ndarray that nobody else writes to."""
    out = blank()
    out._data = data
    out._requires_grad = False
    out.grad = None
    out._node = None
    out._counter = None
    out._base = None
    return out


def wrap_meta(dtype: DType, shape: Sequence[int]) -> Tensor:
    """A tensor on the meta device."""
    out = wrap(None)
    out._meta = (dtype, tuple(shape))
    return out


def wrap_node(data: np.ndarray, node: Any) -> Tensor:
    """A new tensor that `node` computed (`node` is a `tape.Node`, or its `output(i)`)."""
    out = wrap(data)
    out._requires_grad = True
    out._node = node
    return out


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def type_of_tensor(t: Tensor) -> Type:
    """The IR type of a tensor, with everything known."""
    return Type.tensor(t.dtype, tuple(t.shape), t.device.type, t._requires_grad)


def to_numpy(data: Any) -> Any:
    """Nested sequences with tensors in them as something NumPy understands."""
    if isinstance(data, Tensor):
        return data._needs_data("numpy")
    if isinstance(data, (list, tuple)):
        return [to_numpy(x) for x in data]
    return data
