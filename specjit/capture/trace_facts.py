"""What a trace relies on outside its graph: facts on the inputs, on the modules, and on the grad mode.

Enters: the inputs and the module of a recorded run. Leaves: `Fact`s, which say whether they hold in another call, and
`contents`, which tells whether a run has changed what the caller holds.
Invariant: what the run could see in Python is a fact (types, sizes, numbers, keys, which arguments are one object,
attributes of modules), so that a call in which it would decide otherwise runs the function itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from specjit.capture.errors import CaptureError
from specjit.ir.constants import key, same
from specjit.ir.graph import Location
from specjit.ir.guard import Guard
from specjit.nn.module import Module
from specjit.nn.registry import Registry
from specjit.tensor import state
from specjit.tensor.tensor import Tensor

Read = Callable[[Sequence[Any]], Any]


class Fact:
    """One guard; `read` gets the guarded value from the arguments of a call."""

    def __init__(self, guard: Guard, read: Read, holds: Callable[[Any, Any], bool] = same) -> None:
        self.guard, self.read, self._holds = guard, read, holds

    def actual(self, args: Sequence[Any]) -> Any:
        """What the guard is about, in a call with these arguments."""
        try:
            return self.read(args)
        except (IndexError, KeyError, TypeError, AttributeError) as error:
            return _Absent(error)

    def holds(self, args: Sequence[Any]) -> bool:
        return self._holds(self.actual(args), self.guard.expected)


class _Absent:
    """Stands for what a call does not have; equal to nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __repr__(self) -> str:
        return f"nothing ({type(self.error).__name__})"


def grad_mode(origin: str) -> Fact:
    """Decisions on the grad mode, and on `requires_grad` of what is computed, depend on the mode of the caller."""
    return Fact(Guard("grad mode", "value", state.is_grad_enabled(), origin), lambda args: state.is_grad_enabled())


ASPECTS: tuple[tuple[str, Callable[[Tensor], Any]], ...] = (
    ("shape", lambda x: tuple(x.shape)),
    ("dtype", lambda x: x.dtype),
    ("device", lambda x: x.device.type),
    ("requires_grad", lambda x: bool(x.requires_grad)),
)


def tensor_facts(name: str, x: Tensor, at: Read, origin: str) -> Iterator[Fact]:
    for kind, aspect in ASPECTS:
        yield Fact(Guard(name, kind, aspect(x), origin), _then(at, aspect))


def _then(at: Read, aspect: Callable[[Any], Any]) -> Read:
    return lambda args: aspect(at(args))


def item_of(at: Read, key: Any) -> Read:
    """Reads an item of what `at` reads."""
    return lambda args: at(args)[key]


def type_fact(name: str, x: Any, at: Read, origin: str) -> Fact:
    return Fact(Guard(name, "type", type(x), origin), lambda args: type(at(args)), lambda a, b: a is b)


def same_object(name: str, other: str, at: Read, at_other: Read, origin: str) -> Fact:
    return Fact(Guard(name, f"is {other}", True, origin), lambda args: at(args) is at_other(args))


def container_fact(name: str, x: Any, at: Read, origin: str) -> Fact:
    if isinstance(x, dict):
        return Fact(Guard(name, "keys", list(x), origin), lambda args: list(at(args)))
    return Fact(Guard(name, "length", len(x), origin), lambda args: len(at(args)))


def value_fact(name: str, x: Any, at: Read, origin: str) -> Fact:
    """A number or a string; of another object, what it holds."""
    if not fields(x) or isinstance(x, type) or callable(x):
        return Fact(Guard(name, "value", x, origin), at)
    seen = contents(x)
    return Fact(Guard(name, "value", x, origin), at, lambda now, then: now is then and contents(now) == seen)


class ModuleFact(Fact):
    """The submodules, hooks, and plain attributes of a module, by path. Looked at when some module has changed."""

    def __init__(self, root: Module, origin: str) -> None:
        self.root = root
        self.seen = attributes(root)
        self.epoch = state.module_epoch
        super().__init__(Guard("self", "attributes", None, origin), lambda args: None)

    def holds(self, args: Sequence[Any]) -> bool:
        epoch = state.module_epoch
        if epoch != self.epoch:
            now = attributes(self.root)
            path = _first_difference(self.seen, now)
            if path is not None:
                self._tell(path, now)
                return False
            self.epoch = epoch
        return True

    def _tell(self, path: str, now: dict[str, Any]) -> None:
        self.guard = Guard(path, "value", self.seen.get(path, "nothing"), self.guard.origin)
        self.read = lambda args: now.get(path, "nothing")


