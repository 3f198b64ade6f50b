"""OpenAI's own Python client, as its users call it."""

import base64
import json
import threading
from collections.abc import Callable, Iterator

import openai
import pytest

from tests.clients.heard import FORMATS, MEDIA_TYPES, samples
from tests.clients.settings import KEYS, MODEL
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Done, ErrorEvent, Finish, Reply, Tokens, Until, frames_to_tokens, speech

CODES = tiny_snac.random_codes(24)
SAMPLES = 24 * 2048
BODY = {"model": "tts-1", "voice": "alloy", "input": "Hello there."}


@pytest.fixture
def ai(server: AppServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def guarded_ai(guarded: AppServer) -> Iterator[Callable[..., openai.OpenAI]]:
    clients: list[openai.OpenAI] = []

    def make(api_key: str = KEYS[1], *, max_retries: int = 0) -> openai.OpenAI:
        client = openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=api_key, max_retries=max_retries, timeout=30)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def whole(format: str, data: bytes) -> bool:
    """All of CODES is there, and nothing but the rest of a codec's last frame with it."""
    return 0 <= len(samples(format, data)) - SAMPLES < 1_100


@pytest.mark.parametrize("format", FORMATS)
def test_create_reads_the_whole_clip(ai: openai.OpenAI, fake: FakeInference, format: str) -> None:
    fake.enqueue(*speech(CODES))
    answer = ai.audio.speech.create(**BODY, response_format=format)
    assert whole(format, answer.content)


@pytest.mark.anyio
async def test_the_async_client_with_nothing_but_what_it_must_send(server: AppServer, fake: FakeInference) -> None:
    fake.enqueue(*speech(CODES))
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        answer = await client.audio.speech.create(**BODY)
        assert whole("mp3", answer.content)


@pytest.mark.parametrize("format", FORMATS)
def test_streaming_hands_out_sound_while_the_model_still_speaks(
    ai: openai.OpenAI, fake: FakeInference, format: str
) -> None:
    go_on, tokens = threading.Event(), frames_to_tokens(CODES)
    fake.enqueue(Tokens(tokens[: 7 * 12]), Until(go_on), Tokens(tokens[7 * 12 :]), Finish(), Done())
    data = b""
    with ai.audio.speech.with_streaming_response.create(**BODY, response_format=format) as answer:
        assert answer.headers["content-type"] == MEDIA_TYPES[format]
        for piece in answer.iter_bytes(1001):  # an odd size, so that samples are cut in two
            data += piece
            if not go_on.is_set() and len(samples(format, data)) > 6 * 2048:
                go_on.set()
    assert go_on.is_set()
    assert whole(format, data)


@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])
@pytest.mark.parametrize("format", FORMATS)
def test_events_carry_the_bytes_that_audio_would_have(
    ai: openai.OpenAI, fake: FakeInference, format: str, model: str
) -> None:
    body = {**BODY, "model": model, "response_format": format, "extra_body": {"seed": 5}}
    fake.enqueue(*speech(CODES))
    plain = ai.audio.speech.create(**body).content
    fake.enqueue(*speech(CODES))
    with ai.audio.speech.with_streaming_response.create(**body, stream_format="sse") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [event["type"] for event in events] == ["speech.audio.delta"] * (len(events) - 1) + ["speech.audio.done"]
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == plain
    usage = events[-1]["usage"]
    assert all(type(usage[name]) is int for name in ("input_tokens", "output_tokens", "total_tokens"))
    assert usage["output_tokens"] == 24 * 7


