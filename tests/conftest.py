"""Fixtures that all rooms share."""

import os
from collections.abc import Iterator

import pytest

from tests.support import browser


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
