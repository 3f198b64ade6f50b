"""A process that speaks the jobs of a folder until it is killed: `python -m tests.jobs.victim FOLDER [TEXT]`.

With a text it hands in a job first and prints its id; it prints "done" when no job is left to do.
"""

import asyncio
import sys
from pathlib import Path

from tests.jobs.fakes import FakeEngine, job, settings
from tts_engine.jobs.runner import JobRunner


async def main(folder: Path, words: str | None) -> None:
    engine = FakeEngine(workers=3)
    runner = JobRunner(engine.real, folder)
    await runner.start()
    if words is not None:
        await runner.submit(job(engine, words, settings("flac")))
    (newest,) = await runner.library.jobs(1)
    sys.stdout.write(f"{newest.id}\n")
    sys.stdout.flush()
    async for _ in runner.library.changes(newest.id, 60):
        pass
    sys.stdout.write(f"{(await runner.library.job(newest.id)).state}\n")
    await runner.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
