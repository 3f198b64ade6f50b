"""A segment that goes wrong is asked for again before anybody hears it; what cannot be mended is told."""

import threading
from collections.abc import Sequence

import httpx
import numpy as np
import pytest

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_player import Received
from tests.support.fake_script import Done, ErrorEvent, Finish, Step, Tokens, Until, frames_to_tokens, speech

FIRST = "This is the first sentence, and it is long enough to be a segment of its own, as every reader will agree."
SECOND = "And this one is the second sentence, just as long as the first one was, so that it is a segment as well."
TEXT = f"{FIRST}\n\n{SECOND}"
GOOD = tiny_snac.random_codes(80, seed=1)
LOOP = np.tile(tiny_snac.random_codes(1, seed=2), (90, 1))


def speak(client: httpx.Client) -> bytes:
    answer = client.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm", "seed": 5})
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize(
    "bad",
    [
        [Finish(), Done()],
        speech(GOOD[:6]),
        speech(LOOP),
        speech(np.tile(GOOD, (6, 1))),
        [Tokens(frames_to_tokens(GOOD[:9])), ErrorEvent()],
    ],
    ids=["no audio", "too short", "loop", "too long", "broken off"],
)
def test_later_segment_is_mended(client: httpx.Client, fake: FakeInference, bad: list[Step]) -> None:
    asked_again = threading.Event()
    numbers = [*frames_to_tokens(GOOD), 2]
    tries = iter([bad, speech(GOOD)])

    def answer(request: Received) -> Sequence[Step]:
        if "first sentence" in str(request.body["prompt"]):
            # Its end waits, or the second segment's turn might come before its fault is found.
            return [Tokens(numbers[:280]), Until(asked_again), Tokens(numbers[280:]), Finish(), Done()]
        steps = next(tries)
        if steps is not bad:
            asked_again.set()
        return steps

    fake.always(speech(GOOD))
    whole = speak(client)
    fake.requests.clear()
    fake.always(answer)
    mended = speak(client) == whole
    assert mended
    assert len(fake.completions) == 3
    seeds = [request.body["seed"] for request in fake.completions]
    assert len(set(seeds)) == 3


def test_what_cannot_be_mended_is_heard_and_told(server: AppServer, client: httpx.Client, fake: FakeInference) -> None:
    fake.always(lambda request: speech(GOOD[:6] if "second" in str(request.body["prompt"]) else GOOD))
    speak(client)
    assert len(fake.completions) == 4
    assert "asked_again=2 problems=1:too_short" in server.log()
    assert 'orpheus_segment_problems_total{fault="too_short"}' in client.get("/metrics").text


def test_what_was_heard_is_never_said_again(client: httpx.Client, fake: FakeInference) -> None:
    fake.always(speech(LOOP))
    answer = client.post("/v1/audio/speech", json={"input": FIRST, "response_format": "pcm"})
    assert len(answer.content) == len(LOOP) * 4096
    assert len(fake.completions) == 1
