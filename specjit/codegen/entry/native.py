"""The way in from Python as LLVM IR: the METH_FASTCALL builtins `bind`, `run` and `address`, which read headers.

Enters: the probed `Layout` (offsets become constants of the code). Leaves: IR text, and the builtins made from its
native code.
Invariant: what they do is what `plain` does. The code holds no address: those of CPython's functions and types
come with the call, through `self`, an int64 array in the order of `guards.Self`; so the object is cached and
shared like any kernel.

No Python code runs in here, no reference count is touched (arguments stay owned by the caller) and no exception can be
set: the one conversion that could fail, int -> int64, reports overflow through a flag.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from specjit.codegen.abi import BUDGET, PC, Status
from specjit.codegen.entry.guard_table import Kind
from specjit.codegen.entry.guards import Self, render_guards
from specjit.codegen.entry.layout import Layout
from specjit.codegen.entry.output_table import RELEASE_GIL
from specjit.codegen.loader import Kernel, KernelLibrary

METH_FASTCALL = 0x80
SYMBOLS = ("specjit_bind", "specjit_run", "specjit_address")


def render(layout: Layout) -> str:
    """IR text that exports the `SYMBOLS`, each a `PyObject* f(PyObject* self, PyObject** args, Py_ssize_t n)`."""
    return f"""\
{render_guards(layout)}
define internal ptr @to_int(ptr %self, i64 %value) alwaysinline {{
  %from_long = call ptr @known(ptr %self, i64 {Self.FROM_LONG:d})
  %result = call ptr %from_long(i64 %value)
  ret ptr %result
}}

define ptr @specjit_bind(ptr %self, ptr %args, i64 %n) {{
entry:
  %frame.object = load ptr, ptr %args
  %frame = call ptr @data_of(ptr %frame.object)
  %table.place = getelementptr ptr, ptr %args, i64 1
  %table.object = load ptr, ptr %table.place
  %table = call ptr @data_of(ptr %table.object)
  call void @put(ptr %frame, i64 {PC}, i64 0)
  %count = call i64 @word(ptr %table, i64 0)
  %given = sub i64 %n, 2
  %objects = getelementptr ptr, ptr %args, i64 2
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %at = phi i64 [ 1, %entry ], [ %at.next, %next ]
  %i.next = add i64 %i, 1
  %done = icmp sge i64 %i, %count
  br i1 %done, label %end, label %body
body:
  %there = icmp slt i64 %i, %given
  br i1 %there, label %object, label %miss
object:
  %record = getelementptr i64, ptr %table, i64 %at
  %kind = call i64 @word(ptr %record, i64 0)
  %length = call i64 @word(ptr %record, i64 1)
  %at.next = add i64 %at, %length
  %guard = getelementptr i64, ptr %record, i64 2
  %object.place = getelementptr ptr, ptr %objects, i64 %i
  %object.value = load ptr, ptr %object.place
  switch i64 %kind, label %miss [
    i64 {Kind.SKIP:d}, label %next
    i64 {Kind.INT:d}, label %int
    i64 {Kind.FLOAT:d}, label %float
    i64 {Kind.BOOL:d}, label %bool
    i64 {Kind.IS:d}, label %is
    i64 {Kind.ARRAY:d}, label %array
    i64 {Kind.TENSOR:d}, label %tensor
  ]
int:
  %int.ok = call i1 @check_int(ptr %self, ptr %frame, ptr %guard, ptr %object.value)
  br i1 %int.ok, label %next, label %miss
float:
  %float.ok = call i1 @check_float(ptr %self, ptr %frame, ptr %guard, ptr %object.value)
  br i1 %float.ok, label %next, label %miss
bool:
  %bool.ok = call i1 @check_bool(ptr %self, ptr %frame, ptr %guard, ptr %object.value)
  br i1 %bool.ok, label %next, label %miss
is:
  %wanted.word = call i64 @word(ptr %guard, i64 0)
  %wanted = inttoptr i64 %wanted.word to ptr
  %is.ok = icmp eq ptr %object.value, %wanted
  br i1 %is.ok, label %next, label %miss
array:
  %array.ok = call i1 @check_array(ptr %self, ptr %frame, ptr %guard, ptr %object.value)
  br i1 %array.ok, label %next, label %miss
tensor:
  %tensor.ok = call i1 @check_tensor(ptr %self, ptr %frame, ptr %guard, ptr %object.value)
  br i1 %tensor.ok, label %next, label %miss
next:
  br label %head
miss:
  %missed = call ptr @to_int(ptr %self, i64 %i.next)
  ret ptr %missed
end:
  %too.many = icmp sgt i64 %given, %count
  %beyond = add i64 %count, 1
  %answer = select i1 %too.many, i64 %beyond, i64 0
  %result = call ptr @to_int(ptr %self, i64 %answer)
  ret ptr %result
}}

