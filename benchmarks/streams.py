"""How many streams one process speaks in real time, each exact, and how soon it still answers /health.

Named baseline: one stream. The inference server is a script that makes 82 tokens a second for every stream, in this
process; the server under test runs in its own. `python -m benchmarks.streams [SECONDS]`
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
import psutil

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import speech

COUNTS = (1, 2, 4, 8, 10, 12)
TOKENS_A_SECOND = 82.03
FRAME_S = 2048 / 24000


async def listen(client: httpx.AsyncClient, url: str) -> tuple[bytes, float, float]:
    """One stream: its audio, seconds to the first byte, and the longest time that a listener would have waited."""
    body = {"input": "Hello there, how are you?", "response_format": "pcm"}
    asked = time.monotonic()
    audio, first, late = b"", 0.0, 0.0
    async with client.stream("POST", f"{url}/v1/audio/speech", json=body) as answer:
        async for piece in answer.aiter_bytes():
            now = time.monotonic()
            if not audio:
                first = now
            else:
                late = max(late, now - first - len(audio) / 48000)
            audio += piece
    return audio, first - asked, late


async def ask_health(client: httpx.AsyncClient, url: str, times: list[float]) -> None:
    while True:
        began = time.monotonic()
        await client.get(f"{url}/health")
        times.append(time.monotonic() - began)
        await asyncio.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of so many simultaneous streams."""

    streams: int
    exact: bool
    first_ms: float
    """Median time to the first byte; the 21 tokens for it take 256 ms."""
    late_ms: float
    """Longest time that a listener waited for audio after it had begun."""
    cpu_ms: float
    """Of the server, a second of audio."""
    health_ms: float
    """Median answer of /health meanwhile."""
    health_p99_ms: float

    def row(self) -> str:
        return (
            f"| {self.streams} | {'yes' if self.exact else 'NO'} | {self.first_ms:.0f} | {self.late_ms:.0f} "
            f"| {self.cpu_ms:.0f} | {self.health_ms:.1f} | {self.health_p99_ms:.0f} |"
        )


async def measure(server: AppServer, count: int, expected: np.ndarray) -> Figures:
    process = psutil.Process(server.pid)
    health: list[float] = []
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=None)) as client:
        asking = asyncio.create_task(ask_health(client, server.url, health))
        before = process.cpu_times()
        heard = await asyncio.gather(*(listen(client, server.url) for _ in range(count)))
        after = process.cpu_times()
        asking.cancel()
    exact = all(
        len(audio) == 2 * len(expected) and np.abs(np.frombuffer(audio, "<i2").astype(int) - expected).max() <= 1
        for audio, _, _ in heard
    )
    cpu_s = after.user + after.system - before.user - before.system
    return Figures(
        count,
        exact,
        statistics.median(first for _, first, _ in heard) * 1000,
        max(late for _, _, late in heard) * 1000,
        cpu_s / (sum(len(audio) for audio, _, _ in heard) / 48000) * 1000,
        statistics.median(health) * 1000,
        float(np.percentile(health, 99)) * 1000,
    )


def curve(seconds: float, counts: Sequence[int] = COUNTS) -> Iterator[Figures]:
    """The figures for each count, on one server."""
    codes = tiny_snac.random_codes(round(seconds / FRAME_S))
    weights = tiny_snac.cached(width="full")
    expected = tiny_snac.reference_pcm(weights, codes).astype(int)
    with FakeInference("llama.cpp") as fake:
        fake.always(speech(codes, rate=TOKENS_A_SECOND))
        with AppServer({"ORPHEUS_API_URL": fake.url, "ORPHEUS_SNAC_MODEL": str(weights)}) as server:
            asyncio.run(measure(server, 1, expected))  # the first request of a process compiles and imports
            for count in counts:
                yield asyncio.run(measure(server, count, expected))


def main(seconds: float = 10.0) -> None:
    print("| streams | exact | first audio, ms (21 tokens take 256) | longest wait of a listener, ms "
          "| server CPU ms a second of audio | /health, median ms | p99 |")  # fmt: skip
    print("|---:|---|---:|---:|---:|---:|---:|")
    for figures in curve(seconds):
        print(figures.row(), flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
