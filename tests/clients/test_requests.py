"""What real clients send beside the contract, and what every answer carries: points 1 to 10 and 15 to 21."""

import base64
import io
import json
import re
import socket
import threading
import time
import wave
from collections.abc import Callable

import httpx
import pytest

from tests.clients.heard import samples
from tests.clients.settings import KEYS
from tests.clients.test_routes import assert_error
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Done, Endless, ErrorEvent, Finish, Tokens, Until, frames_to_tokens, speech

SPEECH = "/v1/audio/speech"
CODES = tiny_snac.random_codes(24)


def test_input_alone_is_mp3(client: httpx.Client, fake: FakeInference) -> None:
    answer = client.post(SPEECH, json={"input": "Hi"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
    assert answer.content[:2] in (b"\xff\xf3", b"\xff\xfb")


@pytest.mark.parametrize(
    "more",
    [
        {
            "response_format": None,
            "speed": None,
            "instructions": None,
            "stream_format": None,
            "voice": None,
            "model": None,
        },
        {"instructions": "None"},
        {"instructions": "Laugh all the time. " * 100},
        {"backend": "x", "language": "en", "lang_code": "a", "user": "me", "stream": True, "params": {"a": [1, {}]}},
        {"repetition_penalty": 1.5, "n": 3, "extra_body": None, "voice_settings": {"stability": 0.5}},
    ],
    ids=["nulls", "None", "long", "extras", "penalty"],
)
def test_what_clients_add_changes_nothing(client: httpx.Client, fake: FakeInference, more: dict[str, object]) -> None:
    heard = []
    for body in ({"input": "Hi."}, {"input": "Hi.", **more}):
        fake.enqueue(*speech(CODES))
        answer = client.post(SPEECH, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
        heard.append(answer.content)
    plain, dressed = fake.completions
    assert heard[0] == heard[1]
    assert plain.body == dressed.body


@pytest.mark.parametrize(
    "model", ["tts-1", "tts-1-hd", "gpt-4o-mini-tts", "orpheus", "canopylabs/x", "", "模型", "m" * 500]
)
def test_any_name_of_a_model_speaks(client: httpx.Client, fake: FakeInference, model: str) -> None:
    assert client.post(SPEECH, json={"input": "Hi.", "model": model}).status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
@pytest.mark.parametrize("accept", ["*/*", "application/octet-stream", "text/html", "audio/wav", "nonsense"])
def test_accept_is_never_a_reason_to_refuse(client: httpx.Client, fake: FakeInference, kind: str, accept: str) -> None:
    body = json.dumps({"input": "Grüß dich."}, ensure_ascii=False).encode()
    answer = client.post(SPEECH, content=body, headers={"Content-Type": kind, "Accept": accept})
    assert answer.status_code == 200
    assert "Grüß dich." in str(fake.completions[0].body["prompt"])


@pytest.mark.parametrize("body", [b"input=Hi&voice=tara", b"<speak>Hi</speak>", b"\x00\x01", b"null", b"12"])
def test_what_is_no_json_is_400(client: httpx.Client, body: bytes) -> None:
    assert_error(client.post(SPEECH, content=body), 400)


@pytest.mark.parametrize("numbers", [230, 2_300])
def test_a_long_text_is_spoken_to_its_last_word(client: httpx.Client, fake: FakeInference, numbers: int) -> None:
    """5,000 and 50,000 characters."""
    fake.always(speech(tiny_snac.random_codes(1)))
    text = " ".join(f"Sentence number {10_000 + n}." for n in range(numbers))
    assert len(text) > numbers * 20
    with client.stream("POST", SPEECH, json={"input": text, "response_format": "pcm"}) as answer:
        assert answer.status_code == 200
        assert sum(map(len, answer.iter_bytes())) > 0
    asked = " ".join(str(request.body["prompt"]) for request in fake.completions)
    # A set: an answer as short as these may be asked for again.
    assert set(map(int, re.findall(r"number (\d+)", asked))) == {10_000 + n for n in range(numbers)}


def test_a_text_above_the_limit_is_told_so(client: httpx.Client) -> None:
    answer = client.post(SPEECH, json={"input": "x" * 200_001})
    assert_error(answer, 400)
    assert answer.json()["error"]["code"] == "string_above_max_length"


@pytest.mark.parametrize("text", [".", "?", "a", "1", "🙂.", "<laugh>", "다", "...!"])
def test_next_to_nothing_is_still_spoken(client: httpx.Client, fake: FakeInference, text: str) -> None:
    answer = client.post(SPEECH, json={"input": text})
    assert answer.status_code == 200
    assert answer.content


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b\ufeff"])
def test_nothing_at_all_is_400(client: httpx.Client, text: str) -> None:
    answer = client.post(SPEECH, json={"input": text})
    assert_error(answer, 400)
    assert answer.json()["error"]["param"] == "input"


@pytest.mark.parametrize("speed", ["0.24", "4.01", '"fast"', "NaN", "Infinity", "-1", "0", "1e400", "[]", "true"])
def test_a_speed_out_of_range_is_400(client: httpx.Client, speed: str) -> None:
    answer = client.post(SPEECH, content=f'{{"input": "Hi", "speed": {speed}}}')
    if speed != "true":  # 1 to some parsers of JSON
        assert_error(answer, 400)


@pytest.mark.parametrize("tokens", [1, 6])
def test_a_limit_that_leaves_no_room_for_a_frame_is_the_caller_s_fault(
    client: httpx.Client, fake: FakeInference, tokens: int
) -> None:
    """Seven tokens are one frame: fewer are silence, however good the model is."""
    answer = client.post(SPEECH, json={"input": "Hi.", "max_tokens": tokens})
    assert_error(answer, 400)
    assert answer.json()["error"]["param"] == "max_tokens"


def test_first_sound_comes_long_before_the_end(client: httpx.Client, fake: FakeInference) -> None:
    """The model speaks three sentences and is held up in the first: the first sound must be there by then."""
    go_on, tokens = threading.Event(), frames_to_tokens(CODES)
    fake.enqueue(Tokens(tokens[:35]), Until(go_on), Tokens(tokens[35:]), Finish(), Done())
    body = {"input": "One is here. Two comes after it. Three is the last of them."}
    with client.stream("POST", SPEECH, json=body, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert not {"content-length", "content-encoding"} & set(answer.headers)
        pieces = answer.iter_raw()
        first = next(pieces)
        go_on.set()
        assert len(samples("mp3", first + b"".join(pieces))) >= 24 * 2048


def test_requests_get_the_id_that_they_bring_if_it_is_sane(client: httpx.Client, fake: FakeInference) -> None:
    body = {"input": "Hi."}
    assert client.post(SPEECH, json=body, headers={"x-request-id": "abc-1.2:3"}).headers["x-request-id"] == "abc-1.2:3"
    for strange in ("x" * 129, "a b", "<script>", "é"):
        given = client.post(SPEECH, json=body, headers={"x-request-id": strange.encode()}).headers["x-request-id"]  # type: ignore[dict-item]
        assert re.fullmatch(r"req_[0-9a-f]{24}", given)
    ids = {client.get("/v1/models").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_place_is_free_again_within_a_second_of_the_client(guarded: AppServer, fake: FakeInference) -> None:
    """The server has one place and no line: the next request must find it free."""
    with httpx.Client(base_url=guarded.url, headers={"Authorization": f"Bearer {KEYS[0]}"}, trust_env=False) as http:
        body = {"input": "Hi.", "response_format": "pcm"}
        fake.enqueue(Endless(rate=500))
        with http.stream("POST", SPEECH, json=body) as answer:
            next(pieces := answer.iter_bytes())
            assert http.post(SPEECH, json=body).status_code == 503
            pieces.close()
        left, status = time.monotonic(), 503
        while status == 503 and time.monotonic() - left < 3:
            status = http.post(SPEECH, json=body).status_code
        assert status == 200
        assert time.monotonic() - left < 1


@pytest.mark.parametrize("more", [{}, {"stream_format": "sse"}, {"timestamps": True}], ids=["audio", "sse", "json"])
@pytest.mark.parametrize("speed", [1.0, 4.0])
@pytest.mark.parametrize("format", ["mp3", "aac", "flac", "pcm"])
def test_a_failure_before_the_first_byte_has_a_status_in_every_form(
    client: httpx.Client, fake: FakeInference, more: dict[str, object], speed: float, format: str
) -> None:
    """Two frames make no sound yet; also not where the encoder or the tempo filter holds back what there is."""
    fake.enqueue(Tokens(frames_to_tokens(CODES[:2])), ErrorEvent("too much"))
    answer = client.post(SPEECH, json={"input": "Hi.", "response_format": format, "speed": speed, **more})
    assert_error(answer, 502)


@pytest.mark.parametrize("frames", [3, 4])
@pytest.mark.parametrize("format", ["aac", "flac"])
def test_an_event_stream_that_never_began_to_sound_fails_with_a_status(
    client: httpx.Client, fake: FakeInference, format: str, frames: int
) -> None:
    """At speed 4 the tempo filter holds all of these back: nothing was sent when the model failed."""
    fake.enqueue(Tokens(frames_to_tokens(CODES[:frames])), ErrorEvent("too much"))
    body = {"input": "Hi.", "response_format": format, "speed": 4.0, "stream_format": "sse"}
    try:
        answer = client.post(SPEECH, json=body)
    except httpx.RemoteProtocolError:
        pytest.fail("200 was sent although no audio had been")
    assert_error(answer, 502)


def test_json_with_times_holds_a_wav_of_true_sizes(client: httpx.Client, fake: FakeInference) -> None:
    """The clip is whole before it is sent, so its header need not say that it goes on for ever."""
    fake.enqueue(*speech(CODES))
    answer = client.post(SPEECH, json={"input": "Hi.", "response_format": "wav", "timestamps": True}).json()
    wav = base64.b64decode(answer["audio"])
    assert int.from_bytes(wav[40:44], "little") == len(wav) - 44


@pytest.mark.parametrize(
    "send",
    [
        lambda s: s.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"),
        lambda s: s.sendall(
            b'POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"inp'
        ),
    ],
)
def test_a_client_that_leaves_in_the_middle_of_its_question_breaks_nothing(
    server: AppServer, client: httpx.Client, send: Callable[[socket.socket], None]
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        send(connection)
    assert client.get("/health").text == "OK"
    assert "Traceback" not in server.log()


def test_a_file_that_is_whole_says_its_true_sizes(client: httpx.Client, fake: FakeInference) -> None:
    """POST /speak is the way to ask for a clip that is not streamed."""
    fake.enqueue(*speech(CODES))
    name = client.post("/speak", json={"text": "Hello there.", "voice": "leo"}).json()["output_file"]
    answer = client.get(f"/{name}")
    assert int(answer.headers["content-length"]) == len(answer.content)
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getnframes(), file.getframerate()) == (24 * 2048, 24000)
