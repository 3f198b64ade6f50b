"""Who may speak: a bounded number of requests at once, a bounded number in line, everybody else is told to come back."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from tts_engine.errors import OverloadedError


class Admission:
    """Places to speak, handed out in the order of asking."""

    def __init__(self, *, speaking: int, waiting: int) -> None:
        self.limit = speaking
        self.waiting_limit = waiting
        self.speaking = 0
        self.waiting = 0
        self._places = asyncio.Semaphore(speaking)

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Hold a place while inside. Raises OverloadedError at once where the line is full."""
        if self._places.locked() and self.waiting >= self.waiting_limit:
            raise OverloadedError(
                f"{self.speaking} requests are speaking and {self.waiting} wait, which is all this server admits. "
                "Try again soon, or raise ORPHEUS_MAX_SPEAKING or ORPHEUS_MAX_WAITING.",
                code="overloaded",
            )
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.speaking += 1
        try:
            yield
        finally:
            self.speaking -= 1
            self._places.release()
