"""Rows of dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import specjit
from tests.opinfo import Make, Sample, row

LONGS = specjit.ones(2, 3, dtype=specjit.int64)
A = 1.7580993408473766


def samples(*shapes: tuple[int, ...]) -> Callable[[Make], Iterator[Sample]]:
    def sample(make: Make) -> Iterator[Sample]:
        for shape in shapes:
            yield (make(*shape), 0.5, True), {}
            yield (make(*shape), 0.25), {"training": True}
        yield (make(*shapes[0]), 1.0, True), {}
        yield (make(*shapes[0]), 0.0, True), {}
        yield (make(*shapes[0]), 0.5, False), {}

    return sample


def check(channels: int | None, alpha: bool = False) -> Callable[..., None]:
    """Every element is kept and scaled, or dropped; of whole channels (the first `channels` dims) all alike."""

    def properties(out: np.ndarray, x: np.ndarray, p: float, training: bool = True) -> None:
        assert out.shape == x.shape
        if not training or p == 0:
            np.testing.assert_array_equal(out, x)
            return
        a = 0.0 if p == 1 else ((A**2 * p + 1) * (1 - p)) ** -0.5 if alpha else 1 / (1 - p)
        shift = A * a * p if alpha else 0.0
        kept, dropped = x.astype(np.float64) * a + shift, np.full(x.shape, shift - A * a if alpha else 0.0)
        options = {"rtol": 5e-3, "atol": 5e-3} if x.dtype == np.float16 else {"rtol": 1e-5, "atol": 1e-6}
        is_kept = np.isclose(out, kept, **options)
        assert (is_kept | np.isclose(out, dropped, **options)).all()
        if channels is not None and out.size:
            flat = is_kept.reshape(*x.shape[:channels], -1)
            assert (flat == flat[..., :1]).all()

    return properties


def refused(name: str) -> list[Any]:
    def invalid() -> Any:
        return getattr(specjit.nn.functional, name)(specjit.ones(2, 3), 2.0)

    def ints() -> Any:
        return getattr(specjit.nn.functional, name)(LONGS, 0.5, True)

    return [
        (invalid, ValueError, "between 0 and 1, but got 2.0"),
        (ints, RuntimeError, "can't be cast to the desired output type Long"),
    ]


def dropout(name: str, shapes: Any, channels: int | None, alpha: bool = False, **options: Any) -> None:
    errors = refused(name) + options.pop("errors", [])
    row(
        f"nn.functional.{name}",
        samples(*shapes),
        properties=check(channels, alpha),
        random=True,
        view=None,  # the input itself where nothing is dropped
        errors=errors,
        **options,
    )


VECTORS = ((3, 4), (), (0, 2), (2, 3, 4))
dropout("dropout", VECTORS, None)
dropout("alpha_dropout", VECTORS, None, alpha=True)
dropout(
    "dropout1d",
    ((2, 3, 4), (3, 4), (0, 2, 3)),
    None,
    errors=[(lambda: specjit.nn.functional.dropout1d(specjit.ones(3)), RuntimeError, "Expected 2D or 3D input")],
)
dropout("dropout2d", ((2, 3, 2, 2), (2, 3, 4), (0, 2, 3, 1)), 2)
dropout("dropout3d", ((2, 3, 1, 2, 2), (1, 2, 2, 1, 3)), 2)
dropout(
    "feature_alpha_dropout",
    ((2, 3, 4), (2, 3), (2, 3, 2, 2)),
    2,
    alpha=True,
    errors=[
        (
            lambda: specjit.nn.functional.feature_alpha_dropout(specjit.ones(3), 0.5, True),
            RuntimeError,
            "requires at least 2 dimensions",
        )
    ],
)
