"""int16 mono PCM -> bytes of mp3, opus, aac, flac, wav or pcm, while the speech is being made.

wav and pcm are written by hand, the others by PyAV into a sink that can only be written to: no muxer ever goes back to
mend what has been sent. An encoder adds nothing beyond the padding of its codec's last frame. Bytes depend on the
samples and the rate alone: not on how the input was cut, not on the clock, not on chance.
"""

import io
import struct
from dataclasses import dataclass, field
from typing import Protocol, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from tts_engine.audio.blocks import EMPTY, Blocks, Pcm
from tts_engine.errors import OrpheusError, RequestError

MIN_SAMPLE_RATE = 8_000
MAX_SAMPLE_RATE = 48_000
UNKNOWN_SIZE = 0xFFFFFFFF
"""RIFF and data size of a WAV that is still growing: what OpenAI sends, and what Python's wave, libsndfile, FFmpeg
and Chrome read to the end (0 fails in wave and scipy)."""
WAV_HEADER_BYTES = 44


@dataclass(frozen=True, slots=True)
class Format:
    """One value of `response_format`."""

    name: str
    media_type: str
    """Content-Type; LiveKit picks its decoder from it, Open WebUI transcodes all but audio/mpeg."""
    extension: str
    """File name ending, without the dot."""


FORMATS = {
    name: Format(name, media_type, name)
    for name, media_type in (
        ("mp3", "audio/mpeg"),
        ("opus", "audio/opus"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    )
}


class Encoder(Protocol):
    """PCM in, bytes out; after `flush` an encoder is used up."""

    def feed(self, pcm: Pcm) -> list[bytes]:
        """Take int16 [T], T >= 0, mono; return the bytes that are ready."""

    def flush(self) -> list[bytes]:
        """End the stream; return the rest of its bytes."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    container: str
    codec: str
    sample_format: str
    """The codec's own sample type, so that FFmpeg converts nothing."""
    sample_rates: frozenset[int] | None
    """Rates the format can carry, Hz; None: any."""
    bits_per_sample: int = 0
    """Bit rate over sample rate; 0: the codec has no bit rate."""
    min_bit_rate: int = 0
    max_bit_rate: int = 0
    container_options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, str] = field(default_factory=dict)


_MPEG_RATES = frozenset({8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000})

_RECIPES = {
    # Without Xing and ID3 two replies can be joined into one body, as LibreChat does: with them libsndfile plays only
    # the first. Without the bit reservoir every frame stands alone, and the first one leaves 20 ms earlier.
    "mp3": _Recipe(
        "mp3", "libmp3lame", "s16p", _MPEG_RATES, 4, 64_000, 96_000,
        {"write_xing": "0", "id3v2_version": "0"}, {"reservoir": "0"},
    ),
    # One Ogg page a packet (20 ms): FFmpeg's default gathers a second of audio before it writes a page.
    "opus": _Recipe(
        "ogg", "libopus", "s16", frozenset({8_000, 12_000, 16_000, 24_000, 48_000}), 2, 24_000, 64_000,
        {"page_duration": "20000"},
    ),
    # AAC holds at most 6 bits a sample; above 4 nothing is heard of them in speech.
    "aac": _Recipe("adts", "aac", "fltp", _MPEG_RATES, 4, 32_000, 96_000),
    # FFmpeg would put 8 kB of padding for tags behind the header: bytes that only delay the first audio.
    "flac": _Recipe("flac", "flac", "s16", None, container_options={"metadata_header_padding": "0"}),
}  # fmt: skip

# No vendor names, no random stream numbers: equal samples give equal bytes. Written out packet by packet.
_CONTAINER_OPTIONS = {"flush_packets": "1", "fflags": "+bitexact"}
_CODEC_OPTIONS = {"flags": "+bitexact", "threads": "1"}


def encoder(format: str, sample_rate: int) -> Encoder:  # noqa: A002 - the request's own word
    """Return a fresh encoder for one response. sample_rate: of the PCM and of the stream, Hz, 8000..48000.

    Raises RequestError: param `response_format` for an unknown format, `sample_rate` for a rate it cannot carry.
    """
    check(format, sample_rate)
    if format == "pcm":
        return _Raw(b"")
    if format == "wav":
        return _Raw(wav_header(sample_rate))
    return _AvEncoder(_RECIPES[format], sample_rate, _Sink())


def encode_all(format: str, sample_rate: int, pcm: Pcm) -> bytes:  # noqa: A002
    """Encode a clip, int16 [T] mono: as the stream, but wav and flac say their true length. Raises RequestError."""
    check(format, sample_rate)
    if format == "wav":
        return wav_header(sample_rate, pcm.size * 2) + _pcm_bytes(pcm)
    if format == "pcm":
        return _pcm_bytes(pcm)
    sink = _Memory()
    whole = _AvEncoder(_RECIPES[format], sample_rate, sink)
    whole.feed(pcm)
    whole.flush()
    return sink.getvalue()


