"""How far the fast start's first 43 ms are from the exact ones, in dB, over random speech. `python -m benchmarks.first_audio`

Random weights: the shape of the error (its reach) holds for any SNAC, its size depends on the trained weights.
"""

import asyncio

import numpy as np

from tests.support import tiny_snac
from tts_engine.codec.batcher import Batcher
from tts_engine.codec.early import EARLY_SAMPLES, EarlyStream
from tts_engine.codec.load import load_decoder

STREAMS = 12


async def main() -> None:
    weights = tiny_snac.cached(width="full")
    batcher = Batcher(load_decoder(str(weights), backend="auto", device="cpu", threads=1), threads=1)
    ratios = []
    for seed in range(STREAMS):
        codes = tiny_snac.random_codes(6, seed=seed)
        exact = tiny_snac.reference_pcm(weights, codes)[:EARLY_SAMPLES].astype(float)
        stream = EarlyStream(batcher, batcher.open(seed), seed)
        early = (await stream.decode(codes[:2].tolist())).astype(float)
        ratios.append([10 * np.log10((exact[a : a + 256] ** 2).mean() / ((early - exact)[a : a + 256] ** 2).mean())
                       for a in range(0, EARLY_SAMPLES, 256)])  # fmt: skip
    await batcher.close()
    print("| samples | SNR of the fast start, dB, median of", STREAMS, "streams (baseline: the exact samples) |")
    print("|---|---|")
    for start, ratio in zip(range(0, EARLY_SAMPLES, 256), np.median(ratios, axis=0), strict=True):
        print(f"| {start}..{start + 255} | {ratio:.0f} |")


if __name__ == "__main__":
    asyncio.run(main())
