"""Clients from the registries against the server in its own process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.settings import GUARDED
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients ask a proxy of the environment for everything, loopback too, unless it is told not to."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def guarded(_fake: FakeInference, weights: Path) -> Iterator[AppServer]:
    """A server that asks for a key, speaks for one at a time, and has a model name with a slash: see GUARDED."""
    with AppServer({"ORPHEUS_API_URL": _fake.url, "ORPHEUS_SNAC_MODEL": str(weights), **GUARDED}) as running:
        yield running
