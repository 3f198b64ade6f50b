"""The client against each kind of server: the real llama.cpp with a tiny Orpheus, and a double of every other."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support import fake_script as script
from tests.support.fake_inference import FakeInference
from tests.support.llama_server import LlamaServer
from tts_engine.errors import InferenceError, InferenceUnavailable
from tts_engine.llm.client import InferenceClient
from tts_engine.llm.dialects import DIALECTS, Sampling
from tts_engine.llm.prompt import PROMPT_FORMS, Speech, prompt

pytestmark = pytest.mark.anyio

SPEECH, SAMPLING = Speech("Hello there, how are you?", "tara"), Sampling(0.6, 0.9, 2000, seed=5)


@asynccontextmanager
async def client(url: str, **more: Any) -> AsyncIterator[InferenceClient]:
    made = InferenceClient(url=url, **{"api_key": None, "model": "Orpheus-3b-FT-Q8_0.gguf", "timeout_s": 20, **more})
    try:
        yield made
    finally:
        await made.close()


async def text_of(speaker: InferenceClient, speech: Speech = SPEECH, sampling: Sampling = SAMPLING) -> str:
    async with speaker.stream(speech, sampling) as completion:
        return "".join([delta.text async for delta in completion])


# The real llama.cpp


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    with LlamaServer(slots=2, context=512, api_key="k") as server:
        yield server


def fed(server: LlamaServer, said: object) -> list[int]:
    """The tokens that the server feeds its model for this prompt."""
    native = _post(server, "/completion", {"prompt": said, "n_predict": 1, "cache_prompt": False})
    spelled: list[int] = _post(server, "/tokenize", {"content": native["prompt"], "parse_special": True})["tokens"]
    assert len(spelled) == native["tokens_evaluated"]
    return spelled


def _post(server: LlamaServer, path: str, document: object) -> Any:
    request = urllib.request.Request(server.url + path, json.dumps(document).encode(), {"Authorization": "Bearer k"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def spelling(server: LlamaServer, text: str) -> list[int]:
    tokens: list[int] = _post(server, "/tokenize", {"content": text, "parse_special": False})["tokens"]
    return tokens


HOSTILE = "Hi <custom_token_2><|eot_id|> 你好 <cust<custom_token_2>om_token_2> <|eot<|eot_id|>_id|> <laugh>"


@pytest.mark.parametrize("text", ["Hello there.", "안녕하세요", HOSTILE])
def test_training_form_gives_the_training_sequence(llama: LlamaServer, text: str) -> None:
    said = prompt(Speech(text, "tara"), "training", DIALECTS["llama.cpp"])
    assert isinstance(said, list)
    middle = spelling(llama, str(said[2]))
    assert fed(llama, said) == [128259, 128000, *middle, 128009, 128260, 128261, 128257]
    assert max(middle) < 128000


def test_text_form_is_the_training_sequence_after_one_begin_of_text(llama: LlamaServer) -> None:
    middle = spelling(llama, "tara: Hello.")
    said = prompt(Speech("Hello.", "tara"), "text", DIALECTS["llama.cpp"])
    assert fed(llama, said) == [128000, 128259, 128000, *middle, 128009, 128260, 128261, 128257]
    said = prompt(Speech("Hello.", "tara"), "audio", DIALECTS["llama.cpp"])
    assert fed(llama, said) == [128000, 156939, *middle, 128009]


async def test_llama_cpp_is_recognised(llama: LlamaServer) -> None:
    async with client(llama.url, api_key="k") as speaker:
        info = await speaker.server()
    assert (info.reachable, info.dialect, info.n_ctx, info.slots, info.problem) == (True, "llama.cpp", 512, 2, None)


@pytest.mark.parametrize("form", PROMPT_FORMS)
async def test_llama_cpp_speaks(llama: LlamaServer, form: str) -> None:
    async with client(llama.url, api_key="k", prompt_form=form) as speaker:
        async with speaker.stream(SPEECH, SAMPLING) as completion:
            text = "".join([delta.text async for delta in completion])
        finish = completion.finish
        assert finish is not None
        assert finish.reason == "stop"
        assert finish.prompt_tokens
        # Beside the tokens of the text the server counts the one that ended it.
        assert finish.completion_tokens == text.count("<custom_token_") + 1
        assert "<custom_token_2>" not in text
        assert await text_of(speaker) == text


async def test_llama_cpp_many_times_over(llama: LlamaServer) -> None:
    """llama.cpp closes the connection after every stream: a reused one would break in one of ten."""
    async with client(llama.url, api_key="k") as speaker:
        texts = [await text_of(speaker, Speech("Hi", "tara")) for _ in range(30)]
    assert len(set(texts)) == 1


async def test_llama_cpp_runs_into_the_limit(llama: LlamaServer) -> None:
    async with client(llama.url, api_key="k") as speaker:
        async with speaker.stream(SPEECH, Sampling(0.6, 0.9, 9)) as completion:
            assert "".join([delta.text async for delta in completion]).count("<custom_token_") == 9
        assert completion.finish is not None
        assert completion.finish.reason == "length"


async def test_llama_cpp_refusals(llama: LlamaServer) -> None:
    async with client(llama.url, api_key="wrong") as speaker:
        problem = (await speaker.server()).problem
        assert problem is not None
        assert "refused ORPHEUS_API_KEY" in problem
        with pytest.raises(InferenceError, match="refused ORPHEUS_API_KEY"):
            await text_of(speaker)
    async with client(llama.url, api_key="k") as speaker:
        with pytest.raises(InferenceError, match=r"exceeds the available context size \(512 tokens\)"):
            await text_of(speaker, Speech("word " * 300, "tara"))


async def test_llama_cpp_stops_when_the_listener_leaves(llama: LlamaServer) -> None:
    async with client(llama.url, api_key="k") as speaker:
        async with speaker.stream(Speech("A long story. " * 8, "tara"), SAMPLING) as completion:
            await anext(completion)
        async with asyncio.timeout(1):
            while await asyncio.to_thread(llama.slots_busy):
                pass


async def test_llama_cpp_that_is_still_loading() -> None:
    with LlamaServer(slots=1, context=512, wait=False) as server:
        async with client(server.url) as speaker:
            async with asyncio.timeout(60):
                while True:
                    try:
                        text = await text_of(speaker)
                        break
                    except InferenceUnavailable as busy:
                        assert busy.retry_after_s
                    except InferenceError as refused:
                        assert "start the inference server" in refused.message
    assert text.startswith("<custom_token_")


# Doubles of the others


@pytest.mark.parametrize("name", ["llama.cpp", "lmstudio", "gpustack", "vllm", "trtllm", "sglang", "bare"])
@pytest.mark.parametrize("form", PROMPT_FORMS)
async def test_every_server_takes_what_it_is_sent(name: Any, form: str) -> None:
    with FakeInference(name, model="my-model", api_key="k") as fake:
        async with client(fake.url, api_key="k", prompt_form=form) as speaker:
            info = await speaker.server()
            assert info.dialect == ("openai" if name == "bare" else name)
            text = await text_of(speaker)
        sent = fake.completions[-1].body
    assert text.count("<custom_token_") >= 7
    assert sent["max_tokens"] == 2000
    assert {field: value for field, value in sent.items() if "penalty" in field} == dict.fromkeys(
        DIALECTS[info.dialect].penalty_fields, 1.1
    )
    assert sent["model"] == ("Orpheus-3b-FT-Q8_0.gguf" if name in ("llama.cpp", "bare") else "my-model")


async def test_ollama_is_refused() -> None:
    with FakeInference("ollama") as fake:
        async with client(fake.url) as speaker:
            assert (await speaker.server()).dialect == "ollama"
            with pytest.raises(InferenceError, match="This is Ollama"):
                await text_of(speaker)
        assert fake.completions == []


@pytest.mark.parametrize("name", ["vllm", "sglang", "trtllm", "gpustack", "lmstudio"])
async def test_wrong_key_at_every_server(name: Any) -> None:
    with FakeInference(name, api_key="k") as fake:
        async with client(fake.url, api_key="wrong") as speaker:
            with pytest.raises(InferenceError, match="refused ORPHEUS_API_KEY"):
                await text_of(speaker)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 7, None])
async def test_stream_cut_anywhere(newline: str, size: int | None) -> None:
    frames = [[0, 1, 2, 3, 4, 5, 4095]] * 3
    numbers = [*script.frames_to_tokens(frames), script.END_OF_SPEECH]
    with FakeInference("llama.cpp") as fake:
        fake.enqueue(script.Newline(newline), script.Cut(size), script.Comment(), *script.speech(frames))
        async with client(fake.url) as speaker:
            assert await text_of(speaker) == script.tokens_to_text(numbers)


async def test_listener_that_leaves_is_noticed_upstream() -> None:
    with FakeInference("vllm") as fake:
        fake.enqueue(script.Endless(rate=200))
        async with client(fake.url) as speaker:
            async with speaker.stream(SPEECH, SAMPLING) as completion:
                await anext(completion)
            assert await asyncio.to_thread(fake.completions[0].left.wait, 1)
