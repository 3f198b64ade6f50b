"""A streamed answer: deltas, its end, and the ways in which it can be broken."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_engine.llm.answer import AnswerReader, BadAnswer, Finish, error_message


def event(text: str = "", reason: str | None = None, **more: object) -> bytes:
    document = {"choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}], **more}
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def read(*chunks: bytes) -> tuple[list[str], Finish | None]:
    reader = AnswerReader()
    texts = [text for chunk in chunks for text in reader.feed(chunk)]
    while more := reader.flush():
        texts += more
        if reader.finish:
            break
    return texts, reader.finish


DONE = b"data: [DONE]\n\n"
USAGE = {"usage": {"prompt_tokens": 14, "completion_tokens": 97, "total_tokens": 111}}


def test_usage_in_the_last_event() -> None:
    assert read(event("a"), event("", "stop", **USAGE), DONE) == (["a", ""], Finish("stop", 14, 97))


def test_usage_in_an_event_of_its_own_after_the_last_one() -> None:
    alone = b"data: " + json.dumps({"choices": [], **USAGE}).encode() + b"\n\n"
    assert read(event("a", "length"), alone, DONE) == (["a"], Finish("length", 14, 97))


def test_finish_reason_without_done_is_an_end() -> None:
    assert read(event("a", "stop")) == (["a"], Finish("stop", None, None))


def test_done_without_finish_reason_is_an_end() -> None:
    assert read(event("a"), DONE) == (["a"], Finish("stop", None, None))


def test_last_event_without_its_blank_line_counts() -> None:
    assert read(event("a"), event("b", "stop").rstrip()) == (["a", "b"], Finish("stop", None, None))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ({"choices": [{"text": None}]}, ""),
        ({"choices": [{}]}, ""),
        ({"choices": [{"delta": {"content": "x"}}]}, "x"),
        ({"choices": [{"delta": {"role": "assistant", "content": None}}]}, ""),
        ({"choices": [{"message": {"content": "x"}}]}, "x"),
        ({"content": "x", "stop": False}, "x"),
    ],
)
def test_neighbouring_shapes(shape: object, text: str) -> None:
    assert AnswerReader().feed(b"data: " + json.dumps(shape).encode() + b"\n\n") == [text]


@pytest.mark.parametrize(("kind", "reason"), [("limit", "length"), ("eos", "stop"), ("word", "stop")])
def test_end_of_llama_cpps_own_stream(kind: str, reason: str) -> None:
    last = {"content": "", "stop": True, "stop_type": kind, "tokens_evaluated": 3, "tokens_predicted": 4}
    assert read(b"data: " + json.dumps(last).encode() + b"\n\n") == ([""], Finish(reason, 3, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b'{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}', 500, "Context"),
        (b'{"error":{"code":400,"message":"too long"}}', 400, "too long"),
        (b'{"object":"error","message":"boom","code":503}', 503, "boom"),
        (b'{"error":"Unexpected endpoint"}', 502, "Unexpected endpoint"),
        (b'{"choices":[{"text":"', 502, "broken JSON"),
        (b"\xff\xfe", 502, "broken JSON"),
        (b"[" * 100_000, 502, "broken JSON"),
        (b'"text"', 502, "no completion"),
        (b'{"choices":[{"text":"a","finish_reason":"abort"}]}', 502, "abort"),
    ],
)
def test_fault_comes_after_the_text_before_it(data: bytes, status: int, message: str) -> None:
    for cut in (0, 5):
        stream = event("a") + b"data: " + data + b"\n\n"
        reader = AnswerReader()
        texts = reader.feed(stream[:cut]) + reader.feed(stream[cut:])
        assert texts == ["a"]
        with pytest.raises(BadAnswer, match=message) as caught:
            reader.feed(b"more")
        assert caught.value.status == status


def test_end_of_body_without_a_finish_is_a_fault() -> None:
    reader = AnswerReader()
    reader.feed(event("a"))
    with pytest.raises(BadAnswer, match="broke off"):
        reader.flush()


STREAM = b": ping\n\n" + event("<custom_") + event("token_12>é한") + event() + event("z", "stop", **USAGE) + DONE


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cutting_gives_the_same_answer(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in itertools.pairwise(edges)]
    assert read(*chunks) == (["<custom_", "token_12>é한", "", "z"], Finish("stop", 14, 97))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"error": {"message": "Loading model", "code": 503}}, "Loading model"),
        ({"error": "plain"}, "plain"),
        ({"object": "error", "message": "vllm's"}, "vllm's"),
        ({"detail": "fastapi's"}, "fastapi's"),
        ({"detail": [{"loc": ["body", "top_k"], "msg": "Extra", "input": "secret"}]}, "body.top_k: Extra"),
        ({"error": {"message": "a\n b" * 1000}}, ("a b" * 1000)[:400]),
        ({}, ""),
        (None, ""),
        (["x", 3], "x"),
    ],
)
def test_message_of_an_error_document(document: object, message: str) -> None:
    assert error_message(document) == message
