"""The way in: native and plain entry give the same answers and fill the same frames."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specjit.codegen import abi
from specjit.codegen.abi import Status
from specjit.codegen.entry import layout
from specjit.codegen.entry.binding import Entry, make_entry
from specjit.codegen.entry.guard_table import CONTIGUOUS, IGNORE, GuardTable, at_least, equal, store, store_stride
from specjit.codegen.entry.output_table import OutputTable
from specjit.codegen.machine.instructions import Assembler, float_bits

SLOTS = 64


class Box:
    """Stands for Tensor: a class with slots."""

    __slots__ = ("__weakref__", "array", "flag", "other")

    def __init__(self, array: object, flag: object = False, other: object = None) -> None:
        self.array = array
        self.flag = flag
        self.other = other


class SubBox(Box):
    __slots__ = ()


class SubArray(np.ndarray):
    pass


@pytest.fixture(scope="module")
def entries(library) -> tuple[Entry, Entry]:
    native = make_entry(library, [(Box, "array"), (Box, "flag")])
    plain = make_entry(library, plain=True)
    assert native.native
    assert not plain.native
    return native, plain


@pytest.fixture(scope="module", params=["native", "plain"])
def entry(request, entries) -> Entry:
    return entries[request.param == "plain"]


def bind(entries: tuple[Entry, Entry], table: GuardTable, *objects: object) -> tuple[int, np.ndarray]:
    """Bind with both entries, compare, return the answer and the frame."""
    answers, frames = [], []
    for entry in entries:
        frame = np.full(SLOTS, -7, np.int64)
        answers.append(entry.bind(frame, entry.guards(table), *objects))
        frames.append(frame)
    assert answers[0] == answers[1], table.describe()
    assert type(answers[0]) is int
    if answers[0] == 0:
        np.testing.assert_array_equal(frames[0], frames[1])
    assert frames[0][abi.PC] == frames[1][abi.PC] == 0
    return answers[0], frames[0]


def array_table(dims, dtype="f4", **how) -> GuardTable:
    table = GuardTable(1)
    table.array(0, dtype, dims, **how)
    return table


# -- arrays


@st.composite
def arrays(draw) -> np.ndarray:
    """Arrays of all kinds: 0-d, empty, strided, reversed, transposed, broadcast, read-only, misaligned, big-endian."""
    dtype = np.dtype(draw(st.sampled_from(["f4", "f8", "i8", "i4", "u1", "?", "c16", "f2", ">f4", "S3", "O"])))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    how = draw(
        st.sampled_from(["plain", "plain", "strided", "reversed", "transposed", "broadcast", "misaligned", "subclass"])
    )
    if how == "strided" and shape:
        array = np.zeros((*shape[:-1], shape[-1] * 2), dtype)[..., ::2]
    elif how == "reversed" and shape:
        array = np.zeros(shape, dtype)[tuple(slice(None, None, -1) for _ in shape)]
    elif how == "transposed":
        array = np.zeros(shape, dtype).T
    elif how == "broadcast":
        array = np.broadcast_to(np.zeros((), dtype), shape)
    elif how == "misaligned" and dtype.kind != "O":
        count = int(np.prod(shape))
        array = np.zeros(count * dtype.itemsize + 1, "u1")[1:].view(dtype).reshape(shape)
    elif how == "subclass":
        array = np.zeros(shape, dtype).view(SubArray)
    else:
        array = np.zeros(shape, dtype)
    if draw(st.booleans()):
        array = array.view()
        array.flags.writeable = False
    return array


dim_guards = st.one_of(
    st.integers(0, 4),
    st.builds(store, st.integers(20, 23), st.integers(0, 2)),
    st.builds(equal, st.integers(20, 23)),
    st.builds(at_least, st.integers(0, 3)),
)
stride_guards = st.one_of(
    st.just(IGNORE), st.just(CONTIGUOUS), st.integers(-6, 12), st.builds(store_stride, st.integers(30, 33))
)


@st.composite
def guards_for(draw, array: np.ndarray) -> GuardTable:
    """A guard that has a good chance to hold for this array."""
    dtype = array.dtype.newbyteorder("=") if draw(st.integers(0, 9)) else np.dtype("f4")
    if dtype.kind in "SO":
        dtype = np.dtype("f8")
    rank = array.ndim if draw(st.integers(0, 9)) else draw(st.integers(0, 3))
    dims = []
    for size in array.shape[:rank] + (1,) * (rank - array.ndim):
        exact = st.sampled_from([size, store(20), store(21, size), at_least(size)])
        dims.append(draw(exact if draw(st.integers(0, 5)) else dim_guards))
    strides = draw(st.sampled_from(["contiguous", "any", "actual", "actual", "drawn"]))
    if strides == "actual":
        strides = [s // array.dtype.itemsize for s in array.strides[:rank]] + [1] * (rank - array.ndim)
    elif strides == "drawn":
        strides = [draw(stride_guards) for _ in range(rank)]
    how = {
        "aligned": not draw(st.integers(0, 3)),
        "writeable": not draw(st.integers(0, 3)),
        "alignment": draw(st.sampled_from([1, 1, 1, 8, 64])),
    }
    return array_table(dims, dtype, strides=strides, data=draw(st.sampled_from([None, 10])), **how)


@settings(max_examples=600)
@given(data=st.data())
def test_native_is_plain_on_arrays(entries, data):
    array = data.draw(arrays())
    bind(entries, data.draw(guards_for(array)), array)


def test_an_array_fills_the_frame(entries):
    array = np.zeros((3, 4, 5), "f4")[:, ::2]
    table = array_table([store(20), 2, store(21, 5)], strides=[store_stride(30), store_stride(31), 1], data=10)
    answer, frame = bind(entries, table, array)
    assert answer == 0
    assert frame[10] == array.ctypes.data
    assert (frame[20], frame[21]) == (3, 5)
    assert (frame[30], frame[31]) == (20, 10)


@pytest.mark.parametrize(
    ("table", "good", "bad"),
    [
        (array_table([3]), np.zeros(3, "f4"), np.zeros(4, "f4")),
        (array_table([3]), np.zeros(3, "f4"), np.zeros(3, "f8")),
        (array_table([3]), np.zeros(3, "f4"), np.zeros(3, ">f4")),
        (array_table([3]), np.zeros(3, "f4"), np.zeros(3, "f4").view(SubArray)),
        (array_table([3]), np.zeros(3, "f4"), np.zeros((3, 1), "f4")),
        (array_table([3]), np.zeros(3, "f4"), np.zeros(6, "f4")[::2]),
        (array_table([3], strides="any"), np.zeros(6, "f4")[::2], np.zeros(6, "f8")[::2]),
        (array_table([3], strides=[2]), np.zeros(6, "f4")[::2], np.zeros(3, "f4")),
        (array_table([3], strides=[-1]), np.zeros(3, "f4")[::-1], np.zeros(3, "f4")),
        (array_table([]), np.array(1, "f4"), np.float32(1)),
        (array_table([at_least(2)]), np.zeros(2, "f4"), np.zeros(1, "f4")),
        (array_table([store(20), equal(20)]), np.zeros((2, 2), "f4"), np.zeros((2, 3), "f4")),
        (array_table([3], writeable=True), np.zeros(3, "f4"), np.broadcast_to(np.float32(1), 3)),
        (array_table([3], "i8"), np.zeros(3, "i8"), np.zeros(3, "u8")),
        (array_table([3], "?"), np.zeros(3, "?"), np.zeros(3, "u1")),
        (array_table([2, 3]), np.zeros((2, 3), "f4"), np.zeros((3, 2), "f4").T),
        (array_table([0, 3]), np.zeros((0, 3), "f4"), np.zeros((1, 3), "f4")),
        (array_table([3]), np.zeros(3, "f4"), None),
        (array_table([3]), np.zeros(3, "f4"), [1.0, 2.0, 3.0]),
        (array_table([3]), np.zeros(3, "f4"), "text"),
        (array_table([3]), np.zeros(3, "f4"), Box(np.zeros(3, "f4"))),
    ],
)
def test_one_array_passes_and_another_does_not(entries, table, good, bad):
    assert bind(entries, table, good)[0] == 0
    assert bind(entries, table, bad)[0] == 1


def test_unused_strides_do_not_matter(entries):
    """NumPy lets size-1 and empty dimensions carry any stride."""
    one = np.lib.stride_tricks.as_strided(np.zeros(12, "f4"), (3, 1), (4, 40))
    assert bind(entries, array_table([3, 1]), one)[0] == 0
    assert bind(entries, array_table([3, 1], strides=[1, 99]), one)[0] == 0
    empty = np.zeros((0, 8), "f4")[:, ::2]
    assert bind(entries, array_table([0, 4]), empty)[0] == 0
    answer, frame = bind(entries, array_table([3, 1], strides=[1, store_stride(30)]), one)
    assert (answer, frame[30]) == (0, 0)


def test_misaligned_data(entries):
    odd = np.zeros(13, "u1")[1:].view("f4")
    assert bind(entries, array_table([3]), odd)[0] == 1
    assert bind(entries, array_table([3], aligned=False), odd)[0] == 0
    whole = np.zeros(64, "f4")
    offset = (-whole.ctypes.data) % 64 // 4
    assert bind(entries, array_table([8], alignment=64), whole[offset : offset + 8])[0] == 0
    assert bind(entries, array_table([8], alignment=64), whole[offset + 1 : offset + 9])[0] == 1


def test_a_stride_between_elements_is_refused(entries):
    records = np.zeros(4, np.dtype([("x", "f4"), ("y", "u1"), ("z", "u1")]))
    table = array_table([4], strides=[store_stride(30)], aligned=False)
    assert bind(entries, table, records["x"])[0] == 1


def test_equal_sees_earlier_objects(entries):
    table = GuardTable(2)
    table.array(0, "f4", [store(20)])
    table.array(1, "f8", [2, equal(20)])
    assert bind(entries, table, np.zeros(5, "f4"), np.zeros((2, 5)))[0] == 0
    assert bind(entries, table, np.zeros(5, "f4"), np.zeros((2, 4)))[0] == 2


def test_dtype_objects_may_differ(entries):
    """An unpickled array's dtype is another object of the same meaning."""
    import pickle

    array = pickle.loads(pickle.dumps(np.zeros(3, "f4")))
    assert array.dtype is not np.dtype("f4")
    assert bind(entries, array_table([3]), array)[0] == 0


