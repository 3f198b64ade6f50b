"""Fixtures that all rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import browser, tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.llama_server import LlamaServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of whoever runs the tests must not reach them."""
    for name in list(os.environ):
        if name.upper().startswith("ORPHEUS_") and name != "ORPHEUS_TEST_BROWSER":
            monkeypatch.delenv(name)
    yield


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser; without one the test is skipped, or fails where ORPHEUS_TEST_BROWSER=required."""
    path = browser.find()
    if path is None:
        message = "no Chromium on this machine"
        pytest.fail(message) if browser.REQUIRED else pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def weights() -> Path:
    """A small SNAC with silenced noise, so that its decode is one fixed sequence of samples."""
    return tiny_snac.cached()


@pytest.fixture(scope="session")
def llama() -> Iterator[LlamaServer]:
    with LlamaServer(slots=4) as server:
        yield server


@pytest.fixture(scope="session")
def real_server(llama: LlamaServer, weights: Path) -> Iterator[AppServer]:
    with AppServer({"ORPHEUS_API_URL": llama.url, "ORPHEUS_SNAC_MODEL": str(weights)}) as server:
        yield server


@pytest.fixture(scope="session")
def _fake() -> Iterator[FakeInference]:
    with FakeInference("llama.cpp") as fake:
        yield fake


@pytest.fixture(scope="session")
def server(_fake: FakeInference, weights: Path) -> Iterator[AppServer]:
    settings = {"ORPHEUS_API_URL": _fake.url, "ORPHEUS_SNAC_MODEL": str(weights), "ORPHEUS_API_TIMEOUT": "2"}
    with AppServer(settings) as running:
        yield running


@pytest.fixture
def fake(_fake: FakeInference) -> FakeInference:
    """The scripted inference server behind `server`, with nothing remembered."""
    _fake.requests.clear()
    _fake.answers.clear()
    _fake._queue.clear()
    _fake._always = None
    return _fake


@pytest.fixture
def client(server: AppServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http:
        yield http


@pytest.fixture
def real(real_server: AppServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=real_server.url, timeout=60, trust_env=False) as http:
        yield http
