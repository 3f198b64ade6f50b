"""Each way to go wrong is told, and no way to speak well is taken for one."""

import numpy as np
import pytest

from tts_engine.guard import LOOP_FRAMES, Fault, Guard

RATE, FRAME_S = 24000, 2048 / 24000
RNG = np.random.default_rng(1)


def frames(count: int) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in RNG.integers(0, 4096, (count, 7))]


def watch(made: list[tuple[int, ...]], expected_s: float) -> Fault | None:
    guard = Guard(expected_s=expected_s, frame_s=FRAME_S, sample_rate=RATE)
    guard.saw(made)
    guard.end()
    return guard.fault


def seconds(s: float) -> list[tuple[int, ...]]:
    return frames(round(s / FRAME_S))


def test_nothing_is_no_audio() -> None:
    assert watch([], 5) == Fault.NO_AUDIO


@pytest.mark.parametrize("share", [0.5, 1.0, 2.0, 3.0])
def test_fast_and_slow_speakers_are_no_fault(share: float) -> None:
    assert watch(seconds(10 * share), 10) is None


def test_ending_in_the_first_words_is_too_short() -> None:
    assert watch(seconds(2), 10) == Fault.TOO_SHORT


def test_one_quick_word_is_no_fault() -> None:
    assert watch(frames(3), 1.0) is None


def test_running_far_past_the_text_is_too_long() -> None:
    assert watch(seconds(39), 10) == Fault.TOO_LONG


@pytest.mark.parametrize("period", [1, 5, 36])
def test_repeating_itself_is_a_loop(period: int) -> None:
    pattern = frames(period)
    repeats = (max(LOOP_FRAMES, 2 * period) // period) + 2
    assert watch(seconds(2) + pattern * repeats, 30) == Fault.LOOP


def test_fine_codes_may_differ_in_a_loop() -> None:
    loop = [(9, 8, int(a), int(b), 7, 1, 2) for a, b in RNG.integers(0, 4096, (LOOP_FRAMES + 2, 2))]
    assert watch(seconds(2) + loop, 30) == Fault.LOOP


def test_a_second_of_the_same_sound_is_no_loop() -> None:
    assert watch(seconds(2) + frames(1) * 12 + seconds(2), 5) is None


def heard(*pieces: np.ndarray) -> Fault | None:
    guard = Guard(expected_s=5, frame_s=FRAME_S, sample_rate=RATE)
    for piece in pieces:
        guard.heard(piece)
    return guard.fault


def loud(s: float) -> np.ndarray:
    return (RNG.standard_normal(round(s * RATE)) * 3000).astype(np.int16)


def quiet(s: float) -> np.ndarray:
    return (RNG.standard_normal(round(s * RATE)) * 20).astype(np.int16)


def test_long_silence_is_told_however_it_is_cut() -> None:
    whole = np.concatenate([loud(1), quiet(4.2), loud(1)])
    assert heard(whole) == Fault.SILENCE
    assert heard(*np.array_split(whole, 77)) == Fault.SILENCE
    assert heard(loud(1), quiet(4.2)) == Fault.SILENCE


def test_a_pause_is_no_fault() -> None:
    whole = np.concatenate([loud(1), quiet(3.5), loud(1), quiet(3.5), loud(1)])
    assert heard(*np.array_split(whole, 50)) is None
