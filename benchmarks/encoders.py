"""What each format costs and how far it lags behind the speech; baseline: wav, which only copies.

python -m benchmarks.encoders
"""

import io
import time

import av
import numpy as np

from tts_engine.audio.encoders import FORMATS
from tts_engine.audio.pipeline import CODEC_SAMPLE_RATE, AudioPipeline

FRAME_SAMPLES = 2_048
SECONDS = 20
DECODER_DELAY = {"mp3": 1_105, "aac": 1_024}
CASES = [(CODEC_SAMPLE_RATE, 1.0), (CODEC_SAMPLE_RATE, 1.3), (48_000, 1.0), (CODEC_SAMPLE_RATE, 0.25)]


def hum() -> np.ndarray:
    """A gliding voice with breath noise, int16 [SECONDS * rate]."""
    t = np.arange(SECONDS * CODEC_SAMPLE_RATE) / CODEC_SAMPLE_RATE
    voice = sum(np.sin(2 * np.pi * 140 * k * t + 3 * k * np.sin(5 * t)) / k for k in range(1, 20))
    noise = np.random.default_rng(0).standard_normal(t.size)
    return ((4_000 * voice * (0.5 + 0.5 * np.sin(15 * t))) + 200 * noise).astype(np.int16)


def cost_ms(name: str, sample_rate: int, speed: float, pcm: np.ndarray) -> tuple[float, float]:
    """Median and longest time of one feed of one frame (85 ms), ms."""
    pipeline, times = AudioPipeline(name, sample_rate, speed), []
    for at in range(0, pcm.size, FRAME_SAMPLES):
        started = time.perf_counter()
        pipeline.feed(pcm[at : at + FRAME_SAMPLES])
        times.append(time.perf_counter() - started)
    pipeline.flush()
    return 1000 * float(np.median(times)), 1000 * max(times)


def decodable(name: str, data: bytes) -> int:
    if name in ("pcm", "wav"):
        return (len(data) - (44 if name == "wav" else 0)) // 2
    try:
        with av.open(io.BytesIO(data)) as container:
            rate = container.streams.audio[0].codec_context.sample_rate
            made = sum(frame.samples for frame in container.decode(audio=0))
    except (av.InvalidDataError, av.EOFError):
        return 0
    return made * CODEC_SAMPLE_RATE // rate - DECODER_DELAY.get(name, 0)


def lag_ms(name: str, pcm: np.ndarray) -> float:
    """Most speech that has gone in and cannot be decoded yet, ms, over 3 s fed frame by frame."""
    pipeline, sent, worst = AudioPipeline(name), b"", 0
    for at in range(0, 3 * CODEC_SAMPLE_RATE, FRAME_SAMPLES):
        sent += pipeline.feed(pcm[at : at + FRAME_SAMPLES])
        worst = max(worst, at + FRAME_SAMPLES - decodable(name, sent))
    return 1000 * worst / CODEC_SAMPLE_RATE


def main() -> None:
    pcm = hum()
    baseline, _ = cost_ms("wav", *CASES[0], pcm)
    print(f"per frame of 85.3 ms, median of {SECONDS} s; baseline: wav at speed 1.0 = {baseline:.4f} ms")
    print(f"{'format':7}{'Hz':>7}{'speed':>6}{'ms':>9}{'max ms':>8}{'x wav':>9}{'x real time':>13}{'lag ms':>8}")
    for name in FORMATS:
        lag = lag_ms(name, pcm)
        for rate, speed in CASES:
            median, longest = cost_ms(name, rate, speed, pcm)
            real_time = FRAME_SAMPLES / CODEC_SAMPLE_RATE * 1000 / median
            shown = f"{lag:8.0f}" if (rate, speed) == CASES[0] else ""
            print(
                f"{name:7}{rate:7}{speed:6}{median:9.3f}{longest:8.2f}{median / baseline:9.1f}{real_time:13.0f}{shown}"
            )


if __name__ == "__main__":
    main()
