"""Composite functions: plain Python over ops that is public under a name of PyTorch, without a record of its own.

Enters: functions with annotated parameters, decorated with `composite_function`. Leaves: `CompositeFunction`s in the
registry, their public functions and Tensor methods.
Invariant: the body sees only ops. Eager mode calls it, capture reads it from source in place of the call, tracers run
through it; so a composite is differentiable, scriptable, traceable and optimizable because its ops are. Arguments of
another type than the annotation says are converted or refused (TypeError) as those of records are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from specjit.dtypes import dtype_of
from specjit.ir.types import Type
from specjit.ops.records import infer
from specjit.ops.records.call import attach_method, checked
from specjit.ops.records.eager import writable
from specjit.ops.records.generate import COMMON, _indent, define, signature
from specjit.ops.records.generate_creation import fill_path, tried
from specjit.ops.records.grads import sum_to
from specjit.ops.records.quiet import quiet
from specjit.ops.records.registry import defop, publish
from specjit.ops.records.writes import WRITES_SELF
from specjit.tensor import state, tracer
from specjit.tensor.parameter import Parameter
from specjit.tensor.tensor import Tensor

if TYPE_CHECKING:
    from specjit.ops.records.schema import Param

Number = int | float
Ints = int | Sequence[int]
Spread = Sequence[int]
"""Ints given as one sequence, or as several positional arguments: `x.repeat(2, 3)`."""

Body = TypeVar("Body", bound=Callable[..., Any])
_COMPOSITES: dict[str, CompositeFunction] = {}


class CompositeFunction:
    """What is known of a composite function.

    name      as users say it: "swapaxes", "linalg.norm"; "Tensor.new_zeros" for a method that is no public function
    body      the plain function
    fn        the public function: checks its arguments and calls the body; its `composite` is this object
    writes    the in-place variant: the result of the body is written into the first argument, which is returned
    inlined   whether capture reads the body in place of a call; if not, the call stays one until its types are known,
              and the body, run on tracers, says which ops it is
    direct    the same in NumPy, for tensors of which no history is kept; None as its result: the body is to be run
    fill      a NumPy function of a size and a dtype, which by default is that of `input`
    params    the signature, as in records; None for a body with `*args` or `**kwargs`, which is called as it is
    """

    __slots__ = ("_params", "body", "direct", "fill", "fn", "inlined", "name", "writes")

    def __init__(self, name: str, body: Callable[..., Any], writes: bool, inlined: bool = True) -> None:
        self.name = name
        self.direct: Callable[..., Any] | None = None
        self.fill: Callable[..., Any] | None = None
        self.body = body
        self.writes = writes
        self.inlined = inlined
        self.fn: Callable[..., Any] = body
        self._params: tuple[Param, ...] | None = None

    @property
    def params(self) -> tuple[Param, ...]:
        if self._params is None:
            from specjit.ops.records.schema import params_of

            self._params = params_of(self.body)
        return self._params

    @property
    def free(self) -> bool:
        """Whether the body takes `*args` or `**kwargs`, and so checks its arguments itself."""
        return bool(self.body.__code__.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<composite {self.name}>"


@overload
def composite_function(body: Body, /) -> Body: ...


@overload
def composite_function(
    *,
    name: str | None = None,
    method: bool | str | None = None,
    inplace: bool = False,
    public: bool = True,
    inlined: bool = True,
    direct: Callable[..., Any] | None = None,
    fill: Callable[..., Any] | None = None,
) -> Callable[[Body], Body]: ...


def composite_function(
    body: Any = None,
    /,
    *,
    name: str | None = None,
    method: bool | str | None = None,
    inplace: bool = False,
    public: bool = True,
    inlined: bool = True,
    direct: Callable[..., Any] | None = None,
    fill: Callable[..., Any] | None = None,
) -> Any:
    """Make a plain function over ops public; what is returned is the public function.

    name      "swapaxes" is `specjit.swapaxes`; "linalg.norm" is `specjit.linalg.norm`; "Tensor.new_ones" only the
              method. Default: the function's own name, without a trailing underscore that avoids a builtin.
    method    the name of the Tensor method, True (the same name) or False; default: True for an undotted name whose
              first parameter is `input`
    inplace   define `Tensor.<name>_` too
    public    False: no `specjit.<name>`, only the method
    inlined   False for a body that plans in Python more than capture reads (parsing, recursion): see CompositeFunction

    Annotations are types of parameters: Tensor, Number (a Python number), int, float, bool, str, DType, device,
    Generator, Ints, Spread, Sequence[Tensor], `Tensor | Number`, any of them `| None`; Any (or none) is not checked.
    """
    if body is None:
        return functools.partial(
            composite_function,
            name=name,
            method=method,
            inplace=inplace,
            public=public,
            inlined=inlined,
            direct=direct,
            fill=fill,
        )
    full = name or body.__name__.strip("_")
    only_method = full.startswith("Tensor.")
    short = full.rpartition(".")[2]
    if method is None:
        method = only_method or ("." not in full and body.__code__.co_varnames[:1] == ("input",))
    made = _make(full, short, body, False, inlined)
    made.direct, made.fill = direct, fill
    if public and not only_method:
        publish(full, made.fn)
    if method:
        attach_method(method if isinstance(method, str) else short, made.fn)
    if inplace:
        attach_method(short + "_", _make(full + "_", short + "_", body, True).fn)
    return made.fn


def _make(full: str, short: str, body: Callable[..., Any], writes: bool, inlined: bool = True) -> CompositeFunction:
    if full in _COMPOSITES:
        raise ValueError(f"composite {full} is defined twice")
    composite = _COMPOSITES[full] = CompositeFunction(full, body, writes, inlined)
    if composite.free:
        fn: Any = body
    else:
        fn = FunctionType(_first_call.__code__, {"__name__": "specjit.ops.records.composites"}, short)
        fn.__globals__["_finished"] = functools.partial(_finish_function, fn, composite, short)
        fn.__qualname__ = short
        fn.__module__ = "specjit"
        fn.__doc__ = body.__doc__
    fn.composite = composite
    composite.fn = fn
    return composite


def _first_call(*args, **named):  # its globals are the generated function's
    return _finished()(*args, **named)  # type: ignore[name-defined]  # noqa: F821


def get_composite(name: str) -> CompositeFunction:
    return _COMPOSITES[name]


def all_composites() -> dict[str, CompositeFunction]:
    """Every composite by name, in order of definition."""
    from specjit.ops.records import families

    families.load_all()
    return dict(_COMPOSITES)


# the public function


def _finish_function(function: Any, composite: CompositeFunction, name: str) -> Callable[..., Any]:
    namespace = function.__globals__
    namespace.update(COMMON)
    namespace.update(
        _op=composite,
        _body=composite.body,
        _slow=_write if composite.writes else _checked_call,
        _arrays=_arrays,
        _direct=composite.direct,
        _fill=composite.fill,
        **{f"_d{i}": p.default for i, p in enumerate(composite.params)},
    )
    return define(function, namespace, _render(composite, name), f"<specjit composite {composite.name}>")


FAST = {
    "Tensor": "(type({0}) is _Tensor or type({0}) is _Parameter)",
    "int": "type({0}) is int",
    "float": "(type({0}) is float or type({0}) is int)",
    "Scalar": "(type({0}) is float or type({0}) is int or type({0}) is bool)",
    "bool": "type({0}) is bool",
    "str": "type({0}) is str",
    "dtype": "type({0}) is _DType",
}

PLAIN_INPUT = f"not _state.recorders and {FAST['Tensor'].format('input')}"


def _render(composite: CompositeFunction, name: str) -> str:
    """The public function: straight to the body if the arguments are of the types that the annotations say."""
    text, ready = signature(composite)
    names = [p.name for p in composite.params]
    first = [] if composite.fill is None else fill_path(PLAIN_INPUT, "input._data.dtype")
    lines = [f"def {name}({text}):", *_indent([*ready[:1], *first, *ready[1:]])]
    if not composite.writes:
        tests = [t for t in map(_fast_test, composite.params) if t]
        if composite.direct is not None:
            lines += _indent(_direct_path(composite.params))
        passed = ", ".join(f"{p.name}={p.name}" if p.kwonly else p.name for p in composite.params)
        lines.append(f"    if {' and '.join(tests)}:" if tests else "    if True:")
        lines.append(f"        return _body({passed})")
    lines.append(f"    return _slow(_op, ({', '.join(names)}{',' if len(names) == 1 else ''}))")
    return "\n".join(lines) + "\n"


def _fast_test(p: Param) -> str:
    t = p.type
    if t.base == "any":
        return ""
    if t.many:
        test = "(type({0}) is tuple or type({0}) is list{1})".replace("{1}", " or type({0}) is int" * (t.base == "int"))
    else:
        test = FAST.get(t.base, "False")
        if t.scalar:
            test = f"({test} or {FAST['Scalar']})"
    if t.optional:
        test = f"({{0}} is None or {test})"
    return test.format(p.name)


def _direct_path(params: Sequence[Param]) -> list[str]:
    """The lines that call `direct` for tensors, and go on where the body is to be run. Optional tensors are left out
    in the calls that go there."""
    one = [p for p in params if p.type.is_tensor and not p.type.many and not p.type.optional]
    lists = [p for p in params if p.type.is_tensor and p.type.many]
    tests = ["not _state.recorders"]
    for p in params:
        if p in one:
            tests += [FAST["Tensor"].format(p.name), f"{p.name}._data is not None"]
        elif p.type.is_tensor and p not in lists:
            tests.append(f"{p.name} is None")
        else:
            tests += [t for t in (_fast_test(p),) if t]
    if one:
        tests.append(f"not (({' or '.join(f'{p.name}._requires_grad' for p in one)}) and _thread.grad)")
    tests += [f"({p.name}_arrays := _arrays({p.name})) is not None" for p in lists]
    given = [f"{p.name}._data" if p in one else f"{p.name}_arrays" if p in lists else p.name for p in params]
    return tried(" and ".join(tests), f"_direct({', '.join(given)})")


def _arrays(tensors: Sequence[Any]) -> list[np.ndarray] | None:
    """The arrays of a list of tensors of which no history is kept."""
    found = []
    grad = state.thread.grad
    for t in tensors:
        kind = type(t)
        if (kind is not Tensor and kind is not Parameter) or t._data is None or (grad and t._requires_grad):
            return None
        found.append(t._data)
    return found


def _call_body(composite: CompositeFunction, args: Sequence[Any]) -> Any:
    positional = [a for p, a in zip(composite.params, args) if not p.kwonly]
    named = {p.name: a for p, a in zip(composite.params, args) if p.kwonly}
    return composite.body(*positional, **named)


def _ready(composite: CompositeFunction, args: Sequence[Any]) -> Sequence[Any]:
    """Checked arguments. Tracers stand for tensors and sizes: their types are checked by the ops they reach."""
    return args if tracer.find(args) is not None else checked(composite, args)


def _checked_call(composite: CompositeFunction, args: Sequence[Any]) -> Any:
    return _call_body(composite, _ready(composite, args))


def _write(composite: CompositeFunction, args: Sequence[Any]) -> Any:
    """The in-place variant."""
    target, *rest = _ready(composite, args)
    source = target
    if state.thread.grad and any(getattr(a, "requires_grad", False) for a in (target, *rest)):
        # Gradients read the content before the write.
        source = target.clone()
    return store_(target, _call_body(composite, [source, *rest]))


def _store(x: np.ndarray, src: np.ndarray) -> np.ndarray:
    if x.dtype is not src.dtype or x.shape != src.shape:
        infer.check_write(dtype_of(src.dtype), src.shape, Type.tensor(dtype_of(x.dtype), x.shape))
    writable(x)[...] = src
    return x


def _store_infer(x: Type, src: Type) -> Type:
    infer.check_write(src.dtype, src.dims, x)
    return infer.same(x)


store_ = defop(
    "store_(input, src) -> Tensor",
    eager=quiet(_store),
    infer=_store_infer,
    vjp=lambda g, _y, _x, _src: (lambda: g * 0.0, lambda: sum_to(g, _src)),
    traits=WRITES_SELF,
    method=False,
    doc="Write the result of an in-place variant into its target: `copy_` that refuses other shapes and higher dtypes.",
)
