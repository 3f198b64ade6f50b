"""int16 PCM as the codec makes it -> the bytes of one response: speed, then sample rate, then format."""

from tts_engine.audio.blocks import Pcm
from tts_engine.audio.encoders import encoder
from tts_engine.audio.resample import Resampler
from tts_engine.audio.speed import Speed

CODEC_SAMPLE_RATE = 24_000


class AudioPipeline:
    """Owns the rooms that one response needs, and only those: none at speed 1.0, none at the codec's own rate.

    Raises RequestError for a format, sample rate (Hz) or speed that cannot be served: before any audio is made.
    """

    def __init__(
        self,
        format: str,  # noqa: A002 - the request's own word
        sample_rate: int = CODEC_SAMPLE_RATE,
        speed: float = 1.0,
        source_rate: int = CODEC_SAMPLE_RATE,
    ) -> None:
        self._encoder = encoder(format, sample_rate)
        self._rooms: list[Speed | Resampler] = []
        if speed != 1.0:
            self._rooms.append(Speed(speed, source_rate))
        if sample_rate != source_rate:
            self._rooms.append(Resampler(source_rate, sample_rate))

    def feed(self, pcm: Pcm) -> bytes:
        """Take int16 [T], T >= 0, mono, at source_rate; return the encoded bytes that are ready, maybe none."""
        return b"".join(self._through([pcm], end=False))

    def flush(self) -> bytes:
        """End the response; return its last bytes."""
        return b"".join(self._through([], end=True))

    def _through(self, pieces: list[Pcm], *, end: bool) -> list[bytes]:
        for room in self._rooms:
            out = [made for piece in pieces for made in room.feed(piece)]
            pieces = out + room.flush() if end else out
        encoded = [part for piece in pieces for part in self._encoder.feed(piece)]
        return encoded + self._encoder.flush() if end else encoded
