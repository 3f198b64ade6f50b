"""Finished WAV files of the first Orpheus-FastAPI's endpoints: kept for a while, under names nobody can guess.

Written as they are made, moved into place when whole, the oldest deleted first.
"""

import asyncio
import re
import secrets
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tts_engine.audio.encoders import wav_header
from tts_engine.errors import NotFoundError

KEPT_FILES = 32
_NAME = re.compile(r"[a-z0-9]+_[0-9a-f]{32}\.wav")


class Outputs:
    """A folder that lives as long as the process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="orpheus-outputs-", ignore_cleanup_errors=True)
        self._path = Path(self._folder.name)

    async def write(self, sample_rate: int, pcm: AsyncIterator[bytes]) -> str:
        """pcm: s16le mono. Returns the new file's name; nothing stays behind when `pcm` fails."""
        name = f"speech_{secrets.token_hex(16)}.wav"
        part = self._path / f"{name}.part"
        try:
            with part.open("wb") as file:
                file.write(wav_header(sample_rate, 0))
                async for piece in pcm:
                    await asyncio.to_thread(file.write, piece)
                size = file.tell() - 44
                file.seek(0)
                file.write(wav_header(sample_rate, size))
            part.rename(self._path / name)
        finally:
            part.unlink(missing_ok=True)
        self._forget_oldest()
        return name

    def path(self, name: str) -> Path:
        """Raises NotFoundError for anything but a file that is kept."""
        path = self._path / name
        if not _NAME.fullmatch(name) or not path.is_file():
            raise NotFoundError("This file does not exist, or no longer: only the latest ones are kept.")
        return path

    def close(self) -> None:
        self._folder.cleanup()

    def _forget_oldest(self) -> None:
        files = sorted(self._path.glob("*.wav"), key=lambda path: path.stat().st_mtime)
        for path in files[:-KEPT_FILES]:
            path.unlink(missing_ok=True)
