"""What goes wrong is told: with a status before the first byte, by a broken connection after it."""

import threading
import time

import httpx
import numpy as np
import pytest

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import (
    Done,
    Drop,
    Endless,
    ErrorEvent,
    Finish,
    Reply,
    Reset,
    Stall,
    Text,
    Tokens,
    Until,
    frames_to_tokens,
    speech,
)  # fmt: skip

BODY = {"input": "Hello there.", "response_format": "pcm"}
CODES = tiny_snac.random_codes(20)


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([Reply(401, {"error": {"message": "Invalid API Key"}})], 502),
        ([Reply(404, {"error": {"message": "model not found"}})], 502),
        ([Reply(400, {"error": {"message": "bad field"}})], 502),
        ([Text(["I am a language model. ", "How can I help you?"]), Finish(), Done()], 502),
        ([Finish(), Done()], 502),
        ([Tokens(frames_to_tokens(CODES)[:5]), Finish(), Done()], 502),
        ([ErrorEvent()], 502),
        ([Stall(4)], 504),
    ],
)
def test_failure_before_the_first_byte_is_a_status(
    client: httpx.Client, fake: FakeInference, steps: list[object], status: int
) -> None:
    fake.always(steps)  # type: ignore[arg-type]
    answer = client.post("/v1/audio/speech", json=BODY)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("ending", [[ErrorEvent()], [Drop()], [Reset()], [Stall(4)], []])
def test_failure_after_the_first_byte_breaks_the_connection(
    client: httpx.Client, fake: FakeInference, ending: list[object]
) -> None:
    heard = threading.Event()
    fake.enqueue(Tokens(frames_to_tokens(CODES)), Until(heard), *ending)  # type: ignore[arg-type]
    with (
        pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
        client.stream("POST", "/v1/audio/speech", json=BODY) as answer,
    ):
        assert answer.status_code == 200
        for _ in answer.iter_bytes():
            heard.set()
    assert heard.is_set()
    assert len(fake.completions) == 1


def test_upstream_is_left_within_a_second_of_the_client(client: httpx.Client, fake: FakeInference) -> None:
    fake.enqueue(Endless(rate=500))
    with client.stream("POST", "/v1/audio/speech", json=BODY) as answer:
        next(answer.iter_bytes())
    left = time.monotonic()
    fake.wait_for(lambda: fake.completions[0].left_at is not None)
    assert fake.completions[0].left_at - left < 1


def test_upstream_is_left_when_the_client_leaves_before_any_sound(server: AppServer, fake: FakeInference) -> None:
    go_on = threading.Event()
    fake.enqueue(Tokens([4, 5, 1]), Until(go_on))
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=server.url, timeout=0.5, trust_env=False) as client:
        client.post("/v1/audio/speech", json=BODY)
    left = time.monotonic()
    try:
        fake.wait_for(lambda: fake.completions[0].left_at is not None)
        assert fake.completions[0].left_at - left < 1
    finally:
        go_on.set()


def test_a_stuck_request_does_not_stand_in_the_way_of_others(
    server: AppServer, client: httpx.Client, fake: FakeInference
) -> None:
    go_on = threading.Event()
    fake.enqueue(Tokens(frames_to_tokens(CODES)[:7]), Until(go_on), *speech(CODES))
    stuck = threading.Thread(target=lambda: httpx.post(f"{server.url}/v1/audio/speech", json=BODY, timeout=30))
    stuck.start()
    try:
        fake.wait_for(lambda: len(fake.completions) == 1)
        fake.enqueue(*speech(CODES))
        assert client.get("/health").text == "OK"
        assert len(client.post("/v1/audio/speech", json=BODY).content) == 20 * 4096
    finally:
        go_on.set()
        stuck.join()


def test_endless_answer_ends_at_the_token_limit(client: httpx.Client, fake: FakeInference) -> None:
    fake.enqueue(Endless())
    answer = client.post("/v1/audio/speech", json={**BODY, "max_tokens": 700})
    assert len(np.frombuffer(answer.content, "<i2")) == 100 * 2048


