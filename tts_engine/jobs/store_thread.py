"""The job store in a thread of its own, so that no commit holds up the event loop."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from tts_engine.errors import OrpheusError
from tts_engine.jobs.store import JobStore

P = ParamSpec("P")
T = TypeVar("T")


class StoreThread:
    """Owns the store and its thread. `open` before use, `close` after."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._store: JobStore | None = None

    async def open(self) -> None:
        """Raises OrpheusError where there can be no database."""
        self._store = await self._in_thread(lambda: JobStore(self._path))

    async def close(self) -> None:
        """Let the calls that are waiting end, then close the database."""
        if self._store is not None:
            await self._in_thread(self._store.close)
            self._store = None
        self._executor.shutdown()

    async def ask(self, call: Callable[Concatenate[JobStore, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`await ask(JobStore.job, job_id)`. Raises what the call does; OrpheusError where SQLite fails.

        A call that was begun is done also when the waiting for it is cancelled.
        """
        store = self._store
        if store is None:
            raise OrpheusError("The jobs are closed.")
        return await self._in_thread(lambda: call(store, *args, **kwargs))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        except sqlite3.Error as exc:
            raise OrpheusError(f"The database of jobs, {self._path}, failed: {exc}. Is the disk full?") from exc
