"""The road of an op call: from Python arguments to result tensors, with the tape, tracing and the meta device on the
way.

Enters: records. Leaves: their public functions, generated as Python source per signature, so that the common call
(plain tensors, nothing recorded) runs straight through: check types, compute, wrap.
Invariant: every exception to the common call goes through `dispatch`, in one order: tracers, the thread's recorder,
argument checks, meta tensors, then eager execution. A failed computation goes through `recover`, which finds the error
that PyTorch documents.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjit.dtypes import DType
from specjit.ir.types import Type
from specjit.ops.records.eager import writable
from specjit.tensor import inplace, state, storage, tracer
from specjit.tensor.devices import device
from specjit.tensor.methods import TensorMethods
from specjit.tensor.parameter import Parameter
from specjit.tensor.random import Generator
from specjit.tensor.recorded import OpNode, OpNodes, edges_of
from specjit.tensor.tape import node_of
from specjit.tensor.tensor import Tensor, type_of_tensor, wrap, wrap_meta

if TYPE_CHECKING:
    from specjit.ops.records.registry import Op
    from specjit.ops.records.schema import Param, Signature

PYTHON_TYPES = {float: "float64", int: "int64", bool: "bool_"}


def dispatch(op: Op, args: Sequence[Any]) -> Any:
    """The general call: `args` in schema order, anything allowed in them."""
    builder = tracer.find(args)
    if builder is not None:
        return tracer.trace(op, args, builder)
    if state.recorders:
        recorder = state.thread.recorder
        if recorder is not None:
            return recorder.call(op, args)
    return execute(op, checked(op, args))


def execute(op: Op, args: Sequence[Any]) -> Any:
    """Eager execution of checked arguments, on whichever device they are."""
    if _on_meta(op, args):
        return _run_meta(op, args)
    grad = op.differentiable and state.thread.grad and _wants_grad(op, args)
    if op.traits.writes:
        return call_writing(op, args, grad)
    raw = [unwrapped(a) for a in args]
    try:
        found = op.eager(*raw)
    except Exception as error:
        return recover(op, args, error)
    return finish(op, args, found, grad)


def of_list(op: Op, args: Sequence[Any]) -> Any:
    """A call whose first argument is a list of tensors; plain ones skip the checks of `dispatch`."""
    tensors = args[0]
    kind = type(tensors)
    if (kind is not list and kind is not tuple) or state.recorders or not tensors:
        return dispatch(op, args)
    arrays = []
    grad = False
    for t in tensors:
        kind = type(t)
        if (kind is not Tensor and kind is not Parameter) or t._data is None:
            return dispatch(op, args)
        arrays.append(t._data)
        grad = grad or t._requires_grad
    try:
        found = op.eager(arrays, *args[1:])
    except Exception as error:
        return recover(op, args, error)
    out = wrap(found)
    if grad and op.differentiable and state.thread.grad and found.dtype.kind == "f":
        if op.saves[0] or op.saves_result:
            record(op, args, [out], False)
        else:
            out._requires_grad = True
            out._node = OpNode.of_list(op, args, arrays, found)
    return out


def finish(op: Op, args: Sequence[Any], found: Any, grad: bool) -> Any:
    """Wrap what `eager` returned as the record says, and record it on the tape."""
    if op.returns == ("Tensor",):
        if op.traits.view_of is not None:
            return finish_view(op, args, found)
        out = wrap(found if type(found) is np.ndarray else np.asarray(found))
        if grad:
            record(op, args, [out], False)
        elif args and args[-1] is True and op.params[-1].name == "requires_grad":
            out.requires_grad = True
        return out
    if not op.returns or not isinstance(found, (tuple, list)) or "Tensor" not in op.returns[0]:
        return found
    source = None if op.traits.view_of is None else args[op.traits.view_of]
    outs = []
    for r in found:
        out = wrap(r if type(r) is np.ndarray else np.asarray(r))
        if source is not None and aliases(out._data, source._data):
            attach_view(out, source, op.differentiable)
        outs.append(out)
    if grad:
        record(op, args, outs, True)
    return tuple(outs)


def record(op: Op, args: Sequence[Any], outs: list[Tensor], several: bool) -> None:
    """Put a call on the tape: floating-point results come to require grad."""
    if not any(o._data.dtype.kind == "f" for o in outs):
        return
    node = (OpNodes if several else OpNode)(op, args, edges_of(op, args))
    for i, out in enumerate(outs):
        if out._data.dtype.kind == "f":
            out._requires_grad = True
            out._node = node.output(i) if several else node
    node.keep_results(outs)


def finish_view(op: Op, args: Sequence[Any], found: Any) -> Tensor:
    """Wrap a result that may alias argument `view_of`. The very array of the argument means: nothing was to be done."""
    source: Tensor = args[op.traits.view_of]  # type: ignore[index]
    data = source._data
    if found is data and op.differentiable:
        return source
    out = wrap(found if type(found) is np.ndarray else np.asarray(found))
    if aliases(found, data):
        attach_view(out, source, op.differentiable)
    if source._requires_grad and op.differentiable and state.thread.grad:
        record(op, args, [out], False)
    return out


def aliases(found: Any, data: np.ndarray) -> bool:
    base = found.base
    return found is data or (base is not None and (base is data or base is data.base))


def attach_view(out: Tensor, source: Tensor, differentiable: bool) -> None:
    """Make `out` a view of `source`. A view without gradient (`detach`) shares only the version."""
    version = out._version = source._version
    if not differentiable:
        return
    base = source._base
    out._base = source if base is None else base
    out._attached = version[0]
    if not source._requires_grad and state.thread.grad:
        storage.add_view(version, out)


def call_writing(op: Op, args: Sequence[Any], grad: bool) -> Any:
    (at,) = op.traits.writes
    target: Tensor = args[at]
    inplace.check_target(target, grad)
    if grad:
        # With gradients, an element that stands for several would need one history for all of them.
        writable(target._data)
    saved = list(args)
    if grad and any(getattr(args[k], "_requires_grad", False) for k in op.readers(at)):
        # The gradient reads the content before the write, so a copy is kept under the target's history.
        before = wrap(target._data.copy())
        before._requires_grad = target._requires_grad
        before._node = node_of(target)
        saved[at] = before
    edges = edges_of(op, args) if grad else ()
    raw = [unwrapped(a) for a in args]
    try:
        op.eager(*raw)
    except Exception as error:
        return recover(op, args, error)
    except BaseException:  # Ctrl-C may come after the write: who keeps what was made of the old content must know
        inplace.written(target)
        raise
    inplace.written(target)
    if grad:
        node = OpNode(op, saved, edges)
        node.keep_results((target,))
        inplace.record_write(target, node)
    return target if op.returns else None


PLAIN_KINDS = {int, float, bool, str, type(None), type(Ellipsis)}


def unwrapped(a: Any) -> Any:
    """Tensors as ndarrays, inside lists, tuples and slices too."""
    kind = type(a)
    if kind in PLAIN_KINDS:
        return a
    if kind is Tensor:
        return a._data
    if kind is slice:
        ends = a.start, a.stop, a.step
        return a if PLAIN_KINDS.issuperset(map(type, ends)) else slice(*map(unwrapped, ends))
    if kind is tuple or kind is list:
        return kind(map(unwrapped, a))
    return a._data if isinstance(a, Tensor) else a


def _wants_grad(op: Op, args: Sequence[Any]) -> bool:
    for i in op.tensor_positions:
        a = args[i]
        if isinstance(a, Tensor):
            if a._requires_grad:
                return True
        elif isinstance(a, (list, tuple)) and any(t._requires_grad for t in a):
            return True
    return False


def _on_meta(op: Op, args: Sequence[Any]) -> bool:
    for p, a in zip(op.params, args):
        if isinstance(a, Tensor):
            if a._data is None:
                return True
        elif p.type.base == "device":
            if a is not None and a == "meta":
                return True
        elif p.type.many and p.type.is_tensor and any(t._data is None for t in a):
            return True
    return False


def _run_meta(op: Op, args: Sequence[Any]) -> Any:
    asked = any(p.type.base == "device" and a is not None for p, a in zip(op.params, args))
    for i, a in enumerate(args):
        if not asked and isinstance(a, Tensor) and a._data is not None and a._data.ndim and i in op.tensor_positions:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, meta and cpu! "
                f"({op.name})"
            )
    found = op.infer(*[_types(a) for a in args])
    if op.traits.writes:
        (at,) = op.traits.writes
        inplace.written(args[at])
        return args[at] if op.returns else None
    return _meta_result(op, found, args)


def _meta_result(op: Op, found: Any, args: Sequence[Any]) -> Any:
    if isinstance(found, (list, tuple)):
        return tuple(_meta_result(op, t, args) for t in found)
    if isinstance(found, Type) and found.is_tensor:
        if found.dtype is None or found.dims is None or any(d is None for d in found.dims):
            raise RuntimeError(f"{op.name}: the shape of the result depends on data, which meta tensors do not have")
        out = wrap_meta(found.dtype, found.dims)  # type: ignore[arg-type]
        if op.differentiable and state.thread.grad and found.dtype.is_floating_point and _wants_grad(op, args):
            out._requires_grad = True
        return out
    if isinstance(found, Type):
        raise RuntimeError(f"{op.name}: the result depends on data, which meta tensors do not have")
    return found


def _types(a: Any) -> Any:
    if isinstance(a, Tensor):
        return type_of_tensor(a)
    return type(a)([_types(x) for x in a]) if type(a) in (list, tuple) else a


def recover(op: Op, args: Sequence[Any], error: Exception) -> Any:
    """An eager function failed: with arguments of other types than the schema's try again, else raise what PyTorch
    raises."""
    if isinstance(error, (RuntimeWarning, FloatingPointError)):
        return execute(op, checked(op, args))
    fixed = checked(op, args)
    if any(a is not b for a, b in zip(args, fixed)):
        return dispatch(op, fixed)
    if not isinstance(error, (ValueError, IndexError, TypeError, OverflowError)):
        raise error
    try:
        op.infer(*[_types(a) for a in args])
    except (RuntimeError, IndexError, TypeError, ValueError) as clear:
        raise clear from None
    if isinstance(error, ValueError):
        # NumPy's ValueErrors are RuntimeErrors in PyTorch; the documented ones were raised by infer just now.
        raise RuntimeError(f"{op.name}(): {error}") from None
    raise error


def checked(op: Signature, args: Sequence[Any]) -> list[Any]:
    """Arguments converted to what the schema says; TypeError names the one that cannot be."""
    return [_checked(op, p, a, i) for i, (p, a) in enumerate(zip(op.params, args))]


def _checked(op: Signature, p: Param, a: Any, position: int) -> Any:
    t = p.type
    if a is None and (t.optional or t.base == "any"):
        return a
    try:
        if t.many and t.base != "any":
            if t.base == "int" and not isinstance(a, (list, tuple)):
                return (operator.index(a),)
            if not isinstance(a, (list, tuple)):
                raise TypeError
            items = [_checked_one(t.base, t.scalar, x) for x in a]
            return a if all(x is y for x, y in zip(items, a)) else tuple(items)
        return _checked_one(t.base, t.scalar, a)
    except TypeError:
        wanted = f"{'tuple of ' if t.many else ''}{t.base}{'s' if t.many else ''}"
        raise TypeError(
            f"{op.name}(): argument '{p.name}' (position {position + 1}) must be {wanted}, not {type(a).__name__}"
        ) from None


def _checked_one(base: str, scalar: bool, a: Any) -> Any:
    if base == "any":
        return a
    if base == "Tensor":
        if isinstance(a, Tensor):
            return a
        if scalar:
            return _number(a)
        raise TypeError
    if base == "Scalar":
        return a._scalar() if isinstance(a, Tensor) and a.numel() == 1 else _number(a)
    if base == "int":
        return a if type(a) is int else operator.index(a)
    if base == "float":
        return a if type(a) in (float, int) else float(_number(a))
    if base == "bool":
        if isinstance(a, (bool, np.bool_)):
            return a if type(a) is bool else bool(a)
        raise TypeError
    if base == "dtype":
        return as_dtype(a)
    if base == "device":
        return a if isinstance(a, device) else device(a)
    if (base == "str" and not isinstance(a, str)) or (base == "Generator" and not isinstance(a, Generator)):
        raise TypeError
    return a


def _number(a: Any) -> Any:
    if isinstance(a, (bool, int, float)) and not isinstance(a, np.generic):
        return a
    if isinstance(a, (np.bool_, np.integer, np.floating)):
        return a.item()
    raise TypeError


def as_dtype(d: Any) -> DType:
    """A dtype argument: a `DType`, or the Python types float, int and bool."""
    if isinstance(d, DType):
        return d
    if isinstance(d, type) and d in PYTHON_TYPES:
        from specjit import dtypes

        found: DType = getattr(dtypes, PYTHON_TYPES[d])
        return found
    raise TypeError


def attach_method(name: str, fn: Callable[..., Any]) -> None:
    """Give Tensor and Tracer the method `name`."""
    setattr(TensorMethods, name, fn)


OPERANDS = (Tensor, tracer.Tracer, tracer.Scalar, int, float, np.number, np.bool_)


def operator_slow(op: Op, args: Sequence[Any]) -> Any:
    """`dispatch` for the operators of Python's syntax: an operand of a foreign type gets its own chance."""
    if not all(isinstance(a, OPERANDS) for a in args[:2]):
        return NotImplemented
    return dispatch(op, args)
