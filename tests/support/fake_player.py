"""Writes a script to the wire: HTTP/1.1 responses, chunks and SSE events, every byte by hand."""

import asyncio
import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.support import fake_script as script
from tests.support.fake_profiles import CREATED, Profile
from tests.support.fake_script import Reply, Step, Tokens, frames_to_tokens, tokens_to_text

DEFAULT_FRAMES = np.random.default_rng(7).integers(0, 4096, (5, 7))
"""What it says when it was told nothing: codes [5, 7]."""


@dataclass(slots=True)
class Received:
    """One request, and what became of it."""

    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Names in lower case."""
    raw: bytes
    connection: int
    """Number of the TCP connection, counted from 0: equal means reused."""
    at: float
    """time.monotonic() when it had arrived."""
    tokens_written: int = 0
    """Whole tokens given to the socket so far."""
    left_at: float | None = None
    """time.monotonic() when the client was seen to leave before the end of the answer."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set when the client has left before the end of the answer."""
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when the answer is over, in whatever way."""

    @property
    def body(self) -> Any:
        """The JSON body; None when there is none."""
        return json.loads(self.raw) if self.raw else None


class Player:
    """Plays one script to one client. progress: called after each event of tokens."""

    def __init__(
        self,
        received: Received,
        writer: asyncio.StreamWriter,
        *,
        profile: Profile,
        model: str,
        progress: Callable[[], None],
    ) -> None:
        self._received = received
        self._writer = writer
        self._profile = profile
        self._model = model
        self._progress = progress
        self._piece: int | None = None
        self._newline = "\n"
        self._begun = False
        self._keep = received.headers.get("connection", "").lower() != "close"

    async def play(self, steps: Sequence[Step]) -> bool:
        """Returns whether the connection may be used again."""
        for step in steps:
            if isinstance(step, script.Drop | script.Reset):
                await self._break(step)
                return False
            await self._do(step)
        if self._begun:
            await self._write(b"0\r\n\r\n")
            return self._keep and not self._profile.closes_after_stream
        return self._keep

    async def _do(self, step: Step) -> None:
        match step:
            case script.Reply():
                await self._reply(step)
            case script.Head():
                await self._head(step)
            case script.Text():
                for delta in step.deltas:
                    await self._event(self._delta(delta))
            case script.Tokens():
                await self._tokens(step)
            case script.Endless():
                frames = itertools.repeat(frames_to_tokens(DEFAULT_FRAMES))
                await self._tokens(Tokens(itertools.chain.from_iterable(frames), rate=step.rate))
            case script.Cut():
                self._piece = step.size
            case script.Newline():
                self._newline = step.text
            case script.Comment():
                await self._body(f": {step.text}{self._newline * 2}".encode())
            case script.Raw():
                await self._body(step.data)
            case script.Finish():
                await self._finish(step.reason)
            case script.Done():
                await self._event("[DONE]")
            case script.ErrorEvent():
                await self._event({"error": {"code": step.code, "message": step.message, "type": step.type}})
            case script.Stall():
                await asyncio.sleep(step.seconds)
            case script.Until():
                while not step.event.is_set():  # noqa: ASYNC110  the test that sets it is in another thread
                    await asyncio.sleep(0.002)

    async def _reply(self, reply: Reply) -> None:
        text = isinstance(reply.body, str)
        body = b"" if reply.body is None else (reply.body if text else json.dumps(reply.body)).encode()
        kind = "text/plain; charset=utf-8" if text else "application/json; charset=utf-8"
        await self._send_head(reply.status, {"Content-Type": kind, "Content-Length": str(len(body)), **reply.headers})
        await self._write(body)

    async def _head(self, head: script.Head) -> None:
        self._begun = True
        usual = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
        await self._send_head(head.status, {**usual, **head.headers})

    async def _send_head(self, status: int, headers: dict[str, str]) -> None:
        connection = {} if self._keep else {"Connection": "close"}
        lines = [f"{name}: {value}" for name, value in {**self._profile.headers, **headers, **connection}.items()]
        await self._write("\r\n".join([f"HTTP/1.1 {status} Fake", *lines, "", ""]).encode())

    async def _tokens(self, step: Tokens) -> None:
        started, written = time.monotonic(), 0
        for text, whole in _events(step):
            if step.rate is not None:
                await asyncio.sleep(max(0.0, started + written / step.rate - time.monotonic()))
            await self._event(self._delta(text))
            written += whole
            self._received.tokens_written += whole
            self._progress()

    async def _finish(self, reason: str) -> None:
        body = self._received.body or {}
        written = self._received.tokens_written
        usage = {"prompt_tokens": 16, "completion_tokens": written, "total_tokens": 16 + written}
        last = self._delta("", reason)
        if self._profile.usage_in_finish:
            last["usage"] = usage
        await self._event(last)
        if not self._profile.usage_in_finish and (body.get("stream_options") or {}).get("include_usage"):
            await self._event({**last, "choices": [], "usage": usage})

    def _delta(self, text: str, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
        head = {"id": "cmpl-fake", "object": "text_completion", "created": CREATED, "model": self._model}
        return {**head, "choices": [choice]}

    async def _event(self, data: dict[str, Any] | str) -> None:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        await self._body(f"data: {text}{self._newline * 2}".encode())

    async def _body(self, data: bytes) -> None:
        if not self._begun:
            await self._head(script.Head())
        size = self._piece or len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)  # an endless stream must notice that its client has left

    async def _break(self, step: script.Drop | script.Reset) -> None:
        if isinstance(step, script.Reset):
            at_once = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            self._writer.transport.abort()


def _events(step: Tokens) -> Iterator[tuple[str, int]]:
    """The texts of the events, each with the number of tokens that are complete with it and were not before."""
    if step.chars_per_event is None:
        numbers = iter(step.numbers)
        while group := list(itertools.islice(numbers, step.per_event)):
            yield tokens_to_text(group), len(group)
        return
    text = tokens_to_text(step.numbers)
    for start in range(0, len(text), step.chars_per_event):
        piece = text[start : start + step.chars_per_event]
        yield piece, piece.count(">")
