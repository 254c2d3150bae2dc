"""The road of an op call: from Python arguments to result tensors, with the tape, tracing and the meta device on the way.

Enters: records. Leaves: their public functions, generated as Python source per signature, so that the common call (plain tensors,
nothing recorded) runs straight through: check types, compute, wrap.
Invariant: every exception to the common call goes through `dispatch`, in one order: tracers, the thread's recorder, argument checks,
meta tensors, then eager execution. A failed computation goes through `recover`, which finds the error that PyTorch documents.
"""

from __future__ import annotations

import linecache
import operator
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from specjit.dtypes import DType
from specjit.ir.types import Type
from specjit.ops import quiet
from specjit.tensor import inplace, state, storage, tracer
from specjit.tensor.devices import device
from specjit.tensor.methods import TensorMethods
from specjit.tensor.recorded import OpNode, edges_of
from specjit.tensor.tape import node_of
from specjit.tensor.tensor import Parameter, Tensor, type_of_tensor, wrap, wrap_meta

if TYPE_CHECKING:
    from specjit.ops.registry import Op, Param

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
        return _write(op, args, grad)
    raw = [_raw(a) for a in args]
    try:
        found = op.eager(*raw)
    except Exception as error:
        return recover(op, args, error)
    return finish(op, args, found, grad)


def finish(op: Op, args: Sequence[Any], found: Any, grad: bool) -> Any:
    """Wrap what `eager` returned as the record says, and record it on the tape."""
    if op.returns == ("Tensor",):
        if op.traits.view_of is not None:
            return finish_view(op, args, found)
        out = wrap(found if type(found) is np.ndarray else np.asarray(found))
        if grad:
            record(op, args, [out], False)
        elif "requires_grad" in op.schema and args[-1] is True:
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
    node = OpNode(op, args, edges_of(op, args))
    for i, out in enumerate(outs):
        if out._data.dtype.kind == "f":
            out._requires_grad = True
            out._node = node.output(i) if several else node
    node.keep_results(outs, several)


def record_one(op: Op, args: Sequence[Any], data: np.ndarray) -> Tensor:
    """The common case of `record`: one fresh result."""
    out = wrap(data)
    if data.dtype.kind == "f":
        node = OpNode(op, args, edges_of(op, args))
        out._requires_grad = True
        out._node = node
        node.keep_results((out,), False)
    return out


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


def _write(op: Op, args: Sequence[Any], grad: bool) -> Any:
    (at,) = op.traits.writes
    target: Tensor = args[at]
    inplace.check_target(target, grad)
    saved = list(args)
    if grad and op.saves[at]:
        # The gradient reads the content before the write, so a copy is kept under the target's history.
        before = wrap(target._data.copy())
        before._requires_grad = target._requires_grad
        before._node = node_of(target)
        saved[at] = before
    edges = edges_of(op, args) if grad else ()
    raw = [_raw(a) for a in args]
    if not target._data.flags.writeable:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    try:
        op.eager(*raw)
    except Exception as error:
        return recover(op, args, error)
    inplace.written(target)
    if grad:
        node = OpNode(op, saved, edges)
        node.keep_results((target,), False)
        inplace.record_write(target, node)
    return target if op.returns else None


def _raw(a: Any) -> Any:
    """Tensors as ndarrays, inside lists, tuples and slices too."""
    if isinstance(a, Tensor):
        return a._data
    if type(a) in (list, tuple) and a:
        return type(a)([_raw(x) for x in a])
    if type(a) is slice:
        return slice(_raw(a.start), _raw(a.stop), _raw(a.step))
    return a


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
    for i, a in enumerate(args):
        if isinstance(a, Tensor) and a._data is not None and a._data.ndim and i in op.tensor_positions:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, meta and cpu! ({op.name})"
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
    """An eager function failed: with arguments of other types than the schema's try again, else raise what PyTorch raises."""
    fixed = checked(op, args)
    if any(a is not b for a, b in zip(args, fixed)):
        return dispatch(op, fixed)
    if not isinstance(error, (ValueError, IndexError, TypeError, OverflowError)):
        raise error
    try:
        op.infer(*[_types(a) for a in args])
    except (RuntimeError, IndexError, TypeError, ValueError) as clear:
        raise clear from None
    if isinstance(error, IndexError):
        raise IndexError(f"{op.name}(): {error}") from None
    if isinstance(error, ValueError):
        # NumPy's ValueErrors are RuntimeErrors in PyTorch; the documented ones were raised by infer just now.
        raise RuntimeError(f"{op.name}(): {error}") from None
    raise error


