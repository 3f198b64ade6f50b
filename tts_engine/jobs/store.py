"""What is known of jobs, in SQLite: a change is on the disk when the call returns (WAL, synchronous=FULL).

Not for two threads at a time, and blocking: the event loop asks through `tts_engine.jobs.store_thread`.
"""

import contextlib
import json
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tts_engine.errors import ConflictError, NotFoundError, OrpheusError
from tts_engine.jobs.records import Job, JobSegment, JobSettings, Made, NewJob, State
from tts_engine.llm.dialects import Sampling

SCHEMA_VERSION = 1
SEEDS = 2**32 - 1
"""Seeds 0..2^32-2, as of a speech request."""

_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, settings TEXT NOT NULL, chapters TEXT NOT NULL,
    state TEXT NOT NULL, error TEXT, created REAL NOT NULL, updated REAL NOT NULL,
    version INTEGER NOT NULL DEFAULT 0, running_s REAL NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_age ON jobs (created, id);
CREATE TABLE segments (
    job TEXT NOT NULL REFERENCES jobs ON DELETE CASCADE, number INTEGER NOT NULL,
    text TEXT NOT NULL, prompt TEXT NOT NULL, voice TEXT NOT NULL, chapter INTEGER NOT NULL,
    boundary TEXT NOT NULL, pause_s REAL, seed INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', take INTEGER NOT NULL DEFAULT 0,
    file TEXT, samples INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, problem TEXT,
    start INTEGER, end INTEGER,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;
CREATE TABLE outputs (
    job TEXT NOT NULL REFERENCES jobs ON DELETE CASCADE, file TEXT NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (job, file)
) WITHOUT ROWID;
"""

_JOBS = """
SELECT jobs.*, COUNT(segments.number) AS segments_total,
    COALESCE(SUM(segments.state = 'done'), 0) AS segments_done,
    COALESCE(SUM(length(text) * (segments.state = 'done')), 0) AS chars_done,
    COALESCE(SUM(length(text)), 0) AS chars_total, COALESCE(SUM(samples), 0) AS samples
FROM jobs LEFT JOIN segments ON segments.job = jobs.id
"""
_SEGMENT_FIELDS = ", ".join(JobSegment.__dataclass_fields__)


class JobStore:
    """One open database. Raises NotFoundError for a job or segment that does not exist."""

    def __init__(self, path: Path) -> None:
        """Open it, make it if it is not there. Raises OrpheusError for one that a newer program has written."""
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        with self._change():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        if version > SCHEMA_VERSION:
            self._db.close()
            raise OrpheusError(f"{path} was written by a newer version of this program: update it.")

    def close(self) -> None:
        self._db.close()

    # Jobs

    def add(self, new: NewJob) -> str:
        """Keep a new job, queued. Returns its id."""
        job_id, now = f"job_{secrets.token_hex(12)}", time.time()
        seed = new.settings.sampling.seed
        assert seed is not None
        with self._change():
            self._db.execute(
                "INSERT INTO jobs (id, title, settings, chapters, state, created, updated) VALUES (?,?,?,?,'queued',?,?)",
                (job_id, new.title, json.dumps(asdict(new.settings)), json.dumps(new.chapters), now, now),
            )
            self._db.executemany(
                "INSERT INTO segments (job, number, text, prompt, voice, chapter, boundary, pause_s, seed)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    (job_id, n, s.text, s.prompt, s.voice, s.chapter, s.boundary, s.pause_s, (seed + n) % SEEDS)
                    for n, s in enumerate(new.segments)
                ),
            )
        return job_id

    def job(self, job_id: str) -> Job:
        for row in self._db.execute(f"{_JOBS} WHERE jobs.id = ? GROUP BY jobs.id", (job_id,)):
            return _job(row)
        raise _unknown(job_id)

    def jobs(self, limit: int, after: str | None = None) -> list[Job]:
        """At most `limit`, newest first; after: only those that are older than this one."""
        older, values = "", ()
        if after is not None:
            self.job(after)
            older = "WHERE (jobs.created, jobs.id) < (SELECT created, id FROM jobs WHERE id = ?)"
            values = (after,)  # type: ignore[assignment]
        rows = self._db.execute(
            f"{_JOBS} {older} GROUP BY jobs.id ORDER BY jobs.created DESC, jobs.id DESC LIMIT ?", (*values, limit)
        )
        return [_job(row) for row in rows]

    def next_queued(self) -> str | None:
        """The job that has waited longest."""
        row = self._db.execute("SELECT id FROM jobs WHERE state = 'queued' ORDER BY created, id LIMIT 1").fetchone()
        return None if row is None else row["id"]

    def set_state(self, job_id: str, state: State, *, only: Collection[str], error: str | None = None) -> None:
        """Move a job on. Raises ConflictError where its state is not one of `only`."""
        with self._change():
            now = self._state(job_id)
            if now not in only:
                raise ConflictError(f"The job is {now}: it cannot become {state}.", code="wrong_state")
            self._touch(job_id, "state = ?, error = ?", state, error)

    def requeue_running(self) -> int:
        """Put back into the queue what ran when the program ended. Returns how many jobs."""
        with self._change():
            return self._db.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'").rowcount

    def delete(self, job_id: str) -> None:
        with self._change():
            if not self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,)).rowcount:
                raise _unknown(job_id)

    def ended_before(self, moment: float) -> list[str]:
        """Ids of jobs that ended, and were last changed, before this Unix time."""
        rows = self._db.execute(
            "SELECT id FROM jobs WHERE state IN ('done', 'failed', 'cancelled') AND updated < ?", (moment,)
        )
        return [row["id"] for row in rows]

    # Segments

    def segments(self, job_id: str, first: int = 0, limit: int = -1) -> list[JobSegment]:
        """In order, from number `first` on; limit -1: all."""
        rows = self._db.execute(
            f"SELECT {_SEGMENT_FIELDS} FROM segments WHERE job = ? AND number >= ? ORDER BY number LIMIT ?",
            (job_id, first, limit),
        ).fetchall()
        if not rows:
            self._state(job_id)
        return [JobSegment(*row) for row in rows]

    def segment(self, job_id: str, number: int) -> JobSegment:
        found = self.segments(job_id, number, 1)
        if not found or found[0].number != number:
            raise NotFoundError(f"The job has no segment {number}.", param="number", code="segment_not_found")
        return found[0]

    def waiting(self, job_id: str) -> list[int]:
        """Numbers of the segments that have to be spoken, in order."""
        rows = self._db.execute(
            "SELECT number FROM segments WHERE job = ? AND state = 'waiting' ORDER BY number", (job_id,)
        )
        return [row["number"] for row in rows]

    def chapters(self, job_id: str) -> list[tuple[int, int | None]]:
        """For each chapter its first segment, and the first sample of its speech where it is known; the first is at 0."""
        rows = self._db.execute(
            "SELECT MIN(number) AS first, MIN(start) AS start FROM segments WHERE job = ? GROUP BY chapter ORDER BY chapter",
            (job_id,),
        )
        found = [(row["first"], row["start"]) for row in rows]
        return [(0, None if found[0][1] is None else 0), *found[1:]] if found else []

    def problems(self, job_id: str) -> list[JobSegment]:
        """The segments that something is wrong with."""
        rows = self._db.execute(
            f"SELECT {_SEGMENT_FIELDS} FROM segments WHERE job = ? AND problem IS NOT NULL ORDER BY number", (job_id,)
        )
        return [JobSegment(*row) for row in rows]

    def count(self, job_id: str, segment: JobSegment, made: Made, running_s: float) -> None:
        """A segment is done, and `running_s` seconds were worked since the last one. Its file is on the disk.

        Raises ConflictError if another take was asked for meanwhile.
        """
        changes = "state = 'done', file = ?, samples = ?, bytes = ?, problem = ?"
        self._end_segment(job_id, segment, running_s, changes, made.file, made.samples, made.bytes, made.problem)

    def give_up(self, job_id: str, segment: JobSegment, problem: str, running_s: float) -> None:
        """A segment cannot be spoken; audio of the take before stays. Raises ConflictError as `count`."""
        self._end_segment(job_id, segment, running_s, "state = 'failed', problem = ?", problem)

    def retry_failed(self, job_id: str) -> None:
        """Have the segments that could not be spoken tried again."""
        with self._change():
            self._db.execute(
                "UPDATE segments SET state = 'waiting', problem = NULL WHERE job = ? AND state = 'failed'", (job_id,)
            )
            self._touch(job_id)

    def ask_again(self, job_id: str, number: int, seed: int) -> list[str]:
        """Have a segment spoken anew; its audio stays until then. Returns the output files that are void now."""
        with self._change():
            found = self._db.execute(
                "UPDATE segments SET state = 'waiting', take = take + 1, seed = ?, problem = NULL"
                " WHERE job = ? AND number = ?",
                (seed, job_id, number),
            ).rowcount
            if not found:
                self._state(job_id)
                raise NotFoundError(f"The job has no segment {number}.", param="number", code="segment_not_found")
            self._touch(job_id)
            void = self.outputs(job_id)
            self._db.execute("DELETE FROM outputs WHERE job = ?", (job_id,))
        return void

    def set_timings(self, job_id: str, timings: Iterable[tuple[int, int, int]]) -> None:
        """timings: (number, first sample, one past the last) in the joined audio."""
        with self._change():
            self._db.executemany(
                "UPDATE segments SET start = ?, end = ? WHERE job = ? AND number = ?",
                ((start, end, job_id, number) for number, start, end in timings),
            )

    # Files

    def takes(self, job_id: str) -> int:
        """Goes up whenever a segment is asked for anew."""
        taken: int = self._db.execute("SELECT TOTAL(take) FROM segments WHERE job = ?", (job_id,)).fetchone()[0]
        return int(taken)

    def add_output(self, job_id: str, file: str, size: int, takes: int) -> None:
        """A finished file of the whole job is there, begun at so many takes. Raises ConflictError if it is old now."""
        with self._change():
            self._state(job_id)
            if self.takes(job_id) != takes:
                raise ConflictError("A segment was asked for anew meanwhile: try again.", code="superseded")
            self._db.execute("INSERT OR REPLACE INTO outputs VALUES (?, ?, ?)", (job_id, file, size))
            self._touch(job_id)

    def outputs(self, job_id: str) -> list[str]:
        return [row["file"] for row in self._db.execute("SELECT file FROM outputs WHERE job = ?", (job_id,))]

    def all_files(self) -> dict[str, set[str]]:
        """Job id -> names of all its files that count."""
        rows = self._db.execute(
            "SELECT job, file FROM segments WHERE file IS NOT NULL UNION SELECT job, file FROM outputs"
        )
        files: dict[str, set[str]] = {}
        for row in rows:
            files.setdefault(row["job"], set()).add(row["file"])
        return files

    def used_bytes(self) -> int:
        """What the files of all jobs take."""
        query = "SELECT (SELECT COALESCE(SUM(bytes), 0) FROM segments) + (SELECT COALESCE(SUM(bytes), 0) FROM outputs)"
        used: int = self._db.execute(query).fetchone()[0]
        return used

    def _end_segment(
        self, job_id: str, segment: JobSegment, running_s: float, changes: str, *values: str | int | None
    ) -> None:
        with self._change():
            counted = self._db.execute(
                f"UPDATE segments SET {changes} WHERE job = ? AND number = ? AND take = ?",
                (*values, job_id, segment.number, segment.take),
            ).rowcount
            if not counted:
                raise ConflictError(f"Segment {segment.number} was asked for anew meanwhile.", code="superseded")
            self._touch(job_id, "running_s = running_s + ?", running_s)

    def _state(self, job_id: str) -> str:
        row = self._db.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise _unknown(job_id)
        state: str = row["state"]
        return state

    def _touch(self, job_id: str, change: str = "id = id", *values: Any) -> None:
        self._db.execute(
            f"UPDATE jobs SET {change}, updated = ?, version = version + 1 WHERE id = ?", (*values, time.time(), job_id)
        )

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """All or nothing, and on the disk at the end."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    settings = json.loads(values["settings"])
    settings["sampling"] = Sampling(**settings["sampling"])
    values |= {"settings": JobSettings(**settings), "chapters": tuple(json.loads(values["chapters"]))}
    return Job(**values)


def _unknown(job_id: str) -> NotFoundError:
    return NotFoundError(f"There is no job {job_id!r}.", param="id", code="job_not_found")
