"""The demo: it plays to its end, it tells the truth when it cannot, and its batches are what they claim."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest
from rich.console import Console

from specjit import cli
from specjit.demo import text
from specjit.demo.run import run


@pytest.fixture(scope="module")
def shown():
    """What the demo prints, without a terminal, when the training is over almost at once."""
    file = io.StringIO()
    run(steps=5, console=Console(file=file, width=100))
    return file.getvalue()


def test_plain_lines_without_a_terminal(shown):
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert shown.count("step ") >= 5


def test_every_act(shown):
    assert re.search(r"training, .* ms", shown)
    assert "Specialization #1" in shown
    assert re.search(r"tokens: class Tensor, dtype specjit.int64", shown)
    assert re.search(r"GUARD_MISS .*tokens dtype expected specjit.int64, got specjit.int32", shown)
    assert "0 compiles, 1 native call" in shown
    assert len(shown.split("one optimized call per character")[1]) > 200


def test_on_a_terminal(capsys):
    file = io.StringIO()
    run(steps=5, console=Console(file=file, width=100, force_terminal=True))
    assert "5/5" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())


def test_without_the_text_of_help(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert cli.main(["demo"]) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith("specjit: the demo failed: this Python has no text")


def test_batches_predict_the_next_character():
    corpus = text.load()
    assert len(corpus.ids) > 100_000
    tokens, wanted = corpus.batch(np.random.default_rng(0), 20, 3)
    assert tokens.shape == wanted.shape == (20, 3)
    assert np.array_equal(tokens[1:], wanted[:-1])
    whole = "".join(corpus.alphabet[i] for i in corpus.ids)
    for column in range(3):
        passage = "".join(corpus.alphabet[i] for i in tokens[:, column])
        assert passage in whole
        assert np.array_equal(corpus.encode(passage), tokens[:, column])