def checked(op: Op, args: Sequence[Any]) -> list[Any]:
    """Arguments converted to what the schema says; TypeError names the one that cannot be."""
    return [_checked(op, p, a, i) for i, (p, a) in enumerate(zip(op.params, args))]


def _checked(op: Op, p: Param, a: Any, position: int) -> Any:
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
    if base == "str" and not isinstance(a, str):
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


def public_function(op: Op) -> Callable[..., Any]:
    """Generate the function that users call."""
    if op.name.startswith("py."):
        return _with_record(lambda *args, **named: op.eager(*args, **named), op, op.name)
    return generate(op, op.name, "_dispatch")


def operator_function(op: Op, name: str, swapped: bool = False) -> Callable[..., Any]:
    """Generate a method of Python's operator syntax, such as `__add__` (or, swapped, `__radd__`)."""
    return generate(op, name, "_operator_slow", swapped)


def generate(op: Op, name: str, slow: str, swapped: bool = False) -> Callable[..., Any]:
    """The function's body is compiled by its first call: all of them at once would double the time of the import."""
    file = f"<specjit op {name}{' swapped' if swapped else ''}>"
    namespace: dict[str, Any] = {
        "_op": op,
        "_eager": getattr(op.eager, "raw", op.eager),
        "_Tensor": Tensor,
        "_Parameter": Parameter,
        "_ndarray": np.ndarray,
        "_asarray": np.asarray,
        "_new": object.__new__,
        "_state": state,
        "_thread": state.thread,
        "_dispatch": dispatch,
        "_operator_slow": operator_slow,
        "_recover": recover,
        "_record_one": record_one,
        "_finish_view": finish_view,
        "_set": quiet.set_quiet,
        "_reset": quiet.reset,
        "_quiet": quiet.QUIET,
        "_spread": _spread,
        "_raw": _raw,
        **{f"_d{i}": p.default for i, p in enumerate(op.params)},
    }

    def finished() -> Callable[..., Any]:
        source = render(op, name.replace(".", "_"), slow, swapped)
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        exec(compile(source, file, "exec"), namespace)
        made = namespace[name.replace(".", "_")]
        function.__defaults__, function.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
        function.__code__ = made.__code__  # the same object, so that whoever holds the function has the finished one
        return function

    namespace["_finished"] = finished
    function = FunctionType(_first_call.__code__.replace(co_filename=file, co_firstlineno=1), namespace, name)
    return _with_record(function, op, name)


def _first_call(*args, **named):  # its globals are the generated function's
    return _finished()(*args, **named)  # type: ignore[name-defined]  # noqa: F821


def _with_record(fn: Callable[..., Any], op: Op, name: str) -> Callable[..., Any]:
    fn.record = op  # type: ignore[attr-defined]
    fn.__name__ = fn.__qualname__ = name
    fn.__module__ = "specjit"
    fn.__doc__ = f"{op.schema}\n\n{op.doc}".strip()
    return fn


def _spread(given: tuple[Any, ...], named: dict[str, Any], name: str, op: Op) -> Any:
    """The value of a list parameter that may be given as one sequence, as several positional ints, or by name."""
    if name in named:
        return named.pop(name)
    if len(given) == 1 and isinstance(given[0], (list, tuple)):
        return given[0]
    if not given and op.param(name).required and name not in ("size", "dims"):
        raise TypeError(f"{op.name}() missing required argument: {name!r}")
    return given


def signature(op: Op) -> tuple[str, list[str]]:
    """Parameters of the generated function, and the lines that make its arguments ready."""
    parts: list[str] = []
    ready: list[str] = []
    starred = False
    for i, p in enumerate(op.params):
        if p.type.spread:
            parts.append(f"*{p.name}")
            starred = True
            ready.append(f"{p.name} = _spread({p.name}, _named, {p.name!r}, _op)")
            continue
        if p.kwonly and not starred:
            parts.append("*")
            starred = True
        parts.append(p.name if p.required else f"{p.name}=_d{i}")
    if ready:
        parts.append("**_named")
        ready.append(
            f"if _named: raise TypeError('{op.name}() got an unexpected keyword argument ' + repr(next(iter(_named))))"
        )
    return ", ".join(parts), ready


