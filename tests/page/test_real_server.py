"""The page with the real llama.cpp server behind it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Watch, open_page
from tests.page.test_speaking import STORY, generate
from tests.support.app_server import AppServer
from tests.support.llama_server import LlamaServer


@pytest.fixture
def real_page(browser: Browser, llama: LlamaServer, weights: Path, tmp_path: Path) -> Iterator[Page]:
    settings = {
        "ORPHEUS_API_URL": llama.url,
        "ORPHEUS_SNAC_MODEL": str(weights),
        "ORPHEUS_ENV_FILE": str(tmp_path / ".env"),
        "ORPHEUS_DATA_DIR": str(tmp_path / "data"),
    }
    with AppServer(settings) as server, browser.new_context() as context:
        page = context.new_page()
        watch = Watch(page)
        open_page(page, server.url)
        yield page
        watch.check(server.port)


def test_first_sound_before_the_end_stop_and_the_whole_way(real_page: Page, llama: LlamaServer) -> None:
    expect(real_page.locator("#server")).to_contain_text("Ready · llama.cpp")
    generate(real_page, STORY * 20)
    expect(real_page.locator("#now")).to_have_text("0:01", timeout=20_000)
    assert llama.slots_busy() >= 1
    real_page.click("#stop")
    deadline = time.monotonic() + 1.5
    while llama.slots_busy() and time.monotonic() < deadline:
        pass
    assert llama.slots_busy() == 0
    generate(real_page, "Hello there.")
    expect(real_page.locator("#progress")).to_contain_text("of speech", timeout=20_000)
