"""What the store promises: all or nothing, the right state, the right take."""

import sqlite3
from pathlib import Path

import pytest

from tests.jobs.fakes import FakeEngine, job, settings, text
from tts_engine.errors import ConflictError, NotFoundError, OrpheusError
from tts_engine.jobs.records import Made
from tts_engine.jobs.store import SEEDS, JobStore

MADE = Made("000000-0.flac", 2048, 100, None)


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs.sqlite3")


def test_what_was_handed_in_is_there_after_opening_again(store: JobStore, tmp_path: Path) -> None:
    new = job(FakeEngine(), text(3, chapters=2), settings(seed=SEEDS - 1))
    job_id = store.add(new)
    store.close()
    again = JobStore(tmp_path / "jobs.sqlite3")
    found = again.job(job_id)
    assert (found.settings, found.chapters, found.title) == (new.settings, ("Chapter 1", "Chapter 2"), "A book")
    rows = again.segments(job_id)
    assert [row.prompt for row in rows] == [segment.prompt for segment in new.segments]
    assert [row.seed for row in rows[:3]] == [SEEDS - 1, 0, 1]
    assert [first for first, _ in again.chapters(job_id)] == [0, next(r.number for r in rows if r.chapter == 1)]
    again.close()


def test_it_is_durable(store: JobStore) -> None:
    pragmas = [store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    store.close()


def test_a_take_that_was_superseded_is_not_counted(store: JobStore) -> None:
    job_id = store.add(job(FakeEngine(), text(2)))
    old = store.segment(job_id, 0)
    store.add_output(job_id, "audio.mp3", 5, 0)
    assert store.ask_again(job_id, 0, seed=4) == ["audio.mp3"]
    with pytest.raises(ConflictError):
        store.count(job_id, old, MADE, 1.0)
    assert (store.job(job_id).segments_done, store.job(job_id).running_s, store.used_bytes()) == (0, 0.0, 0)
    store.count(job_id, store.segment(job_id, 0), MADE, 1.5)
    assert (store.job(job_id).segments_done, store.job(job_id).running_s, store.used_bytes()) == (1, 1.5, 100)
    assert store.all_files() == {job_id: {"000000-0.flac"}}
    store.close()


def test_states_only_change_as_they_may(store: JobStore) -> None:
    job_id = store.add(job(FakeEngine(), text(2)))
    version = store.job(job_id).version
    store.set_state(job_id, "running", only=("queued",))
    assert store.job(job_id).version > version
    with pytest.raises(ConflictError, match="running"):
        store.set_state(job_id, "running", only=("queued",))
    assert store.requeue_running() == 1
    assert store.next_queued() == job_id
    store.delete(job_id)
    assert store.next_queued() is None
    for call in (store.job, store.segments, store.delete):
        with pytest.raises(NotFoundError):
            call(job_id)
    with pytest.raises(NotFoundError):
        store.ask_again(job_id, 0, 1)
    store.close()


def test_a_database_of_a_newer_program_is_left_alone(store: JobStore, tmp_path: Path) -> None:
    store.close()
    database = sqlite3.connect(tmp_path / "jobs.sqlite3")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(OrpheusError, match="newer"):
        JobStore(tmp_path / "jobs.sqlite3")
