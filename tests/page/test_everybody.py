"""For everybody: keyboard, screen readers, contrast, phone to wide, without a script, behind a key; and nothing from elsewhere."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Watch, open_page
from tests.page.test_speaking import generate
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Endless, speech

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
VIEWS = ("Speak", "History", "Long work", "Server")
MOST_BYTES = 300_000
JUMPS = """() => new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(sum), 100);
})"""


def findings(page: Page) -> list[str]:
    result: dict[str, Any] = page.evaluate(
        "() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })"
    )
    return [f"{row['id']} ({row['impact']}): {row['nodes'][0]['html'][:200]}" for row in result["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["wide", "phone"])
def test_axe_finds_nothing(
    browser: Browser, server: AppServer, fake: FakeInference, scheme: str, size: tuple[int, int]
) -> None:
    context = browser.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": size[0], "height": size[1]},
        reduced_motion="reduce",
        bypass_csp=True,
    )
    page = context.new_page()
    open_page(page, server.url)
    fake.always(speech(tiny_snac.random_codes(20)))
    for _ in range(2):
        generate(page, "Hello. " * 30)
        expect(page.locator("#progress")).to_contain_text("of speech")
    page.add_script_tag(path=AXE)
    found = {}
    for view in VIEWS:
        page.get_by_role("navigation").get_by_role("link", name=view).click()
        if view == "Speak":
            found["Read along"] = findings(page)
            page.click("#tab-write")
            page.click("#options summary")
        if view == "History":
            for button in page.get_by_role("button", name="Compare", exact=True).all():
                button.click()
        if view == "Server":
            expect(page.get_by_label("ORPHEUS_TEMPERATURE")).to_be_visible()
            page.click("#settings summary")
        found[view] = findings(page)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{view} is wider than the screen"
    page.evaluate("document.getElementById('key-dialog').showModal()")
    found["key"] = findings(page)
    context.close()
    assert {view: rows for view, rows in found.items() if rows} == {}


def test_everything_is_done_with_the_keyboard(page: Page, fake: FakeInference) -> None:
    press = page.keyboard.press
    fake.enqueue(Endless(rate=300))
    fake.always(speech(tiny_snac.random_codes(12)))
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("Typed")
    press("Tab")  # the first sound
    press("Enter")
    expect(page.locator("#text")).to_have_value("Typed <laugh>")
    press("Control+Enter")
    expect(page.locator("#progress")).to_contain_text("made")
    press("Escape")
    expect(page.locator("#progress")).to_contain_text("Stopped")
    for _ in range(40):
        press("Tab")
        if page.evaluate("document.activeElement.id") == "generate":
            break
    press("Enter")
    expect(page.locator("#progress")).to_contain_text("of speech")
    seen = set()
    for _ in range(80):
        press("Tab")
        seen.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.value || document.activeElement.dataset.preview || ''"
            )
        )
    assert {
        "tara",
        "voice-search",
        "wave",
        "play",
        "volume",
        "rate",
        "loop",
        "download",
        "download-format",
        "tab-read",
    } <= seen
    page.locator("input[name=voice]:checked").focus()
    press("ArrowDown")
    expect(page.locator("input[name=voice]:checked")).to_have_value("leah")


def test_the_page_is_small_and_soon_ready(page: Page, watch: Watch, server: AppServer) -> None:
    bodies: list[bytes] = []
    page.on("requestfinished", lambda request: bodies.append(_body(request)))
    page.reload(wait_until="networkidle")
    assert sum(len(gzip.compress(body)) for body in bodies) < MOST_BYTES
    ready_ms = page.evaluate("performance.getEntriesByName('ready')[0].startTime")
    assert ready_ms < 1000


def _body(request: Any) -> bytes:
    response = request.response()
    return b"" if response is None else bytes(response.body())


def test_the_layout_does_not_jump(page: Page, fake: FakeInference) -> None:
    fake.enqueue(*speech(tiny_snac.random_codes(24)))
    assert page.evaluate(JUMPS) < 0.02
    generate(page)
    expect(page.locator("#progress")).to_contain_text("of speech")
    assert page.evaluate(JUMPS) < 0.05


def test_it_works_without_a_script(browser: Browser, server: AppServer, fake: FakeInference) -> None:
    fake.enqueue(*speech(tiny_snac.random_codes(12)))
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(server.url)
        page.fill("#text", "No script.")
        page.locator('input[name=voice][value="leo"]').check()
        page.click("#generate")
        expect(page.locator("audio")).to_be_visible()
        expect(page.locator("#text")).to_have_value("No script.")
        assert "leo: No script." in str(fake.completions[0].body["prompt"])


def test_a_page_behind_a_key_asks_for_it(
    browser: Browser, _fake: FakeInference, fake: FakeInference, weights: Path, tmp_path: Path
) -> None:
    settings = {
        "ORPHEUS_API_URL": _fake.url,
        "ORPHEUS_SNAC_MODEL": str(weights),
        "ORPHEUS_ACCESS_KEY": "open-sesame",
        "ORPHEUS_ENV_FILE": str(tmp_path / ".env"),
        "ORPHEUS_DATA_DIR": str(tmp_path / "data"),
    }
    fake.always(speech(tiny_snac.random_codes(12)))
    with AppServer(settings) as server, browser.new_context() as context:
        page = context.new_page()
        open_page(page, server.url)
        dialog = page.get_by_role("dialog", name="Access key")
        dialog.get_by_label("Access key").fill("wrong")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_be_visible()
        dialog.get_by_label("Access key").fill("open-sesame")
        dialog.get_by_label("Remember").check()
        page.keyboard.press("Enter")
        expect(page.locator("#server")).to_contain_text("Ready")
        generate(page, "With a key.")
        expect(page.locator("#progress")).to_contain_text("of speech")
        another = context.new_page()  # another tab has no sessionStorage of this one
        open_page(another, server.url)
        expect(another.locator("#server")).to_contain_text("Ready")
        expect(another.get_by_role("dialog")).to_have_count(0)
