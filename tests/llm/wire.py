"""A server on a real loopback socket whose every byte the test decides."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

MODELS: dict[str, Any] = {"object": "list", "data": [{"id": "orpheus", "owned_by": "vllm", "max_model_len": 4096}]}


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Counts the connections of this server from 0."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Wire:
    """POSTs go to `speak`; GETs are answered from `documents`, else 404. A handler that closes ends the connection."""

    speak: Handler
    documents: dict[str, Any] = field(default_factory=lambda: {"/v1/models": MODELS})
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client closed a connection on which it was waiting for an answer."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """The first POST has arrived."""
    connections: int = 0
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    @property
    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        number = self.connections
        self.connections += 1
        try:
            # Cancelled at the end of the test: asyncio's own callback wants a task that ended well.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing() and await self._exchange(reader, writer, number):
                    pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        """Read one request and answer it. False where the connection ends."""
        request = await _request(reader, number)
        self.requests.append(request)
        if request.method == "GET":
            writer.write(self._document(request.path))
            return False
        self.asked.set()
        answer = asyncio.ensure_future(self.speak(request, writer))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.left.set()
                return False
            answer.result()
            return not gone.done()
        finally:
            answer.cancel()
            gone.cancel()
            await asyncio.wait([answer, gone])

    def _document(self, path: str) -> bytes:
        document = self.documents.get(path)
        if document is None:
            return plain("404 Not Found", {"error": {"message": "File Not Found"}})
        return plain("200 OK", document)


async def _request(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, connection)


def plain(status: str, document: Any, *headers: str, kind: str = "application/json") -> bytes:
    """A whole answer. document: JSON, or bytes as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(text: str = "", reason: str | None = None, **more: Any) -> bytes:
    """One chunk with one event."""
    document = {"choices": [{"text": text, "index": 0, "finish_reason": reason}], **more}
    return chunk(b"data: " + json.dumps(document).encode() + b"\n\n")


SPOKEN = STREAM_HEAD + event("<custom_token_10>") + event("", "stop") + chunk(b"data: [DONE]\n\n") + STREAM_END


def answers(*each: bytes) -> Handler:
    """One whole answer for each request in turn, the last one for all after it; b"" closes without a word."""
    left = list(each)

    async def speak(_: Request, writer: asyncio.StreamWriter) -> None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        writer.write(answer)
        await writer.drain()
        if not answer or not answer.endswith(STREAM_END):
            writer.close()

    return speak


@contextlib.asynccontextmanager
async def wire(speak: Handler | bytes = SPOKEN, documents: dict[str, Any] | None = None) -> AsyncIterator[Wire]:
    handler = answers(speak) if isinstance(speak, bytes) else speak
    made = Wire(handler) if documents is None else Wire(handler, documents)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
