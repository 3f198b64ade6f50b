"""The finished file of a job: segments in, a file in its format out, or nothing at all."""

import os
import secrets
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from tts_engine.audio.blocks import Pcm
from tts_engine.audio.encoders import FORMATS, wav_header
from tts_engine.audio.pipeline import AudioPipeline
from tts_engine.errors import OrpheusError
from tts_engine.jobs.files import PART, sync_folder
from tts_engine.jobs.m4b import MEDIA_TYPE, ChapterMark, M4bWriter
from tts_engine.jobs.records import JobSettings

JOB_FORMATS = (*FORMATS, "m4b")


def media_type(format: str) -> str:  # noqa: A002 - the request's own word
    return MEDIA_TYPE if format == "m4b" else FORMATS[format].media_type


def pipeline(settings: JobSettings, format: str, source_rate: int) -> AudioPipeline:  # noqa: A002
    """What makes the job's audio of joined PCM at the codec's rate. Raises RequestError."""
    return AudioPipeline(format, settings.sample_rate, settings.speed, source_rate)


class _Writer(Protocol):
    def feed(self, pcm: Pcm) -> None: ...
    def close(self, chapters: list[ChapterMark]) -> None: ...
    def abandon(self) -> None: ...


class OutputFile:
    """A file being made beside its place. Blocking. `open` it, `feed` it, then `finish` it, or `abandon` it anywhere.

    Raises OrpheusError or OSError where the disk fails.
    """

    def __init__(self, path: Path, settings: JobSettings, format: str, source_rate: int, title: str) -> None:  # noqa: A002
        self.path = path
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")  # two may write at once
        self._settings = settings
        self._format = format
        self._source_rate = source_rate
        self._title = title
        self._opened: _Writer | None = None

    def open(self) -> None:
        """Raises RequestError for a format that cannot carry the sample rate."""
        settings, rate = self._settings, self._source_rate
        if self._format == "m4b":
            self._opened = _Audiobook(self._part, settings, rate, self._title)
        elif self._format == "flac":
            self._opened = _Flac(self._part, settings, rate)
        else:
            self._opened = _Plain(
                self._part, pipeline(settings, self._format, rate), self._format, settings.sample_rate
            )

    @property
    def _writer(self) -> "_Writer":
        assert self._opened is not None
        return self._opened

    @property
    def size(self) -> int:
        """Bytes on the disk so far."""
        return self._part.stat().st_size

    def feed(self, pcm: Pcm) -> None:
        """Joined int16 [T] at the codec's rate."""
        self._writer.feed(pcm)

    def finish(self, chapters: list[ChapterMark]) -> int:
        """The file is on the disk under its name when this returns; returns its size in bytes."""
        self._writer.close(chapters)
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self.path)
        sync_folder(self.path.parent)
        return self.path.stat().st_size

    def abandon(self) -> None:
        """Leave nothing behind."""
        try:
            if self._opened is not None:
                self._opened.abandon()
        finally:
            self._part.unlink(missing_ok=True)


class _Plain:
    """Bytes as a live request sends them; a wav says its true length in the end."""

    def __init__(self, path: Path, room: AudioPipeline, format: str, sample_rate: int) -> None:  # noqa: A002
        self._room = room
        self._file = path.open("wb")
        self._wav_rate = sample_rate if format == "wav" else None

    def feed(self, pcm: Pcm) -> None:
        self._file.write(self._room.feed(pcm))

    def close(self, chapters: list[ChapterMark]) -> None:
        self._file.write(self._room.flush())
        if self._wav_rate is not None:
            header = len(wav_header(self._wav_rate, 0))
            size = self._file.tell() - header
            self._file.seek(0)
            self._file.write(wav_header(self._wav_rate, size))
        self._file.close()

    def abandon(self) -> None:
        self._file.close()


class _Flac:
    """Not as a stream: only a file says how long it is, and libsndfile refuses to read one to the end that does not."""

    def __init__(self, path: Path, settings: JobSettings, source_rate: int) -> None:
        self._room = pipeline(settings, "pcm", source_rate)
        self._file = soundfile.SoundFile(path, "w", settings.sample_rate, 1, "PCM_16", format="FLAC")

    def feed(self, pcm: Pcm) -> None:
        self._write(self._room.feed(pcm))

    def close(self, chapters: list[ChapterMark]) -> None:
        self._write(self._room.flush())
        self._file.close()

    def abandon(self) -> None:
        self._file.close()

    def _write(self, samples: bytes) -> None:
        try:
            self._file.write(np.frombuffer(samples, np.int16))
        except soundfile.LibsndfileError as exc:
            raise OrpheusError(f"The FLAC file could not be written: {exc}. Is the disk full?") from exc


class _Audiobook:
    def __init__(self, path: Path, settings: JobSettings, source_rate: int, title: str) -> None:
        self._room = pipeline(settings, "pcm", source_rate)
        self._writer = M4bWriter(path, settings.sample_rate, title)

    def feed(self, pcm: Pcm) -> None:
        self._writer.feed(np.frombuffer(self._room.feed(pcm), np.int16))

    def close(self, chapters: list[ChapterMark]) -> None:
        self._writer.feed(np.frombuffer(self._room.flush(), np.int16))
        self._writer.close(chapters)

    def abandon(self) -> None:
        self._writer.abandon()
