"""Jobs through the whole server with the real llama.cpp server behind it: killed twice, and equal to an unbroken run.

TEST_BOOK_CHARS makes the book longer (500000: half a million characters); by default it is a short one.
"""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.llama_server import LlamaServer

log = logging.getLogger(__name__)

JOBS = "/v1/audio/jobs"
BOOK_CHARS = int(os.environ.get("TEST_BOOK_CHARS", "2000"))
MEMORY_GROWTH_MB = 150
SEED = 11


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    with LlamaServer(slots=4) as server:
        yield server


def settings(llama: LlamaServer, data: Path) -> dict[str, str]:
    return {
        "ORPHEUS_API_URL": llama.url,
        "ORPHEUS_SNAC_MODEL": str(tiny_snac.cached()),
        "ORPHEUS_DATA_DIR": str(data),
        # One at a time: llama.cpp's sums depend on what else is in its batch, and a seed repeats only where they do.
        "ORPHEUS_WORKERS": "1",
    }


def book(chars: int) -> str:
    random = np.random.default_rng(0)
    words = ("river", "stone", "lantern", "seven", "quietly", "the", "and", "of", "walked", "morning", "had", "been")
    sentences: list[str] = []
    while sum(map(len, sentences)) < chars:
        picked = " ".join(words[n] for n in random.integers(0, len(words), int(random.integers(4, 16))))
        sentences.append(f"{picked.capitalize()}.")
    return " ".join(sentences)


def submit(server: AppServer, **body: Any) -> str:
    job_id: str = (
        httpx.post(f"{server.url}{JOBS}", json=body, timeout=60, trust_env=False).raise_for_status().json()["id"]
    )
    return job_id


def look(server: AppServer, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = (
        httpx.get(f"{server.url}{JOBS}/{job_id}", timeout=60, trust_env=False).raise_for_status().json()
    )
    return job


def follow(server: AppServer, job_id: str, segments: int | None = None) -> dict[str, Any]:
    """Read the events until so many segments are done, or to the end."""
    with httpx.stream("GET", f"{server.url}{JOBS}/{job_id}/events", timeout=120, trust_env=False) as events:
        for line in events.iter_lines():
            if segments is not None and line.startswith("data: ") and look(server, job_id)["segments_done"] >= segments:
                break
    return look(server, job_id)


def pcm(server: AppServer, job_id: str) -> bytes:
    parameters = {"format": "pcm"}
    answer = httpx.get(f"{server.url}{JOBS}/{job_id}/audio", params=parameters, timeout=300, trust_env=False)
    return answer.raise_for_status().content


def differences(one: bytes, other: bytes) -> str:
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} bytes"
    a, b = (np.frombuffer(side, "<i2").astype(int) for side in (one, other))
    unequal = np.flatnonzero(a != b)
    if not unequal.size:
        return "none"
    return f"{unequal.size} of {a.size} samples, by {np.abs(a - b).max()}, in {unequal[0]}..{unequal[-1]}"


def test_killed_twice_it_equals_an_unbroken_run(llama: LlamaServer, tmp_path: Path) -> None:
    text = book(BOOK_CHARS)
    body = {"input": text, "seed": SEED, "response_format": "pcm", "max_tokens": 210}
    with AppServer(settings(llama, tmp_path / "unbroken")) as server:
        began = time.monotonic()
        before_mb = server.rss_mb()
        job_id = submit(server, **body)
        done = follow(server, job_id)
        assert (done["state"], done["error"]) == ("done", None)
        assert server.rss_mb() - before_mb < MEMORY_GROWTH_MB
        unbroken, total = pcm(server, job_id), done["segments_total"]
        log.info("%d segments, %.0f s of audio, %.1f s", total, done["audio_s"], time.monotonic() - began)
    with AppServer(settings(llama, tmp_path / "broken")) as server:
        job_id = submit(server, **body)
        assert follow(server, job_id, total // 4)["state"] == "running"
        server.kill()
    with AppServer(settings(llama, tmp_path / "broken")) as server:
        assert look(server, job_id)["segments_done"] >= total // 4
        assert follow(server, job_id, total // 2)["state"] == "running"
        server.kill()
    with AppServer(settings(llama, tmp_path / "broken")) as server:
        done = follow(server, job_id)
        assert (done["state"], done["segments_done"]) == ("done", total)
        assert differences(pcm(server, job_id), unbroken) == "none"
        names = {path.name for path in (tmp_path / "broken" / "jobs" / job_id).iterdir()}
        assert len(names) == total + 1, "one file a segment, and the finished one"


def test_cancelling_frees_the_inference_server(llama: LlamaServer, tmp_path: Path) -> None:
    with AppServer(settings(llama, tmp_path)) as server:
        job_id = submit(server, input=book(20_000), seed=1)
        follow(server, job_id, 1)
        httpx.post(f"{server.url}{JOBS}/{job_id}/cancel", timeout=60, trust_env=False).raise_for_status()
        deadline = time.monotonic() + 5
        while llama.slots_busy() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert llama.slots_busy() == 0


def test_a_book_may_be_larger_than_any_speech_request(llama: LlamaServer, tmp_path: Path) -> None:
    with AppServer(settings(llama, tmp_path)) as server:
        files = {"file": ("large.txt", b"It is the same again. " * 140_000)}
        answer = httpx.post(f"{server.url}{JOBS}", files=files, timeout=120, trust_env=False)
        assert answer.status_code == 202, answer.text
        assert answer.json()["segments_total"] > 1000
