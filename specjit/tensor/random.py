"""Counter-based random numbers: Philox4x32-10.

Enters: a seed, and an offset that counts 32-bit words. Leaves: arrays defined word for word by (seed, offset), so
that native code can
make the same bits: word k of a draw is word (offset + k) % 4 of the block with counter (offset + k) // 4 and key seed.
Invariant: each draw reserves its range of words under a lock before it computes; a range starts at a multiple of 4.

uniform float32: (word >> 8) * 2^-24. uniform float64: two words (lo, hi): ((hi << 32 | lo) >> 11) * 2^-53.
bernoulli(p): uniform float32 < p (compared in float64; a float64 uniform for float64 p-tensors is not used, so all
dtypes agree).
normal: Box-Muller on pairs of float64 uniforms. randint: (64-bit word) modulo the range.
"""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import numpy as np

from specjit.tensor.devices import device as make_device

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)
ROUNDS = 10


def philox(seed: int, block: int, count: int) -> np.ndarray:
    """uint32 words of `count` consecutive blocks, four per block.

    The counter of a block is (block mod 2^32, block >> 32, 0, 0), the key (seed mod 2^32, seed >> 32).
    """
    index = np.arange(block, block + count, dtype=np.uint64)
    shift = np.uint64(32)
    c0, c1 = index & LOW, index >> shift
    c2 = np.zeros_like(c0)
    c3 = np.zeros_like(c0)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(ROUNDS):
        a, b = c0 * M0, c2 * M1
        c0, c1, c2, c3 = (b >> shift) ^ c1 ^ np.uint64(k0), b & LOW, (a >> shift) ^ c3 ^ np.uint64(k1), a & LOW
        k0, k1 = (k0 + W0) & 0xFFFFFFFF, (k1 + W1) & 0xFFFFFFFF
    out = np.empty((count, 4), np.uint32)
    out[:, 0], out[:, 1], out[:, 2], out[:, 3] = c0, c1, c2, c3
    return out.reshape(-1)


STATE_BYTES = 16
FIRST_SEED = 67280421310721  # of a generator that nobody seeded


class Generator:
    """A stream of random numbers: `seed` picks the stream, `offset` the position in it (in 32-bit words)."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = make_device(device)
        self._lock = threading.Lock()
        self.seed_value = FIRST_SEED
        self.offset = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` from its beginning. Negative seeds count down from 2^64."""
        if not isinstance(seed, int):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise ValueError("Overflow when unpacking long long")
        with self._lock:
            self.seed_value = seed & 0xFFFFFFFFFFFFFFFF
            self.offset = 0
        return self

    def seed(self) -> int:
        """Seed from the system's entropy; returns the seed."""
        value = int.from_bytes(os.urandom(8), "little") >> 11
        self.manual_seed(value)
        return value

    def initial_seed(self) -> int:
        return self.seed_value

    def reserve(self, words: int) -> tuple[int, int]:
        """(seed, offset) of a fresh range of at least `words` 32-bit words."""
        with self._lock:
            start = self.offset
            self.offset = start + -(-words // 4) * 4
            return self.seed_value, start

    def get_state(self) -> Any:
        """Seed and offset as a tensor of 16 bytes."""
        from specjit.tensor.tensor import wrap

        with self._lock:
            return wrap(np.array([self.seed_value, self.offset], np.uint64).view(np.uint8))

    def set_state(self, new_state: Any) -> Generator:
        """Continue where `get_state` was called."""
        data = getattr(new_state, "_data", None)
        if data is None or data.dtype != np.uint8:
            raise TypeError("RNG state must be a tensor of bytes (uint8)")
        if data.shape != (STATE_BYTES,):
            raise RuntimeError(f"Expected an RNG state of {STATE_BYTES} bytes but found {list(data.shape)}")
        seed, offset = (int(v) for v in data.copy().view(np.uint64))
        with self._lock:
            self.seed_value, self.offset = seed, offset
        return self

    def clone_state(self) -> Generator:
        out = Generator()
        out.seed_value, out.offset = self.seed_value, self.offset
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {"seed_value": self.seed_value, "offset": self.offset}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.__dict__.update(state)


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which every draw without `generator=` uses."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    return default_generator.seed()


def initial_seed() -> int:
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    return default_generator.get_state()


def set_rng_state(state: Any) -> None:
    default_generator.set_state(state)


def words(generator: Generator | None, count: int) -> np.ndarray:
    """`count` fresh uint32 words."""
    seed, offset = (generator or default_generator).reserve(count)
    return philox(seed, offset // 4, -(-count // 4))[:count]


def uniform32(generator: Generator | None, count: int) -> np.ndarray:
    """float32 in [0, 1), one word each."""
    return (words(generator, count) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def uniform64(generator: Generator | None, count: int) -> np.ndarray:
    """float64 in [0, 1), two words each."""
    return (words(generator, 2 * count).view("<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(generator: Generator | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uniform in [0, 1) of a floating-point dtype."""
    count = math.prod(shape)
    if dtype == np.float64:
        return uniform64(generator, count).reshape(shape)
    found = uniform32(generator, count)
    if dtype == np.float16:
        # Only 11 bits fit; rounding up could give 1.
        found = np.floor(found * np.float32(2048)) * np.float32(1 / 2048)
    return found.astype(dtype, copy=False).reshape(shape)


def normal(generator: Generator | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Standard normal by Box-Muller: value 2k and 2k+1 come from uniforms 2k and 2k+1."""
    count = math.prod(shape)
    u = uniform64(generator, count + count % 2)
    radius = np.sqrt(-2 * np.log1p(-u[0::2]))
    angle = 2 * math.pi * u[1::2]
    out = np.empty(count + count % 2)
    out[0::2] = radius * np.cos(angle)
    out[1::2] = radius * np.sin(angle)
    return out[:count].astype(dtype).reshape(shape)


def bernoulli(generator: Generator | None, p: Any, shape: tuple[int, ...]) -> np.ndarray:
    """bool: True with probability p (a number or an array)."""
    return uniform32(generator, math.prod(shape)).reshape(shape).astype(np.float64) < np.asarray(p, np.float64)


def integers(generator: Generator | None, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    """int64 in [low, high)."""
    found = words(generator, 2 * math.prod(shape)).view("<u8")
    return (found % np.uint64(high - low)).astype(np.int64).reshape(shape) + low


def permutation(generator: Generator | None, n: int) -> np.ndarray:
    """A random order of 0..n-1: the order that sorts n random words."""
    return np.argsort(words(generator, 2 * n).view("<u8"), kind="stable").astype(np.int64)
