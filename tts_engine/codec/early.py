"""The first sound after two frames instead of three (ORPHEUS_FIRST_AUDIO=fast): nearly exact for 43 ms, then exact.

The decoder needs 2.3 frames to come before a sample is final. Here the third frame is guessed to be like the second, what
that makes of the first 1,024 samples is given out, and the exact stream takes over in a crossfade. The stream's length is
the same, and every sample from 1,152 on is exact.
"""

import asyncio
import itertools
from collections.abc import Sequence

import numpy as np

from tts_engine.codec.batcher import Batcher, DecodeStream
from tts_engine.codec.decoder import Pcm
from tts_engine.codec.frames import Frame

EARLY_FRAMES = 2
"""Fewer leave nothing to hear: one frame's right context is wrong from its first sample on."""
EARLY_SAMPLES = 1024
"""At least 3,072 samples from the last known one; the error grows towards it."""
FADE_SAMPLES = 128
"""5 ms: a join without a click."""


class EarlyStream:
    """A DecodeStream that gives out its first samples a frame earlier."""

    def __init__(self, batcher: Batcher, stream: DecodeStream, seed: int) -> None:
        """seed: of the stream, so that its noise is the same."""
        self._batcher = batcher
        self._stream = stream
        self._seed = seed
        self._head: list[Frame] = []
        self._guess: Pcm | None = None
        self._position = 0

    async def decode(self, frames: Sequence[Frame], *, last: bool = False) -> Pcm:
        """As DecodeStream.decode."""
        beginning = len(self._head) < EARLY_FRAMES
        self._head += itertools.islice(frames, EARLY_FRAMES + 1 - len(self._head))
        if not beginning or len(self._head) != EARLY_FRAMES or last:
            return self._joined(await self._stream.decode(frames, last=last))
        guessing = self._batcher.open(self._seed).decode([*self._head, self._head[-1]])
        exact, guess = await asyncio.gather(self._stream.decode(frames), guessing)
        if len(exact) or len(guess) < EARLY_SAMPLES + FADE_SAMPLES:
            return self._joined(exact)
        self._guess = guess
        return guess[:EARLY_SAMPLES]

    def _joined(self, exact: Pcm) -> Pcm:
        """The exact samples, without what was given out early, faded in over what was guessed."""
        start, end = self._position, self._position + len(exact)
        self._position = end
        if self._guess is None or start >= EARLY_SAMPLES + FADE_SAMPLES:
            return exact
        place = np.arange(max(start, EARLY_SAMPLES), min(end, EARLY_SAMPLES + FADE_SAMPLES))
        share = (place - EARLY_SAMPLES + 1) / (FADE_SAMPLES + 1)
        out = exact.copy()
        out[place - start] = np.rint(share * exact[place - start] + (1 - share) * self._guess[place])
        return out[max(0, EARLY_SAMPLES - start) :]
