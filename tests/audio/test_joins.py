"""Segments joined: no word touched, the pauses that were asked for, no step at any join, however the input is cut."""

from itertools import pairwise

import numpy as np
import pytest

from tests.audio.signals import NOTHING, RATE, cut, joined, room, speech, voiced
from tts_engine.audio.joins import EDGE_S, HOLD_S, LISTEN_S, PAUSE_S, Boundary, Joiner
from tts_engine.audio.levels import MAX_GAIN_DB, SPEECH_PEAK

EDGE = round(EDGE_S * RATE)


def is_speech(pcm: np.ndarray) -> np.ndarray:
    return np.abs(pcm.astype(int)) >= SPEECH_PEAK


def speech_of(pcm: np.ndarray) -> np.ndarray:
    """From the first sample of speech to the last."""
    (loud,) = np.nonzero(is_speech(pcm))
    return pcm[loud[0] : loud[-1] + 1]


def join(
    segments: list[np.ndarray],
    boundary: Boundary = "sentence",
    *,
    pause_s: float | None = None,
    cut_seed: int | None = None,
    match_levels: bool = False,
) -> tuple[np.ndarray, Joiner]:
    joiner, out = Joiner(RATE, match_levels=match_levels), []
    for segment in segments:
        for piece in [segment] if cut_seed is None else cut(segment, cut_seed):
            out += joiner.feed(piece)
        out += joiner.end_segment(boundary, pause_s)
    return joined(out + joiner.flush()) if pause_s is None else joined(out), joiner


def padded(pcm: np.ndarray, head_s: float, tail_s: float, seed: int = 0) -> np.ndarray:
    return np.concatenate([room(head_s, seed), pcm, room(tail_s, seed + 1)])


def segments(seed: int) -> list[np.ndarray]:
    """Four segments with every kind of edge: long silence, little, none at all, digital silence."""
    rng = np.random.default_rng(seed)
    edges = [*rng.uniform(0, 0.9, 4), 0.0, 0.0, 0.002, 1.6]
    rng.shuffle(edges)
    spoken = [speech_of(speech(rng.uniform(0.6, 1.5), seed * 10 + i)) if i % 2 else voiced(0.8) for i in range(4)]
    pairs = [(edges[2 * i], edges[2 * i + 1]) for i in range(4)]
    return [padded(tapered(pcm, *pair), *pair, i) for i, (pcm, pair) in enumerate(zip(spoken, pairs, strict=True))]


def tapered(pcm: np.ndarray, head_s: float, tail_s: float) -> np.ndarray:
    """Speech that swells and dies away where silence surrounds it, and is cut off where there is none."""
    ramp = np.hanning(2 * 480)[:480]
    weights = np.ones(pcm.size)
    if head_s:
        weights[:480] = ramp
    if tail_s:
        weights[-480:] = ramp[::-1]
    return (pcm * weights).astype(np.int16)


@pytest.mark.parametrize("pcm", [speech(1.5, 1), voiced(0.5), room(0.5), NOTHING, padded(voiced(0.3), 1.2, 2.5)])
@pytest.mark.parametrize("match_levels", [True, False])
@pytest.mark.parametrize("boundary", [None, "sentence", "paragraph"])
def test_one_segment_goes_through_byte_by_byte(pcm: np.ndarray, boundary: Boundary | None, match_levels: bool) -> None:
    joiner = Joiner(RATE, match_levels=match_levels)
    out = [part for piece in cut(pcm, 4) for part in joiner.feed(piece)]
    if boundary:
        out += joiner.end_segment(boundary)
    assert np.array_equal(joined(out + joiner.flush()), pcm)
    assert len(joiner.timings) == (1 if boundary or pcm.size else 0)


@pytest.mark.parametrize("boundary", list(PAUSE_S))
@pytest.mark.parametrize(("tail_s", "head_s"), [(0.5, 0.5), (0.02, 0.9), (0.9, 0.0), (0.0, 0.0), (0.05, 0.01)])
def test_the_pause_is_the_boundarys_whatever_silence_was_made(boundary: Boundary, tail_s: float, head_s: float) -> None:
    a, b = voiced(0.6), voiced(0.7, hz=130)
    out, joiner = join([padded(a, 0.1, tail_s, 1), padded(b, head_s, 0.1, 3)], boundary)
    first, second = joiner.timings
    assert second.start - first.end == round(PAUSE_S[boundary] * RATE)
    assert np.array_equal(out[first.start : first.end], speech_of(a))
    assert np.array_equal(out[second.start : second.end], speech_of(b))


