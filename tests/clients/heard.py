"""What a listener has of a response, also while it is still coming."""

import io
import threading
from collections.abc import Iterable

import av
import httpx
import numpy as np
import soxr

from tests.audio.signals import NOTHING, RATE, Pcm, correlation_below

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
MEDIA_TYPES = {"mp3": "audio/mpeg", **{name: f"audio/{name}" for name in FORMATS[1:]}}
ENCODER_DELAY = {"mp3": 1_105, "aac": 1_024}
"""Samples that a decoder puts before the first one: LAME 576 + 529, FFmpeg's aac one frame. Ogg and FLAC tell theirs."""
CODEC_FRAME = {"mp3": 576, "aac": 1_024, "opus": 480, "flac": 2_304}
"""Samples at 24 kHz that come and go together."""


def samples(format: str, data: bytes, rate: int = RATE) -> Pcm:
    """All of a response, or what can be decoded of its beginning, int16 at `rate`, the encoder's delay taken off."""
    if format == "pcm":
        return np.frombuffer(data[: len(data) // 2 * 2], "<i2")
    wave, file_rate = _decode(data)
    wave = wave[ENCODER_DELAY.get(format, 0) :]
    return wave if file_rate == rate or not wave.size else soxr.resample(wave, file_rate, rate)


def likeness(a: Pcm, b: Pcm, rate: int = RATE) -> float:
    """Correlation of the two from 50 Hz to 2 kHz, at the delay where it is highest.

    Opus takes off what is below 50 Hz, as it should; the tests' little SNAC has a third of its low band there.
    """
    return correlation_below(_audible(a, rate), _audible(b, rate), rate=rate)


def _audible(pcm: Pcm, rate: int) -> Pcm:
    spectrum = np.fft.rfft(pcm)
    spectrum[np.fft.rfftfreq(pcm.size, 1 / rate) < 50] = 0
    return np.rint(np.fft.irfft(spectrum, pcm.size)).astype(np.int32)  # type: ignore[return-value]


def file_rate(data: bytes) -> int:
    """The sample rate that a file says it has, Hz."""
    with av.open(io.BytesIO(data)) as container:
        return int(container.streams.audio[0].codec_context.sample_rate)


def _decode(data: bytes) -> tuple[Pcm, int]:
    pieces, rate = [NOTHING], 0
    try:
        with av.open(io.BytesIO(data)) as container:
            for frame in container.decode(container.streams.audio[0]):
                wave = frame.to_ndarray()[0]
                if wave.dtype == np.float32:
                    wave = np.clip(np.rint(wave * 32768), -32768, 32767)
                pieces.append(wave.astype(np.int16))
                rate = frame.sample_rate
    except (av.InvalidDataError, av.EOFError):
        pass  # the last packet is not whole yet
    return np.concatenate(pieces), rate


class Listener(threading.Thread):
    """Reads a response in a thread of its own, as it comes. `wait_for` samples, then look at `data`."""

    def __init__(self, url: str, body: dict[str, object]) -> None:
        super().__init__(name=f"listener-{body.get('response_format')}")
        self.data = b""
        self.error: Exception | None = None
        self._url, self._body = url, body
        self._format = str(body["response_format"])
        self._changed = threading.Condition()
        self._over = False

    def run(self) -> None:
        try:
            with httpx.stream("POST", self._url, json=self._body, timeout=30, trust_env=False) as answer:
                answer.raise_for_status()
                self._collect(answer.iter_raw())
        except httpx.HTTPError as exc:
            self.error = exc
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _collect(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            with self._changed:
                self.data += piece
                self._changed.notify_all()

    def heard(self) -> int:
        """Samples that can be decoded by now."""
        return len(samples(self._format, self.data))

    def wait_for(self, at_least: int, timeout_s: float) -> int:
        """Wait until so many samples can be decoded. Returns how many can be, fewer where time ran out."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self.heard() >= at_least, timeout_s)
            return self.heard()
