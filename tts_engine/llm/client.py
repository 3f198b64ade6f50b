"""Speech in, the deltas of one streamed completion out. With probe.py the only user of httpx.

Before the first delta a failure may be tried again, inside the time limit; after it nothing ever is.
Every failure leaves here as an InferenceError of tts_engine/errors.py. The text to be said is never logged.
"""

import asyncio
import contextlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import httpx

from tts_engine.errors import InferenceError, InferenceTimeout, SettingsError
from tts_engine.llm.answer import AnswerReader, BadAnswer, Delta, Finish, error_message
from tts_engine.llm.dialects import DIALECTS, Dialect, Sampling, body
from tts_engine.llm.probe import ServerInfo, probe
from tts_engine.llm.prompt import PROMPT_FORMS, PromptForm, Speech, prompt
from tts_engine.llm.setback import Retries, Setback, bad_answer, broken, not_sent, refusal
from tts_engine.llm.urls import completions_url as completions_url
from tts_engine.llm.urls import is_loopback

log = logging.getLogger(__name__)

CONNECT_S = 10.0
"""Longest wait for a connection; a server that needs more is not there."""
ASK_AGAIN_S = 3.0
"""After a probe without a result, the next one comes no sooner."""
FRESH_S = 30.0
"""After this, server() asks again; completions go on with what is known."""
LAST_WORDS_S = 2.0
"""How long the token counts and [DONE] may take after the server said how its answer ended."""
DRAIN_S = 0.1
"""How long the end of the body may take after [DONE]; later, the connection is closed instead of kept."""

_MAX_DOCUMENT_BYTES = 1 << 20
_MAX_REFUSAL_BYTES = 64 << 10


