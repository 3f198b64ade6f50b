"""The `read` command: a book into an audio file, with a progress bar. Broken off, it goes on where it was.

It is a job of its own: kept in a folder named after the book and the way it is read, until the file is written.
"""

import asyncio
import contextlib
import hashlib
import json
import shutil
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tts_engine.api.job_bodies import JobBody, Upload, planned
from tts_engine.config import ROOT
from tts_engine.engine import Engine
from tts_engine.errors import OrpheusError
from tts_engine.jobs.records import Job
from tts_engine.jobs.runner import JobRunner

HEARTBEAT_S = 15.0


async def read(engine: Engine, book: Path, output: Path, body: JobBody) -> None:
    """Speak `book` (.txt, .md, .epub) into `output`. Raises OrpheusError; the file is whole or not there."""
    upload = Upload(book.name, await asyncio.to_thread(book.read_bytes))
    folder = _folder(engine, upload, body)
    runner = JobRunner(engine, folder)
    await engine.start()
    await runner.start()
    try:
        jobs = await runner.library.jobs(1)
        if jobs:
            job = await runner.resume(jobs[0].id) if jobs[0].state in ("paused", "cancelled", "failed") else jobs[0]
        else:
            job = await runner.submit(planned(body, upload, engine))
        job = await _watch(runner, job)
        if job.state != "done":
            raise OrpheusError(f"Reading ended: {job.error or job.state}. The same command goes on from here.")
        part = output.with_name(f".{output.name}.part")
        try:
            await asyncio.to_thread(shutil.copyfile, await runner.render(job.id, job.settings.format), part)
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
        problems = await runner.library.problems(job.id)
    finally:
        await runner.close()
        await engine.close()
    shutil.rmtree(folder, ignore_errors=True)
    console = Console(stderr=True)
    console.print(f"{output} is written.")
    for segment in problems:
        console.print(f"Listen to this one again, it may have gone wrong ({segment.problem}): {segment.text[:80]!r}")


async def _watch(runner: JobRunner, job: Job) -> Job:
    """Show the progress until the job ends."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} segments"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(job.title[:40] or "Reading", total=job.segments_total, completed=job.segments_done)
        async with contextlib.aclosing(runner.library.changes(job.id, HEARTBEAT_S)) as changes:
            async for change in changes:
                if change is not None:
                    job = change
                    progress.update(task, completed=job.segments_done)
    return job


def _folder(engine: Engine, upload: Upload, body: JobBody) -> Path:
    """Of this book read in this way."""
    way = json.dumps(body.model_dump(mode="json"), sort_keys=True).encode()
    name = hashlib.sha256(upload.data + b"\0" + way).hexdigest()[:32]
    return ROOT / engine.settings.data_dir / "reading" / name
