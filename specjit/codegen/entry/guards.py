"""The guards of the native entry as LLVM IR: one function per kind of record, `i1 check_kind(self, frame, guard,
object)`.

Enters: the probed `Layout`, whose offsets become constants of the code. Leaves: IR text, the first half of the entry's.
Invariant: what each function checks and stores is what `plain` does for that record; a guard's fields are in the
order in which `guard_table` encodes them. Nothing but the objects' own memory is read, and only after the object's type
was found to be the expected one.
"""

from __future__ import annotations

from enum import IntEnum

from specjit.codegen.entry.guard_table import DimMode, StrideMode
from specjit.codegen.entry.layout import Layout


class Self(IntEnum):
    """The words of the array that is `self` of both builtins."""

    NDARRAY = 0
    INT = 1
    FLOAT = 2
    BOOL = 3
    TRUE = 4
    NONE = 5
    FROM_LONG = 6
    AS_LONG = 7
    AS_DOUBLE = 8
    SAVE_THREAD = 9
    RESTORE_THREAD = 10
    MACHINE = 11


def render_guards(layout: Layout) -> str:
    """IR text of the helpers and of `check_array`, `check_tensor`, `check_int`, `check_float` and `check_bool`."""
    return f"""\
; The data address of an ndarray.
define internal ptr @data_of(ptr %array) alwaysinline {{
  %place = getelementptr i8, ptr %array, i64 {layout.data}
  %data = load ptr, ptr %place
  ret ptr %data
}}

; A word of `self`.
define internal ptr @known(ptr %self, i64 %which) alwaysinline {{
  %words = call ptr @data_of(ptr %self)
  %place = getelementptr i64, ptr %words, i64 %which
  %word = load ptr, ptr %place
  ret ptr %word
}}

define internal i1 @is_a(ptr %self, ptr %object, i64 %which) alwaysinline {{
  %place = getelementptr i8, ptr %object, i64 {layout.type}
  %type = load ptr, ptr %place
  %expected = call ptr @known(ptr %self, i64 %which)
  %same = icmp eq ptr %type, %expected
  ret i1 %same
}}

define internal i64 @word(ptr %words, i64 %k) alwaysinline {{
  %place = getelementptr i64, ptr %words, i64 %k
  %word = load i64, ptr %place
  ret i64 %word
}}

define internal void @put(ptr %frame, i64 %slot, i64 %value) alwaysinline {{
  %place = getelementptr i64, ptr %frame, i64 %slot
  store i64 %value, ptr %place
  ret void
}}

; guard: type number, byte order, rank, flags, alignment - 1, data slot or -1, itemsize, then 5 words per dimension:
; size mode, value, slot, stride mode, argument (bytes, or a slot).
define internal i1 @check_array(ptr %self, ptr %frame, ptr %guard, ptr %array) {{
entry:
  %exact = call i1 @is_a(ptr %self, ptr %array, i64 {Self.NDARRAY:d})
  br i1 %exact, label %header, label %no
header:
  %descr.place = getelementptr i8, ptr %array, i64 {layout.descr}
  %descr = load ptr, ptr %descr.place
  %num.place = getelementptr i8, ptr %descr, i64 {layout.descr_num}
  %num.int = load i32, ptr %num.place
  %num = sext i32 %num.int to i64
  %order.place = getelementptr i8, ptr %descr, i64 {layout.descr_byteorder}
  %order.char = load i8, ptr %order.place
  %order = zext i8 %order.char to i64
  %rank.place = getelementptr i8, ptr %array, i64 {layout.nd}
  %rank.int = load i32, ptr %rank.place
  %rank = sext i32 %rank.int to i64
  %flags.place = getelementptr i8, ptr %array, i64 {layout.flags}
  %flags.int = load i32, ptr %flags.place
  %flags = sext i32 %flags.int to i64
  %data.ptr = call ptr @data_of(ptr %array)
  %data = ptrtoint ptr %data.ptr to i64
  %g.num = call i64 @word(ptr %guard, i64 0)
  %g.order = call i64 @word(ptr %guard, i64 1)
  %g.rank = call i64 @word(ptr %guard, i64 2)
  %g.flags = call i64 @word(ptr %guard, i64 3)
  %g.mask = call i64 @word(ptr %guard, i64 4)
  %g.data = call i64 @word(ptr %guard, i64 5)
  %itemsize = call i64 @word(ptr %guard, i64 6)
  %num.ok = icmp eq i64 %num, %g.num
  %order.ok = icmp eq i64 %order, %g.order
  %rank.ok = icmp eq i64 %rank, %g.rank
  %flags.have = and i64 %flags, %g.flags
  %flags.ok = icmp eq i64 %flags.have, %g.flags
  %misaligned = and i64 %data, %g.mask
  %aligned = icmp eq i64 %misaligned, 0
  %ok1 = and i1 %num.ok, %order.ok
  %ok2 = and i1 %rank.ok, %flags.ok
  %ok3 = and i1 %ok1, %ok2
  %ok = and i1 %ok3, %aligned
  br i1 %ok, label %address, label %no
address:
  %stored = icmp sge i64 %g.data, 0
  br i1 %stored, label %store.address, label %sizes
store.address:
  call void @put(ptr %frame, i64 %g.data, i64 %data)
  br label %sizes
sizes:
  %dims.place = getelementptr i8, ptr %array, i64 {layout.dims}
  %dims = load ptr, ptr %dims.place
  %strides.place = getelementptr i8, ptr %array, i64 {layout.strides}
  %strides = load ptr, ptr %strides.place
  br label %size.head
size.head:
  %i = phi i64 [ 0, %sizes ], [ %i.next, %size.next ]
  %empty = phi i1 [ false, %sizes ], [ %empty.next, %size.next ]
  %more = icmp slt i64 %i, %rank
  br i1 %more, label %size.body, label %stride.head
size.body:
  %i.words = mul i64 %i, 5
  %i.dim = add i64 %i.words, 7
  %dim = getelementptr i64, ptr %guard, i64 %i.dim
  %mode = call i64 @word(ptr %dim, i64 0)
  %value = call i64 @word(ptr %dim, i64 1)
  %slot = call i64 @word(ptr %dim, i64 2)
  %size = call i64 @word(ptr %dims, i64 %i)
  %zero = icmp eq i64 %size, 0
  %empty.next = or i1 %empty, %zero
  %i.next = add i64 %i, 1
  switch i64 %mode, label %no [
    i64 {DimMode.CONST:d}, label %size.const
    i64 {DimMode.EQUAL:d}, label %size.equal
    i64 {DimMode.AT_LEAST:d}, label %size.least
    i64 {DimMode.STORE:d}, label %size.store
  ]
size.const:
  %const.ok = icmp eq i64 %size, %value
  br i1 %const.ok, label %size.next, label %no
size.equal:
  %seen = call i64 @word(ptr %frame, i64 %slot)
  %equal.ok = icmp eq i64 %size, %seen
  br i1 %equal.ok, label %size.next, label %no
size.least:
  %least.ok = icmp sge i64 %size, %value
  br i1 %least.ok, label %size.next, label %no
size.store:
  %store.ok = icmp sge i64 %size, %value
  br i1 %store.ok, label %size.stored, label %no
size.stored:
  call void @put(ptr %frame, i64 %slot, i64 %size)
  br label %size.next
size.next:
  br label %size.head

stride.head:
  %left = phi i64 [ %rank, %size.head ], [ %j, %stride.next ]
  %c.order = phi i64 [ %itemsize, %size.head ], [ %c.next, %stride.next ]
  %strides.left = icmp sgt i64 %left, 0
  br i1 %strides.left, label %stride.body, label %yes
stride.body:
  %j = sub i64 %left, 1
  %j.words = mul i64 %j, 5
  %j.dim = add i64 %j.words, 7
  %j.guard = getelementptr i64, ptr %guard, i64 %j.dim
  %s.mode = call i64 @word(ptr %j.guard, i64 3)
  %argument = call i64 @word(ptr %j.guard, i64 4)
  %j.size = call i64 @word(ptr %dims, i64 %j)
  %stride = call i64 @word(ptr %strides, i64 %j)
  %c.next = mul i64 %c.order, %j.size
  %single = icmp sle i64 %j.size, 1
  %unused = or i1 %empty, %single
  switch i64 %s.mode, label %no [
    i64 {StrideMode.IGNORE:d}, label %stride.next
    i64 {StrideMode.CONST:d}, label %stride.const
    i64 {StrideMode.CONTIGUOUS:d}, label %stride.contiguous
    i64 {StrideMode.STORE:d}, label %stride.store
  ]
stride.const:
  %s.const = icmp eq i64 %stride, %argument
  %s.const.ok = or i1 %unused, %s.const
  br i1 %s.const.ok, label %stride.next, label %no
stride.contiguous:
  %s.c = icmp eq i64 %stride, %c.order
  %s.c.ok = or i1 %unused, %s.c
  br i1 %s.c.ok, label %stride.next, label %no
stride.store:
  %itemsize.mask = sub i64 %itemsize, 1
  %odd = and i64 %stride, %itemsize.mask
  %whole = icmp eq i64 %odd, 0
  %s.store.ok = or i1 %unused, %whole
  br i1 %s.store.ok, label %stride.stored, label %no
stride.stored:
  %shift = call i64 @llvm.cttz.i64(i64 %itemsize, i1 true)
  %elements.all = ashr i64 %stride, %shift
  %elements = select i1 %unused, i64 0, i64 %elements.all
  call void @put(ptr %frame, i64 %argument, i64 %elements)
  br label %stride.next
stride.next:
  br label %stride.head
yes:
  ret i1 true
no:
  ret i1 false
}}

; guard: type, offset of the array slot, number of pairs, (offset, object) pairs, then an array guard.
define internal i1 @check_tensor(ptr %self, ptr %frame, ptr %guard, ptr %object) {{
entry:
  %type.place = getelementptr i8, ptr %object, i64 {layout.type}
  %type = load i64, ptr %type.place
  %expected.type = call i64 @word(ptr %guard, i64 0)
  %exact = icmp eq i64 %type, %expected.type
  br i1 %exact, label %slots, label %no
slots:
  %offset = call i64 @word(ptr %guard, i64 1)
  %pairs = call i64 @word(ptr %guard, i64 2)
  br label %head
head:
  %i = phi i64 [ 0, %slots ], [ %i.next, %body ]
  %at.index = mul i64 %i, 2
  %at = add i64 %at.index, 3
  %pair = getelementptr i64, ptr %guard, i64 %at
  %more = icmp slt i64 %i, %pairs
  br i1 %more, label %body, label %array
body:
  %pair.offset = call i64 @word(ptr %pair, i64 0)
  %expected = call i64 @word(ptr %pair, i64 1)
  %place = getelementptr i8, ptr %object, i64 %pair.offset
  %actual = load i64, ptr %place
  %same = icmp eq i64 %actual, %expected
  %i.next = add i64 %i, 1
  br i1 %same, label %head, label %no
array:
  %array.place = getelementptr i8, ptr %object, i64 %offset
  %array.object = load ptr, ptr %array.place
  %unset = icmp eq ptr %array.object, null
  br i1 %unset, label %no, label %checked
checked:
  %ok = call i1 @check_array(ptr %self, ptr %frame, ptr %pair, ptr %array.object)
  ret i1 %ok
no:
  ret i1 false
}}

; guard: 1 when it compares, then the value to compare with or the slot to store in.
define internal i1 @check_word(ptr %frame, ptr %guard, i64 %value) alwaysinline {{
  %compares = call i64 @word(ptr %guard, i64 0)
  %argument = call i64 @word(ptr %guard, i64 1)
  %compare = icmp ne i64 %compares, 0
  br i1 %compare, label %equal, label %keep
equal:
  %same = icmp eq i64 %value, %argument
  ret i1 %same
keep:
  call void @put(ptr %frame, i64 %argument, i64 %value)
  ret i1 true
}}

define internal i1 @check_int(ptr %self, ptr %frame, ptr %guard, ptr %object) {{
  %overflow = alloca i32
  %exact = call i1 @is_a(ptr %self, ptr %object, i64 {Self.INT:d})
  br i1 %exact, label %convert, label %no
convert:
  %as_long = call ptr @known(ptr %self, i64 {Self.AS_LONG:d})
  %value = call i64 %as_long(ptr %object, ptr %overflow)
  %flag = load i32, ptr %overflow
  %fits = icmp eq i32 %flag, 0
  br i1 %fits, label %compare, label %no
compare:
  %ok = call i1 @check_word(ptr %frame, ptr %guard, i64 %value)
  ret i1 %ok
no:
  ret i1 false
}}

define internal i1 @check_float(ptr %self, ptr %frame, ptr %guard, ptr %object) {{
  %exact = call i1 @is_a(ptr %self, ptr %object, i64 {Self.FLOAT:d})
  br i1 %exact, label %convert, label %no
convert:
  %as_double = call ptr @known(ptr %self, i64 {Self.AS_DOUBLE:d})
  %value = call double %as_double(ptr %object)
  %bits = bitcast double %value to i64
  %ok = call i1 @check_word(ptr %frame, ptr %guard, i64 %bits)
  ret i1 %ok
no:
  ret i1 false
}}

define internal i1 @check_bool(ptr %self, ptr %frame, ptr %guard, ptr %object) {{
  %exact = call i1 @is_a(ptr %self, ptr %object, i64 {Self.BOOL:d})
  br i1 %exact, label %convert, label %no
convert:
  %true = call ptr @known(ptr %self, i64 {Self.TRUE:d})
  %is = icmp eq ptr %object, %true
  %value = zext i1 %is to i64
  %ok = call i1 @check_word(ptr %frame, ptr %guard, i64 %value)
  ret i1 %ok
no:
  ret i1 false
}}

declare i64 @llvm.cttz.i64(i64, i1)
"""
