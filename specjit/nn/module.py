"""`Module`: a tree of parameters, buffers and submodules with a `forward`.

Enters: attribute assignments. Leaves: a callable object whose state has names (`state_dict`, `named_parameters`, ...).
Invariant: every change of an attribute, a registration or a hook moves `tensor.state.module_epoch`, so that compiled
code can tell with one comparison that nothing it relied on has changed.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from specjit.dtypes import DType
from specjit.tensor import Parameter, Tensor, state
from specjit.tensor.tape import RemovableHandle

M = TypeVar("M", bound="Module")
_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module:
    """Base class of models and layers. Call `super().__init__()` first, assign parameters and modules, define
    `forward`."""

    training: bool

    def __init__(self) -> None:
        fields = self.__dict__
        fields["_parameters"] = {}
        fields["_buffers"] = {}
        fields["_modules"] = {}
        fields["_unsaved"] = set()  # names of buffers that state_dict leaves out
        fields["_forward_hooks"] = OrderedDict()
        fields["_forward_pre_hooks"] = OrderedDict()
        fields["_backward_hooks"] = OrderedDict()
        fields["training"] = True
        state.bump_module_epoch()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self._forward_hooks or self._forward_pre_hooks or self._backward_hooks):
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
        if self._backward_hooks:
            _watch_gradients(self, args, out)
        return out

    # -- attributes ---------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        for registry in _REGISTRIES:
            held = self.__dict__.get(registry)
            if held is not None and name in held:
                return held[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        if "_parameters" not in fields:
            if isinstance(value, (Parameter, Module)):
                raise AttributeError(f"cannot assign {type(value).__name__} before Module.__init__() call")
            object.__setattr__(self, name, value)
            return
        state.bump_module_epoch()
        if isinstance(value, Parameter):
            _forget(self, name)
            self._parameters[name] = value
        elif isinstance(value, Module):
            _forget(self, name)
            self._modules[name] = value
        elif name in self._parameters:
            if value is not None:
                kind = type(value).__name__
                raise TypeError(f"cannot assign '{kind}' as parameter '{name}' (specjit.nn.Parameter or None expected)")
            self._parameters[name] = None
        elif name in self._modules and value is None:
            self._modules[name] = None
        elif name in self._modules:
            raise TypeError(
                f"cannot assign '{type(value).__name__}' as child module '{name}' (Module or None expected)"
            )
        elif name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' object to buffer '{name}' (Tensor or None expected)"
                )
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        state.bump_module_epoch()
        for registry in _REGISTRIES:
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._parameters, *self._buffers, *self._modules})

    def __setstate__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)
        state.bump_module_epoch()

    # -- registration -------------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name."""
        self._check_name(name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (Parameter or None required)"
            )
        self._parameters[name] = param
        state.bump_module_epoch()

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained. `persistent=False` leaves it out of `state_dict`."""
        self._check_name(name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._unsaved.discard if persistent else self._unsaved.add)(name)
        state.bump_module_epoch()

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under `name`."""
        self._check_name(name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module
        state.bump_module_epoch()

    register_module = add_module

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name is a string, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"a name can't be empty or contain '.', got {name!r}")
        if name in self.__dict__ or hasattr(type(self), name):
            raise KeyError(f"attribute '{name}' already exists")

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args)` before every forward; what it returns replaces the arguments."""
        return self._hook(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args, output)` after every forward; what it returns replaces the output."""
        return self._hook(self._forward_hooks, hook)

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the outputs have been computed
        (`grad_input` is not available then and is None)."""
        return self._hook(self._backward_hooks, hook)

    def _hook(self, hooks: dict[int, Any], hook: Callable[..., Any]) -> RemovableHandle:
        handle = RemovableHandle(hooks, state.bump_module_epoch)
        hooks[handle.id] = hook
        state.bump_module_epoch()
        return handle

    # -- walking ------------------------------------------------------------------------------------------------------

    def named_modules(self, memo: set[int] | None = None, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted name, module) for this module and everything below, each module once."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen: set[int] = set()
        for name, child in self._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        return (m for _, m in self.named_children())

    def _named(self, registry: str, prefix: str, recurse: bool, duplicates: bool = False) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, value in module.__dict__[registry].items():
                if value is None or (id(value) in seen and not duplicates):
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        return self._named("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        return self._named("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; AttributeError names the part that is missing."""
        module: Module = self
        for part in target.split(".") if target else []:
            found = module._modules.get(part)
            if found is None:
                raise AttributeError(f"{type(module).__name__} has no submodule `{part}` (in {target!r})")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        path, _, name = target.rpartition(".")
        held = self.get_submodule(path)._parameters.get(name)
        if held is None:
            raise AttributeError(f"no parameter {target!r}")
        return held

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn` on every module, children first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -- modes, dtypes ------------------------------------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Set `training` here and below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        for p in self.parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad = p.grad.detach() * 0

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Convert floating-point parameters and buffers in place, as `Tensor.to` does."""
        dtype = kwargs.get("dtype", next((a for a in args if isinstance(a, DType)), None))
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}")

        def convert(t: Tensor) -> Tensor:
            if t.is_floating_point() or dtype is None:
                return t.to(*args, **kwargs)
            return t

        return self._convert(convert)

    def float(self: M) -> M:
        return self._convert(lambda t: t.float() if t.is_floating_point() else t)

    def double(self: M) -> M:
        return self._convert(lambda t: t.double() if t.is_floating_point() else t)

    def _convert(self: M, fn: Callable[[Tensor], Tensor]) -> M:
        for module in self.modules():
            for p in module._parameters.values():
                if p is not None:
                    with state.no_grad():
                        p.data = fn(p.detach())
                        if p.grad is not None:
                            p.grad = fn(p.grad)
            for name, b in module._buffers.items():
                if b is not None:
                    module._buffers[name] = fn(b)
        state.bump_module_epoch()
        return self

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, detached unless `keep_vars`."""
        out: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self._every_module(prefix):
            for name, value in itertools.chain(module._parameters.items(), module._buffers.items()):
                if value is not None and name not in module._unsaved:
                    out[path + name] = value if keep_vars else value.detach()
        return out

    def _every_module(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Every occurrence, so that a shared module has all its names."""
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child._every_module(f"{prefix}{name}.")

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy values in by name; returns (missing, unexpected) names.

        Nothing is changed unless everything fits: RuntimeError lists all missing and unexpected names (`strict`) and
        all wrong shapes."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        mine = self.state_dict(keep_vars=True)
        missing = [n for n in mine if n not in state_dict]
        unexpected = [n for n in state_dict if n not in mine]
        problems = []
        if strict and unexpected:
            problems.append(f"Unexpected key(s) in state_dict: {', '.join(map(repr, unexpected))}.")
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {', '.join(map(repr, missing))}.")
        for n, p in mine.items():
            given = state_dict.get(n)
            if given is None:
                continue
            if not isinstance(given, Tensor):
                problems.append(f"{n} is a {type(given).__name__}, expected a Tensor.")
            elif tuple(given.shape) != tuple(p.shape):
                problems.append(
                    f"size mismatch for {n}: copying a param with shape {tuple(given.shape)} from checkpoint, "
                    f"the shape in current model is {tuple(p.shape)}."
                )
        if problems:
            listed = "\n\t".join(problems)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}")
        with state.no_grad():
            for n, p in mine.items():
                if n in state_dict:
                    p.copy_(state_dict[n])
        return missing, unexpected

    # -- printing -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What a subclass adds inside the parentheses of its repr."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self._modules.items()]
        if not children:
            return f"{type(self).__name__}({extra})"
        lines = [*extra.splitlines(), *children]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def _forget(module: Module, name: str) -> None:
    """Drop `name` wherever it is, before it is registered as something else."""
    module.__dict__.pop(name, None)
    for registry in _REGISTRIES:
        module.__dict__[registry].pop(name, None)


def _watch_gradients(module: Module, args: tuple[Any, ...], out: Any) -> None:
    outs = [t for t in (out if isinstance(out, tuple) else (out,)) if isinstance(t, Tensor) and t.requires_grad]
    for t in outs:
        t.register_hook(
            lambda g: [hook(module, (None,) * len(args), (g,)) for hook in module._backward_hooks.values()] and None
        )