def render(op: Op, name: str, slow: str, swapped: bool) -> str:
    """The source of the public function."""
    text, ready = signature(op)
    if swapped:
        a, b = op.params[0].name, op.params[1].name
        rest = [f"{p.name}=_d{i}" for i, p in enumerate(op.params)][2:]
        text = ", ".join([b, a, *rest])
    args = ", ".join(p.name for p in op.params) + ("," if len(op.params) == 1 else "")
    lines = [f"def {name}({text}):", *(f"    {line}" for line in ready)]
    if _has_fast_path(op):
        lines += ["    " + line for line in _fast_path(op, args)]
    lines.append(f"    return {slow}(_op, ({args}))")
    return "\n".join(lines) + "\n"


def _has_fast_path(op: Op) -> bool:
    tensors = [p.type for p in op.params if p.type.is_tensor]
    plain = bool(tensors) and not any(t.many or t.optional for t in tensors)
    return plain and op.returns == ("Tensor",) and not op.traits.writes and op.params[0].type.is_tensor


def _fast_path(op: Op, args: str) -> list[str]:
    tensors = [(i, p) for i, p in enumerate(op.params) if p.type.is_tensor]
    first = op.params[tensors[0][0]].name
    view = op.traits.view_of is not None
    lines: list[str] = []
    tests: list[str] = ["not _state.recorders"]
    for i, p in tensors:
        if not p.type.scalar:
            lines.append(f"_t{i} = type({p.name})")
            tests.append(f"(_t{i} is _Tensor or _t{i} is _Parameter)")
    lines.append(f"if {' and '.join(tests)}:")
    body: list[str] = []
    grads = []
    for i, p in tensors:
        if p.type.scalar:
            body += [
                f"_t{i} = type({p.name})",
                f"if _t{i} is _Tensor or _t{i} is _Parameter:",
                f"    _a{i} = {p.name}._data",
                f"    _g{i} = {p.name}._requires_grad",
                f"elif _t{i} is float or _t{i} is int or _t{i} is bool:",
                f"    _a{i} = {p.name}",
                f"    _g{i} = False",
                "else:",
                f"    _a{i} = None",
            ]
            grads.append(f"_g{i}")
        else:
            body.append(f"_a{i} = {p.name}._data")
            grads.append(f"{p.name}._requires_grad")
    present = [f"_a{i} is not None" for i, _ in tensors]
    if all(p.type.scalar for _, p in tensors):
        present.append(" or ".join(f"type(_a{i}) is _ndarray" for i, _ in tensors).join("()"))
    body.append(f"if {' and '.join(present)}:")
    raw = ", ".join(
        f"_a{i}" if p.type.is_tensor else f"_raw({p.name})" if p.type.base == "any" else p.name
        for i, p in enumerate(op.params)
    )
    quietly = hasattr(op.eager, "raw")
    run = ["_token = _set(_quiet)"] if quietly else []
    run += ["try:", f"    _r = _eager({raw})", "except Exception as _error:"]
    run += [f"    return _recover(_op, ({args}), _error)"]
    if quietly:
        run += ["finally:", "    _reset(_token)"]
    if view:
        run.append(f"return _finish_view(_op, ({args}), _r)")
    else:
        run += ["if type(_r) is not _ndarray:", "    _r = _asarray(_r)"]
        if op.differentiable:
            run += [f"if ({' or '.join(grads)}) and _thread.grad:", f"    return _record_one(_op, ({args}), _r)"]
        run += [
            "_out = _new(_Tensor)",
            "_out._data = _r",
            "_out._requires_grad = False",
            "_out.grad = None",
            "_out._node = None",
            "_out._version = [0]",
            "_out._base = None",
            "return _out",
        ]
    body += ["    " + line for line in run]
    del first
    return lines + ["    " + line for line in body]
