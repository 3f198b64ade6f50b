import numpy as np
import pytest
import soxr

from tests.audio.signals import NOTHING, RATE, correlation_below, cut, joined, speech, voiced
from tts_engine.audio.resample import Resampler

RATES = [8_000, 11_025, 12_000, 16_000, 22_050, 32_000, 44_100, 48_000]


def resampled(rate: int, pieces: list[np.ndarray]) -> np.ndarray:
    room = Resampler(RATE, rate)
    fed = [out for piece in pieces for out in room.feed(piece)]
    return joined(fed + room.flush())


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("samples", [0, 1, 2, 5, 511, 512, 513, 24_000, 54_321])
def test_the_length_is_exact(rate: int, samples: int) -> None:
    assert resampled(rate, [speech(2.3, seed=1)[:samples]]).size == round(samples * rate / RATE)


@pytest.mark.parametrize("rate", RATES)
def test_the_speech_is_the_same_from_its_first_sample_to_its_last(rate: int) -> None:
    pcm = voiced(1.5)
    out = resampled(rate, [pcm])
    whole = soxr.resample(pcm.astype(np.float32), RATE, rate, quality="HQ")
    assert np.abs(out - whole[: out.size]).max() <= 1  # rounding
    back = soxr.resample(out, rate, RATE)[: pcm.size]
    assert correlation_below(pcm[-2_000:], back[-2_000:]) > 0.99


@pytest.mark.parametrize("rate", RATES)
def test_any_cutting_of_the_input_gives_the_same_samples(rate: int) -> None:
    pcm = speech(1.5, seed=2)
    whole = resampled(rate, [pcm])
    for seed in range(3):
        assert np.array_equal(resampled(rate, [NOTHING, *cut(pcm, seed)]), whole)


@pytest.mark.parametrize("rate", RATES)
def test_the_stream_is_never_more_than_0_1_s_behind(rate: int) -> None:
    pcm, room, made = speech(2.0, seed=3), Resampler(RATE, rate), 0
    for at in range(0, pcm.size, 512):
        made += sum(out.size for out in room.feed(pcm[at : at + 512]))
        assert (at + 512) / RATE - made / rate < 0.1


def test_a_full_scale_signal_is_held_at_full_scale_and_does_not_wrap() -> None:
    square = np.where(np.arange(RATE) // 60 % 2, 32_767, -32_768).astype(np.int16)
    out = resampled(48_000, [square])
    assert out.max() == 32_767 and out.min() == -32_768
    assert np.abs(out.astype(float)).min() < 32_767 and np.abs(np.diff(out.astype(int))).max() < 65_000
    assert correlation_below(square, soxr.resample(out, 48_000, RATE)) > 0.99