def check(format: str, sample_rate: int) -> None:  # noqa: A002
    """Raise RequestError if `encoder` would: a format that does not exist, or a rate that it cannot carry."""
    if format not in FORMATS:
        raise RequestError(
            f"response_format {format!r} does not exist: use one of {', '.join(FORMATS)}.",
            param="response_format",
            code="invalid_value",
        )
    recipe = _RECIPES.get(format)
    rates = recipe.sample_rates if recipe else None
    if rates is not None and sample_rate not in rates:
        allowed = ", ".join(map(str, sorted(rates)))
        _refuse_rate(f"{format} cannot carry a sample_rate of {sample_rate} Hz: use one of {allowed}.")
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        _refuse_rate(f"sample_rate is {sample_rate} Hz: use {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}.")


def carried_rate(format: str, sample_rate: int) -> int:  # noqa: A002
    """`sample_rate` where the format can carry it, else the next higher rate that it can (Opus has no 44,100 Hz)."""
    recipe = _RECIPES.get(format)
    rates = recipe.sample_rates if recipe else None
    if rates is None or sample_rate in rates:
        return sample_rate
    return min((rate for rate in rates if rate > sample_rate), default=max(rates))


def _refuse_rate(message: str) -> None:
    raise RequestError(message, param="sample_rate", code="invalid_value")


def wav_header(sample_rate: int, data_bytes: int | None = None) -> bytes:
    """Return the 44 bytes before 16 bit mono PCM; data_bytes None: length unknown (see UNKNOWN_SIZE).

    By hand because FFmpeg adds a LIST chunk, and players in the field cut exactly 44 bytes off.
    """
    # A clip past 4 GiB (24 hours at 24 kHz) does not fit the field: its length is unknown too.
    known = data_bytes is not None and data_bytes <= UNKNOWN_SIZE - WAV_HEADER_BYTES
    data = data_bytes if known and data_bytes is not None else UNKNOWN_SIZE
    riff = data + WAV_HEADER_BYTES - 8 if known else UNKNOWN_SIZE
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", riff, b"WAVE",
        b"fmt ", 16, 1, 1, sample_rate, sample_rate * 2, 2, 16,
        b"data", data,
    )  # fmt: skip


def _pcm_bytes(pcm: Pcm) -> bytes:
    return pcm.astype("<i2", copy=False).tobytes()


class _Raw:
    """Samples as they are, little-endian, after a header that leaves with the first call."""

    def __init__(self, header: bytes) -> None:
        self._header = header

    def feed(self, pcm: Pcm) -> list[bytes]:
        ready = [piece for piece in (self._header, _pcm_bytes(pcm)) if piece]
        self._header = b""
        return ready

    def flush(self) -> list[bytes]:
        return self.feed(EMPTY)


class _Sink:
    """What a muxer writes to when it must not seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces


class _Memory(io.BytesIO):
    """What a muxer writes to when it may go back: nothing is taken before the end."""

    def take(self) -> list[bytes]:
        return []


class _AvEncoder:
    """One FFmpeg encoder and muxer, fed with frames of the codec's own size. Raises OrpheusError if FFmpeg does."""

    def __init__(self, recipe: _Recipe, sample_rate: int, sink: _Sink | _Memory) -> None:
        self._recipe = recipe
        self._sample_rate = sample_rate
        self._sink = sink
        self._samples = 0
        try:
            self._container = av.open(
                sink, mode="w", format=recipe.container, options=_CONTAINER_OPTIONS | recipe.container_options
            )
            options = _CODEC_OPTIONS | recipe.codec_options
            self._stream = cast(
                AudioStream, self._container.add_stream(recipe.codec, rate=sample_rate, options=options)
            )
            context = self._stream.codec_context
            context.layout = "mono"
            context.format = recipe.sample_format
            if recipe.bits_per_sample:
                wanted = recipe.bits_per_sample * sample_rate
                context.bit_rate = min(max(wanted, recipe.min_bit_rate), recipe.max_bit_rate)
            self._container.start_encoding()  # opens the codec: frame_size is known, headers are in the sink
        except av.FFmpegError as exc:
            raise self._error(exc) from exc
        self._blocks = Blocks(context.frame_size)

    def feed(self, pcm: Pcm) -> list[bytes]:
        self._encode(self._blocks.feed(pcm))
        return self._sink.take()

    def flush(self) -> list[bytes]:
        self._encode(self._blocks.flush())
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()  # Ogg's last page appears here
        except av.FFmpegError as exc:
            raise self._error(exc) from exc
        return self._sink.take()

    def _encode(self, blocks: list[Pcm]) -> None:
        try:
            for block in blocks:
                self._container.mux(self._stream.encode(self._frame(block)))
        except av.FFmpegError as exc:
            raise self._error(exc) from exc

    def _frame(self, block: Pcm) -> av.AudioFrame:
        samples: NDArray[np.int16] | NDArray[np.float32] = block
        if self._recipe.sample_format == "fltp":
            samples = block.astype(np.float32) / np.float32(32768)
        frame = av.AudioFrame.from_ndarray(samples[None], format=self._recipe.sample_format, layout="mono")
        frame.sample_rate = self._sample_rate
        frame.pts = self._samples
        self._samples += block.size
        return frame

    def _error(self, exc: av.FFmpegError) -> OrpheusError:
        return OrpheusError(f"FFmpeg could not encode {self._recipe.codec} at {self._sample_rate} Hz: {exc}.")
