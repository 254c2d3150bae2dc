"""Products over the rows of a sequence that are spread over the turns of the loop that reads them."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from specjit.codegen.abi import BUDGET, Status
from specjit.codegen.kernels import duet
from specjit.codegen.kernels.spec import DuetSpec, GemmSpec
from specjit.codegen.loader import KernelLibrary
from specjit.codegen.machine.native import machine
from specjit.codegen.schedule import RegionPlan
from specjit.codegen.schedule.interp import RegionFailed, interpret
from specjit.codegen.vectors.lanes import register_bytes
from specjit.ir.dims import symbol
from tests.codegen.plans import calls, f32, plan_of
from tests.codegen.region_texts import gru, lstm, norm_peephole_lstm

pytestmark = pytest.mark.skipif(register_bytes() < 64, reason="too few registers here")

RNG = np.random.default_rng(8)
I, H = 128, 64  # 64 KB of weights in every turn: more than the first-level cache
LENGTHS = [1, 2, 7, 8, 9, 16, 17, 43]


def batch_of_one(text: str) -> str:
    return text.replace("T,B,", "T,1,").replace("[B,", "[1,")


@pytest.fixture(scope="module")
def native(library: KernelLibrary):
    """Runs a plan's program on the native machine; small budgets make it yield in every turn or two."""
    loaded = machine(library)
    enter = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(loaded.address)

    def run(plan: RegionPlan, frame: np.ndarray) -> Status:
        code = plan.code(library.get_many([*zip(plan.kernels, plan.hints)]))
        frame[BUDGET] = 3
        status = enter(code.words.ctypes.data, frame.ctypes.data)
        assert loaded.address, "the machine is unloaded with its last reference"
        return Status(status)

    return run


def spread(plan: RegionPlan) -> list[DuetSpec]:
    return [s for s in plan.specs if isinstance(s, DuetSpec)]


def told(plan: RegionPlan, kind: str) -> list[str]:
    return [n.text for n in plan.notes if n.kind == kind and "product over rows" in n.text]


def same_both_ways(native, text: str, *inputs: object, params: tuple[str, ...]) -> list:
    """The outputs, whose bits are those of the plan that leaves the product before the loop."""
    plan, plain = (plan_of(text, params=params, disable=names) for names in ((), ("spread",)))
    assert len(spread(plan)) == 1
    assert not spread(plain)
    assert len(calls(plan)) == len(calls(plain))
    found, expected = (interpret(p, inputs, native) for p in (plan, plain))
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.tobytes() == theirs.tobytes()
    return found


