"""ORPHEUS_FIRST_AUDIO=fast over a real socket."""

import threading
from pathlib import Path

import httpx

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Done, Finish, Tokens, Until, frames_to_tokens


def test_first_sound_leaves_after_two_frames(weights: Path) -> None:
    go_on = threading.Event()
    numbers = frames_to_tokens(tiny_snac.random_codes(10))
    with FakeInference() as fake:
        fake.enqueue(Tokens(numbers[:14]), Until(go_on), Tokens(numbers[14:]), Finish(), Done())
        settings = {
            "ORPHEUS_API_URL": fake.url,
            "ORPHEUS_SNAC_MODEL": str(weights),
            "ORPHEUS_FIRST_AUDIO": "fast",
        }
        body = {"input": "Hello.", "response_format": "pcm"}
        with (
            AppServer(settings) as server,
            httpx.stream("POST", f"{server.url}/v1/audio/speech", json=body, timeout=30, trust_env=False) as answer,
        ):
            pieces = answer.iter_bytes()
            first = next(pieces)
            assert len(first) == 1024 * 2
            go_on.set()
            assert len(first) + sum(map(len, pieces)) == 10 * 2048 * 2
