"""wyoming_openai (Home Assistant), which is on no registry: its questions to an unknown server, in its order.

It decides by what these answer: GET {base}/readyz with any 2xx is LocalAI, GET {base}/../../health with the body OK is
Speaches, GET {base}/test with {"status": "ok"} is Kokoro, else OpenAI. Only as Speaches it offers native voices.
"""

import io
import wave

import httpx
import openai
import pytest

from tests.clients.settings import KEYS, MODEL
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import speech
from tts_engine.voices import VOICES


def _backend(http: httpx.Client) -> str:
    if http.get("readyz").is_success:
        return "LocalAI"
    health = http.get("../../health")
    if health.is_success and health.text == "OK":
        return "Speaches"
    test = http.get("test")
    return "Kokoro" if test.is_success and test.json().get("status") == "ok" else "OpenAI"


@pytest.mark.parametrize("key", [None, *KEYS])
def test_it_takes_the_server_for_speaches_and_finds_native_voices(guarded: AppServer, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=f"{guarded.url}/v1/", headers=headers, trust_env=False) as http:
        assert _backend(http) == "Speaches"
        for model in ("tts-1", "orpheus", MODEL):
            names = [voice["name"] for voice in http.get(f"models/{model}").json()["voices"]]
            assert names == [voice.name for voice in VOICES]


def test_its_wav_reader_opens_the_first_2048_bytes_and_hears_all(server: AppServer, fake: FakeInference) -> None:
    fake.enqueue(*speech(tiny_snac.random_codes(24)))
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        request = {"model": "orpheus", "voice": "유나", "input": "Hello.", "response_format": "wav", "speed": 1.0}
        with client.audio.speech.with_streaming_response.create(
            **request, instructions="Calm.", extra_headers={"Authorization": openai.omit}
        ) as answer:
            first, *others = answer.iter_bytes(2048)
    with wave.open(io.BytesIO(first)) as header:
        assert (header.getframerate(), header.getnchannels(), header.getsampwidth()) == (24000, 1, 2)
    assert len(first) + sum(map(len, others)) == 44 + 24 * 4096
