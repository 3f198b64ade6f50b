"""int16 PCM in pieces of any size -> blocks of one size; nothing is changed, nothing is lost.

Filters and encoders answer differently to differently cut input (other rounding, other frame ends); behind this door
they always see the same cuts, so their output depends on the samples alone.
"""

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
EMPTY: Pcm = np.zeros(0, np.int16)


class Blocks:
    """Owns the samples that do not fill a block yet."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: list[Pcm] = []
        self._held_samples = 0

    def feed(self, pcm: Pcm) -> list[Pcm]:
        """Take int16 [T], T >= 0; return the blocks int16 [size] that are now full."""
        if not pcm.size:
            return []
        # A copy: the caller may write over its buffer, and short views would keep long buffers alive.
        self._held.append(pcm.copy())
        self._held_samples += pcm.size
        if self._held_samples < self._size:
            return []
        joined = np.concatenate(self._held)
        whole = joined.size // self._size * self._size
        self._held, self._held_samples = [joined[whole:]], joined.size - whole
        return [joined[i : i + self._size] for i in range(0, whole, self._size)]

    def flush(self) -> list[Pcm]:
        """Return what is left: one block shorter than the size, or nothing."""
        rest = np.concatenate(self._held) if self._held_samples else EMPTY
        self._held, self._held_samples = [], 0
        return [rest] if rest.size else []
