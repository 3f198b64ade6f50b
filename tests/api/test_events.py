"""Server-sent events, times of segments, and metrics."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import ErrorEvent, Tokens, frames_to_tokens, speech

TWO_SENTENCES = "First comes this rather long sentence, so that it fills a segment of its own and no other one. " * 2


def events(client: httpx.Client, **body: object) -> list[dict[str, Any]]:
    answer = client.post("/v1/audio/speech", json={"response_format": "pcm", "stream_format": "sse", **body})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line[6:]) for line in lines]


def test_deltas_make_the_audio_and_done_counts_the_tokens(client: httpx.Client, fake: FakeInference) -> None:
    fake.enqueue(*speech(tiny_snac.random_codes(9)))
    heard = events(client, input="Hello.", model="tts-1")
    assert {event["type"] for event in heard[:-1]} == {"speech.audio.delta"}
    assert len(b"".join(base64.b64decode(event["audio"]) for event in heard[:-1])) == 9 * 4096
    done = heard[-1]
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["output_tokens"] == 63
    assert done["usage"]["total_tokens"] == 63 + done["usage"]["input_tokens"]
    assert done["usage"]["input_tokens"] > 0


def test_segments_are_told_as_they_begin_and_timed_at_the_end(client: httpx.Client, fake: FakeInference) -> None:
    fake.always(speech(tiny_snac.random_codes(40)))
    heard = events(client, input=TWO_SENTENCES, timestamps=True)
    begun = [event for event in heard if event["type"] == "speech.audio.segment"]
    times = heard[-1]["segments"]
    assert len(begun) == len(times) == len(fake.completions) >= 2
    for segment in times:
        assert segment["text"] == TWO_SENTENCES[segment["start"] : segment["end"]].strip()
        assert segment["start_s"] < segment["end_s"]
    assert times[0]["end_s"] <= times[1]["start_s"]
    assert heard.index(begun[1]) > heard.index(begun[0]) + 1


def test_error_in_a_started_stream_is_an_event_and_then_a_cut(client: httpx.Client, fake: FakeInference) -> None:
    fake.enqueue(Tokens(frames_to_tokens(tiny_snac.random_codes(9))), ErrorEvent("too much"))
    body = {"input": "Hello.", "stream_format": "sse", "response_format": "pcm"}
    text = ""
    try:
        with client.stream("POST", "/v1/audio/speech", json=body) as answer:
            for piece in answer.iter_text():
                text += piece
    except httpx.RemoteProtocolError:
        last = json.loads(text.strip().split("\n")[-1][6:])
        assert last["type"] == "error"
        assert "too much" in last["error"]["message"]
    else:
        raise AssertionError("the stream ended as if all were well")


def test_timestamps_without_events_are_json(client: httpx.Client, fake: FakeInference) -> None:
    fake.always(speech(tiny_snac.random_codes(40)))
    body = {"input": TWO_SENTENCES, "timestamps": True, "response_format": "pcm", "speed": 2.0}
    answer = client.post("/v1/audio/speech", json=body).json()
    pcm = np.frombuffer(base64.b64decode(answer["audio"]), "<i2")
    assert abs(len(pcm) / 24000 - answer["duration_s"]) < 0.01
    assert [segment["index"] for segment in answer["segments"]] == list(range(len(fake.completions)))
    assert answer["segments"][-1]["end_s"] <= answer["duration_s"]
    assert answer["usage"]["output_tokens"] == 280 * len(fake.completions)


def test_metrics_count_requests_tokens_and_failures(client: httpx.Client, fake: FakeInference) -> None:
    def value(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split(" ")[0] == name)

    before = {name: value(name) for name in ('orpheus_requests_total{outcome="ok"}', "orpheus_tokens_total")}
    failed = value('orpheus_requests_total{outcome="InferenceError"}')
    fake.enqueue(*speech(tiny_snac.random_codes(10)))
    client.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "pcm"})
    fake.always([ErrorEvent()])
    client.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "pcm"})
    assert value('orpheus_requests_total{outcome="ok"}') == before['orpheus_requests_total{outcome="ok"}'] + 1
    assert value("orpheus_tokens_total") == before["orpheus_tokens_total"] + 70
    assert value('orpheus_requests_total{outcome="InferenceError"}') == failed + 1
    assert value("orpheus_first_audio_seconds_count") >= 1


def test_segments_are_as_long_as_the_setting_allows(weights: Path) -> None:
    with FakeInference() as fake:
        fake.always(speech(tiny_snac.random_codes(20)))
        settings = {"ORPHEUS_API_URL": fake.url, "ORPHEUS_SNAC_MODEL": str(weights), "ORPHEUS_SEGMENT_CHARS": "60"}
        with AppServer(settings) as server:
            body = {"input": TWO_SENTENCES, "response_format": "pcm"}
            httpx.post(f"{server.url}/v1/audio/speech", json=body, timeout=30, trust_env=False).raise_for_status()
        prompts = ["".join(part for part in r.body["prompt"] if isinstance(part, str)) for r in fake.completions]
        assert len(prompts) >= 4
        assert max(len(prompt) for prompt in prompts) <= len("tara: ") + 61
