"""A fault that nobody foresaw: the client hears of it in OpenAI's shape, with everything that other errors carry."""

import socket
import threading
from collections.abc import AsyncGenerator, Iterator

import httpx
import pytest
import uvicorn

from app import create_app
from tests.clients.test_routes import assert_error
from tts_engine.api.audio_response import AudioResponse
from tts_engine.config import Settings

ORIGIN = "http://localhost:3000"


async def _broken_at_once() -> None:
    raise RuntimeError("a secret of the inside")


async def _broken_later() -> AudioResponse:
    async def audio() -> AsyncGenerator[bytes]:
        yield b"sound"
        raise RuntimeError("a secret of the inside")

    return AudioResponse(audio(), "audio/pcm")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """This project's app with two broken routes, on a real socket in a thread; it cannot speak and need not."""
    app = create_app(Settings(_env_file=None, snac_model=str(tmp_path_factory.mktemp("empty"))))  # type: ignore[call-arg]
    app.add_api_route("/v1/broken", _broken_at_once)
    app.add_api_route("/v1/broken-later", _broken_later, response_model=None)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="broken-app")
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False, timeout=10) as http:
        yield http
    server.should_exit = True
    thread.join()
    listener.close()


def test_it_is_500_in_json_without_the_inside(broken: httpx.Client) -> None:
    answer = broken.get("/v1/broken")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "secret" not in answer.text


def test_it_has_an_id_as_every_answer(broken: httpx.Client) -> None:
    assert_error(broken.get("/v1/broken"), 500)


def test_a_page_may_read_it(broken: httpx.Client) -> None:
    answer = broken.get("/v1/broken", headers={"Origin": ORIGIN})
    assert answer.headers.get("access-control-allow-origin") == ORIGIN


def test_it_is_not_tried_again(broken: httpx.Client) -> None:
    assert broken.get("/v1/broken").headers.get("x-should-retry") == "false"


def test_in_the_middle_of_the_sound_it_cuts_the_connection(broken: httpx.Client) -> None:
    with (
        pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
        broken.stream("GET", "/v1/broken-later") as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["x-request-id"]
        answer.read()
