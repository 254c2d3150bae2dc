"""`script`: functions, modules and classes compiled from their source, strictly.

Enters: functions, methods, modules, classes. Leaves: `ScriptFunction`, `ScriptedModule` (both are Programs), or an
`Error` that says where and why not.
Invariant: what is scripted never runs as plain Python instead (but under `SPECJIT=0`), so `is_scripting()` has one
answer in it; a call that does not fit the schema raises before anything runs.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from specjit import config
from specjit.capture import marks
from specjit.capture.annotations import INTERFACE, alternatives, declared_constants
from specjit.capture.errors import CaptureError
from specjit.capture.frame import is_own
from specjit.capture.pycalls import is_library
from specjit.jit.schema import FunctionSchema, schema_of
from specjit.nn.module import Module
from specjit.runtime.optimize import recursive
from specjit.runtime.program import Program

F = TypeVar("F", bound=Callable[..., Any])


class ScriptFunction(Program[Any, Any]):
    """A function or method that `script` compiled. `schema`, `graph` and `code` describe it; the rest is a Program."""

    __specjit_scripted__ = True

    def __init__(self, model: Any, **options: Any) -> None:
        written = _written(model)
        self.__dict__["_written"] = written
        self.__dict__["_scripted"] = {}  # methods and submodules, compiled when they are asked for
        super().__init__(model, **{**options, "scripting": True})
        if written is None or any(a.variadic for a in written.arguments):
            return
        examples = [*alternatives({a.name: a.hint for a in written.arguments})]
        calls = [written.call(example) for example in examples]
        self._prepare(reversed(calls))  # the usual one last: `graph` and `code` show the latest

    @property
    def schema(self) -> FunctionSchema | None:
        """Parameters, types and defaults, and the result's type (Any until it is known); None for a module without
        forward."""
        written: FunctionSchema | None = self.__dict__["_written"]
        if written is None or written.returns is not None or not any(self._sites.by_structure.values()):
            return written
        return written.returning(self.graph.block.outputs[0].type)

    def _slow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        written = self.__dict__["_written"]
        if config.slow_road.count and not config.current().enabled:
            return super()._slow(args, kwargs)
        if written is None:
            return self._model(*args, **kwargs)  # says itself that it has no forward
        try:
            written.check(args, kwargs)
        except RuntimeError:
            (self.schema or written).check(args, kwargs)  # with all that is known in the text
        return super()._slow(args, kwargs)

    def _recorded(self, recorder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Within `jit.trace`: one node of the trace, so that its control flow stays."""
        return recorder.call_function(self, args, kwargs)

    def __repr__(self) -> str:
        return f"<specjit.jit.{type(self).__name__} {self.schema}>"