# -- the reference: float64 NumPy


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_in_numpy(x, h, c, wi, wh, bi, bh, order):
    ys = np.zeros((len(x), *h.shape))
    for t in order(range(len(x))):
        i, f, g, o = np.split(x[t] @ wi.T + bi + h @ wh.T + bh, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = ys[t] = sigmoid(o) * np.tanh(c)
    return ys, h, c


def gru_in_numpy(x, h, wi, wh, bi, bh):
    ys = []
    for row in x:
        (xr, xz, xn), (hr, hz, hn) = np.split(row @ wi.T + bi, 3, 1), np.split(h @ wh.T + bh, 3, 1)
        n = np.tanh(xn + sigmoid(xr + hr) * hn)
        h = n + sigmoid(xz + hz) * (h - n)
        ys.append(h)
    return np.array(ys), h


def norm_peephole_in_numpy(x, h, c, wi, wh, bi, gm, pi, po):
    ys = []
    for row in x:
        g = row @ wi.T + bi + h @ wh.T
        g = (g - g.mean(1, keepdims=True)) / np.sqrt(g.var(1, keepdims=True) + 1e-5) * gm
        i, f, g, o = np.split(g, 4, 1)
        i = sigmoid(i + c * pi)
        c = sigmoid(f) * c + i * np.tanh(g)
        h = sigmoid(o + c * po) * np.tanh(c)
        ys.append(h)
    return np.array(ys), h, c


def close(found: list, exact: tuple) -> None:
    for mine, theirs in zip(found, exact, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def weights(gates: int) -> tuple[np.ndarray, ...]:
    return f32(RNG, gates * H, I) / 4, f32(RNG, gates * H, H) / 8, f32(RNG, gates * H)


def wide(arrays: tuple) -> list[np.ndarray]:
    return [a.astype(np.float64) for a in arrays]


# -- what it is done for


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("t", LENGTHS)
def test_lstm(native, t, backwards):
    x, h, c = f32(RNG, t, 1, I), f32(RNG, 1, H), f32(RNG, 1, H)
    w = (*weights(4), f32(RNG, 4 * H))
    text = batch_of_one(lstm(I, H))
    if backwards:
        text = text.replace("%c0) {", "%c0) reverse {")
    found = same_both_ways(native, text, x, h, c, t, *w, params=("wi", "wh", "bi", "bh"))
    close(found, lstm_in_numpy(*wide((x, h, c, *w)), reversed if backwards else iter))


@pytest.mark.parametrize("t", LENGTHS)
def test_gru(native, t):
    x, h = f32(RNG, t, 1, I), f32(RNG, 1, H)
    w = (*weights(3), f32(RNG, 3 * H))
    found = same_both_ways(native, batch_of_one(gru(I, H)), x, h, t, *w, params=("wi", "wh", "bi", "bh"))
    close(found, gru_in_numpy(*wide((x, h, *w))))


@pytest.mark.parametrize("t", LENGTHS)
def test_normalized_peephole_lstm(native, t):
    x, h, c = f32(RNG, t, 1, I), f32(RNG, 1, H), f32(RNG, 1, H)
    w = (*weights(4), f32(RNG, 4 * H), f32(RNG, H), f32(RNG, H))
    text = batch_of_one(norm_peephole_lstm(I, H))
    found = same_both_ways(native, text, x, h, c, t, *w, params=("wi", "wh", "bi", "gm", "pi", "po"))
    close(found, norm_peephole_in_numpy(*wide((x, h, c, *w))))


ROW = {"%hn": "f32[1,256]"}


def rnn(
    *,
    read: str = "select(%p, 0, %i)",
    head: str = "loop %n, True, (%i: int, %h: f32[1,256] = %h0) {",
    before: str = "",
    step: str = "matmul(%h, %u)",
    last: str = "yield True, %h2",
    after: str = "",
    gives: dict[str, str] = ROW,
) -> str:
    """h = tanh(x[t] @ w + h @ u) over the rows of x, with pieces to be replaced."""
    return f"""graph @f(%x: f32[T,1,{I}], %h0: f32[1,256], %n: int<T>, %w: f32[{I},256], %u: f32[256,256], %m: int,
          %us: f32[T,256,256], %v: f32[T,1,256]) -> ({", ".join(gives.values())}) {{
      %p: f32[T,1,256] = matmul(%x, %w)
      {before}
      %hn: f32[1,256] = {head}
        %r: f32[1,256] = {read}
        %q: f32[1,256] = {step}
        %s: f32[1,256] = add(%r, %q)
        %h2: f32[1,256] = tanh(%s)
        {last}
      }}
      {after}
      return {", ".join(gives)}
    }}"""


def operands(t: int) -> tuple:
    squares = f32(RNG, t, 256, 256)
    return (
        f32(RNG, t, 1, I),
        f32(RNG, 1, 256),
        t,
        f32(RNG, I, 256),
        f32(RNG, 256, 256) / 16,
        3,
        squares,
        f32(RNG, t, 1, 256),
    )


@pytest.mark.parametrize("t", [1, 8, 21])
def test_rows_that_are_read_again_after_the_loop(native, t):
    """All of them are in memory then."""
    text = rnn(after="%z: f32[T,1,256] = mul(%p, 2.0)", gives=ROW | {"%z": "f32[T,1,256]"})
    given = operands(t)
    _, z = same_both_ways(native, text, *given, params=("w", "u"))
    np.testing.assert_allclose(z, 2 * given[0].astype(np.float64) @ given[3], rtol=1e-4, atol=1e-4)


def test_rows_that_are_an_output_too(native):
    text = rnn(gives=ROW | {"%p": "f32[T,1,256]"})
    given = operands(19)
    _, p = same_both_ways(native, text, *given, params=("w", "u"))
    np.testing.assert_allclose(p, given[0].astype(np.float64) @ given[3], rtol=1e-4, atol=1e-4)


def test_no_row_at_all(native):
    """The loop makes no turn, and nothing is read or written for it; as without, the caller's h goes back as it is."""
    for disable in ((), ("spread",)):
        plan = plan_of(rnn(), params=("w", "u"), disable=disable)
        with pytest.raises(RegionFailed, match="GUARD"):
            interpret(plan, operands(0), native)


def test_weights_of_the_loop_need_no_prologue(native):
    """Packed in the region, before the loop: they are the same in every turn all the same."""
    same_both_ways(native, rnn(), *operands(21), params=())


def test_it_is_told():
    plan = plan_of(rnn(), params=("w", "u"))
    assert told(plan, "FUSED") == [
        f"the product over rows (matmul) is computed {duet.BLOCK} rows ahead in the loop, beside the loop's own"
    ]
    assert "beside it, in turn" in plan.describe()


# -- what it is not done for


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            rnn(read="select(%p, 0, %k)").replace("%r:", "%k: int = py.sub(%i, 1)\n        %r:"),
            "reads more than the row of its own turn",
        ),
        (
            rnn(read="select(%p, 0, %k)").replace(
                "%r:", "%j: int = py.sub(%n, %i)\n        %k: int = py.sub(%j, 1)\n        %r:"
            ),
            "reads more than the row of its own turn",
        ),
        (rnn(head="loop %m, True, (%i: int, %h: f32[1,256] = %h0) {"), "one turn for each of its rows"),
        (
            rnn(last="%g: f32[] = sum(%h2)\n %f: float = item(%g)\n %c: bool = py.gt(%f, 0.0)\n yield %c, %h2"),
            "one turn for each of its rows",
        ),
        (
            rnn(
                before="%e: f32[T,1,1] = amax(%p, [-1], True)\n %z: f32[T,1,256] = sub(%p, %e)",
                last="%zt: f32[1,256] = select(%z, 0, %i)\n %h3: f32[1,256] = mul(%h2, %zt)\n yield True, %h3",
            ),
            "all rows are read before the loop",
        ),
        (
            rnn(step="matmul(%h, %ut)").replace("%q:", "%ut: f32[256,256] = select(%us, 0, %i)\n        %q:"),
            "other weights in every turn",
        ),
        (rnn(step="tanh(%h)"), "no product to run it beside"),
    ],
)
def test_what_stays_before_the_loop(text, why):
    plan = plan_of(text, params=("w", "u"))
    assert not spread(plan)
    assert len(told(plan, "NOT_FUSED")) == 1
    assert why in told(plan, "NOT_FUSED")[0]


