"""Speaking on the page: heard while it is made, stopped at once, followed in the text; failures in words."""

import time
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.page.conftest import Watch
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Endless, Finish, Text, Until, speech

STORY = "This is the first sentence of it. " * 4 + "And this is the second part, a good deal later. " * 9


def generate(page: Page, text: str = "Hello from the page.") -> None:
    page.locator("#tab-write").click()
    page.fill("#text", text)
    page.click("#generate")


def choose(page: Page, voice: str) -> None:
    page.locator(f'input[name=voice][value="{voice}"]').check()


def test_the_default_voice_is_chosen_and_another_can_be(page: Page, fake: FakeInference) -> None:
    expect(page.locator("input[name=voice]:checked")).to_have_value("tara")
    fake.enqueue(*speech(tiny_snac.random_codes(24)))
    choose(page, "leo")
    generate(page)
    expect(page.locator("#progress")).to_contain_text("2.0 s of speech")
    assert "leo: Hello from the page." in str(fake.completions[0].body["prompt"])


def test_it_is_heard_before_the_model_has_finished_and_stop_stops_the_model(page: Page, fake: FakeInference) -> None:
    fake.enqueue(Endless(rate=300))
    generate(page, "A long story.")
    expect(page.locator("#now")).to_have_text("0:01")  # the clock of what is heard
    expect(page.locator("#progress")).to_contain_text("First sound")
    assert fake.completions[0].left_at is None
    page.click("#stop")
    stopped = time.monotonic()
    fake.wait_for(lambda: fake.completions[0].left_at is not None)
    assert fake.completions[0].left_at is not None
    assert fake.completions[0].left_at - stopped < 1
    expect(page.locator("#progress")).to_contain_text("Stopped")
    expect(page.locator("#generate")).to_be_enabled()


def test_leaving_the_page_stops_the_model(page: Page, fake: FakeInference) -> None:
    fake.enqueue(Endless(rate=300))
    generate(page)
    expect(page.locator("#progress")).to_contain_text("made")
    page.goto("about:blank")
    fake.wait_for(lambda: fake.completions[0].left_at is not None, timeout_s=3)


def test_the_sentence_that_is_heard_is_marked_and_a_press_on_one_plays_it(page: Page, fake: FakeInference) -> None:
    fake.always(speech(tiny_snac.random_codes(20)))
    generate(page, STORY)
    sentences = page.locator(".sentence")
    expect(page.locator("#progress")).to_contain_text("of speech")
    assert sentences.count() >= 2
    expect(sentences.nth(0)).to_have_attribute("aria-current", "true")
    sentences.last.click()
    expect(sentences.last).to_have_attribute("aria-current", "true")
    expect(sentences.nth(0)).not_to_have_attribute("aria-current", "true")


def test_a_sentence_cannot_be_played_before_it_is_there(page: Page, fake: FakeInference) -> None:
    import threading

    go_on = threading.Event()
    fake.enqueue(*speech(tiny_snac.random_codes(20)))
    fake.enqueue(Until(go_on), *speech(tiny_snac.random_codes(20)))
    fake.always(speech(tiny_snac.random_codes(20)))
    generate(page, STORY)
    first, second = page.locator(".sentence").nth(0), page.locator(".sentence").nth(1)
    expect(first).to_have_attribute("aria-disabled", "false")
    expect(second).to_have_attribute("aria-disabled", "true")
    go_on.set()
    expect(second).to_have_attribute("aria-disabled", "false")


def test_progress_counts_segments(page: Page, fake: FakeInference) -> None:
    fake.always(speech(tiny_snac.random_codes(40), rate=300))
    generate(page, STORY)
    expect(page.locator("#progress")).to_contain_text("segment 1 of ")
    expect(page.locator("#progress")).to_contain_text("left")
    page.click("#stop")


def test_a_failure_is_told_in_words(page: Page, fake: FakeInference, watch: Watch) -> None:
    watch.expected = ("502",)
    fake.always([Text(["I am a chat model."]), Finish()])
    generate(page)
    expect(page.locator("#error")).to_contain_text("text instead of audio tokens")
    expect(page.locator("#generate")).to_be_enabled()
    expect(page.locator("#text")).to_be_visible()


def test_no_text_is_no_request(page: Page, fake: FakeInference) -> None:
    page.click("#generate")
    expect(page.locator("#error")).to_contain_text("no text")
    assert not fake.completions


