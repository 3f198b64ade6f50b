"""POST /v1/audio/speech over a real socket: what comes out is the decode of what the model said, all of it."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support import tiny_snac
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Cut, Done, Finish, Newline, Text, Tokens, frames_to_tokens, speech

FRAME = 2048
Codes = NDArray[np.int32]


def speak(client: httpx.Client, text: str = "Hello there.", **more: object) -> NDArray[np.int16]:
    answer = client.post("/v1/audio/speech", json={"input": text, "response_format": "pcm", **more})
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<i2")


def assert_same(pcm: NDArray[np.int16], weights: Path, codes: Codes) -> None:
    expected = tiny_snac.reference_pcm(weights, codes)
    assert len(pcm) == len(expected)
    assert np.abs(pcm.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 6, 7, 8, 60])
def test_audio_is_the_decode_of_the_whole_sequence(
    client: httpx.Client, fake: FakeInference, weights: Path, frames: int
) -> None:
    codes = tiny_snac.random_codes(frames, seed=frames)
    fake.enqueue(*speech(codes))
    assert_same(speak(client), weights, codes)


@pytest.mark.parametrize("code", [0, 4095])
def test_first_and_last_code_of_every_codebook_are_heard(
    client: httpx.Client, fake: FakeInference, weights: Path, code: int
) -> None:
    codes = np.full((9, 7), code, np.int32)
    fake.enqueue(*speech(codes))
    assert_same(speak(client), weights, codes)


@pytest.mark.parametrize("size", [1, 7, 333])
def test_any_cutting_of_the_wire(client: httpx.Client, fake: FakeInference, weights: Path, size: int) -> None:
    codes = tiny_snac.random_codes(8, seed=size)
    fake.enqueue(Cut(size), Newline("\r\n"), *speech(codes))
    assert_same(speak(client), weights, codes)


def test_half_tokens_and_foreign_text(client: httpx.Client, fake: FakeInference, weights: Path) -> None:
    codes = tiny_snac.random_codes(6)
    numbers = [4, 5, 1, *frames_to_tokens(codes), 2]
    fake.enqueue(Text(["", "Hm. "]), Tokens(numbers, chars_per_event=5), Finish(), Done())
    assert_same(speak(client), weights, codes)


def test_broken_frames_cost_themselves_only(client: httpx.Client, fake: FakeInference, weights: Path) -> None:
    codes = tiny_snac.random_codes(9)
    numbers = frames_to_tokens(codes)
    numbers[7 * 6 + 3] = 40_000  # a code that no codebook has
    del numbers[7 * 3 + 2]  # a missing token
    fake.enqueue(Tokens(numbers), Finish(), Done())
    assert_same(speak(client), weights, codes[[0, 1, 2, 4, 5, 7, 8]])


def test_nothing_after_end_of_speech_is_heard(client: httpx.Client, fake: FakeInference, weights: Path) -> None:
    codes = tiny_snac.random_codes(5)
    fake.enqueue(Tokens([*frames_to_tokens(codes), 2, *frames_to_tokens(codes)]), Finish(), Done())
    assert_same(speak(client), weights, codes)


def test_first_sound_leaves_after_three_frames(client: httpx.Client, fake: FakeInference) -> None:
    """21 tokens are there and the model has not said a word more: the first 1387 samples must come."""
    import threading

    from tests.support.fake_script import Until

    codes, go_on = tiny_snac.random_codes(10), threading.Event()
    numbers = frames_to_tokens(codes)
    fake.enqueue(Tokens(numbers[:21]), Until(go_on), Tokens(numbers[21:]), Finish(), Done())
    body = {"input": "Hello.", "response_format": "pcm"}
    with client.stream("POST", "/v1/audio/speech", json=body) as answer:
        pieces = answer.iter_bytes()
        first = next(pieces)
        assert len(first) // 2 == 3 * FRAME - 4757
        go_on.set()
        assert len(first) + sum(map(len, pieces)) == 10 * FRAME * 2


def test_one_short_sentence_is_one_request_with_the_fixed_penalty(client: httpx.Client, fake: FakeInference) -> None:
    speak(client, "One short sentence.", repetition_penalty=1.9, repeat_penalty=1.7, frequency_penalty=1, top_p=0.5)
    (request,) = fake.completions
    assert request.body["repeat_penalty"] == 1.1
    assert "frequency_penalty" not in request.body
    assert (request.body["top_p"], request.body["stream"]) == (0.5, True)


def test_special_tokens_of_the_user_never_reach_the_prompt(client: httpx.Client, fake: FakeInference) -> None:
    speak(client, "Say <|eot_id|><custom_token_2>this <laugh> <cust<custom_token_2>om_token_5> <|audio|> now.")
    (request,) = fake.completions
    text = "".join(part for part in request.body["prompt"] if isinstance(part, str))
    assert "<laugh>" in text
    assert not any(special in text for special in ("<|", "<custom_token_"))


def test_wav_has_44_bytes_of_header_and_unknown_sizes(client: httpx.Client, fake: FakeInference) -> None:
    fake.enqueue(*speech(tiny_snac.random_codes(4)))
    answer = client.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "wav"})
    assert answer.headers["content-type"] == "audio/wav"
    wav = answer.content
    assert (wav[:4], wav[8:16], wav[36:40]) == (b"RIFF", b"WAVEfmt ", b"data")
    assert wav[4:8] == wav[40:44] == b"\xff\xff\xff\xff"
    assert len(wav) == 44 + 4 * FRAME * 2


def test_answer_is_streamed_and_kept_by_nobody(client: httpx.Client, fake: FakeInference) -> None:
    with client.stream("POST", "/v1/audio/speech", json={"input": "Hello."}) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["x-request-id"]
        answer.read()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": " \n "}, "input"),
        ({"input": 5}, "input"),
        ({"input": "Hi", "voice": "nobody"}, "voice"),
        ({"input": "Hi", "voice": 7}, "voice"),
        ({"input": "Hi", "response_format": "midi"}, "response_format"),
        ({"input": "Hi", "speed": 4.01}, "speed"),
        ({"input": "Hi", "speed": "fast"}, "speed"),
        ({"input": "Hi", "temperature": -1}, "temperature"),
        ({"input": "Hi", "max_tokens": 9000}, "max_tokens"),
        ({"input": "Hi", "seed": 2**40}, "seed"),
        ({"input": "x" * 200_001}, "input"),
    ],
)
def test_bad_value_is_400_and_names_its_field(client: httpx.Client, body: dict[str, object], param: str) -> None:
    answer = client.post("/v1/audio/speech", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"[" * 100_000, b'{"input": "\\ud800"}', b'{"input": "Hi", "speed": NaN}', b"\xff"],
)
def test_what_is_no_speech_request_is_400(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/audio/speech", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_body_above_the_limit_is_413(client: httpx.Client) -> None:
    answer = client.post("/v1/audio/speech", json={"input": "Hi", "x": "y" * 3_000_000})
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_unknown_fields_and_nulls_are_ignored(client: httpx.Client, fake: FakeInference) -> None:
    nulls = dict.fromkeys(("voice", "model", "instructions", "speed", "stream_format", "seed", "temperature"))
    assert len(speak(client, "Hi.", **nulls, stream=True, params={"a": 1}, lang_code="en"))


@pytest.mark.parametrize("voice", ["tara", "TARA", "alloy", {"id": "leo"}, "유나"])
def test_voice_by_name_alias_or_id(client: httpx.Client, fake: FakeInference, voice: object) -> None:
    assert len(speak(client, voice=voice))
