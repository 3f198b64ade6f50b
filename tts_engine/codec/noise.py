"""Noise as a function of place: what SNAC's NoiseBlock draws afresh on every call, fixed by seed, level and position.

A position is counted from the start of the stream at the level's own rate. So overlapping windows, steps of any size
and the decode of the whole sequence meet the same numbers, and a seeded request repeats.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

PERIOD = 1 << 19
"""Numbers in the table, a power of two. The fastest level takes one a sample: 21.8 s at 24 kHz before one returns."""

_TABLE_SEED = 24_000


class Noise:
    """One table of normal numbers, shared by all streams; each (seed, level) begins at its own place in it."""

    def __init__(self, *, silent: bool = False) -> None:
        """silent: zeros instead, for comparisons with a decode whose noise is silenced."""
        normal = np.random.default_rng(_TABLE_SEED).standard_normal(PERIOD, np.float32)
        self.table: NDArray[np.float32] = np.zeros_like(normal) if silent else normal

    def offsets(self, seed: int, levels: int) -> list[int]:
        """Where each level's noise begins in the table: 0..PERIOD-1."""
        digests = [hashlib.blake2b(f"{seed}/{level}".encode(), digest_size=8).digest() for level in range(levels)]
        return [int.from_bytes(digest, "little") % PERIOD for digest in digests]

    def run(self, place: int, count: int) -> NDArray[np.float32]:
        """The noise from offset + position on. count: 0..PERIOD. Positions below 0 only pad, but are defined too."""
        begin = place & (PERIOD - 1)
        end = begin + count
        if end <= PERIOD:
            return self.table[begin:end]
        return np.concatenate([self.table[begin:], self.table[: end - PERIOD]])
