"""Which frames are decoded together, and which of them is given out."""

import itertools

import numpy as np
import pytest

from tests.support.tiny_snac import random_codes
from tts_engine.codec.windows import Window, Windows


def cut(frames: int, *cuts: int) -> list[Window]:
    codes, room, windows = random_codes(frames), Windows(3), []
    edges = [0, *cuts, frames]
    for begin, end in itertools.pairwise(edges):
        windows += room.feed(codes[begin:end])
    return windows + room.flush()


@pytest.mark.parametrize("frames", range(1, 12))
def test_each_frame_is_the_middle_of_one_window_with_three_on_each_side(frames: int) -> None:
    codes, windows = random_codes(frames), cut(frames)
    assert [window.first + window.middle for window in windows] == list(range(frames))
    for index, window in enumerate(windows):
        assert window.first == max(0, index - 3)
        assert np.array_equal(window.frames, codes[window.first : index + 4])


def test_a_window_in_the_middle_of_a_stream_is_49_tokens() -> None:
    assert [window.frames.size for window in cut(9)] == [28, 35, 42, 49, 49, 49, 42, 35, 28]


def test_a_window_comes_with_the_third_frame_after_its_middle() -> None:
    codes, room = random_codes(6), Windows(3)
    given = [len(room.feed(codes[index : index + 1])) for index in range(6)]
    assert given == [0, 0, 0, 1, 1, 1]
    assert len(room.flush()) == 3


@pytest.mark.parametrize("cuts", [(1, 2, 3), (0, 5, 5), (7,), (4, 9), (3, 4, 8)])
def test_any_cutting_gives_the_same_windows(cuts: tuple[int, ...]) -> None:
    for window, same in zip(cut(10, *cuts), cut(10), strict=True):
        assert (window.first, window.middle) == (same.first, same.middle)
        assert np.array_equal(window.frames, same.frames)


def test_an_empty_stream_has_no_windows() -> None:
    assert cut(0) == []


def test_frames_that_no_window_needs_again_are_let_go() -> None:
    room = Windows(3)
    for _ in range(100):
        room.feed(random_codes(5))
    assert len(room._kept) == 6
