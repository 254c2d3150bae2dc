"""Modules: one graph without opaque nodes, generated code with eager's results, and guards that see what changed."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.capture.script import capture
from specjit.codegen.generic.python import generate
from specjit.ir.text import print_graph
from tests.capture import models


def captured(model, *args):
    names = model.forward.__code__.co_varnames[1 : 1 + len(args)]
    c = capture(type(model).forward, {"self": model, **dict(zip(names, args))}, root=model)
    return c, generate(c.graph, name=c.graph.name)


def leaves(x):
    if isinstance(x, specjit.Tensor):
        return [x.detach().numpy().copy()]
    if isinstance(x, (list, tuple)):
        return [leaf for item in x for leaf in leaves(item)]
    return [np.asarray(x)]


def same(a, b):
    x, y = leaves(a), leaves(b)
    assert len(x) == len(y)
    for p, q in zip(x, y):
        np.testing.assert_array_equal(p, q)


def states():
    return (specjit.randn(2, 4), specjit.randn(2, 4))


MODELS = {
    "lstm": (lambda: models.LSTM(3, 4), lambda t: (specjit.randn(t, 2, 3), None)),
    "lstm_state": (lambda: models.LSTM(3, 4), lambda t: (specjit.randn(t, 2, 3), states())),
    "stacked": (lambda: models.Stacked(4, 3), lambda t: (specjit.randn(t, 4),)),
    "peephole": (lambda: models.Peephole(3, 4), lambda t: (specjit.randn(t, 2, 3),)),
    "greedy": (lambda: models.Greedy(6), lambda t: (specjit.randn(6), t)),
    "dropped": (lambda: models.Dropped(4), lambda t: (specjit.randn(t, 4), 0.5)),
}


@pytest.mark.parametrize("name", MODELS)
def test_one_graph_with_eager_results(name):
    specjit.manual_seed(0)
    make, inputs = MODELS[name]
    model = make()
    c, code = captured(model, *inputs(3))
    assert c.opaque == []
    for t in (3, 1, 5):
        args = inputs(t)
        assert c.check(model, *args) is None
        specjit.manual_seed(1)
        expected = model(*args)
        specjit.manual_seed(1)
        same(code.fn(model, *args), expected)


def test_gradients_pass_through_generated_code():
    specjit.manual_seed(0)
    model = models.LSTM(3, 4)
    x = specjit.randn(3, 2, 3)
    _, code = captured(model, x, None)
    model(x)[0].sum().backward()
    expected = [p.grad.numpy().copy() for p in model.parameters()]
    model.zero_grad()
    code.fn(model, x, None)[0].sum().backward()
    for p, g in zip(model.parameters(), expected):
        np.testing.assert_array_equal(p.grad.numpy(), g)


def test_prints_and_attributes_that_forward_sets():
    specjit.manual_seed(0)
    model = models.LSTM(3, 4)
    model.verbose = True
    x = specjit.randn(3, 2, 3)
    _, code = captured(model, x, None)
    seen = []
    for run in (model, lambda x: code.fn(model, x, None)):
        out = io.StringIO()
        with redirect_stdout(out):
            run(x)
        seen.append(out.getvalue())
    assert seen[0] == seen[1]
    assert seen[0].startswith("3 steps, last mean ")

    greedy = models.Greedy(6)
    _, code = captured(greedy, specjit.randn(6), 4)
    assert greedy.calls == 0
    _, last = code.fn(greedy, specjit.randn(6), 4)
    assert greedy.calls == 1
    assert greedy.last is last


def misses(c, model, *args):
    guard = c.check(model, *args)
    return None if guard is None else guard.source


def test_guards_name_what_changed():
    model = models.Stacked(4, 2)
    x = specjit.randn(3, 4)
    c, _ = captured(model, x)
    assert misses(c, model, x) is None
    assert misses(c, model, [1.0]) == "x"
    model.count = 1
    assert misses(c, model, x) == "self.count"  # the loop over modules was unrolled for its value
    model.count = 2
    model.act = specjit.sigmoid
    assert misses(c, model, x) == "self.act"
    model.act = specjit.tanh
    model.layers.append(nn.Linear(4, 4))
    assert misses(c, model, x) == "len(self.layers)"
    del model.layers[2]
    model.layers[0] = nn.Identity()
    assert misses(c, model, x) == "self.layers.0"
    model.layers[0] = nn.Linear(4, 4)
    handle = model.layers[1].register_forward_hook(lambda *_: None)
    assert misses(c, model, x) == "self.layers.1._forward_hooks"
    handle.remove()
    model.layers[1].bias = None
    assert misses(c, model, x) == "self.layers.1.bias"
    model.layers[1].bias = nn.Parameter(specjit.zeros(4))
    model.forward = lambda x: x
    assert misses(c, model, x) == "vars(self)['forward']"
    del model.forward


def test_numbers_and_data_are_read_at_run_time(monkeypatch):
    model = models.Stacked(4, 2)
    x = specjit.randn(3, 4)
    c, code = captured(model, x)
    model.residual = False
    monkeypatch.setattr(models, "SCALE", 3.0)
    assert misses(c, model, x) is None
    same(code.fn(model, x), model(x))
    monkeypatch.setattr(models, "SCALE", "no number")
    assert misses(c, model, x) == "globals['SCALE']"


def test_functions_and_classes_are_guarded_by_identity_and_code(monkeypatch):
    model = models.LSTM(3, 4)
    x = specjit.randn(3, 2, 3)
    c, _ = captured(model, x, None)
    monkeypatch.setattr(models.Cell, "forward", lambda self, x, state: (x, state))
    assert misses(c, model, x, None) == "Cell.forward"
    monkeypatch.undo()
    assert misses(c, model, x, None) is None
    code = models.Cell.forward.__code__
    try:
        models.Cell.forward.__code__ = (lambda self, x, state: (x, state)).__code__
        assert misses(c, model, x, None) == "Cell.forward.__code__"
    finally:
        models.Cell.forward.__code__ = code
    monkeypatch.setattr(models, "specjit", nn)
    assert misses(c, model, x, None) == "globals['specjit']"
    monkeypatch.undo()
    monkeypatch.setattr(models, "range", lambda n: [], raising=False)
    assert misses(c, model, x, None) == "globals['range']"


def test_structure_guards_need_no_check_while_no_module_changed():
    from specjit.tensor import state

    model = models.Stacked(4, 2)
    x = specjit.randn(3, 4)
    c, _ = captured(model, x)
    before = state.module_epoch
    assert c.checks.globals(model, x)
    model.layers.append(nn.Linear(4, 4))
    assert state.module_epoch != before
    assert c.checks.globals(model, x)
    assert not c.checks.structure(model, x)


LSTM_CODE = """\
def LSTM(self, x, state):
    h = zeros((x.shape[1], self.cell.hidden))
    outs = []
    v1 = x.shape[0]
    c = h
    for i in range(v1):
        cell = self.cell
        v2 = x[i]
        w_ih = cell.w_ih
        gates = v2 @ w_ih + h @ cell.w_hh + cell.bias
        i2, f, g, o = chunk(gates, 4, 1)
        c = sigmoid(f) * c + sigmoid(i2) * tanh(g)
        h = sigmoid(o) * tanh(c)
        outs.append(h)
    if self.verbose:
        print(f"{len(outs)} steps, last mean {float(mean(h if v1 > 0 else _unbound('y'))):.3f}")
    return (stack(outs), (h, c))
