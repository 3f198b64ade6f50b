"""Jobs, from taken in to done, and everything that may happen on the way."""

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.jobs.conftest import Until
from tests.jobs.fakes import RATE, FakeEngine, job, settings, spoken, text
from tts_engine.audio.joins import Joiner
from tts_engine.errors import ConflictError, InferenceError, InferenceUnavailable, NotFoundError, UnavailableError
from tts_engine.guard import Fault
from tts_engine.jobs import run as run_module
from tts_engine.jobs.files import Pcm
from tts_engine.jobs.runner import JobRunner
from tts_engine.synthesis import Report

pytestmark = pytest.mark.anyio


async def audio(runner: JobRunner, job_id: str) -> Pcm:
    pieces = [piece async for piece in runner.library.joined(job_id, follow=False)]
    return np.concatenate(pieces)


async def finished(runner: JobRunner, until: Until, words: str, **how: object) -> str:
    new = await runner.submit(job(FakeEngine(), words, settings(**how)))  # type: ignore[arg-type]
    await until(new.id, lambda now: now.state == "done")
    return new.id


async def test_a_job_is_spoken_to_its_end(runner: JobRunner, until: Until) -> None:
    new = await runner.submit(job(FakeEngine(), text(5)))
    assert new.state == "queued"
    done = await until(new.id, lambda now: now.ended)
    assert (done.state, done.segments_done, done.error) == ("done", done.segments_total, None)
    assert done.chars_done == done.chars_total
    expected = Joiner(RATE)
    parts: list[Pcm] = []
    for row in await runner.library.segments(new.id):
        parts += expected.feed(spoken(row.prompt, "tara", 7 + row.number))
        if row.boundary != "end":
            parts += expected.end_segment(row.boundary, row.pause_s)
    joined = np.concatenate(parts + expected.flush())
    assert np.array_equal(await audio(runner, new.id), joined)
    path = await runner.render(new.id, "pcm")
    assert path.read_bytes() == joined.astype("<i2").tobytes()
    timings = [(row.start, row.end) for row in await runner.library.segments(new.id)]
    assert timings == [(timing.start, timing.end) for timing in expected.timings]


async def test_workers_speak_at_once_and_no_more_than_planned(
    engine: FakeEngine, runner: JobRunner, until: Until
) -> None:
    new = await runner.submit(job(engine, text(8)))
    await until(new.id, lambda now: now.state == "done")
    assert engine.most_in_flight == 2
    assert len(engine.heard) == new.segments_total


async def test_one_job_after_the_other_in_the_order_of_asking(
    engine: FakeEngine, runner: JobRunner, until: Until
) -> None:
    first = await runner.submit(job(engine, text(3)))
    second = await runner.submit(job(engine, text(2)))
    await until(first.id, lambda now: now.state == "done")
    assert (await runner.library.job(second.id)).state != "done"
    await until(second.id, lambda now: now.state == "done")
    assert [found.id for found in await runner.library.jobs(10)] == [second.id, first.id]
    assert [found.id for found in await runner.library.jobs(10, after=second.id)] == [first.id]


async def test_pausing_stops_what_is_in_flight_and_resuming_gives_the_same(
    engine: FakeEngine, runner: JobRunner, until: Until
) -> None:
    whole = await audio(runner, await finished(runner, until, text(6)))
    new = await runner.submit(job(engine, text(6)))
    await until(new.id, lambda now: now.segments_done >= 2)
    engine.open.clear()
    paused = await runner.pause(new.id)
    assert paused.state == "paused"
    assert engine.in_flight == 0
    assert not list(runner.library.files.folder(new.id).glob("*.part"))
    engine.open.set()
    await runner.resume(new.id)
    await until(new.id, lambda now: now.state == "done")
    assert np.array_equal(await audio(runner, new.id), whole)


async def test_a_cancelled_job_stays_so_until_it_is_deleted(
    engine: FakeEngine, runner: JobRunner, until: Until
) -> None:
    engine.open.clear()
    new = await runner.submit(job(engine, text(3)))
    await until(new.id, lambda now: now.state == "running")
    assert (await runner.cancel(new.id)).state == "cancelled"
    for change in (runner.pause, runner.resume, runner.cancel):
        with pytest.raises(ConflictError, match="cancelled"):
            await change(new.id)
    with pytest.raises(ConflictError, match="cancelled"):
        await runner.regenerate(new.id, 0)
    await runner.delete(new.id)
    with pytest.raises(NotFoundError, match=new.id):
        await runner.library.job(new.id)
    with pytest.raises(NotFoundError):
        await runner.delete(new.id)
    assert not runner.library.files.path(new.id, "").exists()


async def test_deleting_a_running_job_leaves_nothing(engine: FakeEngine, runner: JobRunner, until: Until) -> None:
    new = await runner.submit(job(engine, text(30)))
    await until(new.id, lambda now: now.segments_done >= 1)
    await runner.delete(new.id)
    assert engine.in_flight == 0
    assert list((runner.library.folder / "jobs").iterdir()) == []
    after = await runner.submit(job(engine, text(1)))
    await until(after.id, lambda now: now.state == "done")


