"""Spoken segments kept on the disk, to be heard again without being made again. Bounded; the longest unused go first.

A cache is never the only copy: whatever is wrong with it, the answer is None and the segment is spoken.
"""

import hashlib
import json
import logging
import os
import threading
from pathlib import Path

from tts_engine.audio.blocks import Pcm
from tts_engine.audio.lossless import from_flac, to_flac
from tts_engine.errors import OrpheusError

logger = logging.getLogger(__name__)

PART = ".part"
FORM = 1
"""Goes into every key; raised when the same key would no longer give the same audio."""
KEPT_SHARE = 0.9
"""Evicting goes down to this share of the limit, so that it happens now and then and not each time."""


def segment_key(**shape: str | int | float | bool | None) -> str:
    """64 hex digits for everything that shapes a segment's audio: model, prompt, sampling with its seed, codec weights.

    Any name, value or type that differs gives another key.
    """
    return hashlib.sha256(json.dumps([FORM, sorted(shape.items())]).encode()).hexdigest()


class SegmentCache:
    """A folder of FLAC files named by their keys. For many threads; blocking."""

    def __init__(self, folder: Path, max_bytes: int, sample_rate: int) -> None:
        """Nothing is read before the first use. sample_rate: of the audio, Hz."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._sample_rate = sample_rate
        self._lock = threading.Lock()
        self._used: int | None = None

    def get(self, key: str) -> Pcm | None:
        """int16 [T], as it was put in; None where it is not there."""
        path = self._path(key)
        try:
            pcm = from_flac(path)
            os.utime(path)  # the time of use, for the order of leaving
        except (OrpheusError, OSError):
            if path.exists():
                logger.warning("A damaged file in the cache was deleted: %s", path)
                path.unlink(missing_ok=True)
            return None
        return pcm

    def put(self, key: str, pcm: Pcm) -> None:
        """Keep int16 [T]; nothing where T is 0 or where it alone would pass the limit. A full disk is no error."""
        if not len(pcm):
            return
        flac = to_flac(pcm, self._sample_rate)
        if len(flac) > self._max_bytes:
            return
        path = self._path(key)
        part = path.with_name(f"{path.name}.{threading.get_ident()}{PART}")
        with self._lock:
            try:
                self._make_room(len(flac))
                path.parent.mkdir(parents=True, exist_ok=True)
                replaced = path.stat().st_size if path.exists() else 0
                part.write_bytes(flac)  # not synced: what a power cut tears is found by FLAC's checksums
                part.replace(path)
                self._used = (self._used or 0) + len(flac) - replaced
            except OSError as exc:
                logger.warning("The cache %s cannot be written: %s", self._folder, exc)
                part.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.flac"

    def _make_room(self, size: int) -> None:
        if self._used is None:
            for part in self._folder.glob(f"*/*{PART}"):
                part.unlink(missing_ok=True)
            self._used = sum(path.stat().st_size for path in self._folder.glob("*/*.flac"))
        if self._used + size <= self._max_bytes:
            return
        by_use = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in self._folder.glob("*/*.flac"))
        self._used = sum(taken for _, taken, _ in by_use)
        for _, taken, path in by_use:
            if self._used + size <= KEPT_SHARE * self._max_bytes or not self._used:
                return
            path.unlink(missing_ok=True)
            self._used -= taken
