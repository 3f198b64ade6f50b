"""Jobs: takes them in, speaks them one after the other, goes on after a restart. One process per data folder."""

import asyncio
import contextlib
import logging
import secrets
import time
from pathlib import Path

from filelock import FileLock, Timeout

from tts_engine.config import ROOT
from tts_engine.engine import Engine
from tts_engine.errors import ConflictError, NotFoundError, NotReadyError, OrpheusError, UnavailableError
from tts_engine.jobs.assembly import assemble, output_name
from tts_engine.jobs.background import BackgroundPlaces
from tts_engine.jobs.library import JobLibrary
from tts_engine.jobs.records import Job, NewJob
from tts_engine.jobs.run import JobRun
from tts_engine.jobs.store import SEEDS, JobStore
from tts_engine.jobs.waiting import Bell, rung
from tts_engine.text.languages import speech_seconds

logger = logging.getLogger(__name__)

TAKE_OVER_S = 2.0
"""How often a server that only reads looks whether the other one is gone."""
LOOK_AROUND_S = 600.0
"""How often old jobs are looked for, where nothing happens before."""
FLAC_BYTES_A_SECOND = 26_000
"""Speech at 24 kHz as FLAC: 0.5 to 0.6 of 48 000 bytes."""


class JobRunner:
    """Owns the jobs of one data folder. `start()` before use, `close()` before the engine is closed."""

    def __init__(self, engine: Engine, folder: Path | None = None) -> None:
        """folder: instead of ORPHEUS_DATA_DIR."""
        settings = engine.settings
        self._engine = engine
        self._folder = folder or ROOT / settings.data_dir
        self._library = JobLibrary(self._folder, round(settings.jobs_max_gb * 1e9))
        self._keep_s = settings.jobs_keep_days * 86_400
        self._at_once = settings.jobs_running
        self._places = BackgroundPlaces(engine.admission)
        self._lock = FileLock(self._folder / "jobs.lock")
        self._owner = False
        self._problem: str | None = "The jobs are not open yet."
        self._wake = Bell()
        self._control = asyncio.Lock()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._house: asyncio.Task[None] | None = None
        self._notes: dict[str, str] = {}
        self._rendering: dict[str, asyncio.Lock] = {}

    async def start(self) -> None:
        """Open the folder and go on with what is there; a folder that cannot be used does not stop the start."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            await self._library.store.open()
            await self._try_to_own()
        except (OSError, OrpheusError) as exc:
            self._problem = f"There can be no jobs in {self._folder} (ORPHEUS_DATA_DIR): {exc}"
            logger.warning("%s", self._problem)
            return
        self._problem = None
        if not self._owner:
            logger.warning("Another server speaks the jobs of %s: this one only shows them.", self._folder)
        self._house = asyncio.create_task(self._keep_house())

    async def close(self) -> None:
        """Stop speaking; what is not done goes on at the next start."""
        if self._house is not None:
            self._house.cancel()
            await asyncio.wait([self._house])
        for job_id in list(self._running):
            await self._stop(job_id)
        await self._library.store.close()
        self._lock.release()
        self._owner = False

    @property
    def library(self) -> JobLibrary:
        """What can be read. Raises NotReadyError with the reason while nothing can."""
        if self._problem is not None:
            raise NotReadyError(self._problem, code="jobs_not_ready")
        return self._library

    def note(self, job_id: str) -> str | None:
        """What a running job waits for, in words for people; None: it gets on."""
        return self._notes.get(job_id)

    async def submit(self, new: NewJob) -> Job:
        """Take a job in. Raises ConflictError where the disk limit leaves no room, UnavailableError if read-only."""
        library = self._writable()
        speech_s = sum(speech_seconds(segment.text, "en") for segment in new.segments)
        await library.make_room(round(speech_s * FLAC_BYTES_A_SECOND))
        job_id = await library.store.ask(JobStore.add, new)
        logger.info("Job %s: %d segments, voice %s", job_id, len(new.segments), new.settings.voice)
        self._changed()
        return await library.job(job_id)

    async def pause(self, job_id: str) -> Job:
        """Stop at once; what is in flight is spoken anew later. Raises ConflictError for a job that has ended."""
        async with self._control:
            await self._writable().store.ask(JobStore.set_state, job_id, "paused", only=("queued", "running"))
            await self._stop(job_id)
        return await self._settled(job_id)

    async def resume(self, job_id: str) -> Job:
        """Go on with a paused job, or try again what failed. Raises ConflictError for any other."""
        async with self._control:
            store = self._writable().store
            await store.ask(JobStore.set_state, job_id, "queued", only=("paused", "failed"))
            await store.ask(JobStore.retry_failed, job_id)
        return await self._settled(job_id)

    async def cancel(self, job_id: str) -> Job:
        """End a job for good; what was made stays until it is deleted."""
        async with self._control:
            states = ("queued", "running", "paused")
            await self._writable().store.ask(JobStore.set_state, job_id, "cancelled", only=states)
            await self._stop(job_id)
        return await self._settled(job_id)

    async def delete(self, job_id: str) -> None:
        """Forget a job and delete its files."""
        async with self._control:
            library = self._writable()
            await library.job(job_id)
            await self._stop(job_id)
            await self._delete(job_id)

    async def regenerate(self, job_id: str, number: int, seed: int | None = None) -> Job:
        """Have a segment spoken anew, with this seed or a new one; its audio stays until the new one is there.

        A paused job does so when it is resumed. Raises ConflictError for a job that was cancelled.
        """
        async with self._control:
            library = self._writable()
            job = await library.job(job_id)
            if job.state == "cancelled":
                raise ConflictError("The job was cancelled: make a new one.", code="wrong_state")
            await self._stop(job_id)
            seed = secrets.randbelow(SEEDS) if seed is None else seed
            try:
                void = await library.store.ask(JobStore.ask_again, job_id, number, seed)
            finally:
                if job.state != "paused":
                    states = ("queued", "running", "done", "failed")
                    await library.store.ask(JobStore.set_state, job_id, "queued", only=states)
            for file in void:
                await asyncio.to_thread(library.files.delete, job_id, file)
        return await self._settled(job_id)

    async def render(self, job_id: str, format: str) -> Path:  # noqa: A002 - the request's own word
        """The finished file of a job in this format, made if it is not there.

        Raises ConflictError where segments are missing, RequestError, OrpheusError, OSError.
        """
        library = self.library
        async with self._rendering.setdefault(job_id, asyncio.Lock()):
            job = await library.job(job_id)
            if output_name(format) not in await library.outputs(job_id):
                self._writable()
                if job.state != "done" and job.segments_done < job.segments_total:
                    raise ConflictError(f"The job is {job.state}: {format} needs all of it.", code="wrong_state")
                await assemble(library, job, format, follow=False)
        return library.files.path(job_id, output_name(format))

    def _writable(self) -> JobLibrary:
        library = self.library
        if not self._owner:
            raise UnavailableError(
                f"Another server speaks the jobs of {self._folder}: ask that one, or give this one a folder of its own "
                "(ORPHEUS_DATA_DIR).",
                code="read_only",
            )
        return library

    async def _settled(self, job_id: str) -> Job:
        self._changed()
        return await self._library.job(job_id)

    def _changed(self) -> None:
        self._library.bell.ring()
        self._wake.ring()

    async def _try_to_own(self) -> None:
        """Become the one that speaks, unless another process is: sweep up behind the last one, queue what it left."""
        with contextlib.suppress(Timeout):
            self._lock.acquire(blocking=False)
            self._owner = True
        if self._owner:
            await asyncio.to_thread(self._sweep, await self._known_files())
            requeued = await self._library.store.ask(JobStore.requeue_running)
            if requeued:
                logger.info("Going on with %d jobs that the last run left", requeued)

    async def _known_files(self) -> dict[str, set[str]]:
        return await self._library.store.ask(JobStore.all_files)

    def _sweep(self, known: dict[str, set[str]]) -> None:
        swept = self._library.files.sweep(known)
        if swept:
            logger.info("Swept %d files that no job counts", swept)

    async def _keep_house(self) -> None:
        while not self._owner:
            await asyncio.sleep(TAKE_OVER_S)
            await self._try_to_own()
        while True:
            ticket = self._wake.ticket()
            try:
                async with self._control:
                    await self._start_queued()
                    await self._delete_old()
            except OrpheusError as exc:
                logger.error("Jobs do not go on: %s", exc.message)
            await rung(ticket, LOOK_AROUND_S)

    async def _start_queued(self) -> None:
        for job_id in [job_id for job_id, task in self._running.items() if task.done()]:
            await self._reap(job_id)
        while len(self._running) < self._at_once:
            queued = await self._library.store.ask(JobStore.next_queued)
            if queued is None:
                return
            await self._library.store.ask(JobStore.set_state, queued, "running", only=("queued",))
            self._library.bell.ring()
            task = asyncio.create_task(self._run(await self._library.job(queued)))
            task.add_done_callback(lambda _: self._changed())
            self._running[queued] = task

    async def _run(self, job: Job) -> None:
        try:
            await JobRun(self._engine, self._library, self._places, job, lambda text: self._tell(job.id, text)).run()
        except OrpheusError as exc:
            error: str | None = exc.message
        except OSError as exc:
            error = f"The disk failed: {exc}. Make room, then resume the job."
        else:
            error = await self._failed_segments(job.id)
        await self._end(job.id, error)

    async def _failed_segments(self, job_id: str) -> str | None:
        failed = [str(row.number) for row in await self._library.problems(job_id) if row.state == "failed"]
        if not failed:
            return None
        return (
            f"{len(failed)} segments could not be spoken (numbers {', '.join(failed[:20])}). Resume to try them again."
        )

    async def _end(self, job_id: str, error: str | None) -> None:
        state = "done" if error is None else "failed"
        logger.log(logging.INFO if error is None else logging.WARNING, "Job %s: %s %s", job_id, state, error or "")
        with contextlib.suppress(ConflictError):  # paused or cancelled at its very end
            if error is None:
                await self._library.store.ask(JobStore.set_state, job_id, "done", only=("running",))
            else:
                await self._library.store.ask(JobStore.set_state, job_id, "failed", only=("running",), error=error)

    async def _stop(self, job_id: str) -> None:
        task = self._running.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            await self._reap(job_id)

    async def _reap(self, job_id: str) -> None:
        """Forget a task that has ended; one that died of an error of ours must not leave its job running for ever."""
        task = self._running.pop(job_id)
        self._notes.pop(job_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Job %s died", job_id, exc_info=error)
            with contextlib.suppress(NotFoundError):
                await self._end(job_id, "Something went wrong here. The server's log tells more; please report it.")

    async def _delete_old(self) -> None:
        if self._keep_s:
            for job_id in await self._library.store.ask(JobStore.ended_before, time.time() - self._keep_s):
                logger.info("Job %s ended long ago: deleted", job_id)
                await self._delete(job_id)

    async def _delete(self, job_id: str) -> None:
        await self._library.store.ask(JobStore.delete, job_id)
        await asyncio.to_thread(self._library.files.delete_all, job_id)
        self._rendering.pop(job_id, None)
        self._changed()

    def _tell(self, job_id: str, text: str | None) -> None:
        if text is None:
            self._notes.pop(job_id, None)
        elif self._notes.get(job_id) != text:
            logger.info("Job %s waits: %s", job_id, text)
            self._notes[job_id] = text
            self._library.bell.ring()
