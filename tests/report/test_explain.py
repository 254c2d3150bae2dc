"""`explain()`: a snapshot of what was recorded, complete and equal in its three forms."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

import specjit
from specjit import nn
from specjit.report.explain import Explanation
from tests.runtime.models import LSTM, arguments, uniform


class Chatty(nn.Module):
    """A print between two pieces that lower, and weights to pack."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(specjit.tensor(uniform(16, 16, seed=1)))

    def forward(self, x):
        y = (x @ self.w).tanh() * 2.0
        print(end="")
        return (y @ self.w).sigmoid() + 1.0


def x_of(rows: int):
    return specjit.tensor(uniform(rows, 16, seed=rows))


@pytest.fixture(scope="module")
def chatty():
    program = specjit.optimize(Chatty(), warmup=2, background=False, name="<chatty>")
    with specjit.no_grad():
        for rows in (4, 4, 4, 6):
            program(x_of(rows))
    return program


@pytest.fixture(scope="module")
def trained():
    program = specjit.optimize(LSTM(6, 8), warmup=2, background=False, name="lstm")
    for _ in range(3):
        y, _ = program(*arguments(4, 3, 6, 8))
        y.sum().backward()
    return program


def test_the_data_is_plain_json(chatty) -> None:
    data = chatty.explain().to_dict()
    assert json.loads(json.dumps(data)) == json.loads(json.dumps(data, default=str))
    assert data["stats"]["calls"] == 4
    assert data["options"]["numerics"] == "exact"
    assert len(data["events"]) == len(chatty.events())


def test_making_one_changes_nothing(chatty) -> None:
    before, events = chatty.stats(), len(chatty.events())
    for _ in range(3):
        str(chatty.explain())
        chatty.explain()._repr_html_()
    assert chatty.stats() == before
    assert len(chatty.events()) == events


def test_it_is_a_snapshot(trained) -> None:
    explanation = trained.explain()
    text = str(explanation)
    trained._emit("FUSED", "later")
    assert str(explanation) == text == repr(explanation)
    assert isinstance(explanation, Explanation)


def test_captures_and_kinds_of_call(chatty) -> None:
    (capture,) = chatty.explain().to_dict()["captures"]
    assert capture["function"] == "Chatty"
    assert re.fullmatch(r"test_explain\.py:\d+", capture["location"])
    (kind,) = chatty.explain().to_dict()["calls"]
    assert kind["arguments"] == {"x": "float32[4..6, 16]"}
    assert kind["state"] == "specialized as #1, #2"
    assert kind["misses"] == 1


def test_specializations(chatty) -> None:
    data = chatty.explain().to_dict()
    for told, variant in zip(data["specializations"], chatty.specializations, strict=True):
        assert told["number"] == variant.number
        assert told["calls"] == variant.calls
        assert [g["text"] for g in told["guards"]] == [str(g) for g in variant.guards]
        assert all(g["origin"] for g in told["guards"])
        assert len(told["regions"]) == len(variant.regions) == 2
        assert told["refused"] == variant.refused
        kernels = {k.key: k for r in variant.regions for k in r.kernels}
        assert told["kernels"] == len(kernels)
        assert told["kernels_cached"] == sum(k.cached for k in kernels.values())
        assert told["kernel_seconds"] == pytest.approx(sum(k.seconds for k in kernels.values() if not k.cached))
    assert any("print stays in Python: it has an outside effect" in text for text in told["refused"])


def test_memory_is_what_is_held(chatty, trained) -> None:
    for program in (chatty, trained):
        data = program.explain().to_dict()
        for told, variant in zip(data["specializations"], program.specializations, strict=True):
            for part, region in zip(told["regions"], variant.regions, strict=True):
                codes = region.codes.values()
                arrays = [a for c in codes if c._snapshot is not None for a in c._snapshot.arrays]
                spaces = [f.workspace.nbytes for c in codes for f in c._pool if f.workspace is not None]
                assert part["memory"] == {
                    "workspace_bytes": max(spaces, default=0),
                    "workspaces_bytes": sum(spaces),
                    "packed_bytes": sum(a.nbytes for a in arrays),
                    "packed_arrays": len(arrays),
                }
        regions = [r["memory"] for v in data["specializations"] for r in v["regions"]]
        assert data["memory"]["packed_bytes"] == sum(m["packed_bytes"] for m in regions) > 0
        assert data["memory"]["workspace_bytes"] == max(m["workspace_bytes"] for m in regions)


def test_training_says_what_it_saves(trained) -> None:
    ((region,),) = [v["regions"] for v in trained.explain().to_dict()["specializations"]]
    assert "T" in region["saved_for_backward"]
    assert {k["part"] for k in region["kernels"]} == {"", "pack", "backward"}
    assert "bytes a call for backward" in str(trained.explain())


