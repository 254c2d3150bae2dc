"""What a call comes to, and whether two calls came to the same."""

from __future__ import annotations

from typing import Any

import numpy as np

import specjit


def outcome(function: Any, *args: Any) -> Any:
    """The result, or the type and the text of the exception."""
    try:
        return function(*args)
    except Exception as error:
        return type(error), str(error)


def check_same(got: Any, expected: Any) -> None:
    """Equal in structure and dtypes; elements within a few roundings of float32."""
    assert type(got) is type(expected), (got, expected)
    if isinstance(expected, dict):
        assert list(got) == list(expected)
        check_same(list(got.values()), list(expected.values()))
    elif isinstance(expected, tuple | list):
        assert len(got) == len(expected)
        for g, e in zip(got, expected):
            check_same(g, e)
    elif isinstance(expected, specjit.Tensor):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    else:
        assert got == expected
