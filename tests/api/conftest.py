"""The server in its own process, behind it a scripted inference server or the real llama.cpp server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.llama_server import LlamaServer


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