def test_the_text(chatty) -> None:
    text = str(chatty.explain())
    lines = text.splitlines()
    assert lines[0] == "specjit program '<chatty>' (numerics=exact)"
    assert lines[1] == "calls        4: 3 native, 1 generic, 0 eager; 1 guard miss, 0 region fallbacks"
    for wanted in (
        r"^compiled     2 specializations in \d+\.\d\d s$",
        r"^memory       workspace ",
        r"^captured     Chatty: \d+ nodes, \d+ capture guards  \(test_explain\.py:\d+\)$",
        r"^observed     \d calls with x float32\[4\.\.6, 16\]$",
        r"^missed       1 x x\.shape\[0\] size$",
        r"^#1           \d calls?, 0 fallbacks; \d+/\d+ ops native in 2 regions$",
        r"^             x\.shape\[0\]: size 4  \(matmul at test_explain\.py:\d+\)$",
        r"^  region 1   at test_explain\.py:\d+, workspace ",
        r"^  refused    print stays in Python: it has an outside effect  \(test_explain\.py:\d+\)$",
        r"^  \[specjit <chatty>   \] GUARD_MISS call 4  closest #1: x\.shape\[0\] expected 4, got 6  \(matmul at ",
    ):
        assert re.search(wanted, text, re.MULTILINE), f"{wanted}\n{text}"


class _Balanced(HTMLParser):
    """Collects the text, and checks that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text.append(data)


def test_the_html_says_what_the_text_says(chatty) -> None:
    explanation = chatty.explain()
    page = explanation._repr_html_()
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "<chatty>" not in page
    shown = " ".join(" ".join(parser.text).split())
    for line in str(explanation).splitlines()[1:]:
        words = re.sub(r"^(#\d+|[a-z]+( [a-z0-9]+)?) {2,}", "", line.strip())
        if not words.startswith("last events"):
            assert " ".join(words.split()) in shown, words


def test_before_the_first_call_and_without_a_capture() -> None:
    program = specjit.optimize(lambda x: x * 2, warmup=3)
    assert "calls        0: 0 native" in str(program.explain())
    program(specjit.zeros(2))
    text = str(program.explain())
    assert "observed 1 of 3 calls" in text
    assert "no specialization: every call runs generic or eager code" in text

    def generates(x):
        yield x

    eager = specjit.optimize(generates)
    eager(specjit.zeros(2))
    text = str(eager.explain())
    assert re.search(r"^fell back    1 x runs as plain Python: .* is a generator function", text, re.MULTILINE)
    assert "1: 0 native, 0 generic, 1 eager" in text


def test_reasons_by_kind(chatty) -> None:
    reasons = chatty.stats()["reasons"]
    assert reasons["GUARD_MISS"] == {"x.shape[0] size": 1}
    assert sum(reasons["NOT_FUSED"].values()) == chatty.stats()["events"]["NOT_FUSED"]


class Layers(nn.Module):
    """All hidden layers, and only then what each of them is for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.inner = nn.ModuleList([nn.Linear(16, 16) for _ in range(count)])
        self.outer = nn.ModuleList([nn.Linear(16, 16) for _ in range(count)])

    def forward(self, x):
        hidden = [layer((x * float(k)).tanh()) for k, layer in enumerate(self.inner)]
        out = x
        for k in range(len(self.outer)):
            out = out.maximum(self.outer[k](hidden[k]))
        return out


def test_a_better_order_is_told() -> None:
    program = specjit.optimize(Layers(4), warmup=2, background=False, name="layers")
    with specjit.no_grad():
        for rows in (4, 4, 6, 6):
            program(x_of(rows))
    explained = program.explain()
    (plan,) = explained.to_dict()["specializations"][0]["regions"][0]["plans"]
    assert plan["live_bytes"] < plan["live_bytes_in_program_order"]
    assert plan["live_bytes"] <= plan["workspace_bytes"] <= 1.1 * plan["live_bytes"]
    assert f"{plan['live_bytes']} B alive at most ({plan['live_bytes_in_program_order'] / 1e3:.1f} KB" in str(explained)
    event = program.events("REORDERED")[0]
    assert f"{plan['live_bytes']:,} bytes alive, not {plan['live_bytes_in_program_order']:,}" in event.message


def test_an_order_that_stays_is_not_told(chatty, trained) -> None:
    for plan in trained.explain().to_dict()["specializations"][0]["regions"][0]["plans"]:
        assert plan["live_bytes"] == plan["live_bytes_in_program_order"]
        assert plan["live_bytes"] <= plan["workspace_bytes"] <= 1.1 * plan["live_bytes"]
    assert not chatty.events("REORDERED")
