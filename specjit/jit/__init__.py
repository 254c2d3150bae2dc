"""`specjit.jit`: compile from source (`script`), from a run (`trace`), and the marks that go with them.

Enters: functions, modules, classes, source text. Leaves: callables with the same meaning, or an `Error` that says where
and why not.
Invariant: names and meanings follow `torch.jit` where they exist here.
"""

from typing import Final

from specjit.capture.errors import CaptureError as Error
from specjit.capture.marks import (
    Attribute,
    annotate,
    export,
    ignore,
    interface,
    is_scripting,
    is_tracing,
    unused,
)
from specjit.capture.marks import has_type as isinstance
from specjit.capture.trace_check import TracingCheckError
from specjit.jit.frozen import freeze
from specjit.jit.futures import Future, fork, wait
from specjit.jit.schema import FunctionSchema
from specjit.jit.script import ScriptFunction, ScriptModule, script, script_if_tracing, script_method
from specjit.jit.tracing import trace, trace_module
from specjit.jit.unit import CompilationUnit

__all__ = [
    "Attribute",
    "CompilationUnit",
    "Error",
    "Final",
    "FunctionSchema",
    "Future",
    "ScriptFunction",
    "ScriptModule",
    "TracingCheckError",
    "annotate",
    "export",
    "fork",
    "freeze",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "script",
    "script_if_tracing",
    "script_method",
    "trace",
    "trace_module",
    "unused",
    "wait",
]
