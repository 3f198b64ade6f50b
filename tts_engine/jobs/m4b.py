"""int16 PCM -> an audiobook: AAC in MP4 with chapters, the index in front so that it plays while it loads.

Unlike the other formats this one is a file, never a stream: its index is written last and then moved to the front.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tts_engine.audio.blocks import Blocks, Pcm
from tts_engine.errors import OrpheusError

MEDIA_TYPE = "audio/mp4"
_BITS_PER_SAMPLE = 4
"""As of the aac format: 96 kbit/s at 24 kHz."""
_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class ChapterMark:
    """Where a chapter begins."""

    title: str
    start_s: float


class M4bWriter:
    """One audiobook being written. Blocking. Raises OrpheusError where FFmpeg fails, OSError where the disk does."""

    def __init__(self, path: Path, sample_rate: int, title: str) -> None:
        """path: must be writable; its name need not end in .m4b. sample_rate: Hz, one that AAC knows."""
        self._sample_rate = sample_rate
        self._samples = 0
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        try:
            self._container = av.open(str(path), mode="w", format="ipod", options=options)
            self._container.metadata.update({"title": title, "album": title, "genre": "Audiobook"})
            stream = self._container.add_stream("aac", rate=sample_rate, options={"flags": "+bitexact"})
            self._stream = stream
            context = self._stream.codec_context
            context.layout, context.format = "mono", "fltp"
            context.bit_rate = min(max(_BITS_PER_SAMPLE * sample_rate, 32_000), 96_000)
            self._container.start_encoding()
        except av.FFmpegError as exc:
            raise _failed(exc) from exc
        self._blocks = Blocks(context.frame_size)

    def feed(self, pcm: Pcm) -> None:
        """int16 [T], T >= 0."""
        for block in self._blocks.feed(pcm):
            self._encode(block)

    def close(self, chapters: list[ChapterMark]) -> None:
        """Write the rest, the chapters and the index. chapters: in order, all but the first may be left out."""
        for block in self._blocks.flush():
            self._encode(block)
        try:
            self._container.mux(self._stream.encode(None))
            self._container.set_chapters(self._chapters(chapters))
            self._container.close()
        except av.FFmpegError as exc:
            raise _failed(exc) from exc

    def abandon(self) -> None:
        """Let go of the file; what is in it is no audiobook."""
        try:
            self._container.close()
        except av.FFmpegError as exc:
            raise _failed(exc) from exc

    def _chapters(self, marks: list[ChapterMark]) -> "list[av.container.core.Chapter]":
        ends = [*(mark.start_s for mark in marks[1:]), self._samples / self._sample_rate]
        return [
            {
                "id": number,
                "start": round(mark.start_s * 1000),
                "end": max(round(mark.start_s * 1000), round(end_s * 1000)),
                "time_base": _MILLISECOND,
                "metadata": {"title": mark.title or f"{number}"},
            }
            for number, (mark, end_s) in enumerate(zip(marks, ends, strict=True), start=1)
        ]

    def _encode(self, block: Pcm) -> None:
        samples = block.astype(np.float32) / np.float32(32768)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = self._sample_rate
        frame.pts = self._samples
        self._samples += block.size
        try:
            self._container.mux(self._stream.encode(frame))
        except av.FFmpegError as exc:
            raise _failed(exc) from exc


def _failed(exc: av.FFmpegError) -> OrpheusError:
    return OrpheusError(f"FFmpeg could not write the audiobook: {exc}.")
