"""SIGKILL at moments nobody chose: nothing that was counted is lost, and in the end nothing shows that it happened."""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import soundfile

from tests.jobs.fakes import text
from tests.support.paths import PROJECT_ROOT

WORDS = text(60)
KILLS = 6


def start(folder: Path, words: str | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.jobs.victim", str(folder), *([words] if words else [])]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)


def counted(folder: Path) -> dict[str, int]:
    """File -> samples of every segment that is counted; each of them must be there, whole."""
    with sqlite3.connect(folder / "jobs.sqlite3") as database:
        rows = database.execute("SELECT job || '/' || file, samples FROM segments WHERE state = 'done'").fetchall()
    database.close()
    for file, samples in rows:
        assert soundfile.info(folder / "jobs" / file).frames == samples
    return dict(rows)


def test_killed_again_and_again_it_ends_as_if_it_never_was(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    with start(whole, WORDS) as process:
        job_id, state = process.communicate(timeout=60)[0].split()
    assert state == "done"
    expected = (whole / "jobs" / job_id / "audio.flac").read_bytes()

    broken, chance, before = tmp_path / "broken", random.Random(1), 0
    words: str | None = WORDS
    for _ in range(KILLS):
        with start(broken, words) as process:
            assert process.stdout is not None
            job_id, words = process.stdout.readline().strip(), None
            time.sleep(chance.uniform(0, 0.15))  # a moment, not a wait: any will do
            process.kill()
        now = len(counted(broken))
        assert now >= before, "what was counted stays"
        before = now
    with start(broken) as process:
        job_id, state = process.communicate(timeout=60)[0].split()
    assert state == "done"
    assert (broken / "jobs" / job_id / "audio.flac").read_bytes() == expected
    files = {path.name for path in (broken / "jobs" / job_id).iterdir()}
    assert files == {Path(file).name for file in counted(broken)} | {"audio.flac"}