define ptr @specjit_run(ptr %self, ptr %args, i64 %n) {{
entry:
  %frame.object = load ptr, ptr %args
  %frame = call ptr @data_of(ptr %frame.object)
  %code.place = getelementptr ptr, ptr %args, i64 1
  %code.object = load ptr, ptr %code.place
  %code = call ptr @data_of(ptr %code.object)
  %table.place = getelementptr ptr, ptr %args, i64 2
  %table.object = load ptr, ptr %table.place
  %table = call ptr @data_of(ptr %table.object)
  %flags = call i64 @word(ptr %table, i64 0)
  %budget = call i64 @word(ptr %table, i64 1)
  %count = call i64 @word(ptr %table, i64 2)
  %given = sub i64 %n, 3
  %all = icmp eq i64 %given, %count
  br i1 %all, label %head, label %refuse
head:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %start
body:
  %i.arg = add i64 %i, 3
  %array.place = getelementptr ptr, ptr %args, i64 %i.arg
  %array = load ptr, ptr %array.place
  %slot = call i64 @word(ptr %table, i64 %i.arg)
  %none = call ptr @known(ptr %self, i64 {Self.NONE:d})
  %absent = icmp eq ptr %array, %none
  br i1 %absent, label %next, label %given.array
given.array:
  %exact = call i1 @is_a(ptr %self, ptr %array, i64 {Self.NDARRAY:d})
  br i1 %exact, label %store, label %refuse
store:
  %data = call ptr @data_of(ptr %array)
  %address = ptrtoint ptr %data to i64
  call void @put(ptr %frame, i64 %slot, i64 %address)
  br label %next
next:
  %i.next = add i64 %i, 1
  br label %head
start:
  call void @put(ptr %frame, i64 {BUDGET}, i64 %budget)
  %machine = call ptr @known(ptr %self, i64 {Self.MACHINE:d})
  %release.bit = and i64 %flags, {RELEASE_GIL}
  %release = icmp ne i64 %release.bit, 0
  br i1 %release, label %released, label %holding
holding:
  %status.holding = call i64 %machine(ptr %code, ptr %frame)
  br label %finish
released:
  %save = call ptr @known(ptr %self, i64 {Self.SAVE_THREAD:d})
  %restore = call ptr @known(ptr %self, i64 {Self.RESTORE_THREAD:d})
  %thread = call ptr %save()
  %status.released = call i64 %machine(ptr %code, ptr %frame)
  call void %restore(ptr %thread)
  br label %finish
finish:
  %status = phi i64 [ %status.holding, %holding ], [ %status.released, %released ]
  %result = call ptr @to_int(ptr %self, i64 %status)
  ret ptr %result
refuse:
  %refused = call ptr @to_int(ptr %self, i64 {Status.GUARD:d})
  ret ptr %refused
}}

define ptr @specjit_address(ptr %self, ptr %args, i64 %n) {{
  %array = load ptr, ptr %args
  %exact = call i1 @is_a(ptr %self, ptr %array, i64 {Self.NDARRAY:d})
  br i1 %exact, label %yes, label %no
yes:
  %data = call ptr @data_of(ptr %array)
  %address = ptrtoint ptr %data to i64
  %result = call ptr @to_int(ptr %self, i64 %address)
  ret ptr %result
no:
  %zero = call ptr @to_int(ptr %self, i64 0)
  ret ptr %zero
}}
"""


class _MethodDef(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


# What the builtins point into. They may be referenced from anywhere, so nothing of it is ever released.
_kept: list[object] = []


def make(library: KernelLibrary, layout: Layout, machine: Kernel) -> list[Callable[..., int]]:
    """The builtins (bind, run, address), for a machine."""
    code = library.get_ir(render(layout), SYMBOLS)
    api = ctypes.pythonapi

    def function(name: str) -> int:
        return ctypes.cast(getattr(api, name), ctypes.c_void_p).value or 0

    words = np.zeros(len(Self), np.int64)
    words[Self.NDARRAY] = id(np.ndarray)
    words[Self.INT], words[Self.FLOAT], words[Self.BOOL] = id(int), id(float), id(bool)
    words[Self.TRUE], words[Self.NONE] = id(True), id(None)
    words[Self.FROM_LONG] = function("PyLong_FromLongLong")
    words[Self.AS_LONG] = function("PyLong_AsLongLongAndOverflow")
    words[Self.AS_DOUBLE] = function("PyFloat_AsDouble")
    words[Self.SAVE_THREAD] = function("PyEval_SaveThread")
    words[Self.RESTORE_THREAD] = function("PyEval_RestoreThread")
    words[Self.MACHINE] = machine.address
    words.flags.writeable = False

    new_builtin = api.PyCFunction_NewEx
    new_builtin.restype = ctypes.py_object
    new_builtin.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    builtins = []
    for symbol in SYMBOLS:
        name = symbol.removeprefix("specjit_")
        definition = _MethodDef(name.encode(), code.addresses[symbol], METH_FASTCALL, DOCS[name].encode())
        _kept.append(definition)
        builtins.append(new_builtin(ctypes.byref(definition), words, None))
    _kept.extend((code, machine, words))
    return builtins


DOCS = {
    "bind": "bind(frame, guards, *objects): 0 when every guard holds and the frame is filled, i + 1 if object i fails",
    "run": "run(frame, code, outputs, *arrays): the machine's status",
    "address": "address(array): the data address of an exact ndarray, 0 for anything else",
}
