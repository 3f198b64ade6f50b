"""What comes out of every format, decoded again by FFmpeg and libsndfile, is what went in."""

import io
import struct
import warnings
import wave

import numpy as np
import pytest
import soundfile

from tests.audio.signals import NOTHING, RATE, correlation_below, cut, decode, speech
from tts_engine.audio.encoders import FORMATS, encode_all, encoder, wav_header
from tts_engine.errors import RequestError

ENCODER_DELAY = {"mp3": 1_105, "aac": 1_024}
"""Samples that a decoder puts before the first one: LAME 576 + 529, FFmpeg's aac one frame. Ogg and FLAC tell theirs."""
FRAME = {"mp3": 576, "aac": 1_024}
FRAME_SAMPLES = 2_048
ALL = list(FORMATS)
CLIP = speech(2.5, seed=7)[:-37]


def stream(format: str, pieces: list[np.ndarray], rate: int = RATE) -> bytes:
    room = encoder(format, rate)
    fed = [part for piece in pieces for part in room.feed(piece)]
    return b"".join(fed + room.flush())


def decoded(format: str, data: bytes, rate: int = RATE) -> np.ndarray:
    if format == "pcm":
        return np.frombuffer(data, "<i2")
    return decode(data, rate)


def test_formats_have_the_media_types_that_clients_choose_their_decoder_by() -> None:
    assert {name: format.media_type for name, format in FORMATS.items()} == {
        "mp3": "audio/mpeg", "opus": "audio/opus", "aac": "audio/aac",
        "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm",
    }  # fmt: skip
    assert [format.extension for format in FORMATS.values()] == ALL


@pytest.mark.parametrize(("format", "least"), [("mp3", 0.95), ("aac", 0.95), ("opus", 0.90)])
def test_a_lossy_format_decodes_to_the_speech_that_went_in(format: str, least: float) -> None:
    out = decoded(format, stream(format, [CLIP]))
    assert correlation_below(CLIP, out) > least
    assert abs(out.size - ENCODER_DELAY.get(format, 0) - CLIP.size) <= 0.060 * RATE


@pytest.mark.parametrize("format", ["flac", "wav", "pcm"])
def test_a_lossless_format_decodes_to_equal_samples(format: str) -> None:
    data = stream(format, [CLIP])
    assert np.array_equal(decoded(format, data), CLIP)


@pytest.mark.parametrize("whole", ["wav streamed", "wav", "flac"])
def test_libsndfile_reads_the_lossless_formats_equal_too(whole: str) -> None:
    # A streamed flac does not know its length: libsndfile (1.2.2) cannot open one, FFmpeg and browsers can.
    data = stream("wav", [CLIP]) if whole == "wav streamed" else encode_all(whole, RATE, CLIP)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == RATE and np.array_equal(samples, CLIP)


@pytest.mark.parametrize("format", ["mp3", "opus"])
def test_libsndfile_reads_the_lossy_formats_too(format: str) -> None:
    samples, rate = soundfile.read(io.BytesIO(stream(format, [CLIP])), dtype="int16")
    assert abs(samples.size / rate - (CLIP.size + ENCODER_DELAY.get(format, 0)) / RATE) <= 0.060


@pytest.mark.parametrize("format", ALL)
@pytest.mark.parametrize("seconds", [1.0, 1.01, 1.0625])
def test_nothing_is_added_at_the_end_but_the_rest_of_the_last_frame(format: str, seconds: float) -> None:
    pcm = speech(seconds, seed=3)
    out = decoded(format, stream(format, [pcm]))
    beyond = out.size - pcm.size - ENCODER_DELAY.get(format, 0)
    assert 0 <= beyond < FRAME.get(format, 1)


@pytest.mark.parametrize("format", ALL)
def test_any_cutting_of_the_input_gives_the_same_bytes(format: str) -> None:
    whole = stream(format, [CLIP])
    for seed in range(3):
        assert stream(format, cut(CLIP, seed)) == whole
    assert stream(format, cut(CLIP[:700], seed=9, largest=3)) == stream(format, [CLIP[:700]])


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
@pytest.mark.parametrize("format", ALL)
def test_what_has_left_decodes_to_within_0_3_s_of_what_went_in(format: str, rate: int) -> None:
    pcm = speech(2.0, seed=5, rate=rate)
    room, sent, worst = encoder(format, rate), b"", 0.0
    step = round(rate * FRAME_SAMPLES / RATE)
    for number, at in enumerate(range(0, pcm.size - step, step), start=1):
        sent += b"".join(room.feed(pcm[at : at + step]))
        if number % 4 == 0:
            audible = decoded(format, sent, rate).size - ENCODER_DELAY.get(format, 0)
            worst = max(worst, (number * step - audible) / rate)
    # One frame of aac at 8 kHz lasts 128 ms, and FFmpeg's encoder looks one frame ahead.
    assert worst < (0.4 if (format, rate) == ("aac", 8_000) else 0.3)


@pytest.mark.parametrize("format", ALL)
def test_first_bytes_leave_with_the_first_frame_and_sound_with_the_third(format: str) -> None:
    room = encoder(format, RATE)
    first = b"".join(room.feed(CLIP[:FRAME_SAMPLES]))
    assert first
    assert decoded(format, first + b"".join(room.feed(CLIP[FRAME_SAMPLES : 3 * FRAME_SAMPLES]))).size > 0