class ScriptedModule(ScriptFunction):
    """A module that `script` compiled: its forward, and on demand its exported methods and its submodules.

    Its parameters and attributes are the module's own. Constants (`Final`, `__constants__`) cannot be set."""

    def __init__(self, model: Module, **options: Any) -> None:
        super().__init__(model, **options)
        for name in _compiled_methods(self._model):
            self._method(name)

    def _slow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        model = self._model
        if _has_hooks(model) and not self._closed:
            return Module.__call__(self, *args, **kwargs)  # type: ignore[arg-type]
        return super()._slow(args, kwargs)

    def _method(self, name: str) -> ScriptFunction:
        scripted: dict[str, Any] = self.__dict__["_scripted"]
        if name not in scripted:
            scripted[name] = ScriptFunction(getattr(self._model, name), name=f"{self._log_name}.{name}")
        found: ScriptFunction = scripted[name]
        return found

    def _follow(self) -> None:
        if not (_has_hooks(self._model) or self.__dict__["_written"] is None):
            super()._follow()

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        model: Module = self._model
        if isinstance(found, types.MethodType) and found.__self__ is model:
            if name == "forward" or name in _compiled_methods(model):
                return self._method(name)
            return _returns(self, found) if vars(Module).get(name) is found.__func__ else found
        if isinstance(found, Module) and type(found).__call__ is Module.__call__ and _has_forward(found):
            scripted: dict[str, Any] = self.__dict__["_scripted"]
            known = scripted.get(name)
            if known is None or known._model is not found:
                known = scripted[name] = scripted_module(found)
            return known
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if "_model" in self.__dict__ and name in declared_constants(type(self._model)):
            raise RuntimeError(f"Can't set constant '{name}' which has value:{getattr(self._model, name, None)}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(original_name={type(self._model).__name__})"


class ScriptedContainer(ScriptedModule):
    """A scripted Sequential, ModuleList or ModuleDict: its members are those of the module."""

    def __len__(self) -> int:
        return len(self._model)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._model)

    def __getitem__(self, key: Any) -> Any:
        return self._model[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._model


def scripted_module(module: Module) -> ScriptedModule:
    """The compiled form of a module."""
    return ScriptedContainer(module) if hasattr(type(module), "__len__") else ScriptedModule(module)


def _invoke(callee: Any, /, *args: Any, **kwargs: Any) -> Any:
    """A call in a script whose callee was not known when it was captured: Python functions are compiled now."""
    if isinstance(callee, types.MethodType):
        return _invoke(callee.__func__, callee.__self__, *args, **kwargs)
    if isinstance(callee, Module) and type(callee).__call__ is Module.__call__ and not _has_hooks(callee):
        return _invoke(type(callee).forward, callee, *args, **kwargs)
    return recursive(callee, True)(*args, **kwargs) if _is_compiled(callee) else callee(*args, **kwargs)


def _is_compiled(callee: Any) -> bool:
    """Whether a script compiles what it calls: functions of the user that are no closures (those are made anew again
    and again) and not marked to be ignored."""
    if not isinstance(callee, types.FunctionType) or callee.__closure__ or getattr(callee, marks.IGNORED, False):
        return False
    return not (is_own(callee) or is_library(callee))


def _invoke_method(owner: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    return _invoke(getattr(owner, name), *args, **kwargs)


class _Managed:
    """A context manager in a script: its methods are compiled when they are called."""

    __slots__ = ("manager",)

    def __init__(self, manager: Any) -> None:
        for name in ("__enter__", "__exit__"):
            if not hasattr(type(manager), name):
                raise TypeError(f"'{type(manager).__name__}' object does not support the context manager protocol")
        self.manager = manager

    def __enter__(self) -> Any:
        return _invoke(type(self.manager).__enter__, self.manager)

    def __exit__(self, *error: Any) -> Any:
        return _invoke(type(self.manager).__exit__, self.manager, *error)


marks.invoke, marks.invoke_method, marks.managed = _invoke, _invoke_method, _Managed


def _returns(scripted: ScriptedModule, method: Any) -> Any:
    """A method of Module as the scripted module has it: `eval()` and others that return the module return that."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        out = method(*args, **kwargs)
        return scripted if out is scripted._model else out

    return call


def _has_hooks(module: Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _has_forward(module: Module) -> bool:
    return type(module).forward is not Module.forward


def _written(model: Any) -> FunctionSchema | None:
    if isinstance(model, Module):
        forward: Any = type(model).forward
        return schema_of(forward, owner=type(model)) if _has_forward(model) else None
    if isinstance(model, types.MethodType):
        function: Any = model.__func__
        return schema_of(function, owner=type(model.__self__))
    return schema_of(model)


def _compiled_methods(model: Module) -> list[str]:
    """The methods besides `forward` that are marked to be compiled."""
    marked = {
        name: getattr(member, marks.EXPORTED, False) or getattr(member, marks.SCRIPT_METHOD, False)
        for cls in reversed(type(model).__mro__)
        for name, member in vars(cls).items()
        if isinstance(member, types.FunctionType)
    }
    return [name for name, is_marked in marked.items() if is_marked and name != "forward"]


class _Scripts(type):
    """The class of `ScriptModule`: making an instance of a subclass gives its compiled form."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return scripted_module(super().__call__(*args, **kwargs))

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is ScriptModule:
            return issubclass(type(instance), ScriptedModule | ScriptModule)
        return super().__instancecheck__(instance)


class ScriptModule(Module, metaclass=_Scripts):
    """Base class of modules that are compiled when they are made; their compiled methods are marked `script_method`.

    Every scripted module, also one that `script` returned, is an instance of it."""


def script_method(fn: F) -> F:
    """Compile the method of a `ScriptModule`: `forward` needs no mark, other methods do."""
    setattr(fn, marks.SCRIPT_METHOD, True)
    return fn


def script(obj: Any) -> Any:
    """Compile a function, a module or a class from its source, strictly: what cannot be compiled raises `Error` here.

    Parameter types come from annotations (`x: int`, `# type: (int) -> Tensor`); a parameter without one is a Tensor.
    Where a type leaves the structure open (Any, a user's class), errors come with the first call. What else the program
    says of its types (of functions that it calls, of results, `y: int = x`) is checked where the value's type is known.

    A function or method gives a `ScriptFunction`, a module a `ScriptedModule`; a class is checked and returned as it
    is. A call that does not fit the schema raises RuntimeError.
    """
    if issubclass(type(obj), ScriptFunction) or hasattr(type(obj), "__specjit_trace__"):
        return obj
    inner = getattr(obj, "__specjit_model__", obj)
    if isinstance(inner, Module):
        unwrap_attributes(inner)
        return scripted_module(inner)
    if isinstance(inner, type):
        return script_class(inner)
    if isinstance(inner, types.FunctionType | types.MethodType):
        return ScriptFunction(inner)
    raise CaptureError("source", f"script takes a Python function or a Module, or a class, got {type(obj).__name__}")


def unwrap_attributes(root: Module) -> None:
    """Attributes given as `jit.Attribute(value, type)` become their values."""
    for module in root.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, marks.Attribute):
                setattr(module, name, value.value)


def script_class(cls: type) -> type:
    """Check that the methods of a class have a source and types that are understood."""
    if getattr(cls, INTERFACE, False):
        return cls
    for name, member in vars(cls).items():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if isinstance(function, types.FunctionType) and function.__module__ == cls.__module__:
            if "<string>" in function.__code__.co_filename:  # made by dataclass or NamedTuple
                continue
            if not getattr(function, marks.IGNORED, False) and name in vars(cls):
                schema_of(function, owner=None if isinstance(member, staticmethod) else cls)
    return cls


def script_if_tracing(fn: F) -> F:
    """Plain Python, but inside `trace` the function is compiled, so that its control flow stays in the trace."""
    compiled: list[ScriptFunction] = []

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not marks.is_tracing():
            return fn(*args, **kwargs)
        if not compiled:
            compiled.append(ScriptFunction(inspect.unwrap(fn)))
        return compiled[0](*args, **kwargs)

    return call  # type: ignore[return-value]
