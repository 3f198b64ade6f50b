"""OpenAI's JavaScript client and Vercel's AI SDK, as their users call them."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.clients import node
from tests.clients.heard import FORMATS, MEDIA_TYPES, samples
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_player import Received
from tests.support.fake_script import ErrorEvent, Reply, Step, Tokens, frames_to_tokens, speech

CODES = tiny_snac.random_codes(24)
SAMPLES = 24 * 2048


@pytest.fixture(scope="module")
def packages() -> Path:
    return node.packages()


def _script(received: Received) -> Sequence[Step]:
    prompt = str(received.body["prompt"])
    if "Refuse." in prompt:
        return [Reply(400, {"error": {"message": "bad field"}})]
    if "Break off." in prompt:
        return [Tokens(frames_to_tokens(CODES)), ErrorEvent()]
    return speech(CODES)


def whole(format: str, audio: str) -> bool:
    """All of CODES is there, and nothing but the rest of a codec's last frame with it."""
    return 0 <= len(samples(format, base64.b64decode(audio))) - SAMPLES < 1_100


@pytest.fixture(scope="module")
def openai(packages: Path, server: AppServer, guarded: AppServer, _fake: FakeInference) -> Any:
    _fake.always(_script)
    return node.run("openai.mjs", f"{server.url}/v1", f"{guarded.url}/v1", folder=packages)


@pytest.fixture(scope="module")
def ai(packages: Path, server: AppServer, _fake: FakeInference) -> Any:
    _fake.always(_script)
    return node.run("ai.mjs", f"{server.url}/v1", folder=packages)


@pytest.mark.parametrize("format", FORMATS)
def test_openai_speaks_every_format(openai: Any, format: str) -> None:
    assert openai["spoken"][format]["type"] == MEDIA_TYPES[format]
    assert whole(format, openai["spoken"][format]["audio"])


def test_openai_streams(openai: Any) -> None:
    assert sum(openai["streamed"]) == SAMPLES * 2
    assert len(openai["streamed"]) > 1
    *deltas, done = [json.loads(line.removeprefix("data: ")) for line in openai["events"].split("\n") if line]
    assert sum(len(base64.b64decode(delta["audio"])) for delta in deltas) == SAMPLES * 2
    assert done["usage"]["output_tokens"] == 24 * 7


def test_openai_lists_models(openai: Any) -> None:
    assert {"orpheus", "tts-1", "gpt-4o-mini-tts"} <= set(openai["models"])
    assert openai["model"] == "tts-1-hd"


@pytest.mark.parametrize(
    ("case", "kind", "status", "code", "param"),
    [
        ("voice", "BadRequestError", 400, "invalid_value", "voice"),
        ("input", "BadRequestError", 400, "empty_input", "input"),
        ("model", "NotFoundError", 404, "model_not_found", "model"),
        ("route", "NotFoundError", 404, "not_found", None),
        ("key", "AuthenticationError", 401, "invalid_api_key", None),
        ("upstream", "InternalServerError", 502, None, None),
    ],
)
def test_openai_reads_errors(
    openai: Any, case: str, kind: str, status: int, code: str | None, param: str | None
) -> None:
    error = openai["errors"][case]
    assert (error["kind"], error["status"], error["code"], error["param"]) == (kind, status, code, param)
    assert "(no body)" not in error["message"]
    assert error["requestID"]


def test_openai_never_takes_a_cut_clip_for_whole(openai: Any) -> None:
    assert openai["errors"]["cut"] is not None


@pytest.mark.parametrize("format", FORMATS)
def test_ai_sdk_speaks_every_format(ai: Any, format: str) -> None:
    assert whole(format, ai["spoken"][format]["audio"])
    assert ai["spoken"][format]["warnings"] == []
    assert ai["spoken"][format]["type"].startswith("audio/")


def test_ai_sdk_speaks_with_instructions_and_no_voice(ai: Any) -> None:
    assert whole("mp3", ai["plain"])


def test_ai_sdk_tells_the_server_s_own_words(ai: Any) -> None:
    voice, upstream = ai["errors"]["voice"], ai["errors"]["upstream"]
    assert (voice["status"], upstream["status"]) == (400, 502)
    assert "Unknown voice 'nobody'" in voice["message"]
    assert "bad field" in upstream["message"]


def test_ai_sdk_never_takes_a_cut_clip_for_whole(ai: Any) -> None:
    assert ai["errors"]["cut"] is not None