async def test_one_segment_is_spoken_anew_and_the_others_are_not(
    engine: FakeEngine, runner: JobRunner, until: Until
) -> None:
    job_id = await finished(runner, until, text(4))
    before = await runner.library.segments(job_id)
    engine.heard.clear()
    engine.open.clear()
    await runner.regenerate(job_id, 2, seed=99)
    await until(job_id, lambda now: now.state == "running")
    assert len(await audio(runner, job_id)) > 0, "the old audio stays until the new one is there"
    engine.open.set()
    await until(job_id, lambda now: now.state == "done")
    assert engine.heard == [before[2].prompt]
    after = await runner.library.segments(job_id)
    assert (after[2].seed, after[2].take) == (99, 1)
    pcm = runner.library.files.read_segment(job_id, str(after[2].file))
    assert np.array_equal(pcm, spoken(before[2].prompt, "tara", 99))
    assert before[2].file not in {path.name for path in runner.library.files.folder(job_id).iterdir()}
    rendered = (await runner.render(job_id, "pcm")).read_bytes()
    assert rendered == (await audio(runner, job_id)).astype("<i2").tobytes()


async def test_a_segment_that_cannot_be_spoken_is_reported_and_the_rest_is_spoken(
    engine: FakeEngine, runner: JobRunner, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "FIRST_WAIT_S", 0.001)

    def refuse(prompt: str, _: Report) -> None:
        if prompt.startswith("Sentence 1 "):
            raise InferenceError("no audio came")

    engine.fault = refuse
    new = await runner.submit(job(engine, text(4)))
    failed = await until(new.id, lambda now: now.ended)
    assert failed.state == "failed"
    assert failed.segments_done == failed.segments_total - 1
    (bad,) = await runner.library.problems(new.id)
    assert f"numbers {bad.number}" in str(failed.error)
    assert bad.problem == "could not be spoken: no audio came"
    assert engine.heard.count(bad.prompt) == run_module.TRIES
    engine.fault = None
    await runner.resume(new.id)
    done = await until(new.id, lambda now: now.ended)
    assert (done.state, await runner.library.problems(new.id)) == ("done", [])


async def test_a_server_that_only_refuses_is_not_asked_for_a_whole_book(
    engine: FakeEngine, runner: JobRunner, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "FIRST_WAIT_S", 0.001)

    def refuse(_: str, __: Report) -> None:
        raise InferenceError("wrong model")

    engine.fault = refuse
    new = await runner.submit(job(engine, text(40)))
    failed = await until(new.id, lambda now: now.ended)
    assert "in a row" in str(failed.error)
    assert "wrong model" in str(failed.error)
    assert len(engine.heard) < 40


async def test_a_server_that_is_away_is_waited_for(
    engine: FakeEngine, runner: JobRunner, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "FIRST_WAIT_S", 0.001)
    away = iter(range(12))

    def leave(_: str, __: Report) -> None:
        if next(away, None) is not None:
            raise InferenceUnavailable("it is loading its model")

    engine.fault = leave
    new = await runner.submit(job(engine, text(3)))
    done = await until(new.id, lambda now: now.ended)
    assert (done.state, done.segments_done) == ("done", done.segments_total)
    assert runner.note(new.id) is None


async def test_what_could_not_be_mended_is_told(engine: FakeEngine, runner: JobRunner, until: Until) -> None:
    def loop(prompt: str, report: Report) -> None:
        if prompt.startswith("Sentence 1 "):
            report.problems.append((0, Fault.LOOP))

    engine.fault = loop
    new = await runner.submit(job(engine, text(3)))
    await until(new.id, lambda now: now.state == "done")
    assert [row.problem for row in await runner.library.problems(new.id)] == ["it repeats itself"]
    assert set(run_module._FAULTS) == set(Fault)


async def test_a_cut_off_segment_is_a_problem_of_a_done_job(
    engine: FakeEngine, runner: JobRunner, until: Until
) -> None:
    def truncate(prompt: str, report: Report) -> None:
        report.truncated = int(prompt.startswith("Sentence 2 "))

    engine.fault = truncate
    new = await runner.submit(job(engine, text(4)))
    await until(new.id, lambda now: now.state == "done")
    (bad,) = await runner.library.problems(new.id)
    assert bad.text.startswith("Sentence 2 ")
    assert "token limit" in str(bad.problem)


async def test_a_job_that_would_pass_the_disk_limit_is_refused_or_ends_with_the_reason(tmp_path: Path) -> None:
    engine = FakeEngine(jobs_max_gb=0.002)
    runner = JobRunner(engine.real, tmp_path)
    await runner.start()
    with pytest.raises(ConflictError, match="ORPHEUS_JOBS_MAX_GB"):
        await runner.submit(job(engine, text(40)))
    engine = FakeEngine(jobs_max_gb=0.00013)
    await runner.close()
    runner = JobRunner(engine.real, tmp_path)
    await runner.start()
    new = await runner.submit(job(engine, "One. [pause:1s] Two. [pause:1s] Three. [pause:1s] Four. [pause:1s] Five."))
    async for now in runner.library.changes(new.id, 60):
        assert now is not None
    failed = await runner.library.job(new.id)
    assert failed.state == "failed"
    assert "ORPHEUS_JOBS_MAX_GB" in str(failed.error)
    files = [path.name for path in runner.library.files.folder(new.id).iterdir()]
    assert sorted(files) == sorted(str(row.file) for row in await runner.library.segments(new.id) if row.file)
    await runner.close()


