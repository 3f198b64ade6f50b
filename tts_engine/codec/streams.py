"""The state of one stream, and the checks of a call, that every decoder shares."""

from collections.abc import Sequence
from typing import Any

from tts_engine.codec.decoder import CODEBOOK_SIZE, CODES_A_FRAME, Pcm, Work
from tts_engine.errors import CodecError


class Stream:
    """One stream: how far it was fed and given out. A DecoderStream; `state` is its decoder's own."""

    __slots__ = ("ended", "frames", "owner", "samples", "state")

    def __init__(self, owner: object, state: Any) -> None:
        self.owner = owner
        self.state = state
        self.frames = 0
        self.samples = 0
        self.ended = False

    def take(self, item: Work) -> None:
        """Count the frames of a Work, and note the end."""
        self.frames += len(item.frames)
        self.ended = item.last

    def give(self, pcm: Pcm) -> Pcm:
        """Count samples that go out. After the last the state is let go."""
        self.samples += len(pcm)
        if self.ended:
            self.state = None
        return pcm


def check_work(work: Sequence[Work], decoder: object) -> list[Stream]:
    """Check a call before anything of it is decoded. Returns its streams. Raises CodecError."""
    streams = [_check_item(item, decoder) for item in work]
    if len({id(stream) for stream in streams}) != len(streams):
        raise CodecError("A stream appears twice in one decode; join its frames into one Work.")
    return streams


def _check_item(item: Work, decoder: object) -> Stream:
    stream, frames = item.stream, item.frames
    if not isinstance(stream, Stream) or stream.owner is not decoder:
        raise CodecError("A decode was given a stream that another decoder opened.")
    if stream.ended:
        raise CodecError(f"Frames came after the end of their stream of {stream.frames} frames.")
    if frames.ndim != 2 or frames.shape[1] != CODES_A_FRAME or frames.dtype.kind != "i":
        raise CodecError(f"Frames must be int32 [K, {CODES_A_FRAME}]; these are {frames.dtype} {list(frames.shape)}.")
    if frames.size and (frames.min() < 0 or frames.max() >= CODEBOOK_SIZE):
        raise CodecError(f"A code is outside 0..{CODEBOOK_SIZE - 1}: {frames.min()}..{frames.max()} were given.")
    return stream
