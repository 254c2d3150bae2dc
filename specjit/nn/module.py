"""`Module`: a tree of parameters, buffers and submodules with a `forward`.

Enters: attributes. Assigning a Parameter or a Module registers it. Leaves: calls with hooks, state dicts, traversal.
Invariant: every change of structure, attributes or hooks moves `state.module_epoch`, also through the registries
themselves, so a
reader that saw an epoch need not look again until it moves.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from specjit.dtypes import DType
from specjit.tensor import state
from specjit.tensor.tape import RemovableHandle
from specjit.tensor.tensor import Parameter, Tensor

IncompatibleKeys = namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])


class Registry(dict[Any, Any]):
    """A dict that moves the module epoch whenever it changes."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        dict.__setitem__(self, key, value)
        state.bump_module_epoch()

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self, key)
        state.bump_module_epoch()

    def pop(self, *args: Any) -> Any:
        state.bump_module_epoch()
        return dict.pop(self, *args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        dict.update(self, *args, **kwargs)
        state.bump_module_epoch()

    def clear(self) -> None:
        dict.clear(self)
        state.bump_module_epoch()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        state.bump_module_epoch()
        return dict.setdefault(self, key, default)

    def __reduce__(self) -> tuple[Any, ...]:
        return Registry, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Registry:
        from copy import deepcopy

        return Registry({k: deepcopy(v, memo) for k, v in self.items()})


REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module:
    """Base class of layers and models. Subclasses call `super().__init__()` first and define `forward`.

    training   True after `train()`, False after `eval()`
    """

    training: bool
    _parameters: Registry
    _buffers: Registry
    _modules: Registry
    _forward_hooks: Registry
    _forward_pre_hooks: Registry

    def __init__(self) -> None:
        made = self.__dict__
        made["training"] = True
        for name in (*REGISTRIES, "_forward_hooks", "_forward_pre_hooks"):
            made[name] = Registry()
        made["_non_persistent"] = set()
        state.bump_module_epoch()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call computes; subclasses define it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self._forward_pre_hooks or self._forward_hooks):
            return self.forward(*args, **kwargs)
        for hook in list(self._forward_pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        out = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            changed = hook(self, args, out)
            if changed is not None:
                out = changed
        return out

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; what it returns replaces the arguments."""
        return _hook(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward; what it returns replaces the output."""
        return _hook(self._forward_hooks, hook)

    def __getattr__(self, name: str) -> Any:
        held = self.__dict__
        for registry in REGISTRIES:
            found = held.get(registry)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__
        kind = "_parameters" if isinstance(value, Parameter) else "_modules" if isinstance(value, Module) else None
        if kind is not None:
            if kind not in held:
                what = "parameters" if kind == "_parameters" else "module"
                raise AttributeError(f"cannot assign {what} before Module.__init__() call")
            held.pop(name, None)
            for other in REGISTRIES:
                if other != kind and name in held[other]:
                    del held[other][name]
            held["_non_persistent"].discard(name)
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
                self._non_persistent.discard(name)
                return
        object.__delattr__(self, name)
        state.bump_module_epoch()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None reserves the name."""
        _check_name(self, name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (specjit.nn.Parameter or None "
                "required)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained."""
        _check_name(self, name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (specjit Tensor or None required)"
            )
        self._buffers[name] = tensor
        if not persistent:
            self._non_persistent.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name."""
        _check_name(self, name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module

    register_module = add_module

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; AttributeError if there is none."""
        found: Any = self
        for part in target.split(".") if target else []:
            found = getattr(found, part)
            if not isinstance(found, Module):
                raise AttributeError(f"`{part}` is not a Module")
        return found

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
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, value in module.__dict__[registry].items():
                if value is None or (unique and id(value) in seen):
                    continue
                seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[Any]:
        """(path, parameter), each parameter once."""
        yield from self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[Any]:
        """(path, buffer), each buffer once."""
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
            if p.grad is not None:
                if set_to_none:
                    p.grad = None
                else:
                    p.grad = p.grad.detach().zero_()

    def _convert(self, fn: Callable[[Tensor], Tensor]) -> Module:
        for module in self.modules():
            for p in module._parameters.values():
                if p is not None:
                    # In place, so that optimizers and tied modules keep their parameter.
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
        """Convert floating-point parameters and buffers to a dtype, or move everything to a device; in place, returns
        self."""
        dtype = next((a for a in (*args, kwargs.get("dtype")) if isinstance(a, DType)), None)
        device = next(
            (a for a in (*args, kwargs.get("device")) if a is not None and not isinstance(a, (DType, bool))), None
        )
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}")
        return self._convert(lambda t: t.to(dtype=dtype if t.dtype.is_floating_point else None, device=device))

    def float(self) -> Module:
        """Convert floating-point parameters and buffers to float32, in place."""
        return self._convert(lambda t: t.float() if t.dtype.is_floating_point else t)

    def double(self) -> Module:
        """Convert floating-point parameters and buffers to float64, in place."""
        return self._convert(lambda t: t.double() if t.dtype.is_floating_point else t)

    def half(self) -> Module:
        """Convert floating-point parameters and buffers to float16, in place."""
        return self._convert(lambda t: t.half() if t.dtype.is_floating_point else t)

    def cpu(self) -> Module:
        """This module: it is on the CPU already."""
        return self

    # state

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Any]:
        """Parameters and persistent buffers by path. The tensors share memory with the module, without history."""
        out: OrderedDict[str, Any] = OrderedDict()
        for path, module in self.named_modules(prefix=prefix.rstrip("."), remove_duplicate=False):
            held = {
                **module._parameters,
                **{k: b for k, b in module._buffers.items() if k not in module._non_persistent},
            }
            for name, value in held.items():
                if value is not None:
                    out[f"{path}.{name}" if path else name] = value if keep_vars else value.detach()
        return out

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy values in. RuntimeError lists missing and unexpected keys (if `strict`) and mismatched shapes."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        own = self.state_dict(keep_vars=True)
        missing = [k for k in own if k not in state_dict]
        unexpected = [k for k in state_dict if k not in own]
        errors = []
        if strict and unexpected:
            errors.append("Unexpected key(s) in state_dict: " + ", ".join(f'"{k}"' for k in unexpected) + ". ")
        if strict and missing:
            errors.insert(0, "Missing key(s) in state_dict: " + ", ".join(f'"{k}"' for k in missing) + ". ")
        for key, target in own.items():
            value = state_dict.get(key)
            if value is not None and not isinstance(value, Tensor):
                errors.append(
                    f'While copying the parameter named "{key}", expected a Tensor but received {type(value).__name__}.'
                )
            elif value is not None and value.shape != target.shape:
                errors.append(
                    f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the shape in "
                    f"current model is {target.shape}."
                )
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
        with state.no_grad():
            for key, target in own.items():
                if key in state_dict:
                    if assign:
                        target.data = state_dict[key].detach()
                    else:
                        target.copy_(state_dict[key])
        return IncompatibleKeys(missing, unexpected)

    def __setstate__(self, held: dict[str, Any]) -> None:
        self.__dict__.update(held)
        state.bump_module_epoch()

    def extra_repr(self) -> str:
        """What a layer says about itself in `repr`."""
        return ""

    def __repr__(self) -> str:
        lines = self.extra_repr().split("\n") if self.extra_repr() else []
        children = []
        for name, module in self._modules.items():
            inner = repr(module).split("\n")
            children.append(f"({name}): " + "\n".join([inner[0], *("  " + line for line in inner[1:])]))
        name = type(self).__name__
        if not children and len(lines) <= 1:
            return f"{name}({''.join(lines)})"
        return f"{name}(\n  " + "\n  ".join([*lines, *children]) + "\n)"


def _hook(hooks: Registry, hook: Callable[..., Any]) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def _check_name(module: Module, name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name should be a string. Got {type(name).__name__}")
    if not name or "." in name:
        raise KeyError(f'name can\'t be empty or contain ".", got {name!r}')
    taken = any(name in module.__dict__[r] for r in REGISTRIES)
    if hasattr(module, name) and not taken:
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
