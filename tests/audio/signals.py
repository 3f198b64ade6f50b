"""Signals like speech, cut at random, decoded and compared."""

import io
from collections.abc import Iterable

import av
import numpy as np
import soxr
from numpy.typing import NDArray

RATE = 24_000
Pcm = NDArray[np.int16]
NOTHING: Pcm = np.zeros(0, np.int16)


def speech(seconds: float, seed: int, rate: int = RATE, peak: int = 14_000) -> Pcm:
    """Syllables (voiced with gliding pitch, or hissed) and pauses over a quiet room. int16 [seconds * rate]."""
    rng = np.random.default_rng(seed)
    total = round(seconds * rate)
    out = rng.standard_normal(total) * 10
    at = round(0.03 * rate)
    while at < total:
        length = round(rng.uniform(0.1, 0.3) * rate)
        syllable = _hiss(rng, length, rate) if rng.random() < 0.2 else _voiced(rng, length, rate)
        end = min(total, at + length)
        out[at:end] += (syllable * np.hanning(length) * peak)[: end - at]
        at += length + round((rng.uniform(0.2, 0.5) if rng.random() < 0.2 else rng.uniform(0, 0.04)) * rate)
    return np.clip(np.rint(out), -32768, 32767).astype(np.int16)


def _voiced(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.float64]:
    pitch_hz = np.linspace(*rng.uniform(90, 240, 2), length)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate
    wave = sum(np.sin(k * phase + k) * rng.uniform(0.3, 1) / k for k in range(1, 14))
    return np.asarray(wave / np.abs(wave).max())


def _hiss(rng: np.random.Generator, length: int, rate: int) -> NDArray[np.float64]:
    return np.diff(rng.standard_normal(length + 1)) * 0.08


def voiced(seconds: float, hz: float = 180.0, peak: int = 10_000) -> Pcm:
    """Speech without any silence, loud to both edges. int16 [seconds * RATE]."""
    t = np.arange(round(seconds * RATE)) / RATE
    wave = np.sin(2 * np.pi * hz * t + 1.1) + 0.4 * np.sin(4 * np.pi * hz * t + 0.3)
    return (wave / 1.4 * peak).astype(np.int16)


def room(seconds: float, seed: int = 0, peak: int = 40) -> Pcm:
    """Silence as rooms have it. int16 [seconds * RATE]."""
    return np.random.default_rng(seed).integers(-peak, peak + 1, round(seconds * RATE)).astype(np.int16)


def cut(pcm: Pcm, seed: int, largest: int = 6_000) -> list[Pcm]:
    """The same samples in pieces of random length, some of them empty."""
    rng = np.random.default_rng(seed)
    pieces, at = [NOTHING], 0
    while at < pcm.size:
        size = int(rng.choice([0, 1, int(rng.integers(2, largest))], p=[0.1, 0.1, 0.8]))
        pieces.append(pcm[at : at + size])
        at += size
    return pieces


def joined(pieces: Iterable[Pcm]) -> Pcm:
    return np.concatenate([NOTHING, *pieces])


def decode(data: bytes, rate: int = RATE, *, format: str | None = None) -> Pcm:
    """What FFmpeg makes of a file, mono, brought to `rate`; a file cut short gives what can be decoded of it."""
    try:
        with av.open(io.BytesIO(data), format=format) as container:
            stream = container.streams.audio[0]
            frames = [frame.to_ndarray() for frame in container.decode(stream)]
            file_rate = stream.codec_context.sample_rate
    except (av.InvalidDataError, av.EOFError):
        return NOTHING
    if not frames:
        return NOTHING
    wave = np.concatenate(frames, axis=1)[0]
    if wave.dtype == np.float32:
        wave = np.clip(np.rint(wave * 32768), -32768, 32767)
    return wave.astype(np.int16) if file_rate == rate else soxr.resample(wave.astype(np.int16), file_rate, rate)


def correlation_below(a: Pcm, b: Pcm, cutoff_hz: float = 2_000, rate: int = RATE) -> float:
    """The correlation of the two below the cutoff, at the delay where it is highest (up to 0.2 s)."""
    size = 1 << (a.size + b.size).bit_length()
    kept = np.fft.rfftfreq(size, 1 / rate) < cutoff_hz
    spectra = [np.fft.rfft(x.astype(np.float64), size) * kept for x in (a, b)]
    cross = np.fft.irfft(spectra[0] * np.conj(spectra[1]), size)
    longest = round(0.2 * rate)
    best = max(cross[:longest].max(), cross[-longest:].max())
    energies = [np.sum(np.fft.irfft(s, size) ** 2) for s in spectra]
    return float(best / np.sqrt(energies[0] * energies[1]))
