import numpy as np
import pytest

from tests.audio.signals import RATE, correlation_below, cut, decode, speech
from tts_engine.audio.encoders import FORMATS, encode_all
from tts_engine.audio.pipeline import AudioPipeline
from tts_engine.errors import RequestError

CLIP = speech(2.0, seed=21)


def through(pipeline: AudioPipeline, pieces: list[np.ndarray]) -> bytes:
    return b"".join(pipeline.feed(piece) for piece in pieces) + pipeline.flush()


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
@pytest.mark.parametrize("speed", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("format", list(FORMATS))
def test_the_duration_is_that_of_the_speech_at_that_speed_in_every_format(format: str, speed: float, rate: int) -> None:
    data = through(AudioPipeline(format, rate, speed), [CLIP])
    out = np.frombuffer(data, "<i2") if format == "pcm" else decode(data, rate)
    delay = {"mp3": 1_105, "aac": 1_024}.get(format, 0)
    assert abs((out.size - delay) / rate - CLIP.size / RATE / speed) < 0.060 + 0.5 / rate


def test_at_speed_one_and_the_codecs_rate_the_pcm_is_the_decode_itself() -> None:
    assert through(AudioPipeline("pcm"), cut(CLIP, 1)) == CLIP.astype("<i2").tobytes()
    assert through(AudioPipeline("flac"), cut(CLIP, 1))[100:] == through(AudioPipeline("flac"), [CLIP])[100:]


def test_another_rate_is_resampled_and_not_relabelled() -> None:
    out = decode(through(AudioPipeline("wav", 48_000), [CLIP]), RATE)
    assert abs(out.size - CLIP.size) <= 1
    assert correlation_below(CLIP, out) > 0.999


@pytest.mark.parametrize(("rate", "speed"), [(24_000, 1.0), (48_000, 1.0), (16_000, 1.3), (24_000, 0.25)])
@pytest.mark.parametrize("format", list(FORMATS))
def test_any_cutting_of_the_input_gives_the_same_bytes(format: str, rate: int, speed: float) -> None:
    pcm = CLIP[: RATE // 2]
    assert through(AudioPipeline(format, rate, speed), cut(pcm, 5)) == through(
        AudioPipeline(format, rate, speed), [pcm]
    )


@pytest.mark.parametrize(("rate", "speed"), [(24_000, 1.0), (48_000, 2.0)])
@pytest.mark.parametrize("format", list(FORMATS))
def test_no_audio_gives_an_empty_file(format: str, rate: int, speed: float) -> None:
    nothing = np.zeros(0, np.int16)
    expected = through(AudioPipeline(format, rate), [])
    assert through(AudioPipeline(format, rate, speed), [nothing]) == expected
    assert encode_all(format, rate, nothing)[:4] == expected[:4]


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        (("ogg", 24_000, 1.0), "response_format"),
        (("opus", 44_100, 1.0), "sample_rate"),
        (("mp3", 24_000, 5.0), "speed"),
    ],
)
def test_what_cannot_be_served_is_refused_before_any_audio(arguments: tuple[str, int, float], param: str) -> None:
    with pytest.raises(RequestError) as refusal:
        AudioPipeline(*arguments)
    assert refusal.value.param == param
