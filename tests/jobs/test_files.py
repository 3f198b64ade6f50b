"""Files of jobs: whole or not there, and the formats that are files."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.jobs.fakes import RATE, settings, spoken
from tts_engine.audio.lossless import from_flac, to_flac
from tts_engine.cache import SegmentCache, segment_key
from tts_engine.errors import OrpheusError
from tts_engine.jobs.files import JobFiles
from tts_engine.jobs.m4b import ChapterMark
from tts_engine.jobs.output import JOB_FORMATS, OutputFile

PCM = spoken("x", "tara", 1)


def write(path: Path, format: str, marks: list[ChapterMark] | None = None, speed: float = 1.0) -> int:
    file = OutputFile(path, settings(format, speed=speed), format, RATE, "T")
    file.open()
    for start in range(0, len(PCM), 3000):
        file.feed(PCM[start : start + 3000])
    return file.finish(marks or [ChapterMark("One", 0.0)])


@pytest.mark.parametrize("samples", [1, 7, 2048, 100_001])
def test_segments_are_stored_without_loss(tmp_path: Path, samples: int) -> None:
    pcm = np.random.default_rng(samples).integers(-32768, 32768, samples, dtype=np.int16)
    files = JobFiles(tmp_path)
    files.write_segment("job", "a.flac", to_flac(pcm, RATE))
    assert np.array_equal(files.read_segment("job", "a.flac"), pcm)
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["a.flac"]


def test_damaged_and_missing_segments_are_said(tmp_path: Path) -> None:
    (tmp_path / "bad.flac").write_bytes(b"fLaC")
    for name in ("bad.flac", "none.flac"):
        with pytest.raises(OrpheusError, match=name):
            from_flac(tmp_path / name)


def test_a_sweep_leaves_what_counts_and_what_is_not_ours(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    first, second = "job_" + 24 * "a", "job_" + 24 * "b"
    ours = ((first, "000001-0.flac"), (first, "audio.mp3.0a1b.part"), (second, "000001-0.flac"))
    for job, name in (*ours, (first, "notes.txt"), ("thesis", "1.docx")):
        (files.folder(job) / name).write_bytes(b"x")
    assert files.sweep({first: {"000001-0.flac"}}) == 2
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert left == {f"{first}/000001-0.flac", f"{first}/notes.txt", "thesis/1.docx"}
    assert not (tmp_path / second).exists()


@pytest.mark.parametrize("format", JOB_FORMATS)
def test_every_format_is_a_file_of_the_right_length(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"audio.{format}"
    assert write(path, format) == path.stat().st_size
    assert list(tmp_path.iterdir()) == [path]
    if format == "pcm":
        assert path.read_bytes() == PCM.tobytes()
        return
    if format in ("wav", "flac"):
        assert np.array_equal(soundfile.read(path, dtype="int16")[0], PCM)
    with av.open(str(path)) as container:
        decoded = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert decoded == pytest.approx(len(PCM) / RATE, abs=0.1)


def test_an_audiobook_is_faster_too_and_keeps_its_chapters(tmp_path: Path) -> None:
    marks = [ChapterMark("Eins", 0.0), ChapterMark("Zwei", 0.1), ChapterMark("", 0.15)]
    write(tmp_path / "x.m4b", "m4b", marks, speed=2.0)
    with av.open(str(tmp_path / "x.m4b")) as container:
        chapters = container.chapters()
        assert [chapter["metadata"]["title"] for chapter in chapters] == ["Eins", "Zwei", "3"]
        assert [chapter["start"] * chapter["time_base"] * 1000 for chapter in chapters] == [0, 100, 150]  # type: ignore[operator]
        assert float(container.duration or 0) / av.time_base == pytest.approx(len(PCM) / RATE / 2, abs=0.1)
    data = (tmp_path / "x.m4b").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index is in front"


@pytest.mark.parametrize("format", ["mp3", "flac", "m4b"])
def test_what_is_abandoned_leaves_nothing(tmp_path: Path, format: str) -> None:
    file = OutputFile(tmp_path / "x", settings(format), format, RATE, "T")
    file.abandon()
    file.open()
    file.feed(PCM)
    assert file.size >= 0
    file.abandon()
    assert list(tmp_path.iterdir()) == []


def test_the_cache_gives_back_what_was_put_in_and_nothing_else(tmp_path: Path) -> None:
    cache = SegmentCache(tmp_path, 10**7, RATE)
    key = segment_key(model="m", prompt="p", voice="tara", seed=1, temperature=0.6)
    assert cache.get(key) is None
    cache.put(key, PCM)
    found = SegmentCache(tmp_path, 10**7, RATE).get(key)
    assert found is not None
    assert np.array_equal(found, PCM)
    others = [
        segment_key(model="m", prompt="p", voice="tara", seed=2, temperature=0.6),
        segment_key(model="m", prompt="p", voice="tara", seed="1", temperature=0.6),
        segment_key(model="m", prompt="p", voice="tara", seed=1),
    ]
    assert [cache.get(other) for other in others] == [None, None, None]
    (path,) = tmp_path.rglob("*.flac")
    path.write_bytes(path.read_bytes()[:50])
    assert cache.get(key) is None
    assert not path.exists()


def test_the_cache_keeps_its_limit_and_what_was_used_last(tmp_path: Path) -> None:
    size = len(to_flac(PCM, RATE))
    cache = SegmentCache(tmp_path, 4 * size + size // 2, RATE)
    keys = [segment_key(n=n) for n in range(5)]
    for place, key in enumerate(keys[:4]):
        cache.put(key, PCM)
        (path,) = tmp_path.rglob(f"{key}.flac")
        os.utime(path, ns=(place, place))
    assert cache.get(keys[0]) is not None
    cache.put(keys[4], PCM)
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True, True]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.flac")) <= 4 * size + size // 2
    cache.put(segment_key(n=9), np.random.default_rng(0).integers(-9999, 9999, 10**6, dtype=np.int16))
    assert cache.get(segment_key(n=9)) is None, "what alone passes the limit is not kept"
