import numpy as np

from tests.audio.signals import cut, joined, speech
from tts_engine.audio.blocks import Blocks


def test_every_block_is_full_and_no_sample_is_lost() -> None:
    pcm = speech(1.0, seed=1)
    blocks = Blocks(512)
    full = [block for piece in cut(pcm, seed=2) for block in blocks.feed(piece)]
    assert {block.size for block in full} == {512}
    assert np.array_equal(joined(full + blocks.flush()), pcm)
    assert blocks.flush() == []


def test_a_buffer_that_is_written_over_after_feed_does_not_change_what_was_fed() -> None:
    blocks = Blocks(4)
    buffer = np.array([1, 2, 3], np.int16)
    blocks.feed(buffer)
    buffer[:] = 0
    assert blocks.flush()[0].tolist() == [1, 2, 3]
