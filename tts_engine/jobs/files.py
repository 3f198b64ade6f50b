"""The files of jobs: one folder a job, one FLAC file a segment and take, and the finished audio.

A file has its name only when it is whole and on the disk; what is being made ends in .part and is swept at the start.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from tts_engine.audio.blocks import Pcm
from tts_engine.audio.lossless import from_flac

PART = ".part"
_JOB = re.compile("job_[0-9a-f]{24}")
_OURS = re.compile(r"[0-9]{6,}-[0-9]+\.flac|audio\.")
"""What this program writes; a data folder may hold other people's files, too, and those stay."""


class JobFiles:
    """The folder that holds a folder for every job. Blocking; raises OSError where the disk does."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, job_id: str) -> Path:
        """The job's folder; made when it is not there."""
        folder = self._root / job_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def path(self, job_id: str, file: str) -> Path:
        return self._root / job_id / file

    def write_segment(self, job_id: str, name: str, flac: bytes) -> None:
        """Returns when the file is on the disk under its name."""
        with whole_file(self.folder(job_id) / name) as file:
            file.write(flac)

    def read_segment(self, job_id: str, file: str) -> Pcm:
        """int16 [T]. Raises OrpheusError for a file that is damaged or gone."""
        return from_flac(self.path(job_id, file))

    def delete(self, job_id: str, file: str) -> None:
        self.path(job_id, file).unlink(missing_ok=True)

    def delete_all(self, job_id: str) -> None:
        shutil.rmtree(self._root / job_id, ignore_errors=True)

    def sweep(self, known: Mapping[str, set[str]]) -> int:
        """Delete what no job counts. known: job id -> names of its files. Returns how many files went."""
        swept = 0
        for folder in [path for path in self._root.glob("job_*") if _JOB.fullmatch(path.name) and path.is_dir()]:
            names = known.get(folder.name, set())
            strays = [path for path in folder.iterdir() if path.name not in names and _OURS.match(path.name)]
            for path in strays:
                path.unlink()
            swept += len(strays)
            if not names and not any(folder.iterdir()):
                folder.rmdir()
        return swept


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name at the end, on the disk, or not at all."""
    part = path.with_name(path.name + PART)
    try:
        with part.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can be asked to (not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