@pytest.mark.parametrize("dtype", [">f4", "S3", "O", "M8[s]", "V8"])
def test_no_guard_for_what_kernels_cannot_read(dtype):
    with pytest.raises(ValueError, match="no guard"):
        array_table([3], dtype)


def test_the_table_checks_its_own_shape():
    with pytest.raises(ValueError, match="strides"):
        array_table([3, 4], strides=[1])
    with pytest.raises(ValueError, match="power of two"):
        array_table([3], alignment=24)


# -- scalars, identity, tensors


odd_objects = st.sampled_from(
    [None, True, False, 0, 1, -1, 1 << 62, (1 << 63) - 1, -(1 << 63), 1 << 63, -(1 << 63) - 1, 10**40, 1.5, -0.0, 0.0]
    + [
        float("nan"),
        float("inf"),
        "x",
        b"x",
        (),
        [1],
        np.float64(1.5),
        np.int64(3),
        np.bool_(True),
        np.array(3),
        int,
        Box,
    ]
)


@settings(max_examples=300)
@given(value=odd_objects, guard=st.sampled_from(["integer", "real", "boolean", "same", "integer const", "real const"]))
def test_native_is_plain_on_scalars(entries, value, guard):
    table = GuardTable(1)
    if guard == "integer":
        table.integer(0, slot=20)
        passes = type(value) is int and -(1 << 63) <= value < 1 << 63
        stored = value
    elif guard == "real":
        table.real(0, slot=20)
        passes, stored = type(value) is float, value
    elif guard == "boolean":
        table.boolean(0, slot=20)
        passes, stored = type(value) is bool, value
    elif guard == "same":
        table.same(0, None)
        passes, stored = value is None, -7
    elif guard == "integer const":
        table.integer(0, 1)
        passes, stored = type(value) is int and value == 1, -7
    else:
        table.real(0, 0.0)
        passes, stored = type(value) is float and float_bits(value) == 0, -7
    answer, frame = bind(entries, table, value)
    assert answer == (0 if passes else 1)
    if passes:
        assert frame[20] == (float_bits(stored) if type(stored) is float else stored)


