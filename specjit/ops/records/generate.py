"""The public functions of ops, generated as Python source per signature.

Enters: records. Leaves: functions and operator methods in which the common call (tensors on the CPU, no trace) runs
straight through: check types, compute, wrap, record.
Invariant: everything uncommon goes to `call.dispatch`, and a failed computation to `call.recover`. An eager function
may carry `inline`, a NumPy function that may be called instead under a condition that is cheap to test; `text`, an
expression of the parameters that says the same; or `fill`, a NumPy function of a size and a dtype.
"""

from __future__ import annotations

import functools
import linecache
import warnings
from collections.abc import Callable
from itertools import combinations
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from specjit.ops.records.call import (
    attach_view,
    call_writing,
    dispatch,
    finish,
    of_list,
    operator_slow,
    recover,
    unwrapped,
)
from specjit.ops.records.generate_creation import ABSENT, NAMES, creation_path, fill_path, is_creation
from specjit.ops.records.quiet import QUIET, reset, set_quiet
from specjit.tensor import inplace, state
from specjit.tensor.parameter import Parameter
from specjit.tensor.recorded import KeptIndex, OpNode
from specjit.tensor.tape import edge
from specjit.tensor.tensor import Tensor, blank

if TYPE_CHECKING:
    from specjit.ops.records.registry import Op
    from specjit.ops.records.schema import Signature

# Switching NumPy's error state off and on costs as much as a small op. So the functions that are called inline run in
# the user's state, their warnings are filtered by the module that NumPy finds on the stack, and what is raised instead
# (under an "error" filter or np.seterr) makes `recover` compute again, quietly. The `direct` functions of composites
# are of other modules of this package.
FILTERED = "specjit.ops.generated"
warnings.filterwarnings("ignore", ".* encountered in ", RuntimeWarning, r"specjit\.ops\.")


def public_function(op: Op) -> Callable[..., Any]:
    """Generate the function that users call."""
    if op.name.startswith("py."):
        return _with_record(lambda *args, **named: op.eager(*args, **named), op, op.name)
    return generate(op, op.name, "_dispatch")


def operator_function(op: Op, name: str, swapped: bool = False) -> Callable[..., Any]:
    """Generate a method of Python's operator syntax, such as `__add__` (or, swapped, `__radd__`)."""
    return generate(op, name, "_operator_slow", swapped)


def generate(op: Op, name: str, slow: str, swapped: bool = False) -> Callable[..., Any]:
    """The function is compiled by its first call: all of them at once would double the time of the import."""
    namespace: dict[str, Any] = {"__name__": FILTERED}
    function = FunctionType(_first_call.__code__, namespace, name)
    namespace["_finished"] = functools.partial(_finish_function, function, op, name, slow, swapped)
    return _with_record(function, op, name)


def _first_call(*args, **named):  # its globals are the generated function's
    return _finished()(*args, **named)  # type: ignore[name-defined]  # noqa: F821


def _finish_function(function: Any, op: Op, name: str, slow: str, swapped: bool) -> Callable[..., Any]:
    namespace = function.__globals__
    namespace.update(COMMON)
    namespace.update(
        _op=op,
        _eager=op.eager,
        _quiet_eager=getattr(op.eager, "raw", None),
        _inline=getattr(getattr(op.eager, "inline", None), "fn", None),
        _fill=getattr(op.eager, "fill", None),
        **{f"_d{i}": p.default for i, p in enumerate(op.params)},
    )
    file = f"<specjit op {name}{' swapped' if swapped else ''}>"
    return define(function, namespace, render(op, name.replace(".", "_"), slow, swapped), file)


def define(function: Any, namespace: dict[str, Any], source: str, file: str) -> Callable[..., Any]:
    """Give `function` the body that `source` defines: the same object, so that whoever holds it has the finished
    one."""
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    made: dict[str, Any] = {}
    exec(compile(source, file, "exec"), namespace, made)
    (body,) = made.values()
    function.__defaults__, function.__kwdefaults__ = body.__defaults__, body.__kwdefaults__
    function.__code__ = body.__code__
    return function


