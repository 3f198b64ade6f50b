"""Noise by seed, level and place."""

import numpy as np

from tts_engine.codec.noise import PERIOD, Noise


def test_any_piece_of_a_stream_meets_the_same_numbers() -> None:
    noise = Noise()
    whole = noise.run(100, 5000)
    assert np.array_equal(noise.run(100 + 1234, 300), whole[1234:1534])


def test_a_run_goes_on_past_the_end_of_the_table() -> None:
    noise = Noise()
    assert np.array_equal(noise.run(PERIOD - 3, 8), np.concatenate([noise.table[-3:], noise.table[:5]]))
    assert np.array_equal(noise.run(3 * PERIOD + 7, 5), noise.table[7:12])
    assert np.array_equal(noise.run(-4, 6), np.concatenate([noise.table[-4:], noise.table[:2]]))


def test_it_repeats_after_ten_seconds_at_the_earliest() -> None:
    assert PERIOD / 24_000 >= 10 and PERIOD / 44_100 >= 10
    table = Noise().table
    assert not np.array_equal(table[: PERIOD // 2], table[PERIOD // 2 :])


def test_it_is_normal() -> None:
    table = Noise().table
    assert table.dtype == np.float32
    assert abs(table.mean()) < 0.01 and abs(table.std() - 1) < 0.01
    assert abs(np.mean(np.abs(table) < 1) - 0.6827) < 0.005


def test_seeds_and_levels_begin_at_their_own_places() -> None:
    noise = Noise()
    places = {place for seed in range(100) for place in noise.offsets(seed, 4)}
    assert len(places) >= 395
    assert min(places) < PERIOD / 20 and max(places) > PERIOD * 19 / 20
    assert noise.offsets(-(2**70), 4) == Noise().offsets(-(2**70), 4) != noise.offsets(2**70, 4)


def test_offsets_stay_what_they_were() -> None:
    """A seed that a user noted gives the same audio in the next release."""
    assert Noise().offsets(42, 4) == [375118, 443353, 289055, 167689]
    assert np.allclose(Noise().table[:3], [0.883409, -0.283466, 0.171059], atol=1e-6)


def test_silent_noise_is_zero() -> None:
    assert not Noise(silent=True).table.any()
