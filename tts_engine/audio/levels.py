"""How loud speech is, and how far one segment may be brought to the loudness of those before it."""

import math

import numpy as np

from tts_engine.audio.blocks import Blocks, Pcm

SPEECH_PEAK = 328
"""A sample of this magnitude or more is speech: -40 dBFS, 1 % of full scale. Room tone with this peak is near -52 dBFS
RMS; the weakest consonants of normal speech peak well above it."""

TOLERANCE_DB = 3.0
"""A difference up to this is how people speak: 0.4 s of one speaker vary by as much. It is left alone."""
MAX_GAIN_DB = 3.0
"""More than this is an intention (a whisper, a shout), not a drift."""
MIN_EVIDENCE_S = 0.1
"""With less speech than this to judge by, nothing is changed."""


class Loudness:
    """Mean energy of the speech in a stream: blocks of 10 ms in which nothing reaches SPEECH_PEAK do not count.

    Sums are whole numbers, so that the answer is the same however the stream is cut.
    """

    def __init__(self, sample_rate: int) -> None:
        self._blocks = Blocks(sample_rate // 100)
        self.energy = 0
        """Sum of the squares of all counted samples."""
        self.samples = 0
        """How many were counted."""

    def feed(self, pcm: Pcm) -> None:
        """Take int16 [T], T >= 0."""
        for block in self._blocks.feed(pcm):
            wide = block.astype(np.int64)
            if np.abs(wide).max() >= SPEECH_PEAK:
                self.energy += int(wide @ wide)
                self.samples += block.size


class Leveler:
    """Owns the loudness of the segments joined so far; the first segment is the measure and is never changed."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._energy = 0.0
        self._samples = 0

    def add(self, spoken: Loudness, gain: float) -> None:
        """Count a finished segment, as loud as it went out."""
        self._energy += spoken.energy * gain**2
        self._samples += spoken.samples

    def gain(self, opening: Pcm) -> float:
        """Return the factor for a segment, judged by its opening, int16 [T]: 0.71..1.41, mostly exactly 1."""
        heard = Loudness(self._sample_rate)
        heard.feed(opening)
        if not self._samples or heard.samples < MIN_EVIDENCE_S * self._sample_rate:
            return 1.0
        difference_db = 10 * math.log10((self._energy / self._samples) / (heard.energy / heard.samples))
        excess_db = min(max(abs(difference_db) - TOLERANCE_DB, 0.0), MAX_GAIN_DB)
        return 10 ** (math.copysign(excess_db, difference_db) / 20)
