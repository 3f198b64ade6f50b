"""A runner over the fake engine, and the way to wait for a job."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.jobs.fakes import FakeEngine
from tts_engine.jobs.records import Job
from tts_engine.jobs.runner import JobRunner

Until = Callable[[str, Callable[[Job], bool]], Awaitable[Job]]


@pytest.fixture
async def engine(anyio_backend: str) -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def runner(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[JobRunner]:
    jobs = JobRunner(engine.real, tmp_path / "data")
    await jobs.start()
    yield jobs
    await jobs.close()


@pytest.fixture
def until(runner: JobRunner) -> Until:
    async def wait(job_id: str, is_so: Callable[[Job], bool]) -> Job:
        async for job in runner.library.changes(job_id, 60):
            if job is not None and is_so(job):
                return job
        raise AssertionError(f"the job ended as {await runner.library.job(job_id)}")

    return wait
