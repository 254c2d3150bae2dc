"""Constructions of well-known models: the same answers, state and gradients as in plain Python, and how much of them
runs natively.

Each test names what once kept such a model in Python, or broke it. The reference is a copy of the model, run plainly.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import specjit
from specjit import nn


def randn(*shape: int, seed: int = 0) -> specjit.Tensor:
    return specjit.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def same_as_plain(model: Any, *calls: tuple[Any, ...], gradients: bool = True) -> specjit.Program[..., Any]:
    """Call the model optimized and a copy of it plainly: equal results, parameters' gradients and buffers. The
    Program."""
    plain = copy.deepcopy(model)
    program = specjit.optimize(model, warmup=1, background=False)
    for args in calls:
        found, expected = program(*args), plain(*args)
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=2e-5, atol=2e-6)
        if gradients:
            found.sum().backward()
            expected.sum().backward()
    for (name, p), q in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=2e-4, atol=2e-5, err_msg=name)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value.numpy(), plain.state_dict()[name].numpy(), rtol=2e-5, atol=2e-6, err_msg=name)
    return program


def native(program: specjit.Program[..., Any]) -> bool:
    """Whether the last kind of call runs in a specialization of the whole program."""
    return bool(program.specializations) and not program.events("SPECIALIZE_FAILED")


class Residual(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(size, size), nn.BatchNorm1d(size), nn.ReLU(inplace=True))
        self.skips = True

    def forward(self, x: Any) -> Any:
        return x + self.inner(x) if self.skips else self.inner(x)


def test_containers_in_containers_are_no_recursion() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Residual(4), nn.Sequential(nn.Sequential(nn.Linear(4, 2)), nn.Tanh()))
    program = same_as_plain(model, *[(randn(3, 4, seed=s),) for s in range(4)])
    assert native(program)
    assert program.events("OPAQUE") == []


class Tree(nn.Module):
    """The same module calls itself, as often as the data says."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def forward(self, x: Any, tree: Any) -> Any:
        for branch in tree:
            x = self.mix(x) + self(x, branch)
        return x.tanh()


def test_a_module_that_calls_itself_is() -> None:
    program = same_as_plain(Tree(), *[(randn(2, 4, seed=s), ((), ((), ()))) for s in range(4)])
    assert sum(node.op.name == "py.call" for node in program.graph.walk()) == 2  # it is not read within itself


class Block(nn.Module):
    """A residual block with an optional projection, as in residual nets: None in one place, a module in another."""

    def __init__(self, channels: int, out: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        identity = x
        out = self.bn1(self.conv1(x))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


def test_a_residual_net_is_native() -> None:
    """Its max pool gives one tensor, or a pair where the layer says so: what it says is known."""
    down = nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), nn.BatchNorm2d(6))
    blocks = nn.Sequential(Block(4, 4), Block(4, 6, 2, down))
    stem = [nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(3, 2, 1)]
    model = nn.Sequential(*stem, blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    program = same_as_plain(model, *[(randn(2, 3, 16, 16, seed=s),) for s in range(3)])
    assert native(program)
    assert program.events("OPAQUE") == []


def test_the_indices_of_a_pool_may_be_asked_for_later() -> None:
    model = nn.MaxPool1d(2)
    program = specjit.optimize(model, warmup=1, background=False)
    for _ in range(3):
        assert program(randn(1, 4)).shape == (1, 2)
    model.return_indices = True
    for _ in range(3):
        values, indices = program(randn(1, 4))
        assert values.shape == indices.shape == (1, 2)


class CausalAttention(nn.Module):
    """`B, T, C = x.size()`, and a scale from `math.sqrt`."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.mixed, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.heads, self.size = heads, size
        self.register_buffer("mask", specjit.tril(specjit.ones(16, 16)).view(1, 1, 16, 16))

    def forward(self, x: Any) -> Any:
        B, T, C = x.size()
        q, k, v = self.mixed(x).split(self.size, dim=2)
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
        weights = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        weights = weights.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).contiguous().view(B, T, C))


def test_attention_with_sizes_and_a_square_root_is_native() -> None:
    program = same_as_plain(CausalAttention(8, 2), *[(randn(2, n, 8, seed=s),) for s, n in enumerate((5, 5, 5, 7, 6))])
    assert native(program)
    assert program.events("OPAQUE") == []


def test_wrong_calls_of_size_and_dim_raise() -> None:
    for wrong in (lambda x: x.size(0, 1), lambda x: x.dim(1), lambda x: x.size(other=1)):
        program = specjit.optimize(wrong, warmup=1, background=False)
        for _ in range(3):
            with pytest.raises(TypeError):
                program(randn(2, 2))


def test_functions_of_math_keep_python_s_answers_and_errors() -> None:
    def scaled(x: Any, n: int, y: float) -> Any:
        return x * math.sqrt(n) + math.floor(y) + math.isfinite(y), math.gcd(n, 4), math.log(n)

    program = specjit.optimize(scaled, warmup=1, background=False)
    x = randn(3)
    for n, y in ((2, 1.5), (2, 1.5), (2, 1.5), (8, -0.5), (9, 2.5), (9, math.inf), (0, 1.0), (-1, 1.0)):
        try:
            expected = scaled(x, n, y)
        except (ValueError, OverflowError) as error:
            with pytest.raises(type(error)):
                program(x, n, y)
            continue
        found = program(x, n, y)
        np.testing.assert_allclose(found[0].numpy(), expected[0].numpy(), rtol=1e-6)
        assert found[1:] == expected[1:]


def test_a_generator_whose_items_are_all_taken_is_no_object() -> None:
    def parts(x: Any) -> Any:
        a, b = (t * 2 for t in (x, x + 1))
        return a - b

    def too_many(x: Any) -> Any:
        a, b = (print(k) or k for k in (x, x, x))
        return a - b

    program = specjit.optimize(parts, warmup=1, background=False)
    for _ in range(3):
        assert program(specjit.ones(2)).tolist() == [-2.0, -2.0]
    assert native(program)
    assert program.events("OPAQUE") == []
    program = specjit.optimize(too_many, warmup=1, background=False)
    for _ in range(3):
        with pytest.raises(ValueError, match="too many values"):
            program(randn(1))
    assert "GeneratorExp" in str(program.events("OPAQUE")[0])


class CharRNN(nn.Module):
    """One step of a recurrent net per call: what its gates keep for the gradient are parts of a wider product."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(7, 4), kind(4, 4), nn.Linear(4, 7)

    def forward(self, tokens: Any) -> Any:
        out, _ = self.rnn(self.embed(tokens.view(1, -1)))
        return self.head(out.squeeze(0))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_gradients_of_one_step_are_native(kind) -> None:
    program = same_as_plain(CharRNN(kind), *[(specjit.tensor([1, 5, s]),) for s in range(4)])
    assert native(program)
    assert program.events("FALLBACK") == []


def test_what_is_no_tensor_raises_as_eager_does_and_is_no_failure_of_the_compiler() -> None:
    model = nn.Linear(2, 2)
    program = specjit.optimize(model, warmup=1, background=False)
    for wrong in ("x", None, [1.0], 3) * 2:
        with pytest.raises(TypeError) as plain:
            model(wrong)
        with pytest.raises(TypeError) as found:
            program(wrong)
        assert str(found.value) == str(plain.value)
    assert all("report" not in event.then for event in program.events("SPECIALIZE_FAILED"))