def test_a_bad_voice_is_a_bad_request_with_words_and_id(ai: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Unknown voice 'nobody'.*tara") as caught:
        ai.audio.speech.create(**{**BODY, "voice": "nobody"})
    error = caught.value
    assert (error.param, error.type, error.code) == ("voice", "invalid_request_error", "invalid_value")
    assert error.request_id


def test_a_model_that_does_not_exist_is_not_found(ai: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ai.models.retrieve("no/such-model")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_route_that_does_not_exist_is_not_found(ai: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="nothing at POST /v1/embeddings"):
        ai.embeddings.create(model="x", input="y")


def test_a_body_too_large_is_413(ai: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ai.audio.speech.create(**{**BODY, "input": "x" * 3_000_000})
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


@pytest.mark.parametrize("key", ["wrong", "first-key,second-key", "first-ke"])
def test_a_wrong_key_is_an_authentication_error(guarded_ai: Callable[..., openai.OpenAI], key: str) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        guarded_ai(key, max_retries=2).audio.speech.create(**BODY)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


@pytest.mark.parametrize("key", KEYS)
def test_each_key_opens(guarded_ai: Callable[..., openai.OpenAI], fake: FakeInference, key: str) -> None:
    fake.enqueue(*speech(CODES))
    assert guarded_ai(key).audio.speech.create(**BODY).content


def test_a_full_house_is_tried_again_and_heard(
    guarded: AppServer, guarded_ai: Callable[..., openai.OpenAI], fake: FakeInference
) -> None:
    """503 with Retry-After: the client waits as long as it was told, then is served."""
    go_on, first, second = threading.Event(), guarded_ai(), guarded_ai(max_retries=2)
    fake.enqueue(Tokens(frames_to_tokens(CODES)), Until(go_on), Finish(), Done())
    fake.enqueue(*speech(CODES))
    with first.audio.speech.with_streaming_response.create(**BODY) as speaking:
        pieces = speaking.iter_bytes()
        next(pieces)
        with pytest.raises(openai.InternalServerError) as caught:
            first.audio.speech.create(**BODY)
        assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 120
        heard: list[bytes] = []
        again = threading.Thread(target=lambda: heard.append(second.audio.speech.create(**BODY).content))
        again.start()
        go_on.set()
        assert sum(map(len, pieces))
    again.join()
    assert whole("mp3", heard[0])


@pytest.mark.parametrize(
    ("answer", "status"),
    [(Reply(400, {"error": {"message": "bad field"}}), 502), (Reply(401, {"error": {"message": "no"}}), 502)],
)
def test_a_failure_that_would_repeat_itself_is_not_tried_again(
    server: AppServer, fake: FakeInference, answer: Reply, status: int
) -> None:
    fake.always([answer])
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=2, timeout=30) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.audio.speech.create(**BODY)
        once = len(fake.completions)
    assert caught.value.status_code == status
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert once <= 2  # the server itself may ask the inference server again, in another dialect


def test_an_inference_server_that_loads_is_503_with_the_wait(ai: openai.OpenAI, fake: FakeInference) -> None:
    fake.always([Reply(503, {"error": {"message": "Loading model"}}, {"Retry-After": "30"})])
    with pytest.raises(openai.InternalServerError) as caught:
        ai.audio.speech.create(**BODY)
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "30"
    assert "x-should-retry" not in caught.value.response.headers


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_a_cut_clip_is_never_taken_for_whole(ai: openai.OpenAI, fake: FakeInference, stream_format: str) -> None:
    fake.enqueue(Tokens(frames_to_tokens(CODES)), ErrorEvent())
    with pytest.raises(openai.APIConnectionError):
        ai.audio.speech.create(**BODY, stream_format=stream_format)


def test_models_are_listed_and_found_by_name(ai: openai.OpenAI) -> None:
    models = list(ai.models.list())
    assert {"orpheus", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"} <= {model.id for model in models}
    for model in models:
        assert ai.models.retrieve(model.id) == model


def test_a_model_with_a_slash_in_its_name(guarded_ai: Callable[..., openai.OpenAI]) -> None:
    client = guarded_ai()
    assert MODEL in {model.id for model in client.models.list()}
    assert client.models.retrieve(MODEL).id == MODEL
