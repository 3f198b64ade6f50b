"""The finished file of a job, made while its segments are made."""

import asyncio
import contextlib

from tts_engine.audio.blocks import Pcm
from tts_engine.audio.joins import Timing
from tts_engine.errors import ConflictError, NotFoundError
from tts_engine.jobs.joining import JobJoiner
from tts_engine.jobs.library import CODEC_RATE, JobLibrary
from tts_engine.jobs.m4b import ChapterMark
from tts_engine.jobs.output import OutputFile
from tts_engine.jobs.records import Job, JobSegment
from tts_engine.jobs.store import JobStore
from tts_engine.jobs.waiting import unbroken


def output_name(format: str) -> str:  # noqa: A002 - the request's own word
    return f"audio.{format}"


async def assemble(library: JobLibrary, job: Job, format: str, *, follow: bool) -> None:  # noqa: A002
    """Write the job's file in this format and count it; notes where each segment is heard on the way.

    follow: wait for segments that are still to be made. Raises ConflictError where they never are, or where the disk
    limit would be passed; OSError, OrpheusError. Leaves nothing half-written.
    """
    path = library.files.folder(job.id) / output_name(format)
    file = OutputFile(path, job.settings, format, CODEC_RATE, job.title)
    assembly = _Assembly(library, job, file)
    takes = await library.store.ask(JobStore.takes, job.id)
    try:
        await unbroken(asyncio.to_thread(file.open))
        async with contextlib.aclosing(library.heard(job.id, follow=follow)) as heard:
            async for segment, pcm in heard:
                await unbroken(assembly.add(segment, pcm))
        size = await unbroken(assembly.finish())
    except BaseException:
        file.abandon()
        raise
    try:
        await library.store.ask(JobStore.add_output, job.id, path.name, size, takes)
    except (ConflictError, NotFoundError):
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise
    library.bell.ring()


class _Assembly:
    """One file on its way, and what is learnt while it is made."""

    def __init__(self, library: JobLibrary, job: Job, file: OutputFile) -> None:
        self._library = library
        self._job = job
        self._file = file
        self._joiner = JobJoiner(CODEC_RATE)
        self._segments: list[JobSegment] = []
        """Those whose timing is not noted yet."""
        self._noted = 0
        self._chapters: dict[int, float] = {}
        """Chapter -> where it begins in the file, seconds."""

    async def add(self, segment: JobSegment, pcm: Pcm) -> None:
        self._segments.append(segment)
        await asyncio.to_thread(self._write, segment, pcm)
        await self._note_timings()
        await self._library.make_room(self._file.size)

    async def finish(self) -> int:
        """Returns the size in bytes."""
        await asyncio.to_thread(self._write_rest)
        await self._note_timings()
        starts = sorted(self._chapters.items())
        marks = [
            ChapterMark(self._job.chapters[number], start_s if place else 0.0)
            for place, (number, start_s) in enumerate(starts)
        ]
        return await asyncio.to_thread(self._file.finish, marks)

    def _write(self, segment: JobSegment, pcm: Pcm) -> None:
        for piece in self._joiner.feed(segment, pcm):
            self._file.feed(piece)

    def _write_rest(self) -> None:
        for piece in self._joiner.flush():
            self._file.feed(piece)

    async def _note_timings(self) -> None:
        fresh = self._joiner.timings[self._noted :]
        known, self._segments = self._segments[: len(fresh)], self._segments[len(fresh) :]
        self._noted += len(fresh)
        changed = []
        for segment, timing in zip(known, fresh, strict=True):
            self._chapters.setdefault(segment.chapter, timing.start / (CODEC_RATE * self._job.settings.speed))
            if (segment.start, segment.end) != (timing.start, timing.end):
                changed.append(_row(segment, timing))
        if changed:
            await self._library.store.ask(JobStore.set_timings, self._job.id, changed)


def _row(segment: JobSegment, timing: Timing) -> tuple[int, int, int]:
    return segment.number, timing.start, timing.end
