"""Gradients of what reads one triangle of a symmetric matrix, and of what is singular or repeated."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import linalg
from specjit.dtypes import float64
from specjit.tensor.gradcheck import gradcheck, gradgradcheck


def leaf(*shape: int, seed: int = 0) -> specjit.Tensor:
    values = np.random.default_rng(seed).uniform(-1, 1, shape)
    return specjit.from_numpy(values).requires_grad_()


def symmetric(x: specjit.Tensor) -> specjit.Tensor:
    return x + x.mT


def definite(x: specjit.Tensor) -> specjit.Tensor:
    return x @ x.mT + 2 * specjit.eye(x.shape[-1], dtype=float64)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 2, 2)])
@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(shape, upper):
    def fn(x: specjit.Tensor) -> specjit.Tensor:
        return linalg.cholesky(definite(x), upper=upper)

    assert gradcheck(fn, [leaf(*shape)])
    assert gradgradcheck(fn, [leaf(*shape)], atol=1e-4)


def test_cholesky_gradient_is_symmetric():
    x = definite(leaf(3, 3)).detach().requires_grad_()
    (linalg.cholesky(x) * leaf(3, 3, seed=1).detach()).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), x.grad.numpy().T)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 2, 2)])
@pytest.mark.parametrize("triangle", ["L", "U"])
def test_eigh(shape, triangle):
    def fn(x: specjit.Tensor) -> tuple[specjit.Tensor, specjit.Tensor]:
        w, v = linalg.eigh(symmetric(x), triangle)
        return w, v * v  # an eigenvector's sign is free

    assert gradcheck(fn, [leaf(*shape)])
    assert gradgradcheck(fn, [leaf(*shape)], atol=1e-4)


def test_results_that_are_saved_and_used_have_one_gradient():
    """The second gradient meets the results both as the vjp's and as the operands of what was done with them."""

    def fn(x: specjit.Tensor) -> specjit.Tensor:
        u, s, _ = linalg.svd(x, False)
        return u * u * s

    assert gradgradcheck(fn, [leaf(3, 2)], atol=1e-4)


def test_eigenvalues():
    def fn(x: specjit.Tensor) -> specjit.Tensor:
        return linalg.eigvalsh(symmetric(x))

    assert gradcheck(fn, [leaf(3, 3)])
    assert gradgradcheck(fn, [leaf(3, 3)], atol=1e-4)


@pytest.mark.parametrize(("full", "shape"), [(True, (3, 3)), (True, (2, 3)), (True, (3, 2)), (False, (3, 2))])
def test_svd_of_what_the_gradient_defines(full, shape):
    def fn(x: specjit.Tensor) -> tuple[specjit.Tensor, ...]:
        u, s, vh = linalg.svd(x, full)
        k = min(shape)
        return u[:, :k] ** 2, s, vh[:k] ** 2

    assert gradcheck(fn, [leaf(*shape)])


@pytest.mark.parametrize("matrix", [[[1.0, 2], [2, 4]], [[0.0, 0], [0, 0]], [[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]])
def test_determinant_of_singular_matrices(matrix):
    x = specjit.tensor(matrix, dtype=float64).requires_grad_()
    assert gradcheck(linalg.det, [x])


def test_norms_at_zero_have_gradient_zero():
    for ord in (2, 1, 3, 1.5):
        x = specjit.zeros(3, requires_grad=True)
        linalg.vector_norm(x, ord).backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.zeros(3))


def test_equal_maxima_share_the_gradient():
    x = specjit.tensor([2.0, -2.0, 1.0], requires_grad=True)
    linalg.vector_norm(x, float("inf")).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0.5, -0.5, 0.0])


def test_qr_without_gradient():
    for mode, shape in (("r", (3, 2)), ("complete", (3, 2))):
        out = linalg.qr(leaf(*shape), mode)[1].sum()
        with pytest.raises(RuntimeError, match="gradient is not defined"):
            out.backward()


def test_einsum_is_native_where_types_are_known():
    def attention(q, k, v):
        scores = specjit.einsum("bhqd,bhkd->bhqk", q, k).softmax(-1)
        return specjit.einsum("bhqk,bhkd->bhqd", scores, v)

    q, k, v = (leaf(2, 2, 3, 4, seed=i).detach() for i in range(3))
    fast = specjit.optimize(attention)
    for _ in range(3):
        np.testing.assert_allclose(fast(q, k, v).numpy(), attention(q, k, v).numpy(), rtol=1e-12)


def test_errors_name_the_matrix():
    stack = specjit.stack([specjit.ones(2, 2).tril(), specjit.ones(2, 2)])
    with pytest.raises(linalg.LinAlgError, match=r"linalg.inv: \(Batch element 1\)"):
        linalg.inv(stack)
    assert issubclass(linalg.LinAlgError, RuntimeError)
    assert "LinAlgError" in dir(linalg)


def test_results_have_names():
    x = definite(leaf(3, 3)).detach()
    assert linalg.qr(x)._fields == ("Q", "R")
    assert linalg.svd(x)._fields == ("U", "S", "Vh")
    assert linalg.eigh(x)._fields == ("eigenvalues", "eigenvectors")
    assert linalg.slogdet(x)._fields == specjit.slogdet(x)._fields == ("sign", "logabsdet")
    fast = specjit.optimize(lambda x: linalg.svd(x).S.sum())
    for _ in range(3):
        np.testing.assert_allclose(fast(x).item(), linalg.svd(x).S.sum().item())