def test_nothing_is_left_raised(entry):
    """A failed conversion must not leave an exception behind for later code to trip over."""
    table = GuardTable(1)
    table.integer(0, slot=20)
    frame = np.zeros(SLOTS, np.int64)
    handle = entry.guards(table)
    for _ in range(100):
        assert entry.bind(frame, handle, 10**40) == 1
    assert sys.exc_info() == (None, None, None)


def tensor_table(**how) -> GuardTable:
    table = GuardTable(1)
    table.tensor(0, Box, "array", "f4", [store(20)], same=[("flag", False), ("other", None)], data=10, **how)
    return table


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (Box(np.zeros(3, "f4")), 0),
        (Box(np.zeros(3, "f4"), True), 1),
        (Box(np.zeros(3, "f4"), False, "more"), 1),
        (Box(np.zeros(3, "f8")), 1),
        (Box(None), 1),
        (Box([1.0]), 1),
        (Box.__new__(Box), 1),
        (SubBox(np.zeros(3, "f4")), 1),
        (np.zeros(3, "f4"), 1),
        (None, 1),
    ],
)
def test_tensors(entries, value, answer):
    got, frame = bind(entries, tensor_table(), value)
    assert got == answer
    if answer == 0:
        assert (frame[10], frame[20]) == (value.array.ctypes.data, 3)


