"""Arrays that leave memory and stay what they are."""

import tempfile

import numpy as np
import pytest

from tts_engine.codec.spare_memory import SpareMemory


@pytest.mark.parametrize("shape", [(3,), (1 << 18,), (512, 513), (3, 5, 1 << 17)])
def test_an_array_is_the_same_before_and_after_it_was_given_back(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).standard_normal(shape, np.float32)
    spare = SpareMemory()
    held = spare.hold(array.T).T
    assert np.array_equal(held, array)
    spare.give_back()
    assert np.array_equal(held, array)
    spare.give_back()
    del spare
    assert np.array_equal(held, array)


def test_a_large_array_is_not_held_in_memory_of_its_own() -> None:
    spare = SpareMemory()
    spare.hold(np.zeros(1 << 18, np.float32))
    spare.hold(np.zeros(1 << 10, np.float32))
    assert len(spare._mappings) == 1


def test_without_room_for_files_arrays_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    array = np.arange(1 << 18, dtype=np.float32)
    spare = SpareMemory()
    assert np.array_equal(spare.hold(array), array)
    spare.give_back()