def test_dead_inference_server_is_told_with_its_address(weights: object) -> None:
    settings = {"ORPHEUS_API_URL": "http://127.0.0.1:9", "ORPHEUS_SNAC_MODEL": str(weights)}
    with AppServer(settings) as server, httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        answer = client.post("/v1/audio/speech", json=BODY)
        assert answer.status_code in (502, 503)
        assert "127.0.0.1:9" in answer.json()["error"]["message"]
        status = client.get("/status").json()
        assert status["ready"] is False
        assert status["inference_server"]["reachable"] is False
        assert "127.0.0.1:9" in status["problems"][0]


def test_nothing_configured_still_starts_and_says_what_to_do(tmp_path: object) -> None:
    settings = {"ORPHEUS_SNAC_MODEL": f"{tmp_path}/missing"}
    with AppServer(settings) as server, httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        assert client.get("/health").text == "OK"
        answer = client.post("/v1/audio/speech", json=BODY)
        assert answer.status_code == 503
        assert "ORPHEUS_API_URL" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) >= 1
        problems = " ".join(client.get("/status").json()["problems"])
        assert "ORPHEUS_API_URL" in problems
        assert "missing" in problems
        assert client.get("/").status_code == 200
        assert "Traceback" not in server.log()


def test_bad_setting_stops_the_start_and_is_named() -> None:
    with AppServer({"ORPHEUS_PORT": "many"}, wait=False) as server:
        assert server._running().wait(20) != 0
        assert "ORPHEUS_PORT='many'" in server.log()
        assert "Traceback" not in server.log()


def test_line_that_is_full_answers_503_at_once(weights: object) -> None:
    go_on = threading.Event()
    with FakeInference() as fake:
        settings = {
            "ORPHEUS_API_URL": fake.url,
            "ORPHEUS_SNAC_MODEL": str(weights),
            "ORPHEUS_MAX_SPEAKING": "1",
            "ORPHEUS_MAX_WAITING": "1",
        }
        fake.always([Tokens(frames_to_tokens(CODES)), Until(go_on), Finish(), Done()])
        with AppServer(settings) as server:
            url = f"{server.url}/v1/audio/speech"
            threads = [threading.Thread(target=lambda: httpx.post(url, json=BODY, timeout=30)) for _ in range(2)]
            for thread in threads:
                thread.start()
            try:
                queue = {}
                deadline = time.monotonic() + 10
                while queue.get("waiting") != 1 and time.monotonic() < deadline:
                    queue = httpx.get(f"{server.url}/status").json()["queue"]
                assert (queue["speaking"], queue["waiting"]) == (1, 1)
                answer = httpx.post(url, json=BODY, timeout=5)
                assert answer.status_code == 503
                assert 1 <= int(answer.headers["retry-after"]) <= 120
            finally:
                go_on.set()
                for thread in threads:
                    thread.join()


def test_what_is_to_be_said_never_stands_in_the_log(
    server: AppServer, client: httpx.Client, fake: FakeInference
) -> None:
    secret = "The password is swordfish."
    body = {"input": secret, "response_format": "pcm"}
    fake.always([Text([f"You said: {secret}"]), Finish(), Done()])
    assert "swordfish" in client.post("/v1/audio/speech", json=body).json()["error"]["message"]
    fake.always([Reply(400, {"error": {"message": f"bad prompt: tara: {secret}"}})])
    assert client.post("/v1/audio/speech", json=body).status_code == 502
    assert "swordfish" not in server.log()


def test_server_whose_listing_hangs_is_waited_for_once(weights: object) -> None:
    with FakeInference() as fake:
        fake.answers["/v1/models"] = Reply(503, {"error": {"message": "busy"}})
        with (
            AppServer({"ORPHEUS_API_URL": fake.url, "ORPHEUS_SNAC_MODEL": str(weights)}) as server,
            httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client,
        ):
            assert client.post("/v1/audio/speech", json=BODY).status_code == 200
            asked = sum(request.path == "/v1/models" for request in fake.requests)
            assert client.post("/v1/audio/speech", json=BODY).status_code == 200
            assert sum(request.path == "/v1/models" for request in fake.requests) <= asked + 1
