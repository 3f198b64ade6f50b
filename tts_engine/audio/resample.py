"""int16 mono PCM at one sample rate -> int16 at another, as a stream (soxr, HQ), with no sample of the tail lost."""

from fractions import Fraction

import numpy as np
import soxr

from tts_engine.audio.blocks import Blocks, Pcm

BLOCK_SAMPLES = 512
"""Input at a time: soxr's rounding follows the cuts it gets, so it always gets the same ones."""


class Resampler:
    """Owns soxr's filter: n samples in, exactly round(n * to_rate / from_rate) out once flushed; about 40 ms of lag."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._from_rate = from_rate
        self._to_rate = to_rate
        # float32: for int16 soxr adds dither noise of its own.
        self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
        self._blocks = Blocks(BLOCK_SAMPLES)
        self._fed = 0
        self._made = 0

    def feed(self, pcm: Pcm) -> list[Pcm]:
        """Take int16 [T], T >= 0, at from_rate; return int16 pieces at to_rate."""
        self._fed += pcm.size
        return self._keep([self._resample(block) for block in self._blocks.feed(pcm)])

    def flush(self) -> list[Pcm]:
        """Return the rest: the whole output is then exactly as long as it should be."""
        wanted = round(Fraction(self._fed * self._to_rate, self._from_rate))
        rest = [self._resample(block) for block in self._blocks.flush()]
        rest.append(self._resample(np.zeros(0, np.int16), last=True))
        tail = np.concatenate(rest)[: max(0, wanted - self._made)]
        missing = wanted - self._made - tail.size  # soxr rounds its own way: a sample at most
        return self._keep([np.pad(tail, (0, missing), mode="edge") if tail.size else np.zeros(missing, np.int16)])

    def _resample(self, block: Pcm, *, last: bool = False) -> Pcm:
        out = self._stream.resample_chunk(block.astype(np.float32), last=last)
        pcm: Pcm = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
        return pcm

    def _keep(self, pieces: list[Pcm]) -> list[Pcm]:
        self._made += sum(piece.size for piece in pieces)
        return [piece for piece in pieces if piece.size]
