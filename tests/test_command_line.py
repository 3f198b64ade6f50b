"""The command line, run as a user would, with the real llama.cpp server behind it."""

import os
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.support import tiny_snac
from tests.support.llama_server import LlamaServer
from tests.support.server_process import clean_environment
from tts_engine.config import ROOT


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    with LlamaServer(slots=2) as server:
        yield server


@pytest.fixture
def settings(llama: LlamaServer) -> dict[str, str]:
    return {"ORPHEUS_API_URL": llama.url, "ORPHEUS_SNAC_MODEL": str(tiny_snac.cached()), "ORPHEUS_ENV_FILE": os.devnull}


def run(settings: dict[str, str], *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tts_engine", *arguments]
    environment = clean_environment(**settings)
    return subprocess.run(command, cwd=ROOT, env=environment, input=text, capture_output=True, timeout=60, check=False)


def test_say_into_a_file(settings: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    done = run(settings, "say", "Hello from the command line.", "--voice", "leo", "-o", str(path))
    assert done.returncode == 0, done.stderr
    assert path.read_bytes()[:4] == b"RIFF"
    assert [file.name for file in tmp_path.iterdir()] == ["hello.wav"]


def test_say_from_standard_input_to_standard_output(settings: dict[str, str], tmp_path: Path) -> None:
    done = run(settings, "say", "-", "-o", "-", text=b"Hello.")
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.wav").write_bytes(done.stdout)
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (24000, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["say", "Hello.", "--voice", "nobody", "-o", "x.wav"], "nobody"),
        (["say", "Hello.", "-o", "hello.xyz"], "hello.xyz"),
        (["say", "Hello.", "--speed", "9", "-o", "x.wav"], "speed"),
        (["say", "Hello.", "-o", "/no/such/folder/x.wav"], "/no/such/folder"),
    ],
)
def test_mistake_is_told_in_one_line(settings: dict[str, str], arguments: list[str], told: str) -> None:
    done = run(settings, *arguments)
    assert done.returncode == 1
    assert told in done.stderr.decode()
    assert b"Traceback" not in done.stderr


BOOK = "# One\n\nThe first chapter has a sentence. And another one.\n\n# Two\n\nThe second one is short.\n"


def test_read_a_book_with_chapters(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "book.md").write_text(BOOK)
    path = tmp_path / "book.m4b"
    done = run({**settings, "ORPHEUS_DATA_DIR": str(tmp_path)}, "read", str(tmp_path / "book.md"), "-o", str(path))
    assert done.returncode == 0, done.stderr
    with av.open(str(path)) as file:
        assert file.duration and file.duration / av.time_base > 2
        assert [chapter["metadata"]["title"] for chapter in file.chapters()] == ["One", "Two"]
    assert not list((tmp_path / "reading").iterdir())


def test_reading_that_was_killed_goes_on(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(
        "\n\n".join(f"This is paragraph number {n}, and it ends here." for n in range(12))
    )
    command = [sys.executable, "-m", "tts_engine", "read", str(tmp_path / "book.txt"), "-o", str(tmp_path / "b.wav")]
    environment = clean_environment(**settings, ORPHEUS_DATA_DIR=str(tmp_path))
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("reading/*/jobs/*/*.flac"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    first.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("reading/*/jobs/*/*.flac")}
    assert kept
    second = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    spoken_again = False
    while second.poll() is None:
        spoken_again |= any(path.exists() and path.stat().st_mtime_ns != at for path, at in kept.items())
        time.sleep(0.05)
    assert second.communicate()[1] is not None
    assert second.returncode == 0
    assert not spoken_again
    assert (tmp_path / "b.wav").read_bytes()[:4] == b"RIFF"


def test_check_says_what_is_right(settings: dict[str, str]) -> None:
    done = run(settings, "check")
    told = " ".join(done.stdout.decode().split())
    assert done.returncode == 0, told
    for words in ("answers as llama.cpp", "Orpheus's tokens", "tokens a request", "speaks 2 at once", "openvino"):
        assert words in told


def test_check_says_what_is_wrong_and_what_to_do(settings: dict[str, str]) -> None:
    done = run({**settings, "ORPHEUS_API_URL": "http://127.0.0.1:9", "ORPHEUS_SNAC_MODEL": "./nowhere"}, "check")
    told = " ".join(done.stdout.decode().split())
    assert done.returncode == 1
    assert "start the inference server" in told
    assert "nowhere" in told


def test_voices_lists_all() -> None:
    told = run({}, "voices").stdout.decode()
    assert all(name in told for name in ("tara", "준서", "ऋतिका", "carlo"))


def test_help_needs_no_heavy_room() -> None:
    code = (
        "import sys; sys.argv = ['tts_engine', '--help']\n"
        "import runpy\n"
        "try: runpy.run_module('tts_engine', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'openvino', 'fastapi', 'httpx', 'numpy', 'av'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert b"say" in done.stdout