COMMON: dict[str, Any] = {
    "_Tensor": Tensor,
    "_Parameter": Parameter,
    "_ndarray": np.ndarray,
    "_asarray": np.asarray,
    "_new": object.__new__,
    "_blank": blank,
    "_state": state,
    "_thread": state.thread,
    "_dispatch": dispatch,
    "_operator_slow": operator_slow,
    "_recover": recover,
    "_OpNode": OpNode,
    "_edge": edge,
    "_index_of": KeptIndex.of,
    "_attach_view": attach_view,
    "_finish": finish,
    "_of_list": of_list,
    "_write": call_writing,
    "_written": inplace.written,
    "_next_write": state.next_write,
    "_set_quiet": set_quiet,
    "_reset": reset,
    "_QUIET": QUIET,
    "_one": 1,
    "_f32": np.dtype(np.float32),
    "_f64": np.dtype(np.float64),
    "_bool": np.dtype(bool),
    "_raw": unwrapped,
    **NAMES,
}


def _with_record(fn: Any, op: Op, name: str) -> Callable[..., Any]:
    fn.record = op
    fn.__qualname__ = name
    fn.__module__ = "specjit"
    fn.__doc__ = f"{op.schema}\n\n{op.doc}" if op.doc else op.schema
    return fn


def _spread(given: Any, name: str, op: Signature) -> Any:
    """The value of a list parameter that was given as one argument: a sequence, or the only one of its items."""
    if given is not ABSENT:
        return given if isinstance(given, (list, tuple)) else (given,)
    if next(p.required for p in op.params if p.name == name) and name not in ("size", "dims"):
        raise TypeError(f"{op.name}() missing required argument: {name!r}")
    return ()


COMMON |= {"_spread": _spread, "_absent": ABSENT}


def signature(op: Signature) -> tuple[str, list[str]]:
    """Parameters of the generated function, and the lines that make its arguments ready."""
    parts: list[str] = []
    ready: list[str] = []
    starred = False
    for i, p in enumerate(op.params):
        if p.type.spread:
            parts += [f"{p.name}=_absent", "*_more"]
            starred = True
            ready += [
                f"if _more: {p.name} = ({p.name},) + _more",
                f"if type({p.name}) is not tuple: {p.name} = _spread({p.name}, {p.name!r}, _op)",
            ]
            continue
        if p.kwonly and not starred:
            parts.append("*")
            starred = True
        parts.append(p.name if p.required else f"{p.name}=_d{i}")
    return ", ".join(parts), ready


def render(op: Op, name: str, slow: str, swapped: bool) -> str:
    """The source of the public function."""
    text, ready = signature(op)
    if swapped:
        a, b = op.params[0].name, op.params[1].name
        rest = [f"{p.name}=_d{i}" for i, p in enumerate(op.params)][2:]
        text = ", ".join([b, a, *rest])
    args = ", ".join(p.name for p in op.params) + ("," if len(op.params) == 1 else "")
    first = fill_path("not _state.recorders", "_dtypes.default.numpy") if hasattr(op.eager, "fill") else []
    lines = [f"def {name}({text}):", *_indent([*ready[:1], *first, *ready[1:]])]
    if op.params and op.params[0].type.many and op.params[0].type.is_tensor:
        lines.append(f"    return _of_list(_op, ({args}))")
    elif _has_fast_path(op):
        lines += ["    " + line for line in _fast_path(op, args)]
    elif is_creation(op):
        lines += ["    " + line for line in creation_path(op)]
    lines.append(f"    return {slow}(_op, ({args}))")
    return "\n".join(lines) + "\n"


def _has_fast_path(op: Op) -> bool:
    tensors = [p.type for p in op.params if p.type.is_tensor]
    if not tensors or any(t.many or (t.optional and not t.scalar) for t in tensors):
        return False
    return op.params[0].type.is_tensor and not op.params[0].type.optional


def _is_tensor(name: str) -> str:
    return f"({name} is _Tensor or {name} is _Parameter)"


