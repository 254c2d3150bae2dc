"""Random numbers: Philox against its published test vectors, definition by (seed, offset), distributions, state."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import specjit
from specjit.tensor import random


def test_philox_known_answers():
    # Random123's kat_vectors for philox4x32-10 with counter (0,0,0,0), key (0,0).
    assert [hex(w) for w in random.philox(0, 0, 1)] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def philox_by_hand(counter, key):
    """The definition, in Python integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_philox_against_python_integers():
    seed, block = 0x123456789ABCDEF0, (5 << 32) + 7
    got = random.philox(seed, block, 3).reshape(3, 4).tolist()
    want = [
        philox_by_hand([(block + i) & 0xFFFFFFFF, (block + i) >> 32, 0, 0], [seed & 0xFFFFFFFF, seed >> 32])
        for i in range(3)
    ]
    assert got == want


def test_values_depend_on_seed_and_offset_only():
    g = specjit.Generator().manual_seed(3)
    whole = specjit.rand(8, generator=g)
    g.manual_seed(3)
    first, second = specjit.rand(4, generator=g), specjit.rand(4, generator=g)
    assert whole.tolist() == first.tolist() + second.tolist()
    g.manual_seed(3)
    assert g.reserve(5) == (3, 0)
    assert g.reserve(1) == (3, 8)


def test_uniform_is_defined_by_words():
    g = specjit.Generator().manual_seed(1)
    words = random.philox(1, 0, 1)
    assert specjit.rand(4, generator=g).tolist() == [float(np.float32(w >> 8) * np.float32(2.0**-24)) for w in words]
    g.manual_seed(1)
    wide = [
        ((int(words[1]) << 32 | int(words[0])) >> 11) * 2.0**-53,
        ((int(words[3]) << 32 | int(words[2])) >> 11) * 2.0**-53,
    ]
    assert specjit.rand(2, generator=g, dtype=specjit.float64).tolist() == wide


def test_distributions():
    specjit.manual_seed(0)
    u = specjit.rand(100000).numpy()
    assert abs(u.mean() - 0.5) < 0.01
    assert u.min() >= 0
    assert u.max() < 1
    n = specjit.randn(100001).numpy()
    assert abs(n.mean()) < 0.02
    assert abs(n.std() - 1) < 0.02
    assert abs((np.abs(n) < 1).mean() - 0.6827) < 0.01
    i = specjit.randint(0, 10, (100000,)).numpy()
    assert np.bincount(i).min() > 9000
    b = specjit.bernoulli(specjit.full((100000,), 0.3)).numpy()
    assert abs(b.mean() - 0.3) < 0.01
    mask = specjit.nn.functional.dropout(specjit.ones(100000), 0.25).numpy()
    assert set(np.unique(mask)) == {0, np.float32(1 / 0.75)}
    assert abs((mask == 0).mean() - 0.25) < 0.01
    assert specjit.rand(1000, dtype=specjit.float16).numpy().max() < 1


def test_seed_and_state():
    specjit.manual_seed(11)
    assert specjit.initial_seed() == 11
    state = specjit.get_rng_state()
    a = specjit.rand(3).tolist()
    specjit.set_rng_state(state)
    assert specjit.rand(3).tolist() == a
    specjit.manual_seed(12)
    assert specjit.rand(3).tolist() != a
    g = specjit.Generator()
    g.manual_seed(5)
    g.reserve(4)
    h = pickle.loads(pickle.dumps(g))
    assert specjit.rand(2, generator=g).tolist() == specjit.rand(2, generator=h).tolist()
    assert specjit.seed() == specjit.initial_seed()
    specjit.manual_seed(-1)
    assert specjit.initial_seed() == 2**64 - 1


def test_randint_forms_and_permutations():
    assert specjit.randint(5, (3,)).dtype is specjit.int64
    assert sorted(specjit.randperm(20).tolist()) == list(range(20))
    with pytest.raises(RuntimeError, match="less than"):
        specjit.randint(2, 2, (1,))
    assert specjit.rand_like(specjit.ones(2, 3)).shape == (2, 3)
    x = specjit.empty(1000).uniform_(2, 3)
    assert 2 <= x.amin().item() <= x.amax().item() < 3
    assert specjit.empty(10).normal_(100, 0.1).mean().item() > 99
