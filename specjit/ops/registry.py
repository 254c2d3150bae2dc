"""The operator record, and the registry of all records.

Enters: `defop` calls of the family files (`ops/pointwise.py`, ...), each with a schema (`ops.schema`).
Leaves: `Op` records for every other room, and the public functions that the rest of Python calls.
Invariant: a record is complete when it is made (`eager` and `infer` present, a missing gradient said aloud), names are
unique, and `op.params` are in the order of node arguments, of `eager`, of `infer` and of `vjp`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from specjit.ir.dims import Dim, Poly, least_for_one
from specjit.ir.signature import set_op_lookup
from specjit.ir.traits import IO, PURE, RANDOM, READS, Traits, view, writes
from specjit.ir.types import Type
from specjit.ops.lowering import Lowering
from specjit.ops.schema import Param, ParamType, parse_schema

__all__ = [
    "IO",
    "NO_GRAD",
    "PURE",
    "RANDOM",
    "READS",
    "Op",
    "Traits",
    "all_ops",
    "defop",
    "get",
    "view",
    "writes",
]


class _NoGrad:
    def __repr__(self) -> str:
        return "NO_GRAD"


NO_GRAD = _NoGrad()


class Op:
    """An operator record: everything any room knows of one operator.

    name, params, returns, schema     the signature; `returns` is ("Tensor",), ("Tensor", "Tensor"), ("Tensor[]",),
                                      ("int",) or ()
    eager(*args)                      on ndarrays, in schema order: the meaning
    infer(*args)                      on types, in schema order; fills in device and requires_grad
    vjp(g, y, *args)                  gradients of the tensor parameters, as a tuple; None for NO_GRAD
    vjp_needed(needs, g, y, *args)    the same, computing only those whose `needs` is true (others None)
    saves, saves_result               which arguments (by position), and whether the result, vjp reads by value
    keeps_values                      whether that is any tensor at all
    reads                             per tensor parameter, the argument positions that its gradient reads by value;
                                      None: all
    lower, traits, doc                see `ops.lowering`, `ir.traits`
    functional                        of an op that writes argument 0: the op that returns the new content instead
    assumed(args, found)              sizes that must be at least 1 for `found`, what `infer` answers, to hold
    fn                                the public function
    """

    __slots__ = (
        "_assumes",
        "_infer",
        "_vjp",
        "doc",
        "eager",
        "fn",
        "functional",
        "infer",
        "keeps_values",
        "lower",
        "name",
        "params",
        "reads",
        "returns",
        "saves",
        "saves_result",
        "schema",
        "tensor_positions",
        "traits",
        "vjp",
    )

    def __init__(
        self,
        schema: str,
        *,
        eager: Callable[..., Any],
        infer: Callable[..., Any],
        vjp: Any,
        lower: Lowering | None,
        traits: Traits,
        functional: Op | None = None,
        reads: Sequence[Sequence[int]] | None = None,
        assumes: Callable[..., Iterable[Dim]] | None = None,
        doc: str = "",
    ) -> None:
        self.schema = schema
        self.name, self.params, self.returns = parse_schema(schema)
        self.eager = eager
        self.lower = lower
        self.traits = traits
        self.functional = functional
        self.doc = doc
        self.fn: Callable[..., Any] = eager
        self.tensor_positions = tuple(i for i, p in enumerate(self.params) if p.type.is_tensor)
        self._infer = infer
        self._assumes = assumes
        self.infer = _completed(self, infer)
        self._vjp = None if vjp is NO_GRAD else vjp
        self.vjp: Callable[..., tuple[Any, ...]] | None = None
        self.reads = reads
        self.saves: tuple[bool, ...] = (False,) * len(self.params)
        self.saves_result = self.keeps_values = False
        if self._vjp is not None:
            names = list(inspect.signature(vjp).parameters)
            if len(names) != len(self.params) + 2:
                raise TypeError(f"{self.name}: vjp takes {names}, expected g, y and {len(self.params)} arguments")
            self.saves_result = not names[1].startswith("_")
            self.saves = tuple(not n.startswith("_") for n in names[2:])
            self.keeps_values = self.saves_result or any(self.saves[i] for i in self.tensor_positions)
            self.vjp = functools.wraps(vjp)(functools.partial(_all_gradients, self))

    def readers(self, position: int) -> list[int]:
        """The tensor parameters whose gradients read the argument at `position` by value."""
        if not self.saves[position]:
            return []
        if self.reads is None:
            return list(self.tensor_positions)
        return [i for i, read in zip(self.tensor_positions, self.reads) if position in read]

    @property
    def several(self) -> bool:
        """Whether it gives a sequence of results, not one."""
        return len(self.returns) > 1 or any(r.endswith("[]") for r in self.returns)

    @property
    def differentiable(self) -> bool:
        return self._vjp is not None

    def param(self, name: str) -> Param:
        for p in self.params:
            if p.name == name:
                return p
        raise KeyError(f"{self.name} has no parameter {name!r}")

    def index(self, name: str) -> int:
        return [p.name for p in self.params].index(name)

    def assumed(self, args: Sequence[Any], found: Any) -> set[Poly]:
        """See the class. `args` are what `infer` was given."""
        results = [t for t in (found if isinstance(found, (list, tuple)) else [found]) if isinstance(t, Type)]
        sizes = [] if self._assumes is None else list(self._assumes(*args))
        # A size is never negative.
        sizes += [d + 1 for t in results for d in t.dims or () if isinstance(d, Poly)]
        return {d for d in sizes if isinstance(d, Poly) and least_for_one(d) != {}}

    def vjp_needed(self, needs: Sequence[bool], g: Any, y: Any, *args: Any) -> tuple[Any, ...]:
        """Gradients of the tensor parameters (schema order); what is not needed is None, and expensive ones are not
        computed."""
        if self._vjp is None:
            raise RuntimeError(f"{self.name} has no gradient")
        found = self._vjp(g, y, *args)
        if not isinstance(found, tuple):
            found = (found,)
        if len(found) != len(self.tensor_positions):
            raise RuntimeError(
                f"{self.name}: vjp gave {len(found)} gradients for {len(self.tensor_positions)} tensor parameters"
            )
        return tuple((d() if callable(d) else d) if need else None for d, need in zip(found, needs))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return get, (self.name,)


def _all_gradients(op: Op, g: Any, y: Any, *args: Any) -> tuple[Any, ...]:
    return op.vjp_needed((True,) * len(op.tensor_positions), g, y, *args)


def _completed(op: Op, infer: Callable[..., Any]) -> Callable[..., Any]:
    """`infer` with keyword arguments accepted, and device and requires_grad of tensor results filled in."""

    @functools.wraps(infer)
    def complete(*args: Any, **named: Any) -> Any:
        if named or len(args) < len(op.params):
            args = bind(op, args, named)
        found = infer(*args)
        if not any("Tensor" in r for r in op.returns):
            # Tensors that merely pass through (`py.*`) are what they are.
            return found
        operands = [t for i in op.tensor_positions if i < len(args) for t in _tensor_types(args[i])]
        return _fill(op, found, operands)

    return complete


def _tensor_types(arg: Any) -> list[Type]:
    if isinstance(arg, Type):
        return (
            [arg.args[0]]
            if arg.kind == "list" and arg.args and arg.args[0].is_tensor
            else [arg]
            if arg.is_tensor
            else []
        )
    return [t for t in arg if isinstance(t, Type) and t.is_tensor] if isinstance(arg, (list, tuple)) else []


def _fill(op: Op, found: Any, operands: list[Type]) -> Any:
    if isinstance(found, (list, tuple)):
        return type(found)(_fill(op, t, operands) for t in found)
    if not isinstance(found, Type):
        return found
    if found.kind == "list" and found.args and found.args[0].is_tensor:
        return Type.list(_fill(op, found.args[0], operands))
    if not found.is_tensor:
        return found
    device = found.device
    if device is None and operands:
        devices = {t.device for t in operands}
        device = devices.pop() if len(devices) == 1 else "meta" if "meta" in devices else None
    grad = found.requires_grad
    if grad is None:
        flags = [t.requires_grad for t in operands]
        if (
            not op.differentiable
            or (found.dtype is not None and not found.dtype.is_floating_point)
            or not any(f is None or f for f in flags)
        ):
            grad = False
        elif found.dtype is not None and True in flags:
            grad = True
    return found.with_(device=device, requires_grad=grad)


def bind(op: Op, args: Sequence[Any], named: dict[str, Any]) -> tuple[Any, ...]:
    """Arguments in schema order with defaults filled in; TypeError as Python says it."""
    out: list[Any] = list(args[: len(op.params)])
    positional = sum(not p.kwonly for p in op.params)
    if any(p.variadic for p in op.params):
        return tuple(args)
    if len(args) > len(op.params) or (len(args) > positional and named):
        raise TypeError(f"{op.name}() takes {positional} positional arguments but {len(args)} were given")
    left = dict(named)
    for p in op.params[len(out) :]:
        if p.name in left:
            out.append(left.pop(p.name))
        elif p.required:
            raise TypeError(f"{op.name}() missing required argument: {p.name!r}")
        else:
            out.append(p.default)
    if left:
        name = next(iter(left))
        problem = "multiple values for" if any(p.name == name for p in op.params) else "an unexpected keyword"
        raise TypeError(f"{op.name}() got {problem} argument {name!r}")
    return tuple(out)


_OPS: dict[str, Op] = {}


def defop(
    schema: str,
    *,
    eager: Callable[..., Any],
    infer: Callable[..., Any],
    vjp: Any = None,
    lower: Lowering | None = None,
    traits: Traits = PURE,
    functional: Any = None,
    reads: Sequence[Sequence[int]] | None = None,
    assumes: Callable[..., Iterable[Dim]] | None = None,
    method: bool | str | None = None,
    doc: str = "",
) -> Callable[..., Any]:
    """Define an operator and return its public function (`fn.record` is the `Op`).

    schema     `"sum(input, dim: 'int[]?' = None, keepdim: bool = False) -> Tensor"`; an unannotated parameter is a
               Tensor
    eager      on ndarrays, all parameters positional in schema order
    infer      on types: see `Op`
    vjp        a function `(g, y, *args)` in specjit ops, or NO_GRAD. A parameter whose name begins with `_` is used for
               shape and dtype only, so nothing keeps its value. A gradient may be a function without arguments, called
               only if needed.
    reads      for each tensor parameter, the positions of the arguments that its gradient reads by value (default: all
               that vjp reads): the tape keeps an argument only if a wanted gradient reads it
    functional the op that gives the new content of argument 0, for an op that writes it
    assumes    with the arguments of infer: sizes that must be at least 1 for infer's answer to hold
    method     the name of the Tensor method (True: the op's name; None: True if the first parameter is a Tensor named
               input)
    """
    from specjit.ops import call, generate

    if not callable(eager) or not callable(infer):
        raise TypeError(f"{schema}: a record needs eager and infer")
    if vjp is None:
        raise TypeError(f"{schema}: say vjp=NO_GRAD when there is no gradient")
    op = Op(
        schema,
        eager=eager,
        infer=infer,
        vjp=vjp,
        lower=lower,
        traits=traits,
        functional=getattr(functional, "record", functional),
        reads=reads,
        assumes=assumes,
        doc=inspect.cleandoc(doc),
    )
    if op.name in _OPS:
        raise ValueError(f"operator {op.name} is defined twice")
    _OPS[op.name] = op
    op.fn = generate.public_function(op)
    if method is None:
        method = bool(op.params) and op.params[0].name == "input" and op.params[0].type == ParamType("Tensor")
    if method:
        call.attach_method(method if isinstance(method, str) else op.name, op.fn)
    return op.fn


def get(name: str) -> Op:
    """The record called `name`; KeyError tells close names."""
    try:
        return _OPS[name]
    except KeyError:
        import difflib

        near = ", ".join(difflib.get_close_matches(name, _OPS, 3)) or "none"
        raise KeyError(f"no operator {name!r}; close names: {near}") from None


def find_method(name: str) -> Op | None:
    """The record behind the Tensor method `name`; None if there is none, or if the method is plain Python over ops."""
    from specjit.tensor.methods import TensorMethods

    return getattr(getattr(TensorMethods, name, None), "record", None)


def all_ops() -> dict[str, Op]:
    """Every record by name, in order of definition."""
    return dict(_OPS)


set_op_lookup(get)
