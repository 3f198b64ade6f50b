"""An inference server that does what a test tells it, byte by byte, on a real loopback socket.

HTTP/1.1 by hand over asyncio streams in a thread of its own: no library stands between a script and the wire.
See fake_script for the steps and fake_profiles for the servers it can pass for.
"""

import asyncio
import itertools
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from tests.support import fake_script as script
from tests.support.fake_player import DEFAULT_FRAMES, Player, Received
from tests.support.fake_profiles import Profile, ProfileName, profile, tokenize
from tests.support.fake_script import Reply, Step, Tokens, frames_to_tokens, speech, tokens_to_text

WAIT_S = 10.0


Script = Sequence[Step] | Callable[[Received], Sequence[Step]]


class FakeInference:
    """`with FakeInference(profile="vllm") as fake:` then fake.url, fake.enqueue(...), fake.completions.

    api_key: asked for where the real server would. model: the one it serves. send_buffer: bytes that the kernel
    takes off our hands, so that a slow reader is felt soon. port: 0 picks a free one.
    """

    def __init__(
        self,
        profile_name: ProfileName = "llama.cpp",
        *,
        api_key: str | None = None,
        model: str = "orpheus",
        send_buffer: int | None = None,
        port: int = 0,
    ) -> None:
        self.profile: Profile = profile(profile_name, model)
        self.model = model
        self.requests: list[Received] = []
        self.answers: dict[str, Reply] = {}
        """Path -> answer that goes before the profile's; "*" is every path, completions too."""
        self._api_key = api_key
        self._queue: deque[Script] = deque()
        self._always: Script | None = None
        self._faults: list[BaseException] = []
        self._changed = threading.Condition()
        self._connections = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        if send_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port: int = self._listener.getsockname()[1]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="fake-inference")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def completions(self) -> list[Received]:
        """The requests for a completion, in order of arrival."""
        return [r for r in self.requests if r.method == "POST" and _path(r) in self.profile.completions]

    def enqueue(self, *steps: Step) -> None:
        """Do this with the next completion request that has no script yet; call again for the one after it."""
        self._queue.append(steps)

    def always(self, steps: Script) -> None:
        """Do this with every completion request that finds no queued script. May be a function of the request."""
        self._always = steps

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Block until the condition holds; it is looked at whenever something happens. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout_s):
                raise TimeoutError(f"not so after {timeout_s:g} s; received: {[_path(r) for r in self.requests]}")

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self._faults:
            raise self._faults[0]

    def close(self) -> None:
        """Break all connections and stop listening. Harmless when it is closed."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join(WAIT_S)
        self._listener.close()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, sock=self._listener)
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._connections)
        writer.transport.set_write_buffer_limits(high=4096)
        try:
            keep = True
            while keep and (received := await _read_request(reader, number)) is not None:
                with self._changed:
                    self.requests.append(received)
                    self._changed.notify_all()
                keep = await self._answer(received, reader, writer)
            await _close(writer)
        except ConnectionError:
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        except Exception as fault:  # noqa: BLE001  a broken script must fail the test, not vanish in a thread
            self._faults.append(fault)
            writer.transport.abort()

    async def _answer(self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Play the script, unless the client leaves first. Returns whether the connection stays."""
        player = Player(received, writer, profile=self.profile, model=self.model, progress=self._notify)
        playing = asyncio.ensure_future(player.play(self._script_for(received)))
        leaving = asyncio.ensure_future(_closed_by_client(reader))
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not playing.done() and leaving.done():
                raise ConnectionResetError
            return await playing
        except ConnectionError:
            received.left_at = time.monotonic()
            received.left.set()
            raise
        finally:
            playing.cancel()
            leaving.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)
            received.ended.set()
            self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _script_for(self, received: Received) -> Sequence[Step]:
        path = _path(received)
        special = self.answers.get(path) or self.answers.get("*")
        if special is not None:
            return [special]
        given = received.headers.get("authorization", "").removeprefix("Bearer ")
        if self._api_key is not None and given != self._api_key and path not in self.profile.open_paths:
            return [self.profile.unauthorized]
        if received.method == "POST" and path in self.profile.completions:
            return self._completion_script(received)
        if received.method == "POST" and path == "/tokenize" and self.profile.tokenize:
            return [Reply(200, {"tokens": tokenize(received.body["content"])})]
        if received.method == "GET" and path in self.profile.answers:
            return [self.profile.answers[path]]
        return [self.profile.missing(received.method, path)]

    def _completion_script(self, received: Received) -> Sequence[Step]:
        refusal = self.profile.refuse(received.body)
        if refusal is not None:
            return [refusal]
        chosen = self._queue.popleft() if self._queue else self._always
        if chosen is None:
            return self._default_script(received.body)
        return chosen(received) if callable(chosen) else chosen

    def _default_script(self, body: dict[str, Any]) -> Sequence[Step]:
        numbers = [*frames_to_tokens(DEFAULT_FRAMES), script.END_OF_SPEECH]
        limit = body.get("max_tokens") or self.profile.default_max_tokens or len(numbers)
        if not body.get("stream"):
            choice = {"index": 0, "text": tokens_to_text(numbers[:limit]), "logprobs": None, "finish_reason": "stop"}
            return [Reply(200, {"object": "text_completion", "model": self.model, "choices": [choice]})]
        if limit < len(numbers):
            return [Tokens(numbers[:limit]), script.Finish("length"), script.Done()]
        return speech(DEFAULT_FRAMES)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received | None:
    """The next request; None when the client has closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, raw, connection, time.monotonic())


async def _closed_by_client(reader: asyncio.StreamReader) -> None:
    """Returns when the client has closed or reset; a client that sends its next request early is not read."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110  reading would eat the next request
        await asyncio.sleep(0.005)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def _path(received: Received) -> str:
    return received.path.partition("?")[0]
