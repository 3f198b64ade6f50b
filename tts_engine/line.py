"""A bounded line between two tasks."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """Items on their way from one task to another, with an end. One writer, one reader."""

    def __init__(self, limit: float) -> None:
        """limit: the writer waits while the weights of the items in line reach it."""
        self._items: deque[tuple[T, float]] = deque()
        self._limit = limit
        self._held = 0.0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    async def put(self, items: Iterable[T], weight: float) -> None:
        """Wait while the line is full, then add; weight: of each item."""
        while self._held >= self._limit:
            self._room.clear()
            await self._room.wait()
        for item in items:
            self._items.append((item, weight))
            self._held += weight
        self._changed.set()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes; error: why, if that is not the regular end."""
        self._ended = True
        self._error = error
        self._changed.set()

    def clear(self) -> None:
        """Throw away what nobody has taken."""
        self._items.clear()
        self._held = 0.0
        self._room.set()

    async def ended(self) -> None:
        """Wait for the end."""
        while not self._ended:
            self._changed.clear()
            await self._changed.wait()

    async def get(self, at_least: int = 1, at_most: int = 1) -> tuple[list[T], bool]:
        """Wait for `at_least` items or the end. Returns them and whether they are the last; raises the error."""
        while len(self._items) < at_least and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None and not self._items:
            raise self._error
        taken = [self._items.popleft() for _ in range(min(at_most, len(self._items)))]
        self._held -= sum(weight for _, weight in taken)
        self._room.set()
        return [item for item, _ in taken], self._ended and not self._items and self._error is None
