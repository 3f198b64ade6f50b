"""The fast start: a frame earlier, nearly the same, the same from then on."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.support import tiny_snac
from tts_engine.codec.batcher import Batcher
from tts_engine.codec.early import EARLY_SAMPLES, FADE_SAMPLES, EarlyStream
from tts_engine.codec.load import load_decoder

pytestmark = pytest.mark.anyio


async def decode(weights: Path, codes: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    batcher = Batcher(load_decoder(str(weights), backend="openvino", device="cpu", threads=1), threads=1)
    stream = EarlyStream(batcher, batcher.open(3), 3)
    bounds = [0, *cuts, len(codes)]
    pieces = []
    for start, end in itertools.pairwise(bounds):
        pieces.append(await stream.decode(codes[start:end].tolist(), last=end == len(codes)))
    await batcher.close()
    return pieces


@pytest.mark.parametrize("cuts", [[1, 2, 3, 4], [2, 3], [1, 2, 6], [3], [2]])
async def test_early_samples_are_near_and_all_others_exact(cuts: list[int]) -> None:
    weights = tiny_snac.cached()
    codes = tiny_snac.random_codes(12, seed=4)
    pieces = await decode(weights, codes, cuts)
    whole, expected = np.concatenate(pieces).astype(int), tiny_snac.reference_pcm(weights, codes).astype(int)
    assert len(whole) == len(expected)
    exact_from = EARLY_SAMPLES + FADE_SAMPLES
    assert np.abs(whole[exact_from:] - expected[exact_from:]).max() <= 1
    if 2 in cuts:
        early = pieces[cuts.index(2)]
        assert len(early) == EARLY_SAMPLES
        error = early - expected[:EARLY_SAMPLES]
        assert (error**2).mean() < 0.1 * (expected[:EARLY_SAMPLES] ** 2).mean()
        step = np.abs(np.diff(whole))
        around = step[: 2 * EARLY_SAMPLES]
        assert step[EARLY_SAMPLES - 2 : exact_from + 2].max() <= around.max()
    else:
        assert np.abs(whole - expected).max() <= 1


@pytest.mark.parametrize("frames", [1, 2, 3])
async def test_short_streams_keep_their_length(frames: int) -> None:
    weights = tiny_snac.cached()
    codes = tiny_snac.random_codes(frames, seed=frames)
    pieces = await decode(weights, codes, list(range(1, frames)))
    assert sum(map(len, pieces)) == 2048 * frames
