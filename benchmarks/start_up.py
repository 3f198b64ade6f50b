"""Time from the start of the server to its first OK, and its memory, against a process that only imports torch and snac.

The baseline is what every Orpheus server does first. `python -m benchmarks.start_up`
"""

import statistics
import subprocess
import sys
import time

import httpx

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference

ROUNDS = 3
USUAL = "import torch, snac, sys, psutil; print(psutil.Process().memory_info().rss / 1e6)"


def usual() -> tuple[float, float]:
    """Seconds and megabytes of importing torch and snac, without loading any weights."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", USUAL], capture_output=True, text=True, check=True)
    return time.monotonic() - began, float(done.stdout)


def ours() -> tuple[float, float]:
    """Seconds to the first OK, weights loaded and warm, and megabytes after a first request."""
    weights = tiny_snac.cached(width="full")
    with FakeInference("llama.cpp") as fake:
        began = time.monotonic()
        with AppServer({"ORPHEUS_API_URL": fake.url, "ORPHEUS_SNAC_MODEL": str(weights)}) as server:
            seconds = time.monotonic() - began
            httpx.post(f"{server.url}/v1/audio/speech", json={"input": "Hello."}, timeout=60).raise_for_status()
            return seconds, server.rss_mb()


def measure() -> tuple[tuple[float, float], tuple[float, float]]:
    """(seconds, megabytes) of ours and of the usual imports; medians, in turn."""
    pairs = [(ours(), usual()) for _ in range(ROUNDS)]
    mine, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    return (
        (statistics.median(s for s, _ in mine), statistics.median(m for _, m in mine)),
        (statistics.median(s for s, _ in theirs), statistics.median(m for _, m in theirs)),
    )


def main() -> None:
    (seconds, megabytes), (usual_s, usual_mb) = measure()
    print("| process | seconds | MB |\n|---|---:|---:|")
    print(f"| server, from start to first OK, weights warm | {seconds:.1f} | {megabytes:.0f} |")
    print(f"| importing torch and snac alone | {usual_s:.1f} | {usual_mb:.0f} |")


if __name__ == "__main__":
    main()
