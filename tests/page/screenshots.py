"""Make docs/screenshots: `python -m tests.page.screenshots [FOLDER]`. Needs a Chromium and the tests' tiny model.

The tiny model speaks even noise, so what arrives is given the loudness of speech; the rest is as it is.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support import browser, tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Step, Tokens, frames_to_tokens, speech
from tests.support.paths import PROJECT_ROOT

SIZES = {"wide": (1280, 800), "phone": (390, 844)}
CHAPTER = "The lamp in the window had been lit every night for eleven years. Nobody asked why. " * 8 + "\n\n"
TEXTS = (
    ("leo", "The tide was out when they found the boat, and nobody in the village could say whose it was."),
    ("tara", "Thank you for calling. <chuckle> Your parcel is on its way, and it is not a penguin this time."),
    ("mia", "In the news today: rain, more rain, and one very patient cat."),
)

LOUDNESS = """(() => {
  const plain = window.atob;
  let at = 0;
  const level = (i) => {
    const t = i / 24000, word = 0.5 + Math.sin(t * 3.7) + 0.5 * Math.sin(t * 8.3 + 1) + 0.3 * Math.sin(t * 1.3 + 2);
    return Math.max(0.02, Math.min(1, word)) * (0.45 + 0.55 * Math.abs(Math.sin(t * 14 + 2 * Math.sin(t * 3))));
  };
  window.atob = (text) => {
    const bytes = Uint8Array.from(plain(text), (letter) => letter.charCodeAt(0));
    const samples = new Int16Array(bytes.buffer, 0, bytes.length >> 1);
    for (let i = 0; i < samples.length; i++) samples[i] *= level(at++);
    return String.fromCharCode(...bytes);
  };
})()"""


def _speech_like(frames: int, seed: int) -> list[Step]:
    return speech(tiny_snac.random_codes(frames, seed=seed))


def _open(browser_: Browser, url: str, size: tuple[int, int], scheme: str) -> Page:
    page = browser_.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    page.add_init_script(LOUDNESS)
    page.goto(url)
    page.locator("#server[data-state=ready]").wait_for()
    return page


def _generate(page: Page, fake: FakeInference, voice: str, text: str, seed: int) -> None:
    fake.always(_speech_like(30 + 8 * seed, seed))
    page.locator("#tab-write").click()
    page.locator(f'input[name=voice][value="{voice}"]').check()
    page.fill("#text", text)
    page.click("#generate")
    page.locator("#progress", has_text="of speech").wait_for()


def _photograph(page: Page, fake: FakeInference, folder: Path, name: str) -> None:
    for seed, (voice, text) in enumerate(TEXTS):
        _generate(page, fake, voice, text, seed)
    page.locator("#tab-write").click()
    page.locator('input[name=voice][value="tara"]').check()
    page.fill("#text", json.loads((PROJECT_ROOT / "static" / "text.en.json").read_text("utf-8"))["text.example_text"])
    tokens = frames_to_tokens(tiny_snac.random_codes(400, seed=9))
    fake.always([Tokens(tokens, rate=160)])
    page.click("#generate")
    page.locator("#progress", has_text="s made").wait_for()
    page.wait_for_timeout(2500)
    page.screenshot(path=folder / f"speaking-{name}.png")
    page.click("#stop")
    page.locator("#tab-write").click()
    page.wait_for_timeout(300)
    page.screenshot(path=folder / f"speak-{name}.png")
    for view in ("history", "jobs", "server"):
        page.click(f'nav [data-view="{view}"]')
        page.wait_for_timeout(600)
        page.screenshot(path=folder / f"{view}-{name}.png")


def _hand_in_jobs(url: str, fake: FakeInference) -> None:
    """One that is done, one that is being spoken, one in line."""
    fake.always(_speech_like(90, 3))
    with httpx.Client(base_url=url, trust_env=False) as client:
        done = client.post("/v1/audio/jobs", json={"title": "A letter", "voice": "zoe", "input": CHAPTER}).json()
        while client.get(f"/v1/audio/jobs/{done['id']}").json()["state"] != "done":
            time.sleep(0.2)
        tokens = [Tokens(frames_to_tokens(tiny_snac.random_codes(90, seed=4)), rate=60), Tokens([2])]
        fake.always(tokens)
        for title, voice in (("The Harbour, chapters 1 to 4", "leo"), ("Notes for Tuesday", "mia")):
            client.post("/v1/audio/jobs", json={"title": title, "voice": voice, "input": CHAPTER * 6})


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT_ROOT / "docs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, FakeInference("llama.cpp") as fake, sync_playwright() as playwright:
        (Path(data) / "snac_24khz").symlink_to(tiny_snac.cached())
        settings = {
            "ORPHEUS_API_URL": fake.url,
            "ORPHEUS_SNAC_MODEL": "snac_24khz",
            "ORPHEUS_ENV_FILE": str(Path(data) / ".env"),
            "ORPHEUS_DATA_DIR": str(Path(data) / "data"),
        }
        with AppServer(settings, cwd=Path(data)) as server:
            chromium = playwright.chromium.launch(
                executable_path=browser.find(), args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
            )
            _hand_in_jobs(server.url, fake)
            for size_name, size in SIZES.items():
                for scheme in ("light", "dark"):
                    page = _open(chromium, server.url, size, scheme)
                    _photograph(page, fake, folder, f"{size_name}-{scheme}")
                    page.close()
            chromium.close()


if __name__ == "__main__":
    main()
