"""The history: every generation is kept in the browser, across reload and restart."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect

from tests.page.conftest import BROWSER_OPTIONS, open_page
from tests.page.test_speaking import choose, generate
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Endless, speech


def spoken(page: Page, fake: FakeInference, text: str, frames: int = 12) -> None:
    fake.enqueue(*speech(tiny_snac.random_codes(frames)))
    generate(page, text)
    expect(page.locator("#progress")).to_contain_text("of speech")


def open_history(page: Page) -> None:
    page.get_by_role("link", name="History").click()


def test_it_survives_a_reload_and_is_played_again(page: Page, fake: FakeInference) -> None:
    choose(page, "mia")
    spoken(page, fake, "Keep this.")
    open_history(page)
    page.reload()
    row = page.locator("#history-list li")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Keep this.")
    expect(row).to_contain_text("mia · 0:01")
    row.get_by_role("button", name="Play").click()
    expect(page.locator("#total")).to_have_text("0:01")
    expect(row.get_by_role("button", name="Pause")).to_be_visible()
    expect(row.get_by_role("button", name="Play")).to_be_visible()  # it has ended
    assert len(fake.completions) == 1


def test_it_survives_a_restart_of_the_browser(
    playwright: Playwright, chromium: str, tmp_path: Path, server: AppServer, fake: FakeInference
) -> None:
    for visit in range(2):
        context = playwright.chromium.launch_persistent_context(
            tmp_path, executable_path=chromium, args=BROWSER_OPTIONS
        )
        page = context.pages[0]
        open_page(page, server.url)
        if visit == 0:
            spoken(page, fake, "Still there tomorrow.")
        open_history(page)
        expect(page.locator("#history-list li")).to_contain_text("Still there tomorrow.")
        context.close()


def test_what_was_stopped_is_kept_and_marked(page: Page, fake: FakeInference) -> None:
    fake.enqueue(Endless(rate=400))
    generate(page, "Too long.")
    expect(page.locator("#progress")).to_contain_text("made")
    page.click("#stop")
    open_history(page)
    expect(page.locator("#history-list li")).to_contain_text("stopped")


def test_one_and_all_are_deleted(page: Page, fake: FakeInference) -> None:
    for text in ("First.", "Second.", "Third."):
        spoken(page, fake, text, frames=6)
    open_history(page)
    rows = page.locator("#history-list li")
    expect(rows).to_have_count(3)
    rows.filter(has_text="Second.").get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="First.").get_by_role("button", name="Play")).to_be_focused()
    page.click("#history-clear")
    page.get_by_role("button", name="Keep").click()
    expect(rows).to_have_count(2)
    page.click("#history-clear")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(0)
    page.reload()
    expect(page.locator("#history-empty")).to_be_visible()


def test_text_voice_and_settings_are_used_again_and_regenerated(page: Page, fake: FakeInference) -> None:
    choose(page, "dan")
    page.click("#options summary")
    page.fill("#option-seed", "7")
    spoken(page, fake, "Once more.")
    choose(page, "zoe")
    page.click("#options-reset")
    page.click("#tab-write")
    page.fill("#text", "Another")
    open_history(page)
    fake.enqueue(*speech(tiny_snac.random_codes(8)))
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("#progress")).to_contain_text("of speech")
    expect(page.locator("input[name=voice]:checked")).to_have_value("dan")
    again = fake.completions[1].body
    assert again["seed"] == 7
    assert "dan: Once more." in str(again["prompt"])


def test_two_are_compared_from_the_same_place(page: Page, fake: FakeInference) -> None:
    spoken(page, fake, "The same words.", frames=60)
    choose(page, "leo")
    spoken(page, fake, "The same words.", frames=72)
    open_history(page)
    compare = page.get_by_role("button", name="Compare", exact=True)
    expect(compare).to_have_count(2)
    for button in compare.all():
        button.click()
    table = page.get_by_role("group", name="Compare").get_by_role("table")
    differing = table.get_by_role("row").filter(has_text="Voice").get_by_role("cell")
    expect(differing).to_have_count(2)
    assert sorted(differing.all_inner_texts()) == ["leo", "tara"]
    lengths = table.get_by_role("row").filter(has_text="Length").get_by_role("cell").all_inner_texts()
    page.get_by_role("button", name="Switch A / B").click()
    expect(page.locator("#now")).to_have_text("0:02")
    heard = page.locator("#total").inner_text()
    assert heard in lengths
    page.get_by_role("button", name="Switch A / B").click()
    (other,) = set(lengths) - {heard}
    expect(page.locator("#total")).to_have_text(other)
    expect(page.locator("#now")).not_to_have_text("0:00")


@pytest.mark.parametrize("file_format", ["mp3", "wav"])
def test_it_is_downloaded_in_any_format(page: Page, fake: FakeInference, file_format: str) -> None:
    spoken(page, fake, "Save me, please.")
    open_history(page)
    row = page.locator("#history-list li")
    row.get_by_label("Format of the download").select_option(file_format)
    with page.expect_download() as download:
        row.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == f"Save-me-please.{file_format}"
