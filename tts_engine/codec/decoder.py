"""What every SNAC decoder offers: frames of codes in, final PCM out, many streams in one call.

Enters: whole frames, 7 codes each, in the token stream's slot order. Leaves: the samples that no later frame can
change, int16 mono. Never: a token, a text, a lock or an event loop; gathering work is the batcher's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
"""Codes of one stream, int32 [frames, 7], 0..4095, slots 0..6."""

Pcm = NDArray[np.int16]
"""Samples of one stream, int16 [T], mono."""

CODES_A_FRAME = 7
CODEBOOK_SIZE = 4096


class DecoderStream(Protocol):
    """One stream's place in its audio. Only the decoder that opened it reads it; dropping it frees it."""

    @property
    def frames(self) -> int:
        """Frames taken so far."""

    @property
    def samples(self) -> int:
        """Samples given out so far."""

    @property
    def ended(self) -> bool:
        """True once a Work with `last` was decoded."""


@dataclass(slots=True)
class Work:
    """The next frames of one stream. A stream appears at most once in one call, and never in two calls at a time."""

    stream: DecoderStream
    """From `open` of the same decoder."""
    frames: Codes
    """int32 [K, 7], any K from 0 up; they follow the frames of the stream's previous Work."""
    last: bool
    """True when the stream ends after these frames."""


class Decoder(Protocol):
    """Decode streams of frames so that each stream's samples equal SNAC.decode of its whole sequence."""

    name: str
    """openvino, torch or window."""
    device: str
    """cpu, cuda or mps."""
    sample_rate: int
    """Hz, from the SNAC config."""
    frame_size: int
    """Samples a frame: 2048 for the 24 kHz model."""

    def open(self, seed: int) -> DecoderStream:
        """Begin a stream. seed: any int; it fixes the noise, so that a seeded stream repeats bit for bit."""

    def decode(self, work: Sequence[Work]) -> list[Pcm]:
        """Decode the next frames of some streams. Returns, in the order of `work`, the samples that became final.

        The samples of a stream add up to frame_size x its frames, all of them given out by its last Work. Threads may
        call it at the same time with different streams. Raises CodecError: wrong shape, a code out of range, or frames
        after the last; nothing is decoded then.
        """

    def warm_up(self) -> None:
        """Compile and run once whatever the first request would otherwise wait for."""
