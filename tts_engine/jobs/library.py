"""The jobs of a data folder as everybody may read them: what is known, what is heard, what has changed."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator
from pathlib import Path

from tts_engine.audio.blocks import EMPTY, Pcm
from tts_engine.errors import ConflictError, NotFoundError, OrpheusError
from tts_engine.jobs.files import JobFiles
from tts_engine.jobs.joining import JobJoiner
from tts_engine.jobs.output import pipeline
from tts_engine.jobs.records import Job, JobSegment
from tts_engine.jobs.store import JobStore
from tts_engine.jobs.store_thread import StoreThread
from tts_engine.jobs.waiting import Bell, rung

READ_AHEAD = 16
"""Rows that are read from the store at once."""
LOOK_AGAIN_S = 1.0
"""How soon a change that another process has made is seen."""
CODEC_RATE = 24_000
"""Hz; of every SNAC that Orpheus speaks."""


class JobLibrary:
    """Owns the store, the files and the bell of one data folder. Changes nothing but through its store."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """max_bytes: what the files of all jobs may take."""
        self.folder = folder
        self.max_bytes = max_bytes
        self.store = StoreThread(folder / "jobs.sqlite3")
        self.files = JobFiles(folder / "jobs")
        self.bell = Bell()

    async def job(self, job_id: str) -> Job:
        return await self.store.ask(JobStore.job, job_id)

    async def jobs(self, limit: int, after: str | None = None) -> list[Job]:
        """Newest first."""
        return await self.store.ask(JobStore.jobs, limit, after)

    async def segments(self, job_id: str, first: int = 0, limit: int = -1) -> list[JobSegment]:
        return await self.store.ask(JobStore.segments, job_id, first, limit)

    async def problems(self, job_id: str) -> list[JobSegment]:
        return await self.store.ask(JobStore.problems, job_id)

    async def chapters(self, job_id: str) -> list[tuple[int, int | None]]:
        """For each chapter its first segment, and the first sample of it in the joined audio, where that is known."""
        return await self.store.ask(JobStore.chapters, job_id)

    async def outputs(self, job_id: str) -> list[str]:
        """Names of the finished files of the whole job."""
        return await self.store.ask(JobStore.outputs, job_id)

    async def make_room(self, size: int) -> None:
        """Raises ConflictError where `size` more bytes would be too many."""
        used = await self.store.ask(JobStore.used_bytes)
        if used + size > self.max_bytes:
            raise ConflictError(
                f"The jobs take {used / 1e9:.3f} GB, and {size / 1e9:.3f} GB more would pass their limit of "
                f"{self.max_bytes / 1e9:.3f} GB. Delete jobs, or raise ORPHEUS_JOBS_MAX_GB.",
                code="disk_limit",
            )

    async def changes(self, job_id: str, quiet_s: float) -> AsyncGenerator[Job | None]:
        """The job now and after every change, until it has ended; None after `quiet_s` without one."""
        version, quiet = -1, 0.0
        while True:
            ticket = self.bell.ticket()
            job = await self.job(job_id)
            if job.version != version:
                version, quiet = job.version, 0.0
                yield job
                if job.ended:
                    return
            elif quiet >= quiet_s:
                quiet = 0.0
                yield None
            await rung(ticket, LOOK_AGAIN_S)
            quiet += LOOK_AGAIN_S

    async def segment_audio(self, job_id: str, number: int) -> Path:
        """The FLAC file of a segment. Raises NotFoundError where it has none yet."""
        segment = await self.store.ask(JobStore.segment, job_id, number)
        if segment.file is None:
            raise NotFoundError(f"Segment {number} has no audio yet.", param="number", code="audio_not_found")
        return self.files.path(job_id, segment.file)

    async def heard(self, job_id: str, *, follow: bool) -> AsyncGenerator[tuple[JobSegment, Pcm]]:
        """Segments in order with their audio, int16 [T], T >= 0, as far as there is any.

        follow: wait for those that are still to be made, or made anew; raises ConflictError where the job ends without them.
        """
        number = 0
        while True:
            ticket = self.bell.ticket()
            job = await self.job(job_id)
            rows = await self.segments(job_id, number, READ_AHEAD)
            for row in itertools.takewhile(JobSegment.settled if follow else JobSegment.audible, rows):
                yield row, await self._pcm(job_id, row)
                number += 1
            if number == job.segments_total:
                return
            if rows[-1].number < number:
                continue  # all of them were ready: look for more at once
            if not follow:
                return
            if job.ended and job.state != "done":
                raise ConflictError(f"The job is {job.state}: the rest of it was not spoken.", code="wrong_state")
            await rung(ticket, LOOK_AGAIN_S)

    async def joined(self, job_id: str, *, follow: bool) -> AsyncGenerator[Pcm]:
        """The audio of the whole job at the codec's rate, as far as there is any; see `heard`."""
        joiner = JobJoiner(CODEC_RATE)
        async with contextlib.aclosing(self.heard(job_id, follow=follow)) as heard:
            async for segment, pcm in heard:
                for piece in await asyncio.to_thread(joiner.feed, segment, pcm):
                    yield piece
        for piece in joiner.flush():
            yield piece

    async def encoded(self, job: Job, format: str, *, follow: bool) -> AsyncGenerator[bytes]:  # noqa: A002
        """The audio in one of the formats that can be streamed. Raises RequestError before anything is read."""
        room = pipeline(job.settings, format, CODEC_RATE)
        async with contextlib.aclosing(self.joined(job.id, follow=follow)) as joined:
            async for pcm in joined:
                if made := await asyncio.to_thread(room.feed, pcm):
                    yield made
        if made := await asyncio.to_thread(room.flush):
            yield made

    async def _pcm(self, job_id: str, segment: JobSegment) -> Pcm:
        if segment.file is None:
            return EMPTY
        try:
            return await asyncio.to_thread(self.files.read_segment, job_id, segment.file)
        except OrpheusError:
            now = await self.store.ask(JobStore.segment, job_id, segment.number)
            if now.file is None or now.file == segment.file:
                raise
            return await asyncio.to_thread(self.files.read_segment, job_id, now.file)  # spoken anew meanwhile