@pytest.mark.parametrize("pause_s", [0.0, 0.02, 0.6, 1.5, 3.0])
def test_a_pause_that_the_text_asks_for_has_its_length(pause_s: float) -> None:
    out, joiner = join([padded(voiced(0.5), 0, 0.3), padded(voiced(0.5), 0.2, 0)], pause_s=pause_s)
    first, second = joiner.timings
    assert second.start - first.end == max(round(pause_s * RATE), 2 * EDGE)
    assert out.size >= second.end


@pytest.mark.parametrize("seed", range(4))
def test_no_sample_of_speech_is_lost_or_changed(seed: int) -> None:
    made = segments(seed)
    out, joiner = join(made, cut_seed=seed)
    assert len(joiner.timings) == len(made)
    for timing, segment in zip(joiner.timings, made, strict=True):
        assert np.array_equal(out[timing.start : timing.end], speech_of(segment))


@pytest.mark.parametrize("seed", range(4))
def test_the_first_head_and_the_last_tail_are_untouched(seed: int) -> None:
    made = segments(seed)
    out, joiner = join(made, cut_seed=seed)
    assert np.array_equal(out[: joiner.timings[0].end], made[0][: joiner.timings[0].end])
    tail = out[joiner.timings[-1].start :]
    assert np.array_equal(tail, made[-1][made[-1].size - tail.size :])


