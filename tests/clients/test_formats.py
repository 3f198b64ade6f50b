"""Every format, decoded again, against the pcm of the same seed: with the real llama.cpp server behind it all."""

import io
import struct
import wave

import httpx
import numpy as np
import pytest
import soundfile
import soxr

from tests.audio.signals import RATE, Pcm
from tests.clients.heard import CODEC_FRAME, FORMATS, MEDIA_TYPES, file_rate, likeness, samples
from tests.support.app_server import AppServer

TEXT = "The quick brown fox jumps over the lazy dog."
MAGIC = {"mp3": (b"\xff\xf3", b"\xff\xfb"), "opus": b"OggS", "aac": b"\xff\xf1", "flac": b"fLaC", "wav": b"RIFF"}
LEAST_CORRELATION = {"mp3": 0.95, "aac": 0.95, "opus": 0.90}


def speak(http: httpx.Client, format: str, **more: object) -> bytes:
    body = {"input": TEXT, "voice": "tara", "seed": 11, "response_format": format, **more}
    answer = http.post("/v1/audio/speech", json=body, headers={"Accept-Encoding": "gzip, deflate, br"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPES[format]
    assert "content-encoding" not in answer.headers
    return answer.content


@pytest.fixture(scope="module")
def pcm(real_server: AppServer) -> Pcm:
    """What every format must sound like."""
    with httpx.Client(base_url=real_server.url, timeout=60, trust_env=False) as http:
        return samples("pcm", speak(http, "pcm"))


def test_a_seed_repeats_the_audio_bit_for_bit(real: httpx.Client, pcm: Pcm) -> None:
    again = speak(real, "pcm")
    assert len(again) % 2 == 0
    assert np.array_equal(samples("pcm", again), pcm)
    assert not np.array_equal(samples("pcm", speak(real, "pcm", seed=12)), pcm)


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "pcm"])
def test_a_format_decodes_to_the_pcm_of_the_same_seed(real: httpx.Client, pcm: Pcm, format: str) -> None:
    data = speak(real, format)
    heard = samples(format, data)
    assert data.startswith(MAGIC[format])
    assert file_rate(data) == (48_000 if format == "opus" else RATE)
    if format in LEAST_CORRELATION:
        assert likeness(pcm, heard) > LEAST_CORRELATION[format]
        # Nothing at the end but the rest of the codec's last frame: no silence.
        assert 0 <= heard.size - pcm.size < CODEC_FRAME[format]
    else:
        assert np.array_equal(heard, pcm)


def test_opus_begins_with_its_head(real: httpx.Client) -> None:
    assert b"OpusHead" in speak(real, "opus")[:64]


def test_mp3_carries_neither_tags_nor_index_and_two_replies_join(real: httpx.Client, pcm: Pcm) -> None:
    one, two = speak(real, "mp3"), speak(real, "mp3", seed=12)
    for word in (b"ID3", b"Xing", b"Info", b"LAME"):
        assert word not in one[:2000]
    alone = [soundfile.read(io.BytesIO(data))[0].size for data in (one, two)]
    together = soundfile.read(io.BytesIO(one + two))[0]
    assert abs(together.size - sum(alone)) <= 2 * CODEC_FRAME["mp3"]
    assert samples("mp3", one + two).size == samples("mp3", one).size + samples("mp3", two).size + 1_105
    for place, seed in ((samples("mp3", one + two), 11), (samples("mp3", one + two)[samples("mp3", one).size :], 12)):
        said = samples("pcm", speak(real, "pcm", seed=seed))
        assert likeness(said, place[: said.size + 2_400]) > 0.95


def test_wav_opens_in_libsndfile_and_wave(real: httpx.Client, pcm: Pcm) -> None:
    data = speak(real, "wav")
    assert struct.unpack("<HHIIHH", data[20:36]) == (1, 1, RATE, 2 * RATE, 2, 16)
    assert np.array_equal(soundfile.read(io.BytesIO(data), dtype="int16")[0], pcm)
    with wave.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.frombuffer(opened.readframes(1 << 30), "<i2"), pcm)


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.85, 2.0, 4.0])
@pytest.mark.parametrize("format", ["pcm", "mp3"])
def test_speed_changes_the_length_and_keeps_the_pitch(real: httpx.Client, pcm: Pcm, format: str, speed: float) -> None:
    heard = samples(format, speak(real, format, speed=speed))
    wanted = pcm.size / speed
    assert abs(heard.size - wanted) <= 0.01 * wanted + CODEC_FRAME.get(format, 0)
    kept, as_a_record_would = _spectrum(pcm), _spectrum(soxr.resample(pcm, RATE, RATE / speed))
    assert _alike(_spectrum(heard), kept) > 0.95
    assert _alike(_spectrum(heard), kept) > _alike(_spectrum(heard), as_a_record_would)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("format", FORMATS)
def test_another_sample_rate_is_the_same_sound(real: httpx.Client, pcm: Pcm, format: str, rate: int) -> None:
    data = speak(real, format, sample_rate=rate)
    heard = samples(format, data, rate)
    if format != "pcm":
        assert file_rate(data) == (48_000 if format == "opus" else rate)
    frame = CODEC_FRAME.get(format, 1) if format in ("mp3", "aac", "opus") else 1
    assert abs(heard.size - pcm.size * rate / RATE) <= max(0.06 * rate, 2 * frame)
    expected = soxr.resample(pcm, RATE, rate)
    assert likeness(expected, heard, rate) > LEAST_CORRELATION.get(format, 0.99)


def test_a_rate_that_a_format_cannot_carry_is_refused(real: httpx.Client) -> None:
    answer = real.post("/v1/audio/speech", json={"input": TEXT, "response_format": "opus", "sample_rate": 22_050})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "sample_rate")


def _spectrum(pcm: Pcm) -> np.ndarray:
    """Mean magnitude in 100 Hz bands up to 6 kHz, in dB."""
    window = 2_048
    rows = pcm[: pcm.size // window * window].reshape(-1, window).astype(float) * np.hanning(window)
    power = (np.abs(np.fft.rfft(rows)) ** 2).mean(axis=0)[:512]
    return np.asarray(10 * np.log10(power.reshape(-1, 8).mean(axis=1) + 1))


def _alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])
