"""The page in a real browser: it is heard while it is made, stops the model, and asks nobody else for anything."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Endless, Finish, Text, speech


@pytest.fixture(scope="module")
def browser_page(chromium: str) -> Iterator[Page]:
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page()
        yield page
        browser.close()


@pytest.fixture
def page(browser_page: Page, server: AppServer, fake: FakeInference) -> Iterator[Page]:
    """The page, opened; at the end nothing may stand in the console and nobody else may have been asked."""
    complaints: list[str] = []
    hosts: set[str] = set()

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def on_request(request: Request) -> None:
        hosts.add(request.url.split("/")[2] if request.url.startswith("http") else "")

    browser_page.on("console", on_console)
    browser_page.on("request", on_request)
    browser_page.goto(server.url)
    yield browser_page
    browser_page.remove_listener("console", on_console)
    browser_page.remove_listener("request", on_request)
    assert hosts <= {f"127.0.0.1:{server.port}", ""}
    assert [text for text in complaints if "502" not in text] == []


def test_a_voice_is_chosen_and_the_text_is_spoken_with_it(page: Page, fake: FakeInference) -> None:
    expect(page.locator("#voice")).to_have_value("tara")
    fake.enqueue(*speech(tiny_snac.random_codes(24)))
    page.select_option("#voice", "leo")
    page.fill("#text", "Hello from the page.")
    page.click("#generate")
    expect(page.locator("#progress")).to_contain_text("2.0 s in all")
    expect(page.locator("#player")).to_be_visible()
    assert "leo: Hello from the page." in str(fake.completions[0].body["prompt"])


def test_it_is_heard_while_the_model_still_speaks_and_stop_stops_the_model(page: Page, fake: FakeInference) -> None:
    fake.enqueue(Endless(rate=300))
    page.fill("#text", "A long story.")
    page.click("#generate")
    expect(page.locator("#progress")).to_contain_text("s made…")
    assert fake.completions[0].left_at is None
    page.click("#stop")
    stopped = time.monotonic()
    fake.wait_for(lambda: fake.completions[0].left_at is not None)
    assert fake.completions[0].left_at - stopped < 1.5
    expect(page.locator("#progress")).to_contain_text("Stopped")


def test_a_failure_is_told_in_words(page: Page, fake: FakeInference) -> None:
    fake.enqueue(Text(["I am a chat model."]), Finish())
    page.fill("#text", "Hello.")
    page.click("#generate")
    expect(page.locator("#error")).to_contain_text("text instead of audio tokens")
    expect(page.locator("#generate")).to_be_enabled()


def test_tags_of_the_voice_s_language_are_inserted_at_the_cursor(page: Page) -> None:
    page.fill("#text", "Well ")
    page.get_by_role("button", name="<sigh>").click()
    expect(page.locator("#text")).to_have_value("Well <sigh>")
    page.select_option("#voice", "长乐")
    expect(page.get_by_role("button", name="<大笑>")).to_be_visible()


def test_hardware_and_plan_are_shown(page: Page) -> None:
    expect(page.locator("#machine")).to_contain_text("cores")
    expect(page.locator("#machine")).to_contain_text("segments at once")
    expect(page.locator("#server")).to_contain_text("llama.cpp")
