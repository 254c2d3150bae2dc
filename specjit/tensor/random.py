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
from typing import Any

import numpy as np

from specjit import locks
from specjit.tensor import state as recording
from specjit.tensor.devices import device as make_device

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)
ROUNDS = 10
STATE_BYTES = 16
FIRST_SEED = 67280421310721  # of a generator that nobody seeded
SEEDED = ("a random generator is seeded, which a trace does not repeat", "seed it before the call")


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


def _signed(seed: int) -> int:
    return seed - (1 << 64) if seed >> 63 else seed


class Held:
    """A generator held for a draw of unknown size: blocks from `first` on under the key `seed` are free; `take_up_to`
    says which were used."""

    __slots__ = ("first", "generator", "seed")

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def __enter__(self) -> Held:
        self.generator._lock.acquire()
        self.seed, self.first = _signed(self.generator.seed_value), self.generator.offset // 4
        return self

    def __exit__(self, *exc: object) -> None:
        self.generator._lock.release()

    def take_up_to(self, block: int) -> None:
        """The blocks before `block` are drawn."""
        self.generator.offset += 4 * (block - self.first)


class Generator:
    """A stream of random numbers: `seed` picks the stream, `offset` the position in it (in 32-bit words)."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = make_device(device)
        self._lock = locks.lock()
        self.seed_value = FIRST_SEED
        self.offset = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` from its beginning. Negative seeds count down from 2^64."""
        if not isinstance(seed, int):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise ValueError("Overflow when unpacking long long")
        recording.refuse(*SEEDED)
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

    def reserve_blocks(self, count: int) -> tuple[int, int]:
        """The seed, as native code takes it (a signed 64-bit integer), and the first of `count` fresh blocks of four
        words."""
        seed, start = self.reserve(4 * count)
        return _signed(seed), start // 4

    def give_back(self, seed: int, first: int, count: int) -> None:
        """Undo `reserve_blocks` if nothing was drawn since."""
        with self._lock:
            if _signed(self.seed_value) == seed and self.offset // 4 == first + count:
                self.offset -= 4 * count

    def held(self) -> Held:
        """`with generator.held() as run:` nobody else draws meanwhile; see `Held`."""
        return Held(self)

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
        recording.refuse(*SEEDED)
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
    """Seed the default generator from the system's entropy; the new seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The state of the default generator, for `set_rng_state`."""
    return default_generator.get_state()


def set_rng_state(state: Any) -> None:
    """Continue the stream at which `get_rng_state` was called."""
    default_generator.set_state(state)


def blocks_of(count: int, dtype: np.dtype) -> int:
    """How many blocks of four words `count` uniform numbers take."""
    return -(-count // 2) if dtype == np.float64 else -(-count // 4)


def words(generator: Generator | None, count: int) -> np.ndarray:
    """`count` fresh uint32 words."""
    seed, offset = (generator or default_generator).reserve(count)
    return philox(seed, offset // 4, -(-count // 4))[:count]


def uniform(generator: Generator | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uniform in [0, 1) of a floating-point dtype."""
    seed, offset = (generator or default_generator).reserve(4 * blocks_of(math.prod(shape), dtype))
    return uniform_at(seed, offset // 4, shape, dtype)


def uniform_at(seed: int, block: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uniform in [0, 1) from this block on: float32 of one word each, float64 of two."""
    count = math.prod(shape)
    found = philox(seed, block, blocks_of(count, dtype))
    if dtype == np.float64:
        return ((found.view("<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53)[:count].reshape(shape)
    numbers = (found[:count] >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    if dtype == np.float16:
        # Only 11 bits fit; rounding up could give 1.
        numbers = np.floor(numbers * np.float32(2048)) * np.float32(1 / 2048)
    return numbers.astype(dtype, copy=False).reshape(shape)


def normal(generator: Generator | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Standard normal by Box-Muller: value 2k and 2k+1 come from uniforms 2k and 2k+1."""
    count = math.prod(shape)
    u = uniform(generator, (count + count % 2,), np.dtype(np.float64))
    radius = np.sqrt(-2 * np.log1p(-u[0::2]))
    angle = 2 * math.pi * u[1::2]
    out = np.empty(count + count % 2)
    out[0::2] = radius * np.cos(angle)
    out[1::2] = radius * np.sin(angle)
    return out[:count].astype(dtype).reshape(shape)


def bernoulli(generator: Generator | None, p: Any, shape: tuple[int, ...]) -> np.ndarray:
    """bool: True with probability p (a number or an array)."""
    return uniform(generator, shape, np.dtype(np.float32)).astype(np.float64) < np.asarray(p, np.float64)


def integers(generator: Generator | None, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    """int64 in [low, high)."""
    found = words(generator, 2 * math.prod(shape)).view("<u8")
    return (found % np.uint64(high - low)).astype(np.int64).reshape(shape) + low


def permutation(generator: Generator | None, n: int) -> np.ndarray:
    """A random order of 0..n-1: the order that sorts n random words."""
    return np.argsort(words(generator, 2 * n).view("<u8"), kind="stable").astype(np.int64)
