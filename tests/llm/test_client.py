"""The streaming client over real sockets: what it sends, when it tries again, how each failure is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.llm.wire import (
    SPOKEN,
    STREAM_END,
    STREAM_HEAD,
    Request,
    answers,
    chunk,
    event,
    plain,
    wire,
)
from tests.support.server_process import free_port
from tts_engine.errors import InferenceError, InferenceTimeout, InferenceUnavailable, SettingsError
from tts_engine.llm import setback
from tts_engine.llm.answer import Finish
from tts_engine.llm.client import InferenceClient
from tts_engine.llm.dialects import DIALECTS, Sampling, body
from tts_engine.llm.prompt import Speech, prompt

pytestmark = pytest.mark.anyio

SPEECH, SAMPLING = Speech("Geheimnis", "tara"), Sampling(0.6, 0.9, 100)
LLAMA = {"/v1/models": {"data": [{"id": "f.gguf", "owned_by": "llamacpp"}]}}


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setback, "DELAYS_S", (0.002, 0.004))


@asynccontextmanager
async def client(url: str, **more: Any) -> AsyncIterator[InferenceClient]:
    made = InferenceClient(url=url, model="m", **{"api_key": None, "timeout_s": 5, **more})
    try:
        yield made
    finally:
        await made.close()


async def say(url: str, **more: Any) -> tuple[str, Finish | None]:
    async with client(url, **more) as speaker, speaker.stream(SPEECH, SAMPLING) as completion:
        text = "".join([delta.text async for delta in completion])
        return text, completion.finish


async def test_request_is_the_dialects_body_with_the_key() -> None:
    async with wire() as server:
        assert await say(server.url, api_key="s3cret") == ("<custom_token_10>", Finish("stop", None, None))
    (post,) = server.posts
    row = DIALECTS["vllm"]
    assert post.path == "/v1/completions"
    assert post.json == body(row, "orpheus", prompt(SPEECH, "training", row), SAMPLING)
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer s3cret"}


async def test_no_key_is_no_header() -> None:
    async with wire() as server:
        await say(server.url)
    assert all("authorization" not in request.headers for request in server.requests)


async def test_nothing_is_sent_before_the_first_delta_is_asked_for() -> None:
    async with wire() as server, client(server.url) as speaker:
        completion = speaker.stream(SPEECH, SAMPLING)
        await completion.aclose()
        assert [delta async for delta in completion] == []
    assert server.requests == []


async def test_usage_and_reason_are_known_at_the_end() -> None:
    usage = {"prompt_tokens": 14, "completion_tokens": 97}
    answer = STREAM_HEAD + event("a") + event("b", "length") + chunk(b'data: {"choices":[],"usage":')
    answer += chunk(str(usage).replace("'", '"').encode() + b"}\n\ndata: [DONE]\n\n") + STREAM_END
    async with wire(answer) as server:
        assert await say(server.url) == ("ab", Finish("length", 14, 97))


@pytest.mark.parametrize(("documents", "connections"), [(None, 1), (LLAMA, 3)])
async def test_connections_are_reused_unless_the_server_closes_them(documents: Any, connections: int) -> None:
    async with wire(SPOKEN, documents) as server, client(server.url) as speaker:
        for _ in range(3):
            async with speaker.stream(SPEECH, SAMPLING) as completion:
                assert [delta.text async for delta in completion]
    assert len({post.connection for post in server.posts}) == connections
    assert {post.headers["connection"] for post in server.posts} == {"keep-alive" if connections == 1 else "close"}


async def test_reused_connection_that_breaks_is_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setback, "DELAYS_S", (1000.0,))
    async with wire(answers(SPOKEN, b"", SPOKEN)) as server, client(server.url) as speaker:
        for _ in range(2):
            async with speaker.stream(SPEECH, SAMPLING) as completion:
                assert "".join([delta.text async for delta in completion]) == "<custom_token_10>"
    assert [post.connection for post in server.posts] == [1, 1, 2]


BUSY = plain("503 Service Unavailable", {"error": {"message": "Loading model", "code": 503}})
ERROR_EVENT = STREAM_HEAD + chunk(b'data: {"error":{"code":503,"message":"no room"}}\n\n') + STREAM_END


@pytest.mark.parametrize(
    "first",
    [
        BUSY,
        plain("429 Too Many Requests", {"error": "slow down"}),
        plain("503 Service Unavailable", b"", "Retry-After: 0"),
        plain("500 Internal Server Error", b"oops", kind="text/plain"),
        plain("502 Bad Gateway", b"<html>nginx</html>", kind="text/html"),
        ERROR_EVENT,
        STREAM_HEAD
        + chunk(b'data: {"error":{"code":500,"message":"Context size has been exceeded."}}\n\n')
        + STREAM_END,
        STREAM_HEAD + STREAM_END,
        STREAM_HEAD + chunk(b"data: {broken\n\n") + STREAM_END,
        STREAM_HEAD,
        b"",
        b"SSH-2.0-nonsense\r\n\r\n",
    ],
)
async def test_failure_before_the_first_delta_is_tried_again(first: bytes) -> None:
    async with wire(answers(first, first, SPOKEN)) as server:
        assert (await say(server.url))[0] == "<custom_token_10>"
        assert len(server.posts) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "status", "words", "tries"),
    [
        (BUSY, InferenceUnavailable, 503, ["Loading model"], 5),
        (plain("429 Too Many Requests", {"error": "slow down"}), InferenceUnavailable, 503, ["slow down"], 5),
        (ERROR_EVENT, InferenceUnavailable, 503, ["no room"], 5),
        (plain("500 Internal Server Error", {"error": {"message": "boom"}}), InferenceError, 502, ["500", "boom"], 3),
        (plain("502 Bad Gateway", b"<html>x</html>", kind="text/html"), InferenceError, 502, ["Bad Gateway"], 3),
        (
            plain("401 Unauthorized", {"error": {"message": "Invalid API Key"}}),
            InferenceError,
            502,
            ["ORPHEUS_API_KEY"],
            1,
        ),
        (plain("403 Forbidden", b""), InferenceError, 502, ["ORPHEUS_API_KEY"], 1),
        (
            plain("404 Not Found", {"error": {"message": "Model not found"}}),
            InferenceError,
            502,
            ["Model not found", "ORPHEUS_API_URL", "ORPHEUS_MODEL_NAME", "It lists: orpheus"],
            1,
        ),
        (plain("400 Bad Request", {"error": {"message": "too long"}}), InferenceError, 502, ["400", "too long"], 1),
        (
            plain("422 Unprocessable Entity", {"detail": [{"loc": ["top_k"], "msg": "extra", "input": "Geheimnis"}]}),
            InferenceError,
            502,
            ["top_k: extra"],
            1,
        ),
        (plain("307 Temporary Redirect", b"", "Location: http://evil/"), InferenceError, 502, ["http://evil/"], 1),
        (plain("200 OK", b"<html>Welcome</html>", kind="text/html"), InferenceError, 502, ["web page"], 1),
        (plain("200 OK", {"error": "Unexpected endpoint or method."}), InferenceError, 502, ["Unexpected endpoint"], 3),
        (plain("200 OK", {"object": "list"}), InferenceError, 502, ["broke off"], 3),
        (STREAM_HEAD + chunk(b"<html>") + STREAM_END, InferenceError, 502, ["broke off"], 3),
        (STREAM_HEAD + STREAM_END, InferenceError, 502, ["broke off"], 3),
        (STREAM_HEAD, InferenceError, 502, ["broke off the connection"], 3),
        (b"", InferenceError, 502, ["broke off the connection"], 3),
        (b"SSH-2.0-nonsense\r\n\r\n", InferenceError, 502, ["broke off the connection"], 3),
        (
            STREAM_HEAD + chunk(b'data: {"error":{"code":400,"message":"exceeds the context"}}\n\n') + STREAM_END,
            InferenceError,
            502,
            ["exceeds the context"],
            1,
        ),
    ],
)
async def test_failure_is_told(answer: bytes, kind: type, status: int, words: list[str], tries: int) -> None:
    async with wire(answer) as server:
        with pytest.raises(InferenceError) as caught:
            await say(server.url)
        assert type(caught.value) is kind
        assert caught.value.status == status
        assert server.url in caught.value.message
        assert "Geheimnis" not in caught.value.message
        for word in words:
            assert word in caught.value.message
        assert len(server.posts) == tries


async def test_long_pause_that_the_server_asks_for_is_passed_on() -> None:
    async with wire(plain("503 Service Unavailable", b"", "Retry-After: 30")) as server:
        with pytest.raises(InferenceUnavailable) as caught:
            await say(server.url)
        assert caught.value.retry_after_s == 30
        assert len(server.posts) == 1


async def test_key_is_wrong_or_missing() -> None:
    async with wire(plain("401 Unauthorized", b"")) as server:
        with pytest.raises(InferenceError, match="refused ORPHEUS_API_KEY"):
            await say(server.url, api_key="wrong")
        with pytest.raises(InferenceError, match="set ORPHEUS_API_KEY"):
            await say(server.url)


@pytest.mark.parametrize(
    "rest",
    [
        STREAM_END,
        b"",
        chunk(b'data: {"error":{"code":500,"message":"Context size has been exceeded."}}\n\n') + STREAM_END,
        chunk(b"data: {broken\n\n") + STREAM_END,
        chunk(b"data: " + b"x" * 2_000_000) + STREAM_END,
        event("", "abort") + STREAM_END,
        b"not a chunk\r\n",
    ],
)
async def test_after_the_first_delta_nothing_is_tried_again(rest: bytes) -> None:
    go_on = asyncio.Event()

    async def speak(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + event("a"))
        await go_on.wait()
        writer.write(rest)
        await writer.drain()
        writer.close()

    async with wire(speak) as server, client(server.url) as speaker, speaker.stream(SPEECH, SAMPLING) as completion:
        assert (await anext(completion)).text == "a"
        go_on.set()
        with pytest.raises(InferenceError) as caught:
            await anext(completion)
        assert caught.value.status == 502
        assert completion.finish is None
        assert [delta async for delta in completion] == []
        assert len(server.posts) == 1


async def test_document_instead_of_a_stream_is_spoken_too() -> None:
    document = (
        b'{"choices":[{"text":\r\n"<custom_token_10>",\n"finish_reason":"stop"}],"usage":{"completion_tokens":1}}'
    )
    async with wire(plain("200 OK", document)) as server:
        assert await say(server.url) == ("<custom_token_10>", Finish("stop", None, 1))


async def test_refused_connection_is_told_at_once_with_the_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(InferenceError, match=r"Nothing answers at .*start the inference server") as caught:
        await say(url)
    assert caught.value.status == 502
    assert url in caught.value.message


async def test_unknown_host_is_told() -> None:
    def nowhere(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno -2] Name or service not known")

    with pytest.raises(InferenceError, match=r"Name or service not known.*ORPHEUS_API_URL"):
        await say("http://nowhere.invalid", transport=httpx.MockTransport(nowhere))


async def test_no_connection_in_time_is_a_timeout() -> None:
    def slow(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("")

    with pytest.raises(InferenceTimeout, match="ConnectTimeout"):
        await say("http://h", transport=httpx.MockTransport(slow))


async def test_tls_to_a_plain_server_is_told() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(plain("400 Bad Request", b""))
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    try:
        with pytest.raises(InferenceError, match=r"Nothing answers at https.*SSL"):
            await say(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()


async def test_server_found_after_a_failed_probe_is_spoken_to() -> None:
    port = free_port()
    async with client(f"http://127.0.0.1:{port}") as speaker:
        assert not (await speaker.server()).reachable
        async with wire() as server:
            speaker.url = f"{server.url}/v1/completions"
            async with speaker.stream(SPEECH, SAMPLING) as completion:
                assert [delta.text async for delta in completion]


async def test_ollama_is_never_asked_to_speak() -> None:
    documents = {"/v1/models": {"data": [{"id": "o", "owned_by": "library"}]}, "/api/version": {"version": "0.13.1"}}
    async with wire(SPOKEN, documents) as server:
        with pytest.raises(InferenceError, match=r"This is Ollama\..*llama\.cpp"):
            await say(server.url)
        assert server.posts == []


# Silence


def silent_after(first: bytes, then: Callable[[asyncio.StreamWriter], Any] | None = None) -> Any:
    async def speak(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            await asyncio.sleep(0.01)
            if then is not None:
                then(writer)

    return speak


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", None),
        (STREAM_HEAD, None),
        (STREAM_HEAD, lambda writer: writer.write(chunk(b": ping\n\n"))),
        (STREAM_HEAD, lambda writer: writer.write(chunk(b"data: {"))),
        (b"HTTP/1.1 500 Error\r\nContent-Length: 5\r\n\r\n", None),
    ],
)
async def test_silence_before_the_first_delta(first: bytes, then: Any) -> None:
    async with wire(silent_after(first, then)) as server:
        with pytest.raises(InferenceTimeout, match=r"sent nothing for 0\.15 s \(ORPHEUS_API_TIMEOUT\)") as caught:
            await say(server.url, timeout_s=0.15)
        assert caught.value.status == 504
        await asyncio.wait_for(server.left.wait(), 2)


async def test_silence_after_a_delta_and_comments_are_no_progress() -> None:
    speak = silent_after(STREAM_HEAD + event("a"), lambda writer: writer.write(chunk(b": ping\n\n")))
    async with wire(speak) as server, client(server.url, timeout_s=0.15) as speaker:
        async with speaker.stream(SPEECH, SAMPLING) as completion:
            assert (await anext(completion)).text == "a"
            with pytest.raises(InferenceTimeout):
                await anext(completion)
        await asyncio.wait_for(server.left.wait(), 2)


async def test_timeout_is_no_total_and_a_slow_listener_is_no_silence() -> None:
    async def speak(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for _ in range(10):
            writer.write(event("a"))
            await asyncio.sleep(0.06)
        writer.write(event("", "stop") + STREAM_END)

    async with wire(speak) as server, client(server.url, timeout_s=0.3) as speaker:
        completion = speaker.stream(SPEECH, SAMPLING)
        text = (await anext(completion)).text
        await asyncio.sleep(0.4)
        text += "".join([delta.text async for delta in completion])
    assert text == "a" * 10


async def test_retries_stay_inside_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setback, "DELAYS_S", (10.0,))
    async with wire(BUSY) as server:
        with pytest.raises(InferenceUnavailable, match="Loading model"):
            await say(server.url, timeout_s=0.5)
        assert len(server.posts) == 1


async def test_server_that_never_closes_after_its_finish_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tts_engine.llm.client.LAST_WORDS_S", 0.05)
    async with wire(silent_after(STREAM_HEAD + event("a") + event("", "stop"))) as server:
        assert await say(server.url) == ("a", Finish("stop", None, None))


# Leaving


@pytest.mark.parametrize("first", [b"", STREAM_HEAD, STREAM_HEAD + event("a")])
async def test_cancelling_closes_the_connection(first: bytes) -> None:
    async with wire(silent_after(first)) as server, client(server.url) as speaker:
        listening = asyncio.create_task(_listen(speaker))
        await server.asked.wait()
        listening.cancel()
        await asyncio.wait_for(server.left.wait(), 1)
        with pytest.raises(asyncio.CancelledError):
            await listening
        assert len(server.posts) == 1


async def _listen(speaker: InferenceClient) -> None:
    async for _ in speaker.stream(SPEECH, SAMPLING):
        pass


async def test_closing_closes_the_connection_and_ends_the_iteration() -> None:
    async with wire(silent_after(STREAM_HEAD + event("a"))) as server, client(server.url) as speaker:
        completion = speaker.stream(SPEECH, SAMPLING)
        await anext(completion)
        await completion.aclose()
        await completion.aclose()
        await asyncio.wait_for(server.left.wait(), 1)
        assert [delta async for delta in completion] == []
        assert completion.finish is None


# The client itself


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_key_that_no_header_can_hold(key: str) -> None:
    with pytest.raises(SettingsError, match="ORPHEUS_API_KEY") as caught:
        InferenceClient(url="h", api_key=key, model="m", timeout_s=1)
    assert key not in caught.value.message


def test_unknown_dialect_and_form_are_named() -> None:
    with pytest.raises(SettingsError, match="ORPHEUS_API_DIALECT='lama'"):
        InferenceClient(url="h", api_key=None, model="m", timeout_s=1, dialect="lama")
    with pytest.raises(SettingsError, match="ORPHEUS_PROMPT_FORM='x'"):
        InferenceClient(url="h", api_key=None, model="m", timeout_s=1, prompt_form="x")  # type: ignore[arg-type]


async def test_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    async with wire() as server:
        assert (await say(server.url))[0] == "<custom_token_10>"


async def test_text_is_not_logged_above_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        for answer in (SPOKEN, BUSY):
            async with wire(answer) as server:
                try:
                    await say(server.url)
                except InferenceUnavailable:
                    continue
    assert "Geheimnis" not in caplog.text


def test_making_a_client_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    InferenceClient(url="http://127.0.0.1:1", api_key=None, model="m", timeout_s=1)