@given(data=st.data())
def test_native_is_plain_on_tensors(entries, data):
    array = data.draw(arrays())
    inner = data.draw(guards_for(array)).records[0]
    table = GuardTable(1)
    table.tensor(0, Box, "array", "f4", [], same=data.draw(st.sampled_from([(), [("flag", False)], [("other", None)]])))
    table.records[0] = type(table.records[0])(Box, "array", table.records[0].same, inner)
    bind(entries, table, Box(array, data.draw(st.booleans()), data.draw(st.sampled_from([None, 1]))))


def test_the_first_failure_is_named(entries):
    table = GuardTable(4)
    table.integer(0, 1)
    table.same(2, None)
    table.real(3, slot=20)
    assert bind(entries, table, 1, "anything", None, 2.0)[0] == 0
    assert bind(entries, table, 2, "anything", None, 2.0)[0] == 1
    assert bind(entries, table, 1, "anything", 3, 2.0)[0] == 3
    assert bind(entries, table, 1, "anything", None, 2)[0] == 4


def test_the_number_of_objects_counts(entries):
    table = GuardTable(2)
    assert bind(entries, table, 1, 2)[0] == 0
    assert bind(entries, table, 1)[0] == 2
    assert bind(entries, table)[0] == 1
    assert bind(entries, table, 1, 2, 3)[0] == 3
    assert bind(entries, GuardTable(0))[0] == 0
    assert bind(entries, GuardTable(0), 1)[0] == 1


def test_many_objects_and_answers_beyond_the_small_ints(entries):
    table = GuardTable(400)
    for i in range(400):
        table.integer(i, i)
    assert bind(entries, table, *range(400))[0] == 0
    assert bind(entries, table, *range(399), -1)[0] == 400


def test_references_are_left_alone(entry):
    """A million calls neither leak nor steal a reference."""
    box = Box(np.zeros(3, "f4"))
    frame = np.zeros(SLOTS, np.int64)
    handle = entry.guards(tensor_table())
    things = [box, box.array, frame, handle]
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(1000):
        entry.bind(frame, handle, box)
        entry.bind(frame, handle, None)
    assert [sys.getrefcount(thing) for thing in things] == before


def test_describe():
    table = GuardTable(5)
    table.tensor(0, Box, "array", "f4", [store(20), 128, equal(20)], same=[("flag", False)], data=10)
    table.array(1, "f8", [at_least(2)], strides="any", writeable=True)
    table.integer(2, slot=21)
    table.real(3, 0.5)
    assert table.describe().splitlines() == [
        "0: Box.array float32[->[20],128,=[20]] strides(c,c,c) data->[10] flag is False",
        "1: float64[>=2] strides(any) writeable",
        "2: int ->[21]",
        "3: float 0.5",
        "4: skipped",
    ]


# -- run


def code_of(*steps) -> np.ndarray:
    asm = Assembler()
    for step in steps:
        step(asm)
    asm.end()
    return asm.build().words


def test_run_puts_addresses_and_runs(entry):
    words = code_of(lambda a: a.mov(30, 20), lambda a: a.mov(31, 21), lambda a: a.mov(32, 22))
    frame = np.full(SLOTS, -7, np.int64)
    frame[abi.PC] = 0
    outputs = entry.outputs(OutputTable((20, 21, 22), budget=99))
    x, y = np.zeros(3), np.zeros(4)
    status = entry.run(frame, words, outputs, x, None, y)
    assert type(status) is int
    assert status == Status.OK
    assert (frame[30], frame[31], frame[32]) == (x.ctypes.data, -7, y.ctypes.data)
    assert frame[abi.BUDGET] == 99


def test_run_resumes_after_yield(entry):
    asm = Assembler()
    out = asm.label()
    asm.set(9, 10)
    asm.loop(8, 9, out)
    top = asm.place()
    asm.addi(10, 10, 1)
    asm.endl(8, top, 1)
    asm.place(out)
    asm.end()
    words = asm.build().words
    frame = np.zeros(SLOTS, np.int64)
    outputs = entry.outputs(OutputTable(budget=4))
    assert [entry.run(frame, words, outputs) for _ in range(3)] == [Status.YIELD, Status.YIELD, Status.OK]
    assert frame[10] == 10


