"""Each server is recognised by what it answers; nothing that a server does makes the probe raise or hang."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.llm.wire import wire
from tests.support.server_process import free_port
from tts_engine.llm import probe as probing
from tts_engine.llm.client import InferenceClient
from tts_engine.llm.probe import ServerInfo, choose_model, probe

pytestmark = pytest.mark.anyio

NOT_FOUND = httpx.Response(404, json={"error": {"message": "File Not Found"}})
LM_UNKNOWN = httpx.Response(200, json={"error": "Unexpected endpoint or method. (GET /props)"})
PROPS = {"default_generation_settings": {"n_ctx": 2048, "params": {}}, "total_slots": 3}


def listed(owner: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner, **more} for name in names]}


PROFILES: dict[str, tuple[dict[str, Any], ServerInfo]] = {
    "llama.cpp": (
        {"/v1/models": listed("llamacpp", "f.gguf", meta={"n_ctx": 8192}), "/props": PROPS},
        ServerInfo(True, "llama.cpp", "wanted", ("f.gguf",), 2048, 3),
    ),
    "llama.cpp without /props": (
        {"/v1/models": listed("llamacpp", "f.gguf", meta={"n_ctx": 8192})},
        ServerInfo(True, "llama.cpp", "wanted", ("f.gguf",), 8192),
    ),
    "llama.cpp that lists no owner": (
        {"/v1/models": listed("me", "f.gguf"), "/props": PROPS},
        ServerInfo(True, "llama.cpp", "wanted", ("f.gguf",), 2048, 3),
    ),
    "llama.cpp with several models": (
        {"/v1/models": listed("llamacpp", "qwen", "Orpheus-Q8")},
        ServerInfo(True, "llama.cpp", "Orpheus-Q8", ("qwen", "Orpheus-Q8")),
    ),
    "lmstudio": (
        {"/v1/models": listed("organization_owner", "orpheus-3b", "text-embedding-nomic")},
        ServerInfo(True, "lmstudio", "orpheus-3b", ("orpheus-3b", "text-embedding-nomic")),
    ),
    "gpustack": ({"/v1/models": listed("gpustack", "o")}, ServerInfo(True, "gpustack", "o", ("o",))),
    "gpustack before 0.7": (
        {"/v1/models": {"items": [], "pagination": {}}, "/v1-openai/models": listed("gpustack", "o")},
        ServerInfo(True, "gpustack", "o", ("o",)),
    ),
    "vllm": (
        {"/v1/models": listed("vllm", "canopylabs/orpheus", max_model_len=4096)},
        ServerInfo(True, "vllm", "canopylabs/orpheus", ("canopylabs/orpheus",), 4096),
    ),
    "trtllm": ({"/v1/models": listed("tensorrt_llm", "o")}, ServerInfo(True, "trtllm", "o", ("o",))),
    "sglang": (
        {"/v1/models": listed("sglang", "o", max_model_len=99)},
        ServerInfo(True, "sglang", "o", ("o",), 99),
    ),
    "koboldcpp": (
        {"/v1/models": listed("koboldcpp", "o"), "/api/version": {"version": "0.7.0"}},
        ServerInfo(True, "openai", "o", ("o",)),
    ),
    "unknown": (
        {"/v1/models": listed("someone", "a", "wanted")},
        ServerInfo(True, "openai", "wanted", ("a", "wanted")),
    ),
}


async def ask(answer: Callable[[str], httpx.Response], dialect: str = "auto", **headers: str) -> ServerInfo:
    transport = httpx.MockTransport(lambda request: answer(request.url.path))
    async with httpx.AsyncClient(transport=transport, headers=headers) as http:
        return await probe(http, "http://h/v1/completions", dialect, "wanted")


def from_table(documents: dict[str, Any]) -> Callable[[str], httpx.Response]:
    return lambda path: httpx.Response(200, json=documents[path]) if path in documents else NOT_FOUND


@pytest.mark.parametrize("name", list(PROFILES))
async def test_server_is_recognised(name: str) -> None:
    documents, info = PROFILES[name]
    assert await ask(from_table(documents)) == info


@pytest.mark.parametrize("owner", ["library", "someone"])
async def test_ollama_is_refused_with_the_way_out(owner: str) -> None:
    info = await ask(from_table({"/v1/models": listed(owner, "orpheus:latest"), "/api/version": {"version": "0.13"}}))
    assert info.dialect == "ollama"
    assert info.problem is not None
    assert "llama.cpp" in info.problem
    assert "LM Studio" in info.problem


async def test_lm_studio_answers_200_to_everything() -> None:
    answers = {"/v1/models": httpx.Response(200, json=listed("organization_owner", "o"))}
    assert (await ask(lambda path: answers.get(path, LM_UNKNOWN))).dialect == "lmstudio"
    assert (await ask(lambda path: LM_UNKNOWN)).dialect == "openai"


async def test_set_dialect_overrules_the_finding() -> None:
    documents = {"/v1/models": listed("someone", "o")}
    assert await ask(from_table(documents), "trtllm") == ServerInfo(True, "trtllm", "o", ("o",))


@pytest.mark.parametrize(
    "answer",
    [
        NOT_FOUND,
        httpx.Response(200, html="<html>welcome</html>"),
        httpx.Response(200, content=b"\xff\xfe\x00"),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200, json={"data": "none"}),
        httpx.Response(200, json={"data": [None, 3, {"id": 5}]}),
        httpx.Response(302, headers={"location": "http://elsewhere/"}),
        httpx.Response(500),
    ],
)
async def test_server_that_makes_no_sense(answer: httpx.Response) -> None:
    info = await ask(lambda path: answer)
    assert (info.reachable, info.dialect, info.model, info.settled) == (True, "openai", "wanted", True)
    assert info.problem is not None
    assert "ORPHEUS_API_URL" in info.problem


@pytest.mark.parametrize("status", [401, 403])
async def test_key_is_wanted_or_refused(status: int) -> None:
    wanted = await ask(lambda path: httpx.Response(status, headers={"server": "llama.cpp"}))
    assert (wanted.dialect, wanted.settled) == ("llama.cpp", False)
    assert wanted.problem is not None
    assert "set ORPHEUS_API_KEY" in wanted.problem
    refused = await ask(lambda path: httpx.Response(status), authorization="Bearer k")
    assert refused.problem is not None
    assert "refused ORPHEUS_API_KEY" in refused.problem


async def test_loading_server_is_asked_again_later() -> None:
    info = await ask(lambda path: httpx.Response(503, headers={"server": "llama.cpp"}))
    assert (info.reachable, info.dialect, info.settled) == (True, "llama.cpp", False)
    assert info.problem is not None
    assert "loading" in info.problem


async def test_several_models_and_none_is_meant() -> None:
    info = await ask(from_table({"/v1/models": listed("vllm", "a", "b")}))
    assert info.model == "wanted"
    assert info.problem is not None
    assert "lists: a, b" in info.problem
    assert "ORPHEUS_MODEL_NAME" in info.problem


@pytest.mark.parametrize(
    ("models", "chosen"),
    [
        ((), "wanted"),
        (("wanted", "x"), "wanted"),
        (("x",), "x"),
        (("x", "text-embedding-y"), "x"),
        (("x", "my-ORPHEUS-3b"), "my-ORPHEUS-3b"),
        (("orpheus-a", "orpheus-b"), None),
        (("x", "y"), None),
    ],
)
def test_model_that_requests_name(models: tuple[str, ...], chosen: str | None) -> None:
    assert choose_model("wanted", models) == chosen


async def test_only_gets_are_sent_and_never_a_completion() -> None:
    async with wire() as server, client(server.url) as asking:
        await asking.server()
    assert {request.method for request in server.requests} == {"GET"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def client(url: str, **more: Any) -> "Owned":
    return Owned(InferenceClient(url=url, api_key=None, model="wanted", timeout_s=5, **more))


class Owned:
    def __init__(self, owned: InferenceClient) -> None:
        self.owned = owned

    async def __aenter__(self) -> InferenceClient:
        return self.owned

    async def __aexit__(self, *_: object) -> None:
        await self.owned.close()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("tts_engine.llm.client.time", clock)
    yield clock


async def test_simultaneous_questions_are_one_probe_and_the_answer_is_kept(clock: Clock) -> None:
    async with wire() as server, client(server.url) as asking:
        first, *others = await asyncio.gather(*(asking.server() for _ in range(10)))
        assert others == [first] * 9
        assert len(server.requests) == 1
        clock.now += 29
        assert await asking.server() is first
        clock.now += 2
        assert await asking.server() == first
        assert len(server.requests) == 2


async def test_server_that_was_down_is_found_a_few_seconds_later(clock: Clock) -> None:
    port = free_port()
    async with client(f"http://127.0.0.1:{port}") as asking:
        down = await asking.server()
        assert (down.reachable, down.settled) == (False, False)
        assert down.problem is not None
        assert f"127.0.0.1:{port}" in down.problem
        assert "start the inference server" in down.problem
        assert await asking.server() is down
        async with wire() as server:
            asking.url = f"{server.url}/v1/completions"
            clock.now += 4
            assert (await asking.server()).dialect == "vllm"


async def test_hanging_server_costs_one_short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_S", 0.05)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        async with client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as asking:
            began = time.monotonic()
            info = await asking.server()
            assert time.monotonic() - began < 2
            assert (info.reachable, info.settled) == (False, False)
            assert info.problem is not None
            assert "does not answer" in info.problem
    finally:
        server.close()


async def test_cancelled_question_does_not_stop_the_probe_of_others() -> None:
    async with wire() as server, client(server.url) as asking:
        first = asyncio.create_task(asking.server())
        second = asyncio.create_task(asking.server())
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).dialect == "vllm"
        assert first.cancelled()


async def test_close_ends_a_running_probe() -> None:
    async with wire() as server:
        asking = InferenceClient(url=server.url, api_key=None, model="m", timeout_s=5)
        question = asyncio.create_task(asking.server())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asking.close()
        with pytest.raises(asyncio.CancelledError):
            await question


async def test_chosen_model_is_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="tts_engine.llm"):
        async with wire() as server, client(server.url) as asking:
            for _ in range(3):
                assert (await asking.server()).model == "orpheus"
                clock.now += 100
    assert [record.getMessage() for record in caplog.records if record.name.startswith("tts_engine")] == [
        "The inference server has no model 'wanted'; using 'orpheus'"
    ]
