"""Settings from the environment and from the context manager."""

from __future__ import annotations

import dataclasses

import pytest

from specjit import config


def test_environment_is_read_and_followed(monkeypatch):
    monkeypatch.setenv("SPECJIT_LOG", "guards, cache")
    monkeypatch.setenv("SPECJIT_LIMIT", "simplify:17,cse:0")
    monkeypatch.setenv("SPECJIT", "0")
    monkeypatch.setenv("SPECJIT_VERIFY", "5")
    now = config.current()
    assert now.log == {"guards", "cache"}
    assert now.limit == {"simplify": 17, "cse": 0}
    assert (now.enabled, now.verify, now.dump) == (False, 5, None)
    monkeypatch.setenv("SPECJIT", "1")
    assert config.current().enabled


@pytest.mark.parametrize(
    ("variable", "text"),
    [("SPECJIT", "maybe"), ("SPECJIT_LOG", "everything"), ("SPECJIT_LIMIT", "simplify"), ("SPECJIT_VERIFY", "-1")],
)
def test_bad_variable_warns_and_counts_as_unset(monkeypatch, variable, text):
    monkeypatch.setenv(variable, text)
    with pytest.warns(RuntimeWarning, match=f"{variable} is ignored"):
        now = config.current()
    assert (now.enabled, now.log, now.limit, now.verify) == (True, frozenset(), {}, 0)


def test_options_nest_and_end():
    before = config.current()
    with config.options(log="fusion", verify=3, dump=None) as outer:
        assert outer.log == {"fusion"}
        with config.options(log=["all"], limit={"cse": 2}) as inner:
            assert inner.log == {"all"}
            assert (inner.verify, inner.limit) == (3, {"cse": 2})
        assert config.current() == outer
    assert config.current() == before


def test_bad_options_raise():
    with pytest.raises(TypeError, match="unexpected keyword argument 'logs'"), config.options(logs="all"):
        pass
    with pytest.raises(ValueError, match=r"options\(log=...\): unknown words nope"), config.options(log="nope"):
        pass


def test_table_lists_every_field_once():
    assert [row.name for row in config.TABLE] == [f.name for f in dataclasses.fields(config.Config)]
    assert all(row.variable.startswith("SPECJIT") and row.doc for row in config.TABLE)