@pytest.mark.parametrize("arrays", [(), (np.zeros(1), np.zeros(1)), ([1.0],), (np.zeros(1).view(SubArray),)])
def test_run_refuses_what_it_does_not_expect(entry, arrays):
    frame = np.zeros(SLOTS, np.int64)
    assert entry.run(frame, code_of(), entry.outputs(OutputTable((20,))), *arrays) == Status.GUARD


@pytest.mark.parametrize("release", [False, True])
def test_the_gil_is_released_when_asked(entry, library, release):
    """A kernel says that it runs, and waits for a word that another Python thread sets as soon as it hears so (or gives
    up: after a long while, or at once where no other thread can run)."""
    waiter = library.get(
        "def kernel(frame, ops):\n"
        "    for i in range(frame[ops[1]]):\n"
        "        if frame[ops[0]] != 0:\n"
        "            return 0\n"
        "        frame[ops[2]] += 1\n"
        "    return 6\n"
    )
    # The compiler may hoist a plain load out of the wait; one loop turn of the machine per look keeps it honest.
    asm = Assembler()
    out = asm.label()
    asm.set(22, 1)
    asm.set(9, 100_000_000_000 if release else 1000)
    asm.loop(8, 9, out)
    top = asm.place()
    asm.brnz(20, out)
    asm.endl(8, top, 0)
    asm.fail(Status.ASSERT)
    asm.place(out)
    asm.call(waiter, 20, 20, 21)
    asm.end()
    code = asm.build()
    frame = np.zeros(SLOTS, np.int64)

    def answer():
        while not frame[22]:
            time.sleep(0.001)
        frame[20] = 1

    thread = threading.Thread(target=answer, daemon=True)
    interval = sys.getswitchinterval()
    thread.start()
    status = entry.run(frame, code.words, entry.outputs(OutputTable(release_gil=release)))
    thread.join()
    assert sys.getswitchinterval() == interval
    assert status == (Status.OK if release else Status.ASSERT)


def test_address(entry):
    array = np.zeros((3, 4))[1:, ::2]
    assert entry.address(array) == array.ctypes.data
    assert [entry.address(x) for x in (array.view(SubArray), None, 1, [1.0], Box(array))] == [0] * 5


# -- layout


def test_layout_is_found_here():
    assert layout.probe() is not None


def test_a_wrong_layout_is_noticed():
    known = layout.probe()
    for field in known._fields:
        moved = known._replace(**{field: getattr(known, field) + (8 if field != "descr_byteorder" else -1)})
        if field == "type":
            continue  # found by search, not assumed
        assert not all(layout._agrees(moved, array) for array in layout._sample_arrays()), field


def test_slot_offsets():
    known = layout.probe()
    offsets = [layout.slot_offset(Box, name, known) for name in ("array", "flag", "other")]
    assert len(set(offsets)) == 3
    box = Box("a", "b", "c")
    assert [ctypes.c_size_t.from_address(id(box) + at).value for at in offsets] == [id("a"), id("b"), id("c")]
    assert layout.slot_offset(SubBox, "flag", known) == offsets[1]


class Disguised:
    """A slot behind a property: its value is not where the name says."""

    __slots__ = ("_array",)

    @property
    def array(self):
        return self._array

    @array.setter
    def array(self, value):
        self._array = [value]


def test_without_a_fixed_place_the_entry_is_plain(library):
    with pytest.raises(layout.LayoutError, match=r"Disguised\.array"):
        layout.slot_offset(Disguised, "array", layout.probe())
    assert not make_entry(library, [(Disguised, "array")]).native


def test_without_a_known_layout_the_entry_is_plain(library, monkeypatch):
    monkeypatch.setattr(layout, "probe", lambda: None)
    made = make_entry(library, [(Box, "array")])
    assert not made.native
    frame = np.zeros(SLOTS, np.int64)
    assert made.bind(frame, made.guards(tensor_table()), Box(np.zeros(3, "f4"))) == 0


def test_the_plain_entry_keeps_the_machine_loaded(library):
    entry = make_entry(library, plain=True)
    gc.collect()
    assert entry.run(np.zeros(SLOTS, np.int64), code_of(), entry.outputs(OutputTable())) == Status.OK
