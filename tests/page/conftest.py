"""The page in a real browser, the server in its own process, behind it a scripted inference server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, sync_playwright

from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference

BROWSER_OPTIONS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-background-networking"]


@pytest.fixture(scope="session")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / ".env"


@pytest.fixture(scope="session")
def server(_fake: FakeInference, weights: Path, env_file: Path) -> Iterator[AppServer]:
    """With a `.env` and a data folder of its own."""
    settings = {
        "ORPHEUS_API_URL": _fake.url,
        "ORPHEUS_SNAC_MODEL": str(weights),
        "ORPHEUS_ENV_FILE": str(env_file),
        "ORPHEUS_DATA_DIR": str(env_file.parent / "data"),
    }
    with AppServer(settings) as running:
        yield running


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    running = playwright.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS)
    yield running
    running.close()


class Watch:
    """What a page did that it should not: console errors, uncaught errors, requests to others, layout jumps."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.expected: tuple[str, ...] = ()
        """Parts of complaints that the test provokes."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_request(self, request: Request) -> None:
        if request.url.startswith(("http:", "https:", "ws:", "wss:")):
            self.hosts.add(request.url.split("/")[2])

    def check(self, port: int) -> None:
        assert self.hosts <= {f"127.0.0.1:{port}"}
        assert [text for text in self.complaints if not any(part in text for part in self.expected)] == []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has never been here."""
    fresh = browser.new_context(viewport={"width": 1280, "height": 800})
    fresh.set_default_timeout(10_000)
    yield fresh
    fresh.close()


@pytest.fixture
def watch(context: BrowserContext) -> Watch:
    return Watch(context.new_page())


@pytest.fixture
def page(context: BrowserContext, watch: Watch, fake: FakeInference, server: AppServer) -> Iterator[Page]:
    """The page, opened; at the end nothing may stand in the console and nobody else may have been asked."""
    opened = context.pages[0]
    open_page(opened, server.url)
    yield opened
    watch.check(server.port)


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    page.locator("body[data-ready]").wait_for()
