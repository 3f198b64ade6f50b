"""The tests' counterparts do what the other tests believe of them: a model that speaks Orpheus, a fake that obeys."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import torch

from tests.support import fake_script as do
from tests.support import tiny_gguf, tiny_snac
from tests.support.fake_inference import FakeInference
from tests.support.llama_server import LlamaServer
from tests.support.paths import PROJECT_ROOT, build_once

ENGLISH = "tara: The quick brown fox jumps over the lazy dog."
KOREAN = "유나: 안녕하세요, 오늘 날씨가 참 좋네요."
HINDI = "ऋतिका: नमस्ते, आज मौसम बहुत अच्छा है।"
TRAINED = "<custom_token_3><|begin_of_text|>{}<|eot_id|><custom_token_4><custom_token_5><custom_token_1>"
SAMPLING = {"temperature": 0.6, "top_p": 0.9, "top_k": 40, "repeat_penalty": 1.1, "max_tokens": 8192}
STOP = {"stop": ["<custom_token_2>"]}
COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    with LlamaServer(alias="tiny", slots=3) as server:
        yield server


@pytest.fixture
def fake() -> Iterator[FakeInference]:
    with FakeInference() as server:
        yield server


def client(url: str) -> httpx.Client:
    # A connection each: llama.cpp closes after a stream, and a request that crosses that on the way is lost.
    return httpx.Client(base_url=url, trust_env=False, timeout=30, headers={"Connection": "close"})


def events(body: bytes) -> list[Any]:
    lines = [line for line in re.split(rb"\r\n|\n", body) if line.startswith(b"data: ")]
    return [line[6:].decode() if line == b"data: [DONE]" else json.loads(line[6:]) for line in lines]


def texts(body: bytes) -> list[str]:
    return [c["text"] for e in events(body) if e != "[DONE]" for c in e.get("choices", [])]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"<custom_token_(\d+)>", text)]


def say(server: LlamaServer, text: str, prompt: str = TRAINED, **more: Any) -> list[int]:
    """The tokens of one streamed answer; it must have ended by itself."""
    asked = {"prompt": prompt.format(text), "stream": True, **SAMPLING, **STOP, **more}
    with client(server.url) as http:
        answer = http.post(COMPLETIONS, json=asked)
    assert answer.status_code == 200, answer.text
    *_, last, done = events(answer.content)
    assert done == "[DONE]"
    assert last["choices"][0]["finish_reason"] == "stop"
    return numbers("".join(texts(answer.content)))


def frames(tokens: list[int]) -> int:
    """How many frames; they must be whole and in slot order."""
    assert len(tokens) % 7 == 0
    assert [(token - 10) // 4096 for token in tokens] == [slot % 7 for slot in range(len(tokens))]
    return len(tokens) // 7


@pytest.mark.parametrize("text", [ENGLISH, KOREAN, HINDI], ids=["english", "korean", "hindi"])
@pytest.mark.parametrize("seed", range(3))
def test_tiny_model_speaks_whole_frames_in_slot_order(llama: LlamaServer, text: str, seed: int) -> None:
    assert 2 <= frames(say(llama, text, seed=seed)) <= 200


def test_three_speak_at_once_each_as_if_alone(llama: LlamaServer) -> None:
    alone = [say(llama, text, seed=1) for text in (ENGLISH, KOREAN, HINDI)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda text: say(llama, text, seed=1), (ENGLISH, KOREAN, HINDI)))
    assert together == alone
    assert len({tuple(tokens[:14]) for tokens in alone}) == 3


def test_length_grows_with_the_text(llama: LlamaServer) -> None:
    lengths = [frames(say(llama, "tara:" + " Yes, I know." * count, seed=1)) for count in (1, 2, 4, 8, 16)]
    assert lengths == sorted(set(lengths))
    assert lengths[-1] > 6 * lengths[0]


def test_seed_repeats_and_another_differs(llama: LlamaServer) -> None:
    once, again, other = (say(llama, ENGLISH, seed=seed) for seed in (5, 5, 6))
    assert once == again
    assert once != other


def test_codes_are_drawn_from_all_over(llama: LlamaServer) -> None:
    tokens = say(llama, ENGLISH * 8, seed=1)
    codes = (np.array(tokens) - 10) % 4096
    assert len(set(tokens)) > 7 * 40  # top_k 40 leaves 40 for each slot, were they always the same
    assert np.abs(np.percentile(codes, [10, 50, 90]) / 4096 - [0.1, 0.5, 0.9]).max() < 0.1


def test_order_holds_without_any_truncation_at_double_heat(llama: LlamaServer) -> None:
    assert frames(say(llama, ENGLISH, temperature=2.0, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.5, seed=1)) >= 2


def test_every_prompt_form_leads_to_codes(llama: LlamaServer) -> None:
    bare, begun = "<|audio|>{}<|eot_id|>", "<|audio|>{}<|eot_id|><custom_token_4>"
    assert say(llama, ENGLISH, bare)[:3] == [4, 5, 1]
    assert frames(say(llama, ENGLISH, bare)[3:]) >= 2
    assert say(llama, ENGLISH, begun)[:2] == [5, 1]


def test_end_of_speech_shows_when_it_is_no_stop_string(llama: LlamaServer) -> None:
    tokens = say(llama, ENGLISH, stop=None)
    assert tokens[-1] == 2
    assert frames(tokens[:-1]) >= 2


def test_vocabulary_is_laid_out_as_orpheus(llama: LlamaServer) -> None:
    with client(llama.url) as http:
        asked = {"content": "<custom_token_10><custom_token_2><|audio|><|eot_id|>"}
        assert http.post("/tokenize", json=asked).json()["tokens"] == [128266, 128258, 156939, 128009]
        spelled = http.post("/tokenize", json={"content": KOREAN}).json()["tokens"]
        card = http.get("/v1/models").json()["data"][0]
    assert len(spelled) == len(KOREAN.encode())
    assert card["id"] == "tiny"
    assert card["meta"]["n_vocab"] == 156940


def test_busy_slots_are_counted_and_freed_when_the_client_leaves(llama: LlamaServer) -> None:
    asked = {"prompt": TRAINED.format(ENGLISH * 8), "stream": True, "ignore_eos": True, **SAMPLING}
    with client(llama.url) as http, http.stream("POST", COMPLETIONS, json=asked) as answer:
        parts = answer.iter_bytes()  # kept: without its iterator httpx closes the stream
        next(parts)
        assert llama.slots_busy() == 1
    deadline = time.monotonic() + 2
    while llama.slots_busy() and time.monotonic() < deadline:
        pass
    assert llama.slots_busy() == 0


def test_keys_are_asked_for_and_a_killed_server_is_gone() -> None:
    with LlamaServer(api_key="secret", slots=1) as server, client(server.url) as http:
        assert http.post(COMPLETIONS, json={"prompt": "x"}).status_code == 401
        assert server.slots_busy() == 0
        pid = server.pid
        server.kill()
        assert not psutil.pid_exists(pid)
        with pytest.raises(httpx.ConnectError):
            http.get("/health")


def test_invisible_tokens_give_empty_text() -> None:
    model = tiny_gguf.cached(fault="invisible")
    with LlamaServer(model=model, slots=1) as server:
        assert say(server, ENGLISH) == []


def test_server_dies_with_the_process_that_started_it() -> None:
    program = (
        "import os; from tests.support.server_process import ServerProcess, clean_environment, free_port\n"
        "port = free_port()\n"
        "s = ServerProcess(['-m', 'http.server', str(port), '--bind', '127.0.0.1'], port=port,"
        " environment=clean_environment(), cwd=None, wait=False)\n"
        "s.start(); print(s.pid, flush=True); os._exit(9)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, check=False)
    assert ran.returncode == 9
    try:
        orphan = psutil.Process(int(ran.stdout))
    except psutil.NoSuchProcess:
        return
    try:
        orphan.wait(10)
    except psutil.TimeoutExpired:
        orphan.kill()
        raise


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "no.gguf"
    broken.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match=r"(?s)ended with code.*no\.gguf"), LlamaServer(model=broken):
        pass


def test_fake_streams_what_it_was_told(fake: FakeInference) -> None:
    codes = [[0, 4095, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11, 12]]
    fake.enqueue(*do.speech(codes))
    with client(fake.url) as http:
        answer = http.post(COMPLETIONS, json={"prompt": "x", "stream": True})
    assert answer.headers["content-type"] == "text/event-stream"
    assert numbers("".join(texts(answer.content))) == [*do.frames_to_tokens(codes), 2]
    assert do.frames_to_tokens(codes)[:3] == [10, 10 + 4096 + 4095, 10 + 2 * 4096 + 1]
    assert events(answer.content)[-2]["choices"][0]["finish_reason"] == "stop"
    assert events(answer.content)[-1] == "[DONE]"
    received = fake.completions[0]
    assert (received.body["prompt"], received.tokens_written, received.left_at) == ("x", 15, None)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_fake_cuts_anywhere_and_loses_nothing(fake: FakeInference, size: int, newline: str) -> None:
    deltas = ["", "안녕", "<custom_to", "ken_10>"]
    fake.enqueue(do.Cut(size), do.Newline(newline), do.Comment("é"), do.Text(deltas), do.Done())
    asked = {"prompt": "x", "stream": True}
    with client(fake.url) as http, http.stream("POST", COMPLETIONS, json=asked) as answer:
        chunks = list(answer.iter_raw())
    body = b"".join(chunks)
    assert texts(body) == deltas
    assert body.startswith(f": é{newline * 2}".encode())
    assert max(map(len, chunks)) <= size


def test_fake_shares_and_cuts_tokens_over_events(fake: FakeInference) -> None:
    fake.enqueue(do.Tokens(range(10, 15), per_event=2))
    fake.enqueue(do.Tokens(range(10, 15), chars_per_event=7))
    with client(fake.url) as http:
        shared = texts(http.post(COMPLETIONS, json={"prompt": "x"}).content)
        cut = texts(http.post(COMPLETIONS, json={"prompt": "x"}).content)
    assert shared == ["<custom_token_10><custom_token_11>", "<custom_token_12><custom_token_13>", "<custom_token_14>"]
    assert {len(piece) for piece in cut[:-1]} == {7}
    assert "".join(cut) == "".join(shared)
    assert [received.tokens_written for received in fake.completions] == [5, 5]


def test_fake_ends_badly_in_the_way_asked_for(fake: FakeInference) -> None:
    start = do.Tokens([10])
    fake.enqueue(do.Reply(503, {"error": {"message": "Loading model"}}, {"Retry-After": "1"}))
    fake.enqueue(start, do.ErrorEvent("Context size has been exceeded."))
    fake.enqueue(start)
    fake.enqueue(start, do.Drop())
    fake.enqueue(start, do.Reset())
    with client(fake.url) as http:
        refused = http.post(COMPLETIONS, json={"prompt": "x"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        failed = events(http.post(COMPLETIONS, json={"prompt": "x"}).content)
        assert failed[-1]["error"]["message"] == "Context size has been exceeded."
        assert events(http.post(COMPLETIONS, json={"prompt": "x"}).content)[-1]["choices"][0]["finish_reason"] is None
        with pytest.raises(httpx.RemoteProtocolError):
            http.post(COMPLETIONS, json={"prompt": "x"})
        with pytest.raises(httpx.ReadError):
            http.post(COMPLETIONS, json={"prompt": "x"})


def test_fake_sees_the_client_leave_an_endless_stream(fake: FakeInference) -> None:
    fake.enqueue(do.Endless(rate=500))
    with client(fake.url) as http, http.stream("POST", COMPLETIONS, json={"prompt": "x"}) as answer:
        parts = answer.iter_bytes()
        next(parts)
        assert not fake.completions[0].left.is_set()
        left_at = time.monotonic()
    received = fake.completions[0]
    assert received.left.wait(5)
    assert received.left_at is not None
    assert 0 <= received.left_at - left_at < 1
    assert received.ended.wait(5)
    assert received.tokens_written > 0


def test_fake_sees_the_client_leave_while_it_is_silent(fake: FakeInference) -> None:
    fake.enqueue(do.Stall(60))
    with client(fake.url) as http, pytest.raises(httpx.ReadTimeout):
        http.post(COMPLETIONS, json={"prompt": "x"}, timeout=0.2)
    assert fake.completions[0].left.wait(5)


def test_fake_feels_a_reader_that_does_not_read() -> None:
    with FakeInference(send_buffer=4096) as fake, socket.create_connection(("127.0.0.1", fake.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        fake.enqueue(do.Endless())
        body = b'{"prompt": "x"}'
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        fake.wait_for(lambda: bool(fake.completions) and fake.completions[0].tokens_written > 0)
        written = -1
        while written != fake.completions[0].tokens_written:
            written = fake.completions[0].tokens_written
            fake.completions[0].ended.wait(0.3)
        assert written < 50_000


def test_fake_waits_for_the_test(fake: FakeInference) -> None:
    go = threading.Event()
    fake.enqueue(do.Tokens([10]), do.Until(go), do.Tokens([11]))
    with client(fake.url) as http, http.stream("POST", COMPLETIONS, json={"prompt": "x"}) as answer:
        parts = answer.iter_bytes()
        assert numbers(next(parts).decode()) == [10]
        assert not fake.completions[0].ended.is_set()
        go.set()
        assert numbers(b"".join(parts).decode()) == [11]


def test_fake_llama_closes_after_a_stream_as_the_real_one(fake: FakeInference, llama: LlamaServer) -> None:
    for url in (fake.url, llama.url):
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as wire:
            body = b'{"prompt": "x", "stream": true, "max_tokens": 2}'
            wire.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            answer = b"".join(iter(lambda: wire.recv(65536), b""))  # ends only when the server closes
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"keep-alive: timeout=5, max=100" in head
        assert answer.endswith(b"0\r\n\r\n")


def test_fake_profiles_answer_as_their_servers() -> None:
    owners = {"llama.cpp": "llamacpp", "vllm": "vllm", "sglang": "sglang", "trtllm": "tensorrt_llm"}
    owners |= {"lmstudio": "organization_owner", "gpustack": "gpustack", "ollama": "library"}
    for name, owner in owners.items():
        with FakeInference(name, model="m") as fake, client(fake.url) as http:  # type: ignore[arg-type]
            assert http.get("/v1/models").json()["data"][0]["owned_by"] == owner
            nothing = http.get("/nothing")
            assert nothing.status_code == (200 if name == "lmstudio" else 404)
            asked = {"model": "m", "prompt": "x", "stream": True, "max_tokens": 7}
            assert len(numbers(http.post(COMPLETIONS, json=asked).text)) == 7
    with FakeInference("bare") as fake, client(fake.url) as http:
        assert http.get("/v1/models").status_code == 404


def test_fake_servers_refuse_what_theirs_refuse() -> None:
    with FakeInference("trtllm", model="m") as fake, client(fake.url) as http:
        unknown = http.post(COMPLETIONS, json={"model": "m", "prompt": "x", "repeat_penalty": 1.1})
        assert unknown.status_code == 400
        assert "repeat_penalty" in unknown.json()["error"]
        assert http.post(COMPLETIONS, json={"model": "m", "prompt": "x", "repetition_penalty": 1.1}).status_code == 200
    with FakeInference("gpustack", model="m", api_key="k") as fake, client(fake.url) as http:
        assert http.get("/v1/models").status_code == 401
        assert http.get("/healthz").status_code == 200
        http.headers["Authorization"] = "Bearer k"
        assert http.post("/v1-openai/completions", json={"model": "n", "prompt": "x"}).status_code == 404
    with FakeInference("vllm") as fake, client(fake.url) as http:
        assert http.post(COMPLETIONS, json={"prompt": [128000, "x"]}).status_code == 400
        short = events(http.post(COMPLETIONS, json={"prompt": "x", "stream": True}).content)
        assert len(short) == 16 + 2
        assert short[-2]["choices"][0]["finish_reason"] == "length"


def test_fake_reports_a_broken_script() -> None:
    with pytest.raises(ZeroDivisionError), FakeInference() as fake, client(fake.url) as http:
        fake.always(lambda _: 1 // 0)  # type: ignore[arg-type,return-value]
        with pytest.raises(httpx.RemoteProtocolError):
            http.post(COMPLETIONS, json={"prompt": "x"})


@pytest.mark.parametrize("width", ["small", "full"])
def test_tiny_snac_is_loud_repeats_and_needs_three_frames_of_context(width: tiny_snac.Width) -> None:
    directory = tiny_snac.cached(width=width)
    codes = tiny_snac.random_codes(8)
    whole = tiny_snac.reference_pcm(directory, codes)
    assert whole.shape == (8 * 2048,)
    assert np.array_equal(whole, tiny_snac.reference_pcm(directory, codes))
    assert 0.1 < np.std(whole / 32767) < 0.4
    middle = slice(3 * 2048, 4 * 2048)

    def furthest(left: int, right: int) -> int:
        window = tiny_snac.reference_pcm(directory, codes[3 - left : 4 + right])
        return int(np.abs(window[left * 2048 : (left + 1) * 2048] - whole[middle].astype(int)).max())

    assert furthest(3, 3) <= 1
    assert furthest(2, 2) > 20
    assert furthest(1, 1) > 1000


def test_reference_gives_every_slot_its_level_and_place() -> None:
    directory = tiny_snac.cached()
    levels = [[[0, 7]], [[1, 4, 8, 11]], [[2, 3, 5, 6, 9, 10, 12, 13]]]
    with torch.inference_mode():
        audio = tiny_snac.load(directory).decode([torch.tensor(level) for level in levels])
    expected = np.rint(audio.numpy().ravel() * 32767)
    assert np.array_equal(tiny_snac.reference_pcm(directory, np.arange(14).reshape(2, 7)), expected)


def test_tiny_snac_with_noise_never_repeats() -> None:
    directory, codes = tiny_snac.cached(noise="random"), tiny_snac.random_codes(3)
    assert not np.array_equal(tiny_snac.reference_pcm(directory, codes), tiny_snac.reference_pcm(directory, codes))


def test_random_codes_hold_both_ends_in_every_slot() -> None:
    codes = tiny_snac.random_codes(7)
    assert (codes.min(axis=0) == 0).all()
    assert (codes.max(axis=0) == 4095).all()


def test_a_build_happens_once_and_whole(tmp_path: Path) -> None:
    target, made = tmp_path / "cache" / "thing", []

    def write(path: Path) -> None:
        made.append(path)
        assert not target.exists()
        path.mkdir()
        (path / "part").write_text("x")

    for _ in range(2):
        assert (build_once(target, write) / "part").read_text() == "x"
    assert len(made) == 1
    assert [path.name for path in target.parent.iterdir()] == ["thing"]