def _indent(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def _fast_path(op: Op, args: str) -> list[str]:
    """The common calls: all operands tensors, and (where the schema allows it) Python numbers for some of them."""
    operands = [(i, p.name) for i, p in enumerate(op.params) if p.type.is_tensor]
    # `zeros_like` and its kin: a device, or a gradient wanted of something fresh, is for the general call.
    options = [f" and {p.name} is {p.default}" for p in op.params if p.name in ("device", "requires_grad")]
    test = f"if not _state.recorders{''.join(options)}:"
    if any(op.params[i].type.optional for i, _ in operands):
        return [test, *_indent(_beside_options(op, args, operands))]
    lines = [f"_t{i} = type({n})" for i, n in operands]
    tests = [_is_tensor(f"_t{i}") for i, _ in operands]
    lines.append(f"if {' and '.join(tests)}:")
    lines += _indent(_tensor_branch(op, args, [i for i, _ in operands]))
    scalar = [i for i, _ in operands if op.params[i].type.scalar]
    for numbers in [c for n in range(len(scalar)) for c in combinations(scalar, n + 1) if len(c) < len(operands)]:
        tensors = [i for i, _ in operands if i not in numbers]
        tests = [*(_is_tensor(f"_t{i}") for i in tensors), *(f"_t{i} in _numbers" for i in numbers)]
        lines.append(f"elif {' and '.join(tests)}:")
        lines += _indent([*(f"_a{i} = {op.params[i].name}" for i in numbers), *_tensor_branch(op, args, tensors)])
    return [test, *_indent(lines)]


def _beside_options(op: Op, args: str, operands: list[tuple[int, str]]) -> list[str]:
    """A tensor, with numbers or None for the others: the bounds of `clamp`."""
    (_, first), *rest = operands
    numbers = "".join(f" and ({n} is None or type({n}) in _numbers)" for _, n in rest)
    branch = [*(f"_a{i} = {n}" for i, n in rest), *_tensor_branch(op, args, [0])]
    return [f"_t0 = type({first})", f"if {_is_tensor('_t0')}{numbers}:", *_indent(branch)]


def _tensor_branch(op: Op, args: str, tensors: list[int]) -> list[str]:
    """The call with tensors at these positions and numbers at the other tensor parameters."""
    names = [p.name for p in op.params]
    lines = [f"_a{i} = {names[i]}._data" for i in tensors]
    lines.append(f"if {' and '.join(f'_a{i} is not None' for i in tensors)}:")
    wants = " or ".join(f"{names[i]}._requires_grad" for i in tensors)
    grad = f"{op.differentiable} and ({wants}) and _thread.grad"
    if op.traits.writes:
        return lines + _indent(_writing(op, args, tensors, grad))
    body = _compute(op, args, tensors)
    if not any("Tensor" in kind for kind in op.returns):
        return lines + _indent([*body, "return _r"])
    if op.returns != ("Tensor",):
        return lines + _indent([*body, f"return _finish(_op, ({args}), _r, {grad})"])
    if op.traits.view_of is not None:
        body += _wrap_view(op)
    else:
        body += ["if type(_r) is not _ndarray:", "    _r = _asarray(_r)"]
        body += [
            "_out = _blank()",
            "_out._data = _r",
            "_out.grad = None",
            "_out._base = None",
        ]
    if op.differentiable:
        body.append(f"if ({wants}) and _thread.grad and _r.dtype.kind == 'f':")
        body += _indent([*_recording(op, tensors), "return _out"])
    body += ["_out._requires_grad = False", "_out._node = None"]
    body += ["_out._counter = None"] if op.traits.view_of is None else []
    if op.traits.view_of is not None:
        body.append(f"if _shares: _attach_view(_out, {names[op.traits.view_of]}, {op.differentiable})")
    return lines + _indent([*body, "return _out"])


def _values(op: Op) -> str:
    """What the eager function is given."""
    return ", ".join(
        f"_a{i}" if p.type.is_tensor else f"_raw({p.name})" if p.type.base == "any" else p.name
        for i, p in enumerate(op.params)
    )


def _inline_of(op: Op, tensors: list[int]) -> Any:
    """The `Inline` of the eager function, if it suits tensors at these positions."""
    inline = getattr(op.eager, "inline", None)
    beside_number = len(tensors) < len(op.tensor_positions)
    return None if inline is None or (beside_number and not inline.numbers) else inline


def _writing(op: Op, args: str, tensors: list[int], grad: str) -> list[str]:
    """A write that is not recorded: what `call_writing` does, spelled out. NumPy's error state is switched here, also
    around the function that may be called inline: an error of NumPy after the write could not be undone."""
    (at,) = op.traits.writes
    target = op.params[at].name
    switched = hasattr(op.eager, "raw")
    run = [f"{'_quiet_eager' if switched else '_eager'}({_values(op)})"]
    inline = _inline_of(op, tensors)
    if inline is not None:
        # Of one dtype, and each element written once. NumPy refuses operands that would enlarge the target.
        tests = [f"_a{i}.dtype is _dtype" for i in tensors if i != at]
        tests += [f"{op.params[2].name} is _one"] if len(op.params) == 3 else []
        tests += ["(_dtype is _f32 or _dtype is _f64)", f"_a{at}.flags.c_contiguous"]
        operands = ", ".join(f"_a{i}" for i in op.tensor_positions)
        run = [
            f"_dtype = _a{at}.dtype",
            f"if {' and '.join(tests)}:",
            f"    _inline({operands}, _a{at})",
            "else:",
            *_indent(run),
        ]
    return [
        f"if {grad}:",
        f"    return _write(_op, ({args}), True)",
        *(["_token = _set_quiet(_QUIET)"] if switched else []),
        "try:",
        *_indent(run),
        "except Exception as _error:",
        f"    return _recover(_op, ({args}), _error)",
        "except BaseException:",
        f"    _written({target})",
        "    raise",
        *(["finally:", "    _reset(_token)"] if switched else []),
        f"_counter = {target}._counter",
        "if _counter is not None: _counter[0] += 1",
        "_state.write_epoch = _next_write()",
        f"return {target if op.returns else None}",
    ]


def _compute(op: Op, args: str, tensors: list[int]) -> list[str]:
    text = getattr(op.eager, "text", None)
    run = [f"_r = {f'_eager({_values(op)})' if text is None else text.format(*_values(op).split(', '))}"]
    inline = _inline_of(op, tensors)
    beside_number = len(tensors) < len(op.tensor_positions)
    if inline is not None:
        # Beside a number the array must be of floats, whose dtype NumPy then keeps.
        floats = inline.floats or beside_number
        conditions = [f"_a{i}.dtype is _dtype" for i in tensors[1:]]
        conditions += [f"{op.params[2].name} is _one"] if len(op.params) == 3 else []
        conditions += ["(_dtype is _f32 or _dtype is _f64)"] if floats else []
        conditions += [] if floats or inline.bools else ["_dtype is not _bool"]
        operands = ", ".join(f"_a{i}" for i in op.tensor_positions)
        run = [
            f"_dtype = _a{tensors[0]}.dtype",
            f"_r = _inline({operands}) if {' and '.join(conditions) or 'True'} else {run[0][5:]}",
        ]
    return ["try:", *_indent(run), "except Exception as _error:", f"    return _recover(_op, ({args}), _error)"]


def _wrap_view(op: Op) -> list[str]:
    at = op.traits.view_of
    source = op.params[at].name  # type: ignore[index]
    same = [f"if _r is _a{at}:", f"    return {source}"] if op.differentiable else []
    return [
        *same,
        "_b = _r.base",
        f"_shares = _r is _a{at} or (_b is not None and (_b is _a{at} or _b is _a{at}.base))",
        "_out = _blank()",
        "_out._data = _r",
        "_out.grad = None",
        "_out._counter = None",
        "_out._base = None",
    ]


def _recording(op: Op, tensors: list[int]) -> list[str]:
    """The lines that put a call with the result `_out` on the tape: what `OpNode` says of its slots, spelled out."""
    edges, kept, versions = [], [], []
    for i, p in enumerate(op.params):
        n = p.name
        if not p.type.is_tensor:
            kept.append(f"_index_of({n})" if p.type.base == "any" else n)
        elif i not in tensors:
            edges.append("None")
            kept.append(n)
            versions += ["0"] * op.saves[i]
        else:
            edges.append(f"(({n}._node or {n}) if {n}._base is None else _edge({n})) if {n}._requires_grad else None")
            typed, version = f"(_a{i}.shape, _a{i}.dtype)", f"({n}._counter or {n}._version)[0]"
            if not op.saves[i]:
                kept.append(typed)
                continue
            if op.reads is None or i in op.readers(i):
                kept.append(n)
            else:
                readers = [k for k in op.readers(i) if k in tensors]
                wanted = " or ".join(f"{op.params[k].name}._requires_grad" for k in readers) or "False"
                kept.append(f"({n} if {wanted} else {typed})")
            versions.append(version)
    lines = [
        "_node = _new(_OpNode)",
        "_node.op = _op",
        "_node.hooks = None",
        f"_node.edges = ({', '.join(edges)},)",
        f"_node.args = ({', '.join(kept)},)",
        f"_node.versions = ({', '.join(versions)}{',' if versions else ''})",
        "_out._requires_grad = True",
        "_out._node = _node",
    ]
    if op.traits.view_of is None:
        # Results on the tape are often kept for the gradient of the next op.
        lines.append("_out._counter = [0]")
        version = "_out._counter, 0"
    else:
        lines.append(f"if _shares: _attach_view(_out, {op.params[op.traits.view_of].name}, True)")
        version = "_out._version, _out._version[0]"
    return [*lines, f"_node.result = {f'(_r, {version})' if op.saves_result else '(_r.shape, _r.dtype)'}"]