def test_tags_of_the_voice_s_language_are_inserted_at_the_cursor(page: Page) -> None:
    page.fill("#text", "Well then")
    page.locator("#text").evaluate("field => field.setSelectionRange(4, 4)")
    page.get_by_role("button", name="Insert sigh").click()
    expect(page.locator("#text")).to_have_value("Well <sigh> then")
    choose(page, "长乐")
    expect(page.get_by_role("button", name="Insert 大笑")).to_be_visible()


def test_the_text_is_counted_and_planned(page: Page) -> None:
    page.fill("#text", STORY)
    expect(page.locator("#counts-text")).to_have_text(f"{len(STORY)} characters · 118 words")
    expect(page.locator("#counts-plan")).to_contain_text("segments")


def test_draft_voice_and_settings_survive_a_reload(page: Page, server: AppServer) -> None:
    page.fill("#text", "Not finished yet")
    choose(page, "zoe")
    page.click("#options summary")
    page.fill("#option-temperature", "0.8")
    page.reload()
    expect(page.locator("#text")).to_have_value("Not finished yet")
    expect(page.locator("input[name=voice]:checked")).to_have_value("zoe")
    expect(page.locator("#option-temperature")).to_have_value("0.8")


def test_the_settings_of_a_request_are_sent_and_saved_as_a_preset(page: Page, fake: FakeInference) -> None:
    page.click("#options summary")
    page.fill("#option-temperature", "0.3")
    page.click("#dice")
    seed = page.input_value("#option-seed")
    page.click("#preset-save")
    page.fill("#preset-name", "Calm")
    page.keyboard.press("Enter")
    page.click("#options-reset")
    expect(page.locator("#option-temperature")).to_have_value("0.6")
    page.select_option("#preset", "Calm")
    expect(page.locator("#option-temperature")).to_have_value("0.3")
    fake.enqueue(*speech(tiny_snac.random_codes(10)))
    generate(page)
    expect(page.locator("#progress")).to_contain_text("of speech")
    body = fake.completions[0].body
    assert body["temperature"] == 0.3
    assert body["seed"] == int(seed)


def test_voices_are_found_by_language_gender_and_name(page: Page) -> None:
    shown = page.locator(".voice:visible .voice-name")
    page.fill("#voice-search", "french female")
    expect(shown).to_have_text(["amelie", "marie"])
    page.fill("#voice-search", "male span")
    expect(shown).to_have_text(["javi", "sergio"])
    page.fill("#voice-search", "nobody")
    expect(page.locator("#voice-none")).to_be_visible()


def test_a_preview_is_made_once_and_kept(page: Page, fake: FakeInference) -> None:
    fake.enqueue(*speech(tiny_snac.random_codes(8)))
    button = page.locator('[data-preview="jana"]')
    page.fill("#voice-search", "jana")
    for _ in range(2):
        button.click()
        expect(button).to_have_accessible_name("Stop the preview of jana")
        expect(button).to_have_accessible_name("Hear jana")
    page.reload()
    page.fill("#voice-search", "jana")
    button.click()
    expect(button).to_have_accessible_name("Stop the preview of jana")
    assert len(fake.completions) == 1
    assert "jana: Hallo" in str(fake.completions[0].body["prompt"])


def test_text_and_books_are_opened(page: Page, tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("# Hello\n\nFrom a file.", encoding="utf-8")
    page.set_input_files("#file", note)
    expect(page.locator("#text")).to_have_value("# Hello\n\nFrom a file.")
    page.set_input_files("#file", _book(tmp_path / "book.epub"))
    expect(page.locator("#text")).to_have_value("One\n\nIt was dark.\n\nTwo\n\nIt was light & late.")
    (tmp_path / "bad.epub").write_bytes(b"PK no book")
    page.set_input_files("#file", tmp_path / "bad.epub")
    expect(page.locator("#error")).to_contain_text("bad.epub")


def _book(path: Path) -> Path:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        '<item id="b" href="text/two.xhtml"/><item id="a" href="text/o%20ne.xhtml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    page = '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>{}</h1><p>{}</p></body></html>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        )
        book.writestr("OEBPS/book.opf", package)
        book.writestr("OEBPS/text/o ne.xhtml", page.format("One", "It was dark."))
        book.writestr("OEBPS/text/two.xhtml", page.format("Two", "It was light &amp; late."))
    return path