async def test_live_requests_go_first(engine: FakeEngine, runner: JobRunner, until: Until) -> None:
    engine.open.clear()
    async with engine.admission.place():
        new = await runner.submit(job(engine, text(3)))
        await until(new.id, lambda now: now.state == "running")
        for _ in range(50):
            await asyncio.sleep(0)
        assert engine.heard == []
    engine.open.set()
    await until(new.id, lambda now: now.state == "done")


async def test_a_job_gets_on_where_live_requests_never_end(
    engine: FakeEngine, runner: JobRunner, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tts_engine.jobs.background.PATIENCE_S", 0.0)
    async with engine.admission.place():
        new = await runner.submit(job(engine, text(3)))
        await until(new.id, lambda now: now.state == "done")


async def test_a_second_process_only_reads_until_the_first_is_gone(
    engine: FakeEngine, runner: JobRunner, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tts_engine.jobs.runner.TAKE_OVER_S", 0.01)
    job_id = await finished(runner, until, text(2))
    code = (
        "import sys, filelock\n"
        "lock = filelock.FileLock(sys.argv[1])\n"
        "try:\n    lock.acquire(blocking=False)\n"
        "except filelock.Timeout:\n    sys.exit(3)\n"
    )
    lock = str(runner.library.folder / "jobs.lock")
    held = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, lock], check=False)
    assert held.returncode == 3
    second = JobRunner(engine.real, runner.library.folder)
    await second.start()
    assert (await second.library.job(job_id)).state == "done"
    with pytest.raises(UnavailableError, match="Another server"):
        await second.submit(job(engine, text(1)))
    with pytest.raises(UnavailableError, match="Another server"):
        await second.delete(job_id)
    await runner.close()
    while not second._owner:  # noqa: ASYNC110 - another process tells nobody either
        await asyncio.sleep(0.01)
    new = await second.submit(job(engine, text(1)))
    async for _ in second.library.changes(new.id, 60):
        pass
    assert (await second.library.job(new.id)).state == "done"
    await second.close()


async def test_what_a_crash_left_half_written_is_swept_at_the_start(
    engine: FakeEngine, runner: JobRunner, until: Until
) -> None:
    job_id = await finished(runner, until, text(2))
    await runner.close()
    folder = runner.library.folder / "jobs"
    kept = sorted(folder.rglob("*"))
    for stray in (
        folder / job_id / "000009-0.flac",
        folder / job_id / "audio.mp3.part",
        folder / ("job_" + 24 * "0") / "000000-0.flac",
    ):
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"x")
    again = JobRunner(engine.real, runner.library.folder)
    await again.start()
    assert sorted(folder.rglob("*")) == kept
    await again.close()


async def test_old_jobs_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tts_engine.jobs.runner.LOOK_AROUND_S", 0.01)
    engine = FakeEngine(jobs_keep_days=1e-9)
    runner = JobRunner(engine.real, tmp_path)
    await runner.start()
    new = await runner.submit(job(engine, text(1)))
    with pytest.raises(NotFoundError):
        while True:
            await runner.library.job(new.id)
            await asyncio.sleep(0.01)
    await runner.close()


async def test_a_folder_that_cannot_be_used_is_said_and_does_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runner = JobRunner(FakeEngine().real, tmp_path / "file")
    await runner.start()
    with pytest.raises(UnavailableError, match="ORPHEUS_DATA_DIR"):
        await runner.submit(job(FakeEngine(), text(1)))
    await runner.close()


async def test_following_gives_what_the_finished_job_gives(engine: FakeEngine, runner: JobRunner, until: Until) -> None:
    engine.open.clear()
    new = await runner.submit(job(engine, text(6)))
    pieces: list[bytes] = []

    async def listen() -> None:
        async for piece in runner.library.encoded(await runner.library.job(new.id), "flac", follow=True):
            pieces.append(piece)

    listening = asyncio.create_task(listen())
    await until(new.id, lambda now: now.state == "running")
    engine.open.set()
    await until(new.id, lambda now: now.state == "done")
    await listening
    now = await runner.library.job(new.id)
    assert b"".join(pieces) == b"".join([p async for p in runner.library.encoded(now, "flac", follow=False)])


async def test_whoever_follows_a_job_that_is_cancelled_is_told(
    engine: FakeEngine, runner: JobRunner, until: Until
) -> None:
    engine.open.clear()
    new = await runner.submit(job(engine, text(2)))
    await until(new.id, lambda now: now.state == "running")
    await runner.cancel(new.id)
    with pytest.raises(ConflictError, match="cancelled"):
        async for _ in runner.library.joined(new.id, follow=True):
            pass