@pytest.mark.parametrize("boundary", list(PAUSE_S))
@pytest.mark.parametrize("match_levels", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_no_join_has_a_step_that_the_signal_around_it_has_not(
    seed: int, match_levels: bool, boundary: Boundary
) -> None:
    out, joiner = join(segments(seed), boundary, cut_seed=seed, match_levels=match_levels)
    assert len(joiner.timings) == 4
    for before, after in pairwise(joiner.timings):
        steps = np.abs(np.diff(out[before.end - 1 : after.start + 1].astype(int)))
        around = np.r_[out[before.end - 2 * EDGE : before.end], out[after.start : after.start + 2 * EDGE]]
        inside = np.abs(np.diff(around.astype(int)))
        inside = np.delete(inside, 2 * EDGE - 1)  # where the two sides were put together
        assert steps.max() <= inside.max() * 1.1 + 2 * 40 + 2  # and what the room does by itself


@pytest.mark.parametrize("pause_s", [0.0, 0.01, 0.1])
def test_speech_to_both_edges_does_not_click_even_in_the_shortest_pause(pause_s: float) -> None:
    a, b = voiced(0.5, hz=211), voiced(0.5, hz=140)
    out, joiner = join([a, b], pause_s=pause_s)
    first, second = joiner.timings
    steps = np.abs(np.diff(out[first.end - 1 : second.start + 1].astype(int)))
    assert steps.max() <= 1.1 * max(np.abs(np.diff(x.astype(int))).max() for x in (a, b))


def test_two_silences_are_crossfaded_over_50_ms_and_neither_drops_out() -> None:
    tone = np.full(RATE, 200, np.int16)  # a silence with a level that a fade would show
    out, joiner = join([np.r_[voiced(0.5), tone], np.r_[tone, voiced(0.5)]])
    first, second = joiner.timings
    gap = out[first.end + 1 : second.start - 1]
    assert gap.min() >= 199 and gap.max() <= 201


@pytest.mark.parametrize("match_levels", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_any_cutting_of_the_input_gives_the_same_samples(seed: int, match_levels: bool) -> None:
    made = segments(seed)
    made[2] = (made[2] // 3).astype(np.int16)
    whole, joiner = join(made, match_levels=match_levels)
    for cut_seed in range(4):
        out, again = join(made, cut_seed=cut_seed, match_levels=match_levels)
        assert np.array_equal(out, whole)
        assert again.timings == joiner.timings


def test_speech_leaves_at_once_and_only_silence_is_held() -> None:
    joiner = Joiner(RATE)
    for piece in cut(voiced(1.0), 1):
        assert joined(joiner.feed(piece)).size >= piece.size - 3  # a sample near zero may be held
    assert joiner.feed(room(0.3)) == []
    assert joined(joiner.feed(voiced(0.1))).size >= round(0.4 * RATE) - 3


def test_no_more_silence_is_held_than_the_limit() -> None:
    joiner = Joiner(RATE)
    joiner.feed(voiced(0.2))
    left = sum(joined(joiner.feed(room(0.1))).size for _ in range(50))
    assert abs(left - round((5.0 - HOLD_S) * RATE)) <= 3


def test_silence_longer_than_the_limit_is_shortened_as_far_as_it_has_not_left() -> None:
    out, joiner = join([padded(voiced(0.5), 0, 3.0), padded(voiced(0.5), 0.5, 0)])
    first, second = joiner.timings
    assert second.start - first.end == round((3.0 - HOLD_S) * RATE) + 2 * EDGE
    assert not is_speech(out[first.end : second.start]).any()


def test_nothing_is_held_of_the_final_segment() -> None:
    pcm, joiner = padded(voiced(0.5), 0.2, 0.8), Joiner(RATE)
    joiner.final_segment()
    for piece in cut(pcm, 3):
        assert joined(joiner.feed(piece)).size == piece.size
    assert joiner.flush() == []


def test_a_segment_after_the_one_that_was_called_final_is_joined_without_a_click() -> None:
    joiner = Joiner(RATE)
    joiner.final_segment()
    out = joiner.feed(padded(voiced(0.5), 0, 0.5)) + joiner.end_segment() + joiner.feed(voiced(0.5)) + joiner.flush()
    first, second = joiner.timings
    gap = joined(out)[first.end : second.start]
    assert gap.size >= 0.35 * RATE and np.abs(np.diff(gap[:12_000].astype(int))).max() < 100


def test_the_next_segment_waits_only_until_its_level_is_known() -> None:
    joiner = Joiner(RATE)
    joiner.feed(voiced(1.0))
    joiner.end_segment()
    b = voiced(1.0, hz=130)
    listen = round(LISTEN_S * RATE)
    assert joiner.feed(b[: listen - 100]) == []
    assert joined(joiner.feed(b[listen - 100 : listen + 100])).size > listen
    quick = Joiner(RATE, match_levels=False)
    quick.feed(voiced(1.0))
    quick.end_segment()
    assert joined(quick.feed(b[: 2 * EDGE])).size > EDGE


def loud_db(pcm: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(float) ** 2)))


@pytest.mark.parametrize(("made_db", "left_db"), [(0, 0), (-2, -2), (2, 2), (-5, -3), (4.5, 3), (-9, -6), (9, 6)])
def test_a_level_is_matched_gently_and_within_bounds(made_db: float, left_db: float) -> None:
    peak = 6_000
    a, b = voiced(1.0, peak=peak), voiced(1.0, hz=150, peak=round(peak * 10 ** (made_db / 20)))
    out, joiner = join([padded(a, 0, 0.2), padded(b, 0.2, 0)], match_levels=True)
    first, second = (out[t.start : t.end] for t in joiner.timings)
    assert np.array_equal(first, speech_of(a))
    assert loud_db(second) - loud_db(first) == pytest.approx(left_db, abs=0.15)
    assert abs(loud_db(second) - loud_db(speech_of(b))) <= MAX_GAIN_DB + 0.01
    if abs(made_db) < 3:
        assert np.array_equal(second, speech_of(b))


def test_a_segment_too_short_to_judge_keeps_its_level() -> None:
    b = voiced(0.08, peak=1_500)
    out, joiner = join([voiced(1.0), padded(b, 0.2, 0.2)], match_levels=True)
    assert np.array_equal(out[joiner.timings[1].start : joiner.timings[1].end], speech_of(b))


def test_a_segment_without_speech_adds_nothing_but_its_pause() -> None:
    a, b = padded(voiced(0.5), 0, 0.4), padded(voiced(0.5), 0.4, 0)
    with_it, joiner = join([a, room(2.0), NOTHING, b])
    without, two = join([a, b])
    assert np.array_equal(with_it, without)
    assert [joiner.timings[0], joiner.timings[3]] == two.timings
    assert all(timing.start == timing.end for timing in joiner.timings[1:3])


def test_the_longer_of_two_pauses_in_a_row_counts() -> None:
    joiner = Joiner(RATE)
    joiner.feed(voiced(0.5))
    joiner.end_segment("clause", pause_s=1.2)
    joiner.end_segment("sentence")
    joiner.feed(voiced(0.5))
    joiner.flush()
    first, second = joiner.timings[0], joiner.timings[2]
    assert second.start - first.end == round(1.2 * RATE)


def test_pauses_at_the_very_beginning_and_end_are_kept_when_the_text_asks_for_them() -> None:
    pcm, joiner = padded(voiced(0.5), 0.1, 0.2), Joiner(RATE)
    out = joiner.end_segment(pause_s=1.0) + joiner.feed(pcm) + joiner.end_segment(pause_s=2.0) + joiner.flush()
    lead, silence = np.zeros(RATE, np.int16), round(2.0 * RATE) - (pcm.size - joiner.timings[1].end + RATE)
    assert np.array_equal(joined(out), np.concatenate([lead, pcm, np.zeros(silence, np.int16)]))


def test_no_segment_at_all_is_no_audio() -> None:
    joiner = Joiner(RATE)
    assert joiner.feed(NOTHING) == joiner.end_segment() == joiner.flush() == []


def test_full_scale_negative_samples_are_speech() -> None:
    pcm = np.full(2_400, -32_768, np.int16)
    out, joiner = join([pcm, pcm])
    assert [timing.end - timing.start for timing in joiner.timings] == [2_400, 2_400]
    assert out.size == 4_800 + round(PAUSE_S["sentence"] * RATE)