def attributes(root: Module) -> dict[str, Any]:
    """The plain attributes (`self.layer.training`), submodules and hooks of a module, by path."""
    found: dict[str, Any] = {}
    for path, module in root.named_modules():
        place = f"self.{path}" if path else "self"
        found[place] = module
        for name, value in vars(module).items():
            if isinstance(value, bool | int | float | str | type(None)):
                found[f"{place}.{name}"] = value
            elif isinstance(value, Registry) and "hooks" in name:
                found[f"{place}.{name}"] = list(value.values())
    return found


def plain_attributes(root: Module) -> dict[str, Any]:
    """Those of them that a user has set, as they are listed among the constants."""
    return {path: value for path, value in attributes(root).items() if _is_users(path, value)}


def _is_users(path: str, value: Any) -> bool:
    name = path.rpartition(".")[2]
    return isinstance(value, bool | int | float | str) and not name.startswith("_") and path != "self"


def _first_difference(a: dict[str, Any], b: dict[str, Any]) -> str | None:
    if a.keys() != b.keys():
        return min(a.keys() ^ b.keys())
    return next((path for path in a if not same(a[path], b[path])), None)


# what a run changes


class Held:
    """What the caller holds, before a run: the arguments, and what a module keeps in Python. Tensors are left out:
    writes to them are recorded."""

    def __init__(self, inputs: dict[str, Any], root: Module | None) -> None:
        self.objects = dict(inputs)
        self.root = root
        self.before = self._now()

    def _now(self) -> dict[str, Any]:
        found = {name: contents(x) for name, x in self.objects.items()}
        if self.root is not None:
            for path, module in self.root.named_modules():
                place = f"self.{path}" if path else "self"
                for name, value in vars(module).items():
                    if isinstance(value, Registry) and "hooks" not in name:
                        found |= {f"{place}.{k}": Itself(v) for k, v in value.items()}
                    else:
                        found[f"{place}.{name}"] = contents(value)
        return found

    def check(self, place: Location | None) -> None:
        """Raise if the run has changed something that running the graph would not change."""
        now = self._now()
        for name in (*self.before, *now):
            if self.before.get(name) != now.get(name):
                raise CaptureError(
                    "unsupported",
                    f"the function changes {name}, and a trace repeats only what is done to tensors",
                    location=place,
                    hint="write tensors in place (copy_), return what is new, or use specjit.jit.script or "
                    "specjit.optimize, which keep such changes",
                )


class Itself:
    """Stands for an object that is compared by identity, and keeps it alive: an id alone may be given to another."""

    __slots__ = ("held",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and self.held is other.held


def contents(x: Any, met: dict[int, int] | None = None) -> Any:
    """What an object holds, as a value that compares; tensors, modules and functions by identity."""
    met = {} if met is None else met
    if isinstance(x, Tensor | Module | type) or callable(x):
        return Itself(x)
    known = type(x) in (list, tuple, dict, set, frozenset)
    held = {} if known else fields(x)
    if not known and not held:
        return key(x)
    if id(x) in met:
        return "again", met[id(x)]
    met[id(x)] = len(met)
    if isinstance(x, dict):
        return "dict", [(contents(k, met), contents(v, met)) for k, v in x.items()]
    if isinstance(x, set | frozenset):
        return "set", sorted(repr(key(i)) for i in x)
    if isinstance(x, list | tuple):
        return type(x).__name__, [contents(i, met) for i in x]
    return Itself(x), [(name, contents(value, met)) for name, value in held.items()]


def fields(x: Any) -> dict[str, Any]:
    """What an object of a user's class holds."""
    slots = [s for cls in type(x).__mro__ for s in vars(cls).get("__slots__", ()) if hasattr(x, s)]
    return {**{s: getattr(x, s) for s in slots}, **getattr(x, "__dict__", {})}


__all__ = [
    "Fact",
    "Held",
    "ModuleFact",
    "container_fact",
    "contents",
    "grad_mode",
    "item_of",
    "plain_attributes",
    "same_object",
    "tensor_facts",
    "type_fact",
    "value_fact",
]