class InferenceClient:
    """One client for the process: its connections, and what is known of the server. Close it with close()."""

    def __init__(
        self,
        *,
        url: str,
        api_key: str | None,
        model: str,
        timeout_s: float,
        dialect: str = "auto",
        prompt_form: PromptForm = "training",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """timeout_s: longest silence of the server, in seconds. Raises SettingsError; opens no connection."""
        if dialect != "auto" and dialect not in DIALECTS:
            raise SettingsError(f"ORPHEUS_API_DIALECT={dialect!r} is not known; known are auto, {', '.join(DIALECTS)}.")
        if prompt_form not in PROMPT_FORMS:
            raise SettingsError(
                f"ORPHEUS_PROMPT_FORM={prompt_form!r} is not known; known are {', '.join(PROMPT_FORMS)}."
            )
        self.url = completions_url(url)
        self.timeout_s = timeout_s
        self.prompt_form = prompt_form
        self._model = model
        self._dialect = dialect
        try:
            httpx.URL(self.url)
        except httpx.InvalidURL as exc:
            raise SettingsError(f"ORPHEUS_API_URL={url!r} is no address of a server: {exc}.") from exc
        self.http = httpx.AsyncClient(
            transport=transport,
            headers={"user-agent": "Orpheus-FastAPI", "accept-encoding": "identity", **_authorization(api_key)},
            timeout=httpx.Timeout(None, connect=min(CONNECT_S, timeout_s / 2)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=4.0),
            trust_env=not is_loopback(self.url),
            follow_redirects=False,
        )
        self._info: ServerInfo | None = None
        self._asked_at = 0.0
        self._probing: asyncio.Task[ServerInfo] | None = None
        self._named_model: str | None = None
        self._spoke = False

    async def close(self) -> None:
        """Close all connections; completions that still run break off."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])
        await self.http.aclose()

    async def server(self) -> ServerInfo:
        """What the server is; at most FRESH_S old, or ASK_AGAIN_S where it could not be asked. Never raises."""
        age = time.monotonic() - self._asked_at
        if self._info is not None and age < (FRESH_S if self._info.settled else ASK_AGAIN_S):
            return self._info
        return await self._ask()

    async def known_server(self) -> ServerInfo:
        """What a completion needs to know: asks only where no probe has had a result yet."""
        if self._info is not None and self._info.settled:
            return self._info
        if self._info is not None and self._spoke:
            # It speaks although it does not say what it is (its list of models hangs): do not wait for that again.
            if time.monotonic() - self._asked_at >= ASK_AGAIN_S and self._probing is None:
                self._probing = asyncio.create_task(self._probe())
            return self._info
        return await self.server()

    @property
    def speaks(self) -> bool:
        """A completion has had a delta since the server last behaved oddly."""
        return self._spoke

    def spoke(self) -> None:
        """A completion had a delta: what is known of the server is good enough."""
        self._spoke = True

    def doubt(self) -> None:
        """The server behaved unlike what is known of it: the next completion asks again."""
        self._info = None
        self._spoke = False

    def stream(self, speech: Speech, sampling: Sampling) -> "Completion":
        """One completion. Nothing is sent before its first delta is asked for."""
        return Completion(self, speech, sampling)

    async def _ask(self) -> ServerInfo:
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe())
        return await asyncio.shield(self._probing)

    async def _probe(self) -> ServerInfo:
        try:
            info = await probe(self.http, self.url, self._dialect, self._model)
        finally:
            self._probing = None
        self._info, self._asked_at = info, time.monotonic()
        if info.model not in (self._model, self._named_model):
            self._named_model = info.model
            log.info("The inference server has no model %r; using %r", self._model, info.model)
        return info


class Completion(AsyncIterator[Delta]):
    """One streamed answer. Iterate it to the end, or close it: closing, or cancelling, closes the connection at once.

    Ends normally only where the server said that it finished. Raises InferenceError and its kinds.
    """

    def __init__(self, client: InferenceClient, speech: Speech, sampling: Sampling) -> None:
        self.finish: Finish | None = None
        """How it ended; None until it did."""
        self._client = client
        self._speech = speech
        self._sampling = sampling
        self._reader = AnswerReader()
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._begun = False
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; the server stops making tokens. Closing twice does nothing."""
        self._closed = True
        await self._hang_up()

    async def __anext__(self) -> Delta:
        """The next delta: all text that has arrived. Raises InferenceTimeout after timeout_s without one."""
        if self._closed:
            raise StopAsyncIteration
        delta = None
        try:
            delta = await self._in_time()
        finally:
            if delta is None:
                await self.aclose()
        if delta is None:
            raise StopAsyncIteration
        return delta

    async def _in_time(self) -> Delta | None:
        limit_s = LAST_WORDS_S if self._reader.finish else self._client.timeout_s
        try:
            async with asyncio.timeout(limit_s) as limit:
                text = await (self._more() if self._begun else self._first(limit.when() or 0.0))
        except TimeoutError as exc:
            if self._reader.finish is None:
                raise InferenceTimeout(
                    f"The inference server at {self._client.url} sent nothing for {self._client.timeout_s:g} s "
                    "(ORPHEUS_API_TIMEOUT): it is overloaded or stuck, or the limit is too short for it."
                ) from exc
            text = None
        except Setback as setback:
            raise setback.error from setback
        if text is None:
            await self._drain()
            self.finish = self._reader.finish
            return None
        self._begun = True
        self._client.spoke()
        return Delta(text)

    async def _first(self, deadline: float) -> str | None:
        """The first text; tries again as often as it is worth it, before `deadline` (seconds of the loop's clock)."""
        retries = Retries()
        while True:
            try:
                await self._open()
                return await self._more()
            except Setback as setback:
                await self._hang_up()
                if setback.doubt:
                    self._client.doubt()
                delay_s = retries.delay_s(setback)
                if delay_s is None or asyncio.get_running_loop().time() + delay_s >= deadline:
                    raise
                log.debug("Trying again in %.2f s: %s", delay_s, setback.error)
                self._reader = AnswerReader()
                await asyncio.sleep(delay_s)

    async def _more(self) -> str | None:
        """The text of the next events; None at the end."""
        assert self._chunks is not None
        reader = self._reader
        while True:
            try:
                reader.check()
                if reader.done:
                    return None
                chunk = await anext(self._chunks, None)
                texts = reader.flush() if chunk is None else reader.feed(chunk)
            except BadAnswer as exc:
                raise bad_answer(self._client.url, exc) from exc
            except httpx.HTTPError as exc:
                if reader.finish is not None:
                    return None
                raise broken(self._client.url, exc) from exc
            if texts:
                return texts[0] if len(texts) == 1 else "".join(texts)
            if chunk is None:
                return None

    async def _drain(self) -> None:
        """Read what follows [DONE], the end of the body: only then can the connection be used again."""
        if self._chunks is not None:
            with contextlib.suppress(TimeoutError, httpx.HTTPError):
                async with asyncio.timeout(DRAIN_S):
                    async for _ in self._chunks:
                        pass

    async def _open(self) -> None:
        """Send the request and read the status. Raises Setback."""
        client = self._client
        info = await client.known_server()
        row = DIALECTS[info.dialect]
        if row.refusal is not None:
            raise Setback(InferenceError(f"{client.url}: {row.refusal}"))
        self._response = response = await self._send(info, row)
        if response.status_code != 200:
            message = await _refusal_message(response)
            raise refusal(client.url, response, message, info, had_key="authorization" in client.http.headers)
        kind = response.headers.get("content-type", "").casefold()
        if "html" in kind:
            page = f"{client.url} answered with a web page: it is no inference server. Check ORPHEUS_API_URL."
            raise Setback(InferenceError(page))
        self._chunks = _as_event(response) if "application/json" in kind else response.aiter_bytes()

    async def _send(self, info: ServerInfo, row: Dialect) -> httpx.Response:
        """Send the request and wait for the status. Raises Setback where there is none."""
        client = self._client
        connected = False

        async def note(event: str, _: object) -> None:
            nonlocal connected
            connected = connected or event.startswith("connection.connect")

        request = client.http.build_request(
            "POST",
            client.url,
            json=body(row, info.model, prompt(self._speech, client.prompt_form, row), self._sampling),
            headers={"accept": "text/event-stream", "connection": "keep-alive" if row.keep_alive else "close"},
            extensions={"trace": note},
        )
        try:
            return await client.http.send(request, stream=True)
        except httpx.HTTPError as exc:
            raise not_sent(client.url, exc, reused=not connected) from exc

    async def _hang_up(self) -> None:
        response, self._response, self._chunks = self._response, None, None
        if response is not None:
            await response.aclose()


async def _as_event(response: httpx.Response) -> AsyncIterator[bytes]:
    """The answer of a server (or of a proxy before it) that does not stream: one document, as if it were one event."""
    log.warning("The inference server does not stream its answers: the first sound waits for the last token")
    document = await _read(response, _MAX_DOCUMENT_BYTES)
    # Between the parts of a JSON document a line break is white space, and inside its strings there can be none.
    yield b"data: " + document.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n\n"


async def _refusal_message(response: httpx.Response) -> str:
    """What a refusal says, "" where it says nothing for people."""
    try:
        content = await _read(response, _MAX_REFUSAL_BYTES)
    except httpx.HTTPError:
        return ""
    try:
        return error_message(json.loads(content))
    except (ValueError, RecursionError):
        text = content.decode("utf-8", "replace")
        return "" if "<" in text[:200] else error_message(text)


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The body, at most about `limit` bytes of it."""
    read = bytearray()
    async for piece in response.aiter_bytes():
        read += piece
        if len(read) >= limit:
            break
    return bytes(read)


def _authorization(api_key: str | None) -> dict[str, str]:
    """The header with the key. Raises SettingsError for a key that no header can hold."""
    key = (api_key or "").strip().removeprefix("Bearer ").strip()
    if not key:
        return {}
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise SettingsError("ORPHEUS_API_KEY holds a space, a line break or a letter that no HTTP header can hold.")
    return {"authorization": f"Bearer {key}"}
