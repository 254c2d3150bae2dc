"""`Module`: a tree of parameters, buffers and submodules with a `forward`.

Enters: attributes. Assigning a Parameter or a Module registers it. Leaves: calls with hooks, state dicts, traversal.
Invariant: every change of structure, attributes or hooks moves `state.module_epoch`, also through the registries
themselves, so a reader that saw an epoch need not look again until it moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from specjit.dtypes import DType
from specjit.nn.hooks import CALL_HOOKS, Hooked
from specjit.nn.parameter import Buffer
from specjit.nn.registry import Registry
from specjit.nn.states import STATE_HOOKS, Stateful
from specjit.ops.creation import empty
from specjit.tensor import state
from specjit.tensor.parameter import Parameter
from specjit.tensor.tensor import Tensor

REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module(Hooked, Stateful):
    """Base class of layers and models. Subclasses call `super().__init__()` first and define `forward`.

    training   True after `train()`, False after `eval()`
    """

    training: bool

    def __init__(self) -> None:
        made = self.__dict__
        made["training"] = True
        for name in (*REGISTRIES, *CALL_HOOKS):
            made[name] = Registry()
        for name in STATE_HOOKS:
            made[name] = {}
        made["_non_persistent_buffers_set"] = set()
        state.bump_module_epoch()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call computes; subclasses define it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __getattr__(self, name: str) -> Any:
        held = self.__dict__
        for registry in REGISTRIES:
            found = held.get(registry)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__
        if isinstance(value, Buffer):
            if "_buffers" not in held:
                raise AttributeError("cannot assign buffer before Module.__init__() call")
            for place in (held, *(held[registry] for registry in REGISTRIES)):
                place.pop(name, None)
            self.register_buffer(name, value.detach(), value.persistent)
            return
        kind = "_parameters" if isinstance(value, Parameter) else "_modules" if isinstance(value, Module) else None
        if kind is not None:
            if kind not in held:
                what = "parameters" if kind == "_parameters" else "module"
                raise AttributeError(f"cannot assign {what} before Module.__init__() call")
            held.pop(name, None)
            for other in REGISTRIES:
                if other != kind and name in held[other]:
                    del held[other][name]
            held["_non_persistent_buffers_set"].discard(name)
            held[kind][name] = value
            return
        for registry in REGISTRIES:
            if registry in held and name in held[registry]:
                _replace(registry, held[registry], name, value)
                return
        object.__setattr__(self, name, value)
        state.bump_module_epoch()

    def __delattr__(self, name: str) -> None:
        for registry in REGISTRIES:
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)
        state.bump_module_epoch()

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        # "0", "1" ... of containers are no attributes that one could write.
        return sorted(name for name in names if not name[0].isdigit())

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None reserves the name."""
        _check_name(self, name, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (specjit.nn.Parameter or None "
                "required)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state (unless not `persistent`) but is not trained."""
        _check_name(self, name, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (specjit Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name; None reserves the name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        _check_name(self, name, "module")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """`add_module` by another name."""
        self.add_module(name, module)

    # by path

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; AttributeError if there is none."""
        found: Any = self
        for part in target.split(".") if target else []:
            if not hasattr(found, part):
                raise AttributeError(f"{type(found).__name__} has no attribute `{part}`")
            found = getattr(found, part)
            if not isinstance(found, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path. `strict`: only in the place of one that is there."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        there = hasattr(parent, name)
        if strict and not there:
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if there and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        if not isinstance(module, Module):
            raise ValueError(f'"module" is not an nn.Module, found {type(module)}')
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path; AttributeError if there is none."""
        found: Any = self._at(target)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{target.rpartition('.')[2]}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path; AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        found: Tensor = self._at(target)
        if name not in self.get_submodule(path)._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return found

    def _at(self, target: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        return getattr(owner, name)

    # traversal

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[Any]:
        """(path, module) of this module and all below it."""
        seen = set() if memo is None else memo
        if self in seen:
            return
        if remove_duplicate:
            seen.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(seen, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly below this one."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below this one."""
        for _, module in self.named_children():
            yield module

    def _named(self, registry: str, prefix: str, recurse: bool, unique: bool) -> Iterator[tuple[str, Tensor]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=unique) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in module.__dict__[registry].items():
                if value is None or (unique and id(value) in seen):
                    continue
                seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[Any]:
        """(path, parameter), each parameter once (unless not `remove_duplicate`); `recurse`: of those below too."""
        yield from self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[Any]:
        """(path, buffer), as `named_parameters`."""
        yield from self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def apply(self, fn: Callable[[Module], None]) -> Module:
        """Call `fn` on every module below and on this one; returns self."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # modes and conversion

    def train(self, mode: bool = True) -> Module:
        """Set training mode here and below; returns self."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Leave training mode, here and below; returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Set `requires_grad` of all parameters; returns self."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters."""
        for p in self.parameters():
            clear_grad(p, set_to_none)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Module:
        """Put `fn(tensor)` in the place of parameters (in place, so that optimizers and tied modules keep them), their
        gradients, and buffers."""
        for module in self.modules() if recurse else [self]:
            for p in module._parameters.values():
                if p is not None:
                    with state.no_grad():
                        p.data = fn(p.data)
                        if p.grad is not None:
                            p.grad = fn(p.grad)
            for name, b in list(module._buffers.items()):
                if b is not None:
                    module._buffers[name] = fn(b)
        state.bump_module_epoch()
        return self

    def to(self, *args: Any, **kwargs: Any) -> Module:
        """`to(device=None, dtype=None, non_blocking=False)`, `to(dtype)`, `to(tensor)`: convert floating-point
        parameters and buffers to a dtype, or move everything to a device; in place, returns self."""
        device, dtype = _target(*args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        return self._apply(lambda t: t.to(dtype=dtype if t.dtype.is_floating_point else None, device=device))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Module:
        """Move to a device without the values."""
        return self._apply(lambda t: empty(t.shape, dtype=t.dtype, device=device), recurse)

    def type(self, dst_type: DType) -> Module:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda t: t.to(dst_type))

    def float(self) -> Module:
        """Convert floating-point parameters and buffers to float32, in place; returns self."""
        return self._apply(lambda t: t.float() if t.dtype.is_floating_point else t)

    def double(self) -> Module:
        """Convert floating-point parameters and buffers to float64, in place; returns self."""
        return self._apply(lambda t: t.double() if t.dtype.is_floating_point else t)

    def half(self) -> Module:
        """Convert floating-point parameters and buffers to float16, in place; returns self."""
        return self._apply(lambda t: t.half() if t.dtype.is_floating_point else t)

    def cpu(self) -> Module:
        """Move parameters and buffers to the CPU, in place; returns self."""
        return self._apply(lambda t: t.to(device="cpu"))

    def __setstate__(self, held: dict[str, Any]) -> None:
        self.__dict__.update(held)
        state.bump_module_epoch()

    def extra_repr(self) -> str:
        """What a layer says about itself in `repr`."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        lines = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): " + indented(repr(module)) for name, module in self._modules.items()]
        return framed(self._get_name(), lines, children)


def framed(name: str, lines: list[str], children: list[str]) -> str:
    """The text of a module from what it says about itself and about those below it."""
    if not children and len(lines) <= 1:
        return f"{name}({''.join(lines)})"
    return f"{name}(\n  " + "\n  ".join([*lines, *children]) + "\n)"


def indented(text: str) -> str:
    """All lines but the first moved to the right."""
    return text.replace("\n", "\n  ")


def clear_grad(p: Tensor, set_to_none: bool) -> None:
    """Drop a gradient, or fill it with zeros in place and cut it from its history."""
    if p.grad is None:
        return
    if set_to_none:
        p.grad = None
        return
    if p.grad.grad_fn is not None:
        p.grad.detach_()
    else:
        p.grad.requires_grad_(False)
    p.grad.zero_()


def _target(
    *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False, tensor: Any = None
) -> tuple[Any, DType | None]:
    """(device, dtype) of the forms of `Module.to`. Everything is on one processor, so nothing is ever blocking."""
    for given in (*args, tensor):
        if isinstance(given, Tensor):
            device, dtype = given.device, given.dtype
        elif isinstance(given, DType):
            dtype = given
        elif given is not None and not isinstance(given, bool):
            device = given
    return device, dtype


def _check_name(module: Module, name: str, what: str) -> None:
    if "_parameters" not in module.__dict__:
        raise AttributeError(f"cannot assign {what} before Module.__init__() call")
    if not isinstance(name, str):
        raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
    if "." in name:
        raise KeyError(f'{what} name can\'t contain ".", got: {name}')
    if name == "":
        raise KeyError(f'{what} name can\'t be empty string ""')
    own = {"parameter": "_parameters", "buffer": "_buffers", "module": "_modules"}[what]
    if hasattr(module, name) and name not in module.__dict__[own]:
        raise KeyError(f"attribute '{name}' already exists")


def _replace(registry: str, held: Registry, name: str, value: Any) -> None:
    """Assign to a registered name a value that does not register itself."""
    if registry == "_buffers":
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{type(value).__name__}' object to buffer '{name}' (specjit Tensor or None required)"
            )
    elif value is not None:
        what, wanted = (
            ("parameter", "specjit.nn.Parameter")
            if registry == "_parameters"
            else ("child module", "specjit.nn.Module")
        )
        raise TypeError(f"cannot assign '{type(value).__name__}' as {what} '{name}' ({wanted} or None expected)")
    held[name] = value
