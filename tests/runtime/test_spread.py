"""Whole programs whose loops run a product of later rows beside their own (`codegen.schedule.spread`)."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import specjit
from specjit import nn
from specjit.codegen.vectors.lanes import register_bytes
from tests.runtime.models import LSTM, arguments, lstm_float64

pytestmark = pytest.mark.skipif(register_bytes() < 64, reason="too few registers here")

SIZE = 128


def program_of(model: nn.Module, *example: object, **options: object) -> specjit.Program:
    program = specjit.optimize(model, warmup=2, background=False, **options)
    for _ in range(3):
        program(*example)
    assert program.specializations, "\n".join(map(str, program.events()))
    return program


def ahead(program: specjit.Program) -> list[str]:
    return [e.message for e in program.events("FUSED") if "rows ahead in the loop" in e.message]


def test_one_sequence_of_any_length():
    """The bits of a program without, and close to float64; one compile for all lengths."""
    model = LSTM(SIZE, SIZE)
    x, state = arguments(20, 1, SIZE, SIZE)
    with specjit.no_grad():
        program = program_of(model, x, state)
        with specjit.stance(disable=("spread",)):
            plain = program_of(copy.deepcopy(model), x, state)
        assert len(ahead(program)) == 1
        assert not ahead(plain)
        compiles = program.stats()["compiles"]
        for steps in (1, 2, 5, 9, 10, 33):
            x, state = arguments(steps, 1, SIZE, SIZE)
            (y, (h, c)), (y2, (h2, c2)) = program(x, state), plain(x, state)
            for mine, theirs in ((y, y2), (h, h2), (c, c2)):
                assert mine.numpy().tobytes() == theirs.numpy().tobytes()
            exact = lstm_float64(model, x.numpy(), *(v.numpy() for v in state))
            for mine, wanted in zip((y, h, c), exact, strict=True):
                np.testing.assert_allclose(mine.numpy(), wanted, rtol=1e-4, atol=1e-5)
        assert program.stats()["compiles"] == compiles
    assert "duet(matmul" in str(program.explain())


def test_several_sequences_stay():
    model = LSTM(SIZE, SIZE)
    with specjit.no_grad():
        program = program_of(model, *arguments(20, 3, SIZE, SIZE))
    assert not ahead(program)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_gradients(options):
    """Layers, both directions, and the passes back, against the tape."""
    specjit.manual_seed(3)
    model = nn.LSTM(SIZE, SIZE, **options)
    program = program_of(model, specjit.randn(12, 1, SIZE))
    assert ahead(program)
    for steps in (3, 21):
        x = specjit.randn(steps, 1, SIZE)
        gradients = []
        for run in (program, model):
            (run(x)[0] ** 2).sum().backward()
            gradients.append([p.grad.numpy().copy() for p in model.parameters()])
            model.zero_grad()
        for mine, theirs in zip(*gradients, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def test_a_name_that_is_no_decision():
    with pytest.raises(ValueError, match="spreads"), specjit.stance(disable=("spreads",)):
        pass
