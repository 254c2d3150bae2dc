"""The operator record, and the registry of all records.

Enters: `defop` calls of the family files (`ops/pointwise.py`, ...), each with a schema (`ops.records.schema`).
Leaves: `Op` records for every other room, and the public functions that the rest of Python calls.
Invariant: a record is complete when it is made (`eager` and `infer` present, a missing gradient said aloud), names are
unique, and `op.params` are in the order of node arguments, of `eager`, of `infer` and of `vjp`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from specjit.ir.dims import Dim, Poly, least_for_one
from specjit.ir.signature import set_op_lookup
from specjit.ir.traits import IO, PURE, RANDOM, READS, Traits, view, writes
from specjit.ir.types import Type

if TYPE_CHECKING:
    from specjit.ops.records.composites import CompositeFunction
    from specjit.ops.records.lowering import Lowering
    from specjit.ops.records.schema import Param

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
    lower, traits, doc                see `ops.records.lowering`, `ir.traits`
    functional                        of an op that writes argument 0: the op that returns the new content instead, of
                                      as many of the arguments as it takes
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

    params: tuple[Param, ...]
    returns: tuple[str, ...]
    tensor_positions: tuple[int, ...]
    infer: Callable[..., Any]
    vjp: Callable[..., tuple[Any, ...]] | None
    saves: tuple[bool, ...]
    saves_result: bool
    keeps_values: bool

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
        self.name = schema[: schema.index("(")].strip()
        self.eager = eager
        self.lower = lower
        self.traits = traits
        self.functional = functional
        self.doc = doc
        self.fn: Callable[..., Any] = eager
        self._infer = infer
        self._assumes = assumes
        self._vjp = None if vjp is NO_GRAD else vjp
        self.reads = reads

    def __getattr__(self, name: str) -> Any:
        """The slots that follow from the schema are filled when one of them is first read: an import reads none."""
        if name not in FROM_SCHEMA:
            raise AttributeError(f"Op has no attribute {name!r}")
        self._complete()
        return getattr(self, name)

    def _complete(self) -> None:
        from specjit.ops.records.schema import parse_schema

        _, self.params, self.returns = parse_schema(self.schema)
        self.tensor_positions = tuple(i for i, p in enumerate(self.params) if p.type.is_tensor)
        self.infer = _completed(self, self._infer)
        self.vjp = None
        self.saves = (False,) * len(self.params)
        self.saves_result = self.keeps_values = False
        if self._vjp is not None:
            parameters = inspect.signature(self._vjp).parameters.values()
            names = [p.name for p in parameters]
            if list(parameters)[-1].kind is inspect.Parameter.VAR_POSITIONAL:
                # `*_`: what is left, none of it read by value.
                names[-1:] = [names[-1]] * (len(self.params) + 3 - len(names))
            if len(names) != len(self.params) + 2:
                raise TypeError(f"{self.name}: vjp takes {names}, expected g, y and {len(self.params)} arguments")
            self.saves_result = not names[1].startswith("_")
            self.saves = tuple(not n.startswith("_") for n in names[2:])
            self.keeps_values = self.saves_result or any(self.saves[i] for i in self.tensor_positions)
            self.vjp = functools.wraps(self._vjp)(functools.partial(_all_gradients, self))

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


FROM_SCHEMA = frozenset(
    ("params", "returns", "tensor_positions", "infer", "vjp", "saves", "saves_result", "keeps_values")
)


def _all_gradients(op: Op, g: Any, y: Any, *args: Any) -> tuple[Any, ...]:
    return op.vjp_needed((True,) * len(op.tensor_positions), g, y, *args)


def _completed(op: Op, infer: Callable[..., Any]) -> Callable[..., Any]:
    """`infer` with keyword arguments accepted, and device and requires_grad of tensor results filled in."""
    from specjit.ops.records.schema import bind

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


_OPS: dict[str, Op] = {}
PUBLIC: dict[str, Callable[..., Any]] = {}
Body = TypeVar("Body", bound=Callable[..., Any])


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
    public: bool = True,
    doc: str = "",
) -> Callable[..., Any]:
    """Define an operator and return its public function (`fn.record` is the `Op`).

    schema     `"sum(input, dim: 'int[]?' = None, keepdim: bool = False) -> Tensor"`; an unannotated parameter is a
               Tensor
    eager      on ndarrays, all parameters positional in schema order
    infer      on types: see `Op`
    vjp        a function `(g, y, *args)` in specjit ops, or NO_GRAD. A parameter whose name begins with `_` is used for
               shape and dtype only, so nothing keeps its value; `*_` stands for all that are left. A gradient may be a
               function without arguments, called only if needed.
    reads      for each tensor parameter, the positions of the arguments that its gradient reads by value (default: all
               that vjp reads): the tape keeps an argument only if a wanted gradient reads it
    functional the op that gives the new content of argument 0, for an op that writes it (of as many of the arguments as
               it takes)
    assumes    with the arguments of infer: sizes that must be at least 1 for infer's answer to hold
    method     the name of the Tensor method (True: the op's name; None: True if the first parameter is a Tensor named
               input)
    public     whether the function is `specjit.<name>` (a dotted name lives in that namespace: `specjit.linalg.det`).
               Ops that write in place, named `add_`, and `py.*` are not.
    """
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
        doc=inspect.cleandoc(doc) if "\n" in doc else doc,
    )
    name = op.name
    if name in _OPS:
        raise ValueError(f"operator {name} is defined twice")
    _OPS[name] = op
    fn = op.fn = generate.public_function(op)
    if public and name[-1] != "_" and name[:3] != "py.":
        publish(name, fn)
    if method is None:
        # Schemas are parsed later: the text says it all.
        method = schema[len(name) + 1 :].startswith(("input,", "input)")) and "." not in name
    if method:
        call.attach_method(method if isinstance(method, str) else name, fn)
    return fn


def publish(name: str, fn: Callable[..., Any]) -> None:
    """Make `fn` the public function `specjit.<name>`."""
    if name in PUBLIC:
        raise ValueError(f"specjit.{name} is defined twice")
    PUBLIC[name] = fn


def alias(name: str, of: str) -> None:
    """Another name of a public function, of the method and of the in-place variant, where they exist."""
    from specjit.tensor.methods import TensorMethods

    fn = public(of)
    assert fn is not None, f"{of} is no public function"
    publish(name, fn)
    for suffix in ("", "_"):
        method = getattr(TensorMethods, of + suffix, None)
        if method is not None:
            call.attach_method(name + suffix, method)


def public_function(fn: Body) -> Body:
    """Make public a plain function that is no computation of its own: a conversion, or the front of a record of the
    same name that takes its arguments in another form."""
    publish(fn.__name__, fn)
    return fn


def public(name: str) -> Callable[..., Any] | None:
    """The public function `specjit.<name>`, None if there is none. Loads its family if need be."""
    found = PUBLIC.get(name)
    if found is None and name in families.LATER:
        families.load(families.LATER[name])
        found = PUBLIC.get(name)
    return found


def public_names(namespace: str = "") -> list[str]:
    """The names in `specjit` (or in `specjit.<namespace>`) that are operators, loaded or not."""
    prefix = namespace + "." if namespace else ""
    names = {n[len(prefix) :] for n in (*PUBLIC, *families.LATER) if n.startswith(prefix) and n[-1] != "_"}
    return sorted(n for n in names if "." not in n)


def get(name: str) -> Op:
    """The record called `name`; KeyError tells close names."""
    found = _OPS.get(name)
    if found is not None:
        return found
    families.load_for(name)
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


def find_composite_method(name: str) -> CompositeFunction | None:
    """The composite function behind the Tensor method `name`, if it is one."""
    from specjit.tensor.methods import TensorMethods

    return getattr(getattr(TensorMethods, name, None), "composite", None)


def find_composite_property(name: str) -> CompositeFunction | None:
    """The composite function that computes the Tensor attribute `name`, if one does."""
    from specjit.tensor.methods import TensorMethods

    return getattr(getattr(getattr(TensorMethods, name, None), "fget", None), "composite", None)


def all_ops() -> dict[str, Op]:
    """Every record by name, in order of definition."""
    families.load_all()
    return dict(_OPS)


set_op_lookup(get)

# What defines and generates functions needs `Op`, so it comes last.
from specjit.ops.records import call, families, generate  # noqa: E402
