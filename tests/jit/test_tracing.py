"""`jit.trace` and `trace_module`: scripted calls keep their control flow, and a second run must do the same."""

from __future__ import annotations

import pytest

import specjit
from specjit import jit, nn


@jit.script
def clipped(x, n: int):
    if bool(x.sum() > 0):
        for _ in range(n):
            x = x * 2
    return x


def calls_scripted(x):
    return clipped(x + 1, 2) - 1


def test_scripted_functions_keep_their_control_flow():
    traced = jit.trace(calls_scripted, (specjit.ones(2),))
    for x in (specjit.ones(2), -3 * specjit.ones(2)):
        assert traced(x).tolist() == calls_scripted(x).tolist()
    assert traced.misses == 0
    assert [n.op.name for n in traced.graph.walk()].count("py.call") == 1


@jit.script
def pair(x, n: int):
    return {"y": x * n, "n": n}, [x, x + 1]


def test_what_a_scripted_function_returns_may_be_structured():
    def uses(x):
        table, (a, b) = pair(x, n=3)
        return table["y"] * table["n"] + a * b

    x = specjit.tensor([1.0, 2.0])
    traced = jit.trace(uses, (x,))
    assert traced(x * 2).tolist() == uses(x * 2).tolist()
    assert traced.misses == 0


@jit.script
def prints(x):
    print("seen")
    return x + 1


def test_a_scripted_function_with_effects_runs_once_per_run(capsys):
    traced = jit.trace(lambda x: prints(x) * 2, (specjit.ones(1),))
    assert capsys.readouterr().out == "seen\n"  # not checked by a second run, which would print again
    assert traced(specjit.ones(1)).tolist() == [4.0]
    assert capsys.readouterr().out == "seen\n"


@jit.script_if_tracing
def halve_down(x):
    while bool(x.max() > 1):
        x = x / 2
    return x


def test_script_if_tracing():
    x = specjit.tensor([8.0])
    assert halve_down(x).tolist() == [1.0]
    traced = jit.trace(lambda x: halve_down(x) + 1, (x,))
    assert traced(specjit.tensor([3.0])).tolist() == [1.75]
    assert traced.misses == 0


def test_a_program_inside_is_traced_through():
    program = specjit.optimize(lambda x: specjit.tanh(x) * 2, warmup=1, background=False)
    x = specjit.ones(3)
    for _ in range(3):
        program(x)
    traced = jit.trace(lambda x: program(x) + 1, (x,))
    assert [n.op.name for n in traced.graph.walk()] == ["tanh", "mul", "add"]
    assert traced(x * 2).tolist() == (specjit.tanh(x * 2) * 2 + 1).tolist()


class Normalizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(specjit.full((2,), 3.0))
        self.register_buffer("seen", specjit.zeros(2))

    def forward(self, x):
        self.seen.add_(x.detach())
        return x * self.w + self.seen

    def scaled(self, x, by):
        return x * self.w * by


def test_the_check_leaves_no_trace_of_itself():
    model, x = Normalizer(), specjit.ones(2)
    traced = jit.trace(model, (x,))
    assert model.seen.tolist() == [1.0, 1.0]  # one run, although three were made
    assert traced(x).tolist() == [5.0, 5.0]
    assert model.seen.tolist() == [2.0, 2.0]

    specjit.manual_seed(3)
    noisy = jit.trace(lambda x: x + specjit.rand(2), (x,))
    specjit.manual_seed(3)
    first, second = specjit.rand(2), specjit.rand(2)
    specjit.manual_seed(3)
    assert (noisy(x) - x).tolist() == pytest.approx(first.tolist(), abs=1e-6)
    assert (noisy(x) - x).tolist() == pytest.approx(second.tolist(), abs=1e-6)

    def writes(x):
        x.add_(1)
        return x * 2

    mine = specjit.zeros(2)
    jit.trace(writes, (mine,))
    assert mine.tolist() == [1.0, 1.0]


def test_trace_module():
    model, x = Normalizer(), specjit.ones(2)
    traced = jit.trace_module(model, {"forward": x, "scaled": (x, 2.0)})
    assert traced.scaled(x * 5, 2.0).tolist() == [30.0, 30.0]
    assert traced(x).tolist() == [5.0, 5.0]
    assert traced.scaled.constants == [("w", "parameter or buffer")]
    assert [name for name, _ in traced.named_parameters()] == ["w"]
    assert "mul" in str(traced.scaled.graph)
    with pytest.raises(AttributeError, match="expected a Module"):
        jit.trace_module(lambda x: x, {})
    with pytest.raises(AttributeError, match="dictionary of"):
        jit.trace_module(model, [x])


def test_check_inputs_compare_with_the_function():
    scale = [1.0]

    def drifts(x):
        scale[0] += 1.0 if x.shape[0] > 2 else 0.0
        return x * scale[0]

    x = specjit.ones(2)
    jit.trace(drifts, (x,), check_inputs=[(x,), (x + 1,)])
    with pytest.raises(jit.TracingCheckError, match=r"check_inputs\[1\]: result: traced code differs by 1\.0"):
        jit.trace(drifts, (x,), check_inputs=[(x,), (specjit.ones(3),)])
    jit.trace(drifts, (x,), check_inputs=[(specjit.ones(3),)], check_tolerance=10.0)


def test_the_first_difference_is_named_with_its_line():
    turns = []

    def moody(x):
        turns.append(1)
        x = x + 1
        return specjit.tanh(x) if len(turns) % 2 else specjit.sigmoid(x)

    with pytest.raises(jit.TracingCheckError) as caught:
        jit.trace(moody, (specjit.zeros(2),))
    first, line, caret, way_out = str(caught.value).splitlines()
    assert first.startswith(f"{__file__}:{moody.__code__.co_firstlineno + 3}:")
    assert first.endswith("a second run called sigmoid where the trace has tanh")
    assert way_out.strip().startswith("a trace repeats what it has recorded: decide on the inputs only")
    assert line.strip().startswith("return specjit.tanh(x) if")
    assert caret.strip() == "^"

    counts = []

    def grows(x):
        counts.append(1)
        for _ in counts:
            x = x + 1
        return x

    with pytest.raises(jit.TracingCheckError, match="the number of calls differs between two runs, from add on"):
        jit.trace(grows, (specjit.zeros(2),))


def test_explain_lists_what_is_baked_in():
    w = specjit.full((3,), 2.0)
    traced = jit.trace(lambda x: x * w if x.sum() > 0 else x, (specjit.ones(3),))
    text = traced.explain()
    assert "constant  tensor [3]" in text
    assert "a tensor's value is True" in text
    assert "x.shape" in text or "x shape" in text or "shape" in text


def test_keywords_are_put_in_their_places():
    traced = jit.trace(lambda x, n: x * n, (specjit.ones(2), 3))
    assert traced(n=3, x=specjit.ones(2)).tolist() == [3.0, 3.0]
    assert traced.misses == 0
    module = jit.trace(Normalizer(), (specjit.ones(2),))
    assert module(x=specjit.ones(2)).tolist() == [5.0, 5.0]
