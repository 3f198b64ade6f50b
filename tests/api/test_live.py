"""WebSocket /v1/audio/speech/stream: sentences are spoken while the text is still being written."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Endless, ErrorEvent, Tokens, Until, frames_to_tokens, speech

CODES = tiny_snac.random_codes(12)


@pytest.fixture
def socket(server: AppServer, fake: FakeInference) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{server.port}/v1/audio/speech/stream") as connection:
        yield connection


def say(socket: ClientConnection, kind: str, **fields: Any) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def hear(socket: ClientConnection, until: str) -> tuple[list[dict[str, Any]], bytes]:
    """Messages and audio up to and with the message of this type."""
    messages: list[dict[str, Any]] = []
    audio = b""
    while not messages or messages[-1]["type"] != until:
        received = socket.recv(timeout=10)
        if isinstance(received, bytes):
            audio += received
        else:
            messages.append(json.loads(received))
    return messages, audio


def test_one_turn(socket: ClientConnection, fake: FakeInference) -> None:
    fake.always(speech(CODES))
    say(socket, "session.config", voice="leo", response_format="pcm")
    say(socket, "input.text", text="Hello there, this is ")
    say(socket, "input.text", text="one sentence.")
    say(socket, "input.done")
    messages, audio = hear(socket, "session.done")
    assert [m["type"] for m in messages] == ["session.configured", "audio.start", "audio.done", "session.done"]
    assert messages[1]["sentence_text"] == "Hello there, this is one sentence."
    assert len(audio) == 12 * 4096
    assert messages[-1]["total_sentences"] == 1
    assert "leo: Hello there, this is one sentence." in str(fake.completions[0].body["prompt"])


def test_sentence_is_heard_while_the_text_is_still_being_written(socket: ClientConnection, fake: FakeInference) -> None:
    fake.always(speech(CODES))
    say(socket, "input.text", text="The first sentence is complete. ")
    messages, _ = hear(socket, "audio.start")
    assert messages[-1]["sentence_text"] == "The first sentence is complete."
    say(socket, "input.text", text="Now comes the second one.")
    say(socket, "input.done")
    messages, _ = hear(socket, "session.done")
    assert messages[-1]["total_sentences"] == 2
    assert len(fake.completions) == 2


def test_abbreviation_is_no_sentence_end(socket: ClientConnection, fake: FakeInference) -> None:
    fake.always(speech(CODES))
    say(socket, "input.text", text="Ask Dr.")
    with pytest.raises(TimeoutError):
        socket.recv(timeout=0.6)
    say(socket, "input.text", text=" Smith about it.")
    say(socket, "input.done")
    messages, _ = hear(socket, "session.done")
    assert messages[0]["sentence_text"] == "Ask Dr. Smith about it."


def test_barge_in_stops_the_model_within_200_ms(socket: ClientConnection, fake: FakeInference) -> None:
    fake.enqueue(Endless(rate=200))
    say(socket, "input.text", text="A very long story. ")
    hear(socket, "audio.start")
    say(socket, "cancel")
    cancelled = time.monotonic()
    hear(socket, "session.cancelled")
    fake.wait_for(lambda: fake.completions[0].left_at is not None)
    assert fake.completions[0].left_at - cancelled < 0.2
    fake.always(speech(CODES))
    say(socket, "input.text", text="Now something else.")
    say(socket, "input.done")
    messages, audio = hear(socket, "session.done")
    assert messages[-1]["total_sentences"] == 1
    assert len(audio) == 12 * 4096


def test_client_that_leaves_stops_the_model(server: AppServer, fake: FakeInference) -> None:
    fake.enqueue(Endless(rate=200))
    with connect(f"ws://127.0.0.1:{server.port}/v1/audio/speech/stream") as connection:
        say(connection, "input.text", text="A very long story. ")
        hear(connection, "audio.start")
    left = time.monotonic()
    fake.wait_for(lambda: fake.completions[0].left_at is not None)
    assert fake.completions[0].left_at - left < 1


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("no json", None),
        ("[]", "type"),
        ('{"type": "nonsense"}', "type"),
        ('{"type": "session.config", "voice": "nobody"}', "voice"),
        ('{"type": "session.config", "speed": 9}', "speed"),
        ('{"type": "input.text", "text": 5}', "text"),
    ],
)
def test_bad_message_is_told_and_the_conversation_goes_on(
    socket: ClientConnection, fake: FakeInference, message: str, param: str | None
) -> None:
    socket.send(message)
    messages, _ = hear(socket, "error")
    assert messages[0]["error"]["param"] == param
    say(socket, "input.done")
    hear(socket, "session.done")


def test_failure_of_the_inference_server_is_told(socket: ClientConnection, fake: FakeInference) -> None:
    fake.always([ErrorEvent("no more context")])
    say(socket, "input.text", text="Hello.")
    say(socket, "input.done")
    messages, _ = hear(socket, "error")
    assert "no more context" in messages[0]["error"]["message"]


def test_first_sentence_waits_for_no_second_one(socket: ClientConnection, fake: FakeInference) -> None:
    go_on = threading.Event()
    fake.enqueue(Tokens(frames_to_tokens(CODES)), Until(go_on), *speech(CODES))
    say(socket, "input.text", text="Hello there. ")
    try:
        messages, _ = hear(socket, "audio.start")
        assert isinstance(socket.recv(timeout=5), bytes)
    finally:
        go_on.set()
    assert messages[0]["sentence_index"] == 0


def test_pages_of_other_hosts_are_refused(server: AppServer) -> None:
    url = f"ws://127.0.0.1:{server.port}/v1/audio/speech/stream"
    with pytest.raises(InvalidStatus), connect(url, origin="https://evil.example"):
        pass
    with connect(url, origin="http://localhost:3000") as socket:
        say(socket, "input.done")
        hear(socket, "session.done")


def test_refused_config_leaves_the_one_before_it(socket: ClientConnection, fake: FakeInference) -> None:
    fake.always(speech(CODES))
    say(socket, "session.config", voice="leo")
    say(socket, "session.config", voice="nobody")
    hear(socket, "error")
    say(socket, "input.text", text="Hi there.")
    say(socket, "input.done")
    hear(socket, "session.done")
    assert "leo: Hi there." in str(fake.completions[0].body["prompt"])
