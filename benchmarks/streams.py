"""How many streams one process speaks in real time, each exact, and how soon it still answers /health.

Named baseline: one stream. The inference server is a script that makes 82 tokens a second for every stream, in this
process; the server under test runs in its own. `python -m benchmarks.streams [SECONDS]`
"""

import asyncio
import statistics
import sys
import time

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


async def measure(server: AppServer, count: int, expected: np.ndarray) -> str:
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
    cpu = after.user + after.system - before.user - before.system
    audio_s = sum(len(audio) for audio, _, _ in heard) / 48000
    firsts = [first for _, first, _ in heard]
    return (
        f"| {count} | {'yes' if exact else 'NO'} | {statistics.median(firsts) * 1000:.0f} | "
        f"{max(late for _, _, late in heard) * 1000:.0f} | {cpu / audio_s * 1000:.0f} | "
        f"{statistics.median(health) * 1000:.1f} | {np.percentile(health, 99) * 1000:.0f} |"
    )


def main(seconds: float = 10.0) -> None:
    codes = tiny_snac.random_codes(round(seconds / FRAME_S))
    weights = tiny_snac.cached(width="full")
    expected = tiny_snac.reference_pcm(weights, codes).astype(int)
    print(
        "| streams | exact | first audio, median ms (21 tokens take 256) | longest wait of a listener, ms "
        "| CPU ms a second of audio | /health median ms | p99 |"
    )
    print("|---|---|---|---|---|---|---|")
    with FakeInference("llama.cpp") as fake:
        fake.always(speech(codes, rate=TOKENS_A_SECOND))
        with AppServer({"ORPHEUS_API_URL": fake.url, "ORPHEUS_SNAC_MODEL": str(weights)}) as server:
            for count in COUNTS:
                print(asyncio.run(measure(server, count, expected)), flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