@pytest.mark.parametrize(
    ("format", "magic"),
    [("mp3", b"\xff\xf3"), ("opus", b"OggS"), ("aac", b"\xff\xf1"), ("flac", b"fLaC"), ("wav", b"RIFF")],
)
def test_a_stream_begins_with_the_magic_bytes_of_its_format(format: str, magic: bytes) -> None:
    assert stream(format, [CLIP]).startswith(magic)


def test_mp3_carries_neither_tags_nor_an_index() -> None:
    data = stream("mp3", [CLIP])
    for word in (b"ID3", b"Xing", b"Info", b"TAG"):
        assert word not in data[:2_000] and word not in data[-200:]


def test_two_mp3_replies_in_one_body_decode_to_both() -> None:
    one, two = speech(1.0, seed=1), speech(0.7, seed=2)
    parts = [stream("mp3", [pcm]) for pcm in (one, two)]
    lengths = [decode(part).size for part in parts]
    assert decode(b"".join(parts)).size == sum(lengths)
    samples, _ = soundfile.read(io.BytesIO(b"".join(parts)))
    assert abs(samples.size - sum(lengths)) <= FRAME["mp3"] * 2
    assert correlation_below(two, decode(b"".join(parts))[lengths[0] :]) > 0.95


def test_a_streamed_wav_opens_from_its_first_2048_bytes() -> None:
    data = stream("wav", [CLIP])
    with wave.open(io.BytesIO(data[:2048])) as opened:
        assert (opened.getframerate(), opened.getsampwidth(), opened.getnchannels()) == (RATE, 2, 1)


def test_a_streamed_wav_has_44_bytes_of_header_and_unknown_sizes() -> None:
    data = stream("wav", [CLIP])
    assert len(data) == 44 + 2 * CLIP.size
    assert struct.unpack("<I", data[4:8]) == struct.unpack("<I", data[40:44]) == (0xFFFFFFFF,)
    assert struct.unpack("<HHIIHH", data[20:36]) == (1, 1, RATE, 2 * RATE, 2, 16)


def test_a_whole_wav_has_its_true_sizes() -> None:
    data = encode_all("wav", RATE, CLIP)
    with wave.open(io.BytesIO(data)) as opened:
        assert opened.getnframes() == CLIP.size
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8


def test_a_wav_longer_than_its_size_field_says_that_its_length_is_unknown() -> None:
    assert wav_header(RATE, 1 << 32) == wav_header(RATE)


def test_a_whole_flac_knows_its_length() -> None:
    data = encode_all("flac", RATE, CLIP)
    assert soundfile.info(io.BytesIO(data)).frames == CLIP.size
    assert np.array_equal(decode(data), CLIP)


@pytest.mark.parametrize("format", [name for name in ALL if name not in ("wav", "flac")])
def test_a_whole_clip_in_any_other_format_is_the_stream(format: str) -> None:
    assert encode_all(format, RATE, CLIP) == stream(format, [CLIP])


@pytest.mark.parametrize("pieces", [[], [NOTHING], [NOTHING, NOTHING]], ids=["no feed", "one empty", "two empty"])
@pytest.mark.parametrize("format", ALL)
def test_no_audio_gives_an_empty_or_a_valid_empty_file(format: str, pieces: list[np.ndarray]) -> None:
    data = stream(format, pieces)
    if format in ("mp3", "aac", "pcm"):
        assert data == b""
    else:
        assert data.startswith({"opus": b"OggS", "flac": b"fLaC", "wav": b"RIFF"}[format])
        assert decoded(format, data).size == 0
    assert encode_all(format, RATE, NOTHING)[:4] == data[:4]


@pytest.mark.parametrize("format", ALL)
def test_one_sample_is_a_file(format: str) -> None:
    assert decoded(format, stream(format, [CLIP[:1]])).size >= 1


RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("format", ALL)
def test_a_sample_rate_is_carried_or_refused(format: str, rate: int) -> None:
    if format == "opus" and rate not in (8_000, 12_000, 16_000, 24_000, 48_000):
        with pytest.raises(RequestError, match=f"{rate}.*8000, 12000, 16000, 24000, 48000") as refusal:
            encoder(format, rate)
        assert refusal.value.param == "sample_rate"
        return
    pcm = speech(0.5, seed=4, rate=rate)
    out = decoded(format, stream(format, [pcm], rate), rate)
    assert correlation_below(pcm, out, cutoff_hz=1_500, rate=rate) > 0.9


@pytest.mark.parametrize(("format", "rate"), [("mp3", 12_345), ("aac", 96_000), ("wav", 7_999), ("pcm", 48_001)])
def test_a_rate_that_no_one_can_carry_is_refused_by_name(format: str, rate: int) -> None:
    with pytest.raises(RequestError, match=str(rate)) as refusal:
        encoder(format, rate)
    assert refusal.value.param == "sample_rate"


def test_a_format_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="'ogg'.*mp3, opus") as refusal:
        encoder("ogg", RATE)
    assert refusal.value.param == "response_format"


@pytest.mark.parametrize("format", ALL)
def test_an_encoder_that_is_left_in_the_middle_goes_quietly(format: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        room = encoder(format, RATE)
        room.feed(CLIP)
        del room
