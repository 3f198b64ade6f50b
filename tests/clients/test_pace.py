"""How far a listener is behind a model that speaks in real time."""

import threading

import pytest

from tests.clients.heard import FORMATS, Listener
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Done, Finish, Tokens, Until, frames_to_tokens

REAL_TIME = 82
"""Tokens a second that are one second of audio."""
FRAMES, HELD = 30, 24
LAG_S = 0.3


@pytest.fixture(scope="module")
def heard(server: AppServer, _fake: FakeInference) -> dict[str, int]:
    """Samples that could be decoded of each format when the model, at real-time pace, had said HELD of its frames.

    The model waits there until all was looked at: what is not heard then is held back, however busy the machine is.
    """
    go_on, tokens = threading.Event(), frames_to_tokens(tiny_snac.random_codes(FRAMES))
    _fake._queue.clear()
    _fake.requests.clear()
    said, left = tokens[: 7 * HELD], tokens[7 * HELD :]
    _fake.always([Tokens(said, rate=REAL_TIME), Until(go_on), Tokens(left), Finish(), Done()])
    url = f"{server.url}/v1/audio/speech"
    listeners = {name: Listener(url, {"input": "Hello.", "response_format": name}) for name in FORMATS}
    for listener in listeners.values():
        listener.start()
    try:
        _fake.wait_for(lambda: [r.tokens_written for r in _fake.completions] == [7 * HELD] * len(FORMATS))
        wanted = HELD * 2048 - round(LAG_S * 24_000)
        return {name: listener.wait_for(wanted, timeout_s=1.5) for name, listener in listeners.items()}
    finally:
        go_on.set()
        for listener in listeners.values():
            listener.join()
        _fake._always = None
        assert [listener.error for listener in listeners.values()] == [None] * len(FORMATS)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_less_than_0_3_s_behind(heard: dict[str, int], format: str) -> None:
    assert HELD * 2048 - heard[format] < LAG_S * 24_000
