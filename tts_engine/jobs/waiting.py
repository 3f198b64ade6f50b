"""Waiting: for a change, and for work that must not be left half-done."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Bell:
    """Take a ticket, look, then wait with it: a change after the ticket was taken is never missed."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        return self._next


async def rung(ticket: asyncio.Event, at_most_s: float) -> None:
    """Wait for the next ring after the ticket was taken, or for `at_most_s` seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await ticket.wait()


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Await work to its end also where the waiting is cancelled; the cancellation goes on afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
