"""Long work on the page: a job is handed in, watched, paused, heard segment by segment, saved, deleted."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.test_speaking import choose
from tests.support import tiny_snac
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Until, speech

BOOK = "\n\n".join(
    f"This is paragraph number {i} of a book that is long enough for a few segments. " * 4 for i in range(4)
)


@pytest.fixture(autouse=True)
def _no_jobs_left(client: httpx.Client) -> Iterator[None]:
    yield
    for job in client.get("/v1/audio/jobs").json()["data"]:
        client.post(f"/v1/audio/jobs/{job['id']}/cancel")
        client.delete(f"/v1/audio/jobs/{job['id']}")


def hand_in(page: Page, title: str) -> Locator:
    page.fill("#text", BOOK)
    page.get_by_role("link", name="Long work").click()
    page.fill("#job-title", title)
    page.get_by_role("button", name="Start").click()
    row = page.locator("#jobs-list li.job").filter(has_text=title)
    expect(row).to_be_visible()
    return row


def test_a_job_goes_on_to_its_end_and_is_saved(page: Page, fake: FakeInference) -> None:
    fake.always(speech(tiny_snac.random_codes(30)))
    choose(page, "mia")
    row = hand_in(page, "My book")
    expect(row.locator(".badge")).to_have_text("done", timeout=20_000)
    expect(row).to_contain_text("mia")
    with page.expect_download() as download:
        row.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "My-book.mp3"
    assert Path(download.value.path()).stat().st_size > 10_000
    with page.expect_download() as download:
        row.get_by_role("button", name="Captions srt").click()
    assert "paragraph number 0" in Path(download.value.path()).read_text(encoding="utf-8")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_progress_pause_resume_and_cancel(page: Page, fake: FakeInference) -> None:
    go_on = threading.Event()
    fake.enqueue(*speech(tiny_snac.random_codes(30)))
    fake.always(lambda _: [Until(go_on), *speech(tiny_snac.random_codes(30))])
    row = hand_in(page, "Held up")
    expect(row).to_contain_text("1 of ")
    row.get_by_role("button", name="Pause").click()
    expect(row.locator(".badge")).to_have_text("paused")
    row.get_by_role("button", name="Resume").click()
    expect(row.locator(".badge")).to_have_text("speaking")
    row.get_by_role("button", name="Cancel").click()
    expect(row.locator(".badge")).to_have_text("cancelled")
    go_on.set()


def test_segments_are_heard_and_made_again(page: Page, fake: FakeInference) -> None:
    fake.always(speech(tiny_snac.random_codes(30)))
    row = hand_in(page, "In pieces")
    expect(row.locator(".badge")).to_have_text("done", timeout=20_000)
    row.locator("summary").click()
    row.get_by_role("button", name="Play: Segment 1", exact=True).click()
    expect(page.locator("#total")).to_have_text("0:02")
    expect(page.locator("#play")).to_have_accessible_name("Pause")
    before = len(fake.completions)
    row.get_by_role("button", name="Regenerate: Segment 2", exact=True).click()
    fake.wait_for(lambda: len(fake.completions) > before)
    expect(row.locator(".badge")).to_have_text("done", timeout=20_000)


def test_a_file_becomes_a_job(page: Page, fake: FakeInference, tmp_path: Path) -> None:
    fake.always(speech(tiny_snac.random_codes(30)))
    (tmp_path / "tale.txt").write_text(BOOK, encoding="utf-8")
    page.get_by_role("link", name="Long work").click()
    page.set_input_files("#job-file", tmp_path / "tale.txt")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#jobs-list li.job .badge")).to_have_text("done", timeout=20_000)
