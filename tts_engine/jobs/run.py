"""One job being spoken: workers that speak its segments, and the file that grows behind them."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np

from tts_engine.audio.blocks import EMPTY, Pcm
from tts_engine.audio.lossless import to_flac
from tts_engine.engine import Engine
from tts_engine.errors import InferenceError, InferenceTimeout, InferenceUnavailable, OrpheusError, UnavailableError
from tts_engine.guard import Fault
from tts_engine.jobs.assembly import assemble, output_name
from tts_engine.jobs.background import BackgroundPlaces
from tts_engine.jobs.library import JobLibrary
from tts_engine.jobs.records import Job, JobSegment, Made
from tts_engine.jobs.store import JobStore
from tts_engine.jobs.waiting import unbroken
from tts_engine.synthesis import Report, SpeechRequest
from tts_engine.text.languages import language_of
from tts_engine.text.segments import Segment

logger = logging.getLogger(__name__)

TRIES = 2
"""How often a segment is asked for when the inference server answers, but not with speech; the synthesizer
has then asked for it with several seeds."""
FAILED_IN_A_ROW = 3
"""So many segments that cannot be spoken are no accident: the job stops instead of asking for a whole book."""
PATIENCE_S = 24 * 3600.0
"""How long a job waits for an inference server that is away: a night and a day."""
_FAULTS = {
    Fault.NO_AUDIO: "there is no audio",
    Fault.TOO_SHORT: "it ends far too early",
    Fault.TOO_LONG: "it was cut off at the token limit, or runs far past its text",
    Fault.LOOP: "it repeats itself",
    Fault.SILENCE: "it has a long silence",
    Fault.BROKEN_OFF: "the inference server broke off",
}
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0


class JobRun:
    """Speaks what a job still lacks. Cancel `run` to stop: what is stored stays, what is in flight is lost."""

    def __init__(
        self,
        engine: Engine,
        library: JobLibrary,
        places: BackgroundPlaces,
        job: Job,
        note: Callable[[str | None], None],
    ) -> None:
        """note: is told what the job is waiting for, in words for people; None when it goes on."""
        self._engine = engine
        self._library = library
        self._places = places
        self._job = job
        self._note = note
        self._failed_in_a_row = 0
        self._clock = time.monotonic()

    async def run(self) -> None:
        """Returns when every segment was spoken or given up, and the job's file is there.

        Raises OrpheusError or OSError with the reason why it cannot go on.
        """
        job = self._job
        waiting = deque(await self._library.store.ask(JobStore.waiting, job.id))
        work: list[Coroutine[Any, Any, None]] = [self._work(waiting) for _ in range(await self._workers())]
        if waiting or output_name(job.settings.format) not in await self._library.outputs(job.id):
            work.append(assemble(self._library, job, job.settings.format, follow=True))
        await _together(work)

    async def _workers(self) -> int:
        """One slot of the inference server stays free, where it has two: a live request waits for no whole segment."""
        client, workers = self._engine.client, self._engine.plan.workers
        slots = (await client.known_server()).slots if client is not None else None
        return workers if slots is None else max(1, min(workers, slots - 1))

    async def _work(self, waiting: deque[int]) -> None:
        while waiting:
            segment = await self._library.store.ask(JobStore.segment, self._job.id, waiting.popleft())
            try:
                pcm, sample_rate, problem = await self._speak(segment)
            except InferenceError as exc:
                await self._give_up(segment, exc.message)
            else:
                self._failed_in_a_row = 0
                await unbroken(self._keep(segment, pcm, sample_rate, problem))
            self._note(None)
            self._library.bell.ring()

    async def _speak(self, segment: JobSegment) -> tuple[Pcm, int, str | None]:
        """int16 [T], its rate in Hz, and what is wrong with it. Waits for servers that are away or busy.

        Raises InferenceError where there is nothing to hope for.
        """
        began, wait_s, answers = time.monotonic(), FIRST_WAIT_S, 0
        while True:
            try:
                return await self._speak_once(segment)
            except (UnavailableError, InferenceUnavailable, InferenceTimeout) as exc:
                if time.monotonic() - began > PATIENCE_S:
                    raise OrpheusError(f"Nobody could speak for {PATIENCE_S / 3600:.0f} hours: {exc.message}") from exc
                self._note(exc.message)
            except InferenceError as exc:
                answers += 1
                if answers == TRIES:
                    raise
                logger.info("Job %s, segment %d: asked for again: %s", self._job.id, segment.number, exc.message)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _speak_once(self, segment: JobSegment) -> tuple[Pcm, int, str | None]:
        synthesizer = await self._engine.synthesizer()
        if not segment.prompt:
            return EMPTY, synthesizer.sample_rate, None
        language = language_of(segment.prompt)
        speech = Segment(segment.prompt, segment.voice, language, "end", None, 0, len(segment.prompt))
        sampling = replace(self._job.settings.sampling, seed=segment.seed)
        report = Report()
        request = SpeechRequest([speech], segment.voice, sampling, cached=self._job.settings.cached, whole=True)
        try:
            async with self._places.place(), contextlib.aclosing(synthesizer.stream(request, report)) as stream:
                pieces = [pcm async for pcm in stream]
        finally:
            self._engine.metrics.segment_ended(
                tokens=report.tokens,
                dropped=report.dropped_tokens,
                truncated=report.truncated,
                asked_again=report.asked_again,
                problems=[fault for _, fault in report.problems],
            )
        return np.concatenate([EMPTY, *pieces]), synthesizer.sample_rate, _problem(report)

    async def _keep(self, segment: JobSegment, pcm: Pcm, sample_rate: int, problem: str | None) -> None:
        """Store first, count then: a kill in between costs this segment and no more."""
        job_id, files = self._job.id, self._library.files
        name, flac = None, b""
        if len(pcm):
            name = f"{segment.number:06}-{segment.take}.flac"
            flac = await asyncio.to_thread(to_flac, pcm, sample_rate)
            await self._library.make_room(len(flac))
            await asyncio.to_thread(files.write_segment, job_id, name, flac)
        made = Made(name, len(pcm), len(flac), problem)
        await self._library.store.ask(JobStore.count, job_id, segment, made, self._lap_s())
        if segment.file is not None and segment.file != name:
            await asyncio.to_thread(files.delete, job_id, segment.file)

    async def _give_up(self, segment: JobSegment, reason: str) -> None:
        problem = f"could not be spoken: {reason}"
        await self._library.store.ask(JobStore.give_up, self._job.id, segment, problem, self._lap_s())
        logger.warning("Job %s: segment %d %s", self._job.id, segment.number, problem)
        self._failed_in_a_row += 1
        if self._failed_in_a_row == FAILED_IN_A_ROW:
            raise OrpheusError(f"{FAILED_IN_A_ROW} segments in a row could not be spoken. The last one: {reason}")

    def _lap_s(self) -> float:
        """Seconds since this was asked last."""
        began, self._clock = self._clock, time.monotonic()
        return self._clock - began


def _problem(report: Report) -> str | None:
    """In words for people; None for a segment that went well. The synthesizer has tried to mend it before."""
    if report.problems:
        return ", ".join(_FAULTS[fault] for _, fault in report.problems)
    return _FAULTS[Fault.TOO_LONG] if report.truncated else None


async def _together(work: list[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first failure ends the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
