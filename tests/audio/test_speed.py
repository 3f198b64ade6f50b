import numpy as np
import pytest

from tests.audio.signals import NOTHING, RATE, cut, joined, speech, voiced
from tts_engine.audio.speed import Speed, factors
from tts_engine.errors import RequestError

SPEEDS = [0.25, 0.5, 0.75, 0.9, 1.1, 1.5, 2.0, 2.5, 3.0, 4.0]


def at_speed(speed: float, pieces: list[np.ndarray]) -> np.ndarray:
    room = Speed(speed, RATE)
    fed = [out for piece in pieces for out in room.feed(piece)]
    return joined(fed + room.flush())


@pytest.mark.parametrize("seconds", [0.1, 0.5, 6.0])
@pytest.mark.parametrize("speed", SPEEDS)
def test_the_length_is_exact_and_the_end_is_still_speech(speed: float, seconds: float) -> None:
    pcm = voiced(seconds)
    out = at_speed(speed, [pcm])
    assert out.size == round(pcm.size / speed)
    (loud,) = np.nonzero(np.abs(out.astype(int)) > 1_000)
    assert loud[0] < 24
    assert out.size - loud[-1] < 0.006 * RATE / min(speed, 1)  # 6 ms of the input, as long as they last now


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_pitch_is_kept(speed: float) -> None:
    t = np.arange(4 * RATE) / RATE
    out = at_speed(speed, [(9_000 * np.sin(2 * np.pi * 220 * t)).astype(np.int16)])
    spectrum = np.abs(np.fft.rfft(out * np.hanning(out.size), 1 << 19))
    assert spectrum.argmax() * RATE / (1 << 19) == pytest.approx(220, abs=1.5)


@pytest.mark.parametrize("speed", SPEEDS)
def test_words_are_heard_when_the_speed_says(speed: float) -> None:
    """The loudness over time is that of the input, stretched: nothing is lost, doubled or late by more than 50 ms."""
    pcm = speech(6.0, seed=11)
    out = at_speed(speed, [pcm])
    step = 0.02
    before, after = (_loudness(x, round(step * RATE * k)) for x, k in ((pcm, 1.0), (out, 1 / speed)))
    size = min(before.size, after.size)
    scores = [_similar(before[: size - 3], after[lag : size - 3 + lag]) for lag in range(3)]
    assert max(scores) > 0.9


def _loudness(pcm: np.ndarray, step: int) -> np.ndarray:
    rows = pcm[: pcm.size // step * step].reshape(-1, step).astype(float)
    return np.asarray(np.sqrt((rows**2).mean(axis=1)))


def _similar(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("speed", [0.25, 0.7, 1.3, 4.0])
def test_any_cutting_of_the_input_gives_the_same_samples(speed: float) -> None:
    pcm = speech(2.0, seed=3)
    whole = at_speed(speed, [pcm])
    for seed in range(3):
        assert np.array_equal(at_speed(speed, cut(pcm, seed)), whole)


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_stream_is_never_more_than_0_2_s_of_input_behind(speed: float) -> None:
    pcm, room, made = speech(3.0, seed=4), Speed(speed, RATE), 0
    for at in range(0, pcm.size, 512):
        made += sum(out.size for out in room.feed(pcm[at : at + 512]))
        assert min(at + 512, pcm.size) - made * speed < 0.2 * RATE


@pytest.mark.parametrize("speed", [0.25, 1.5, 4.0])
@pytest.mark.parametrize("samples", [0, 1, 7, 100])
def test_next_to_no_audio_keeps_its_length_too(speed: float, samples: int) -> None:
    assert at_speed(speed, [NOTHING, voiced(0.1)[:samples]]).size == round(samples / speed)


@pytest.mark.parametrize("speed", [0.0, 0.24, 4.01, -1.0, float("nan"), float("inf")])
def test_a_speed_out_of_range_is_refused_by_name(speed: float) -> None:
    with pytest.raises(RequestError, match=r"0\.25 to 4\.0") as refusal:
        Speed(speed, RATE)
    assert refusal.value.param == "speed"


@pytest.mark.parametrize("speed", [*SPEEDS, 1.0, 0.26, 3.99])
def test_no_stage_leaves_the_range_in_which_atempo_skips_nothing(speed: float) -> None:
    assert np.prod(factors(speed)) == pytest.approx(speed)
    assert all(0.5 <= stage <= 2.0 for stage in factors(speed))
