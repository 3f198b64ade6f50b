"""What is heard and saved: exact samples, seeking, looping, speed without a change of pitch."""

import io
import wave
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from playwright.sync_api import Page, expect

from tests.page.test_speaking import generate
from tests.support import tiny_snac
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import speech


def spoken(page: Page, fake: FakeInference, frames: int = 36) -> np.ndarray:
    """Have something spoken to the end. Returns its codes."""
    codes = tiny_snac.random_codes(frames)
    fake.enqueue(*speech(codes))
    generate(page)
    expect(page.locator("#progress")).to_contain_text("of speech")
    return codes


def saved(page: Page, file_format: str) -> tuple[str, bytes]:
    page.select_option("#download-format", file_format)
    with page.expect_download() as download:
        page.click("#download")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_the_saved_wav_is_every_sample_that_was_made(page: Page, fake: FakeInference, weights: Path) -> None:
    codes = spoken(page, fake)
    name, data = saved(page, "wav")
    assert name == "Hello-from-the-page.wav"
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24000, 1, 2)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(pcm) == len(codes) * 2048
    assert np.abs(pcm.astype(int) - tiny_snac.reference_pcm(weights, codes)).max() <= 1


def test_it_is_saved_in_every_format_without_asking_the_model_again(page: Page, fake: FakeInference) -> None:
    spoken(page, fake)
    for file_format in ("mp3", "opus", "aac", "flac"):
        name, data = saved(page, file_format)
        assert name.endswith(f".{file_format}")
        with av.open(io.BytesIO(data)) as container:
            seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
        assert abs(seconds - 36 * 2048 / 24000) < 0.15
    assert len(saved(page, "pcm")[1]) == 36 * 2048 * 2
    assert len(fake.completions) == 1


def test_keys_seek_on_the_waveform(page: Page, fake: FakeInference) -> None:
    spoken(page, fake, frames=96)
    page.click("#play")  # pauses
    wave_ = page.locator("#wave")
    wave_.focus()
    page.keyboard.press("Home")
    expect(page.locator("#now")).to_have_text("0:00")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#now")).to_have_text("0:02")
    page.keyboard.press("End")
    expect(wave_).to_have_attribute("aria-valuetext", "0:08 of 0:08")


def test_a_press_on_the_waveform_seeks(page: Page, fake: FakeInference) -> None:
    spoken(page, fake, frames=96)
    page.click("#play")
    box = page.locator("#wave").bounding_box()
    assert box is not None
    expect(page.locator("#wave")).to_have_attribute("aria-valuemax", "8.2")
    page.wait_for_timeout(300)  # the last drawing of the waveform
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#now")).to_have_text("0:04")


def test_a_selection_loops(page: Page, fake: FakeInference) -> None:
    spoken(page, fake, frames=96)
    page.click("#play")
    box = page.locator("#wave").bounding_box()
    assert box is not None
    page.wait_for_timeout(300)  # the last drawing of the waveform
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20, steps=5)
    page.mouse.up()
    expect(page.locator("#loop")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#now")).to_have_text("0:02")  # where the selection begins
    page.click("#play")
    heard = page.evaluate(
        """() => new Promise((resolve) => {
          const seen = [], timer = setInterval(() => seen.push(Number(document.getElementById("wave").ariaValueNow)), 20);
          setTimeout(() => resolve((clearInterval(timer), seen)), 1500);
        })"""
    )
    assert min(heard) >= 2.0
    assert max(heard) <= 2.6
    assert any(after < before for before, after in pairwise(heard))


def test_speed_keeps_the_pitch_and_changes_the_length(page: Page) -> None:
    result = page.evaluate(
        """async () => {
          const { Stretch, HOP } = await import(document.body.dataset.root + "/static/js/stretch.js");
          const hertz = 200, rate = 1.5, length = 48000;
          const samples = Int16Array.from({ length }, (_, i) => 16000 * Math.sin((2 * Math.PI * hertz * i) / 24000));
          const stretch = new Stretch(), out = [];
          for (let at = 0; at < length; at += HOP * rate) out.push(...stretch.window(samples, at));
          return out;
        }"""
    )
    sound = np.array(result)
    assert abs(len(sound) / (48000 / 1.5) - 1) < 0.02
    middle = sound[4000:28000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(float(np.argmax(spectrum)) - 200) <= 2  # a bin is one hertz
    assert spectrum[195:206].sum() / spectrum.sum() > 0.95


def test_volume_is_remembered(page: Page) -> None:
    page.locator("#volume").fill("0.4")
    page.reload()
    expect(page.locator("#volume")).to_have_value("0.4")