"""

LSTM_GRAPH = """\
graph @LSTM(%self: class<LSTM>, %x: Tensor, %state: None) -> tuple[Tensor, tuple[Tensor, Tensor]] {
  %0: int = size(%x, 1)
  %cell: class<Cell> = py.getattr(%self, 'cell')
  %hidden: int = py.getattr(%cell, 'hidden')
  %1: tuple[int, int] = py.tuple(%0, %hidden)
  %zeros: Tensor = zeros(%1)
  %outs: list[Tensor] = py.list()
  %2: int = size(%x, 0)
  %h: Tensor, %c: Tensor = loop %2, True, (%i: int, %h1: Tensor = %zeros, %c1: Tensor = %zeros) {
    %cell1: class<Cell> = py.getattr(%self, 'cell')
    %3: Tensor = getitem(%x, %i)
    %w_ih: Tensor = py.getattr(%cell1, 'w_ih')
    %4: Tensor = matmul(%3, %w_ih)
    %w_hh: Tensor = py.getattr(%cell1, 'w_hh')
    %5: Tensor = matmul(%h1, %w_hh)
    %6: Tensor = add(%4, %5)
    %bias: Tensor = py.getattr(%cell1, 'bias')
    %gates: Tensor = add(%6, %bias)
    %7: list[Tensor] = chunk(%gates, 4, 1)
    %i1: Tensor, %f: Tensor, %g: Tensor, %o: Tensor = py.unpack(%7, 4)
    %8: Tensor = sigmoid(%f)
    %9: Tensor = mul(%8, %c1)
    %10: Tensor = sigmoid(%i1)
    %11: Tensor = tanh(%g)
    %12: Tensor = mul(%10, %11)
    %c2: Tensor = add(%9, %12)
    %13: Tensor = sigmoid(%o)
    %14: Tensor = tanh(%c2)
    %h2: Tensor = mul(%13, %14)
    %15: None = py.append(%outs, %h2)
    yield True, %h2, %c2
  }
  %verbose: bool = py.getattr(%self, 'verbose')
  if %verbose {
    %16: int = py.len(%outs)
    %17: str = py.format(%16, '', '')
    %18: bool = py.gt(%2, 0)
    %y: Tensor = py.bound(%h, 'y', %18)
    %19: Tensor = mean(%y)
    %20: float = py.float(%19)
    %21: str = py.format(%20, '', '.3f')
    %22: str = py.concat(%17, ' steps, last mean ', %21)
    %23: None = py.print(None, None, %22)
  }
  %24: Tensor = stack(%outs)
  %25: tuple[Tensor, Tensor] = py.tuple(%h, %c)
  %26: tuple[Tensor, tuple[Tensor, Tensor]] = py.tuple(%24, %25)
  return %26
}
"""


def test_the_lstm_reads_like_the_user_wrote_it():
    model = models.LSTM(3, 4)
    c, code = captured(model, specjit.randn(3, 2, 3), None)
    assert code.source == LSTM_CODE
    without_places = "\n".join(line.split("  # ")[0] for line in print_graph(c.graph).split("\n"))
    assert without_places == LSTM_GRAPH


def test_capture_does_not_run_the_model():
    class Loud(nn.Module):
        @property
        def size(self):
            print("property")
            return 3

        def forward(self, x):
            print("forward")
            return x + self.size

    model = Loud()
    out = io.StringIO()
    with redirect_stdout(out):
        _, code = captured(model, specjit.randn(2))
    assert out.getvalue() == ""
    with redirect_stdout(out):
        code.fn(model, specjit.randn(2))
    assert out.getvalue() == "forward\nproperty\n"