@pytest.mark.parametrize(
    ("text", "params", "why"),
    [
        (lstm(I, H), ("wi", "wh", "bi", "bh"), "more than one row"),
        (lstm(I, H).replace("B,", "2,").replace("[B", "[2"), ("wi", "wh", "bi", "bh"), "more than one row"),
        (batch_of_one(lstm(8, 16)), ("wi", "wh", "bi", "bh"), "first-level cache"),
        (batch_of_one(lstm(32, 128)), ("wi", "wh", "bi", "bh"), "too little work"),
        (
            batch_of_one(lstm(I, H)).replace("T,", "8,").replace("<T>", "").replace("loop %n", "loop 8"),
            ("wi", "wh", "bi", "bh"),
            "rows are few",
        ),
    ],
)
def test_sizes_that_do_not_pay(text, params, why):
    plan = plan_of(text, params=params)
    assert not spread(plan)
    assert why in told(plan, "NOT_FUSED")[0]


@pytest.mark.parametrize("backwards", [False, True])
def test_rows_at_a_distance_known_at_run_time(backwards):
    """Their addresses can be computed from the first row on, not from the last."""
    text = rnn().replace("%h0) {", "%h0) reverse {") if backwards else rnn()
    plan = plan_of(text, params=("w", "u"), layouts={"x": (symbol("S"), I, 1)})
    assert bool(spread(plan)) != backwards
    assert not backwards or "known only at run time" in told(plan, "NOT_FUSED")[0]


def test_a_loop_that_reads_no_product():
    """Nothing is said where there is nothing to decide."""
    plan = plan_of(rnn(read="select(%v, 0, %i)", gives=ROW | {"%p": "f32[T,1,256]"}), params=("w", "u"))
    assert any(isinstance(s, GemmSpec) for s in plan.specs)
    assert not spread(plan)
    assert not told(plan, "NOT_FUSED")
