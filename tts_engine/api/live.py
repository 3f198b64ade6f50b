"""WebSocket /v1/audio/speech/stream: text in, piece by piece, audio out as soon as a sentence is complete.

Messages as vLLM-Omni has them for the same endpoint, and `cancel` for barge-in; docs/api.md lists them all. One turn is
the text up to `input.done`; a connection has as many turns as it likes, one after the other.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from tts_engine.api.errors import error_body
from tts_engine.api.middleware import KEY_PROTOCOL
from tts_engine.api.schemas import LiveConfig, SpeechBody
from tts_engine.api.segment_times import segment_begun, segment_times, usage
from tts_engine.api.speaking import Job, settle, speak
from tts_engine.engine import Engine
from tts_engine.errors import OrpheusError, RequestError
from tts_engine.synthesis import Report
from tts_engine.text.cleaning import clean
from tts_engine.text.live import LiveSegments
from tts_engine.text.segments import Segment, SegmentStream

logger = logging.getLogger(__name__)
router = APIRouter()

LOCAL_PAGES = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Origins that may always call: pages of this machine."""
SETTLE_S = 0.15
"""Silence of the writer behind a full stop that ends the sentence. A language model's tokens come closer together."""
MESSAGES = 64
"""Messages read ahead; beyond them the client is slowed."""
REFUSED = 1008
"""WebSocket's code for "policy violation"."""


@router.websocket("/v1/audio/speech/stream")
async def speech_stream(socket: WebSocket) -> None:
    """One conversation."""
    engine: Engine = socket.app.state.engine
    if not _may_call(socket, engine):
        await socket.close(REFUSED, "Pages of this host may not call; see ORPHEUS_CORS_ORIGINS.")
        return
    offered: list[str] = socket.scope.get("subprotocols", [])
    await socket.accept(next((name for name in offered if not name.startswith(KEY_PROTOCOL)), None))
    conversation = Conversation(socket, engine)
    reading = asyncio.create_task(conversation.read())
    try:
        await conversation.run()
    except WebSocketDisconnect:
        logger.debug("The client left.")
    finally:
        reading.cancel()
        await asyncio.wait([reading])
        await conversation.stop()


def _may_call(socket: WebSocket, engine: Engine) -> bool:
    origin = socket.headers.get("origin")
    allowed = engine.settings.cors_origins
    if origin is None or "*" in allowed or origin in allowed or LOCAL_PAGES.fullmatch(origin):
        return True
    return origin.partition("://")[2] == socket.headers.get("host")


class Turn:
    """One text being written and spoken."""

    def __init__(self, engine: Engine, job: Job, *, cleaned: bool) -> None:
        self.job = job
        self.chars = 0
        self.report = Report()
        self.ended = False
        self._engine = engine
        self._cleaned = cleaned
        voices = engine.voices
        language, limit = job.voice.language, engine.settings.segment_chars
        self.text = LiveSegments(
            lambda: SegmentStream(language=language, max_chars=limit, known_voice=voices.knows), language
        )
        self._segments: asyncio.Queue[Segment | None] = asyncio.Queue()
        self.job = replace(job, speech=replace(job.speech, segments=self._each()))

    def put(self, segments: list[Segment]) -> None:
        for segment in segments:
            self._segments.put_nowait(segment)

    def end(self) -> None:
        self.put(self.text.flush())
        self.ended = True
        self._segments.put_nowait(None)

    async def _each(self) -> AsyncGenerator[Segment]:
        while (segment := await self._segments.get()) is not None:
            voice = None if segment.voice is None else self._engine.voices.find(segment.voice).name
            text = clean(segment.text, segment.language) if self._cleaned else segment.text
            if text or segment.pause_after_s is not None:
                yield replace(segment, voice=voice, text=text)


class Conversation:
    """What one client says and hears."""

    def __init__(self, socket: WebSocket, engine: Engine) -> None:
        self._socket = socket
        self._engine = engine
        self._config = LiveConfig()
        self._messages: asyncio.Queue[str | None] = asyncio.Queue(MESSAGES)
        self._turn: Turn | None = None
        self._speaking: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """Read messages until the client leaves."""
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                await self._messages.put(message.get("text") or "")
        finally:
            # The line may be full of what nobody will read any more.
            while self._messages.full():
                self._messages.get_nowait()
            self._messages.put_nowait(None)

    async def run(self) -> None:
        """Answer messages until the client leaves."""
        while (message := await self._next()) is not None:
            try:
                await self._answer(_parse(message))
            except OrpheusError as exc:
                await self._say_error(exc)

    async def stop(self) -> None:
        """Stop speaking; the inference server is left when this returns."""
        speaking, self._speaking, self._turn = self._speaking, None, None
        if speaking is not None:
            speaking.cancel()
            await asyncio.wait([speaking])

    async def _next(self) -> str | None:
        """The next message; while it does not come, what has been written is let go."""
        if self._turn is not None and self._turn.text.waits:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    return await self._messages.get()
            self._turn.put(self._turn.text.settle())
        return await self._messages.get()

    async def _answer(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "session.config":
            config = _config(message)
            settle(_body(config), self._engine)  # refuses bad values now, and keeps the settings before them
            self._config = config
            await self._say("session.configured")
        elif kind == "input.text":
            await self._write(message.get("text"))
        elif kind == "input.done":
            await self._end_turn()
        elif kind in ("cancel", "input.cancel", "session.cancel"):
            await self.stop()
            await self._say("session.cancelled")
        else:
            raise RequestError(
                f"Unknown message type {str(kind)[:40]!r}: use session.config, input.text, input.done or cancel.",
                param="type",
            )

    async def _write(self, text: object) -> None:
        if not isinstance(text, str):
            raise RequestError("input.text needs a text.", param="text")
        if self._turn is not None and self._turn.ended:
            raise RequestError("The text of this turn has ended: wait for session.done, or cancel.", param="type")
        turn = self._turn or self._start_turn()
        turn.chars += len(text)
        limit = self._engine.settings.max_input_chars
        if turn.chars > limit:
            raise RequestError(
                f"More than {limit} characters in one turn.", param="text", code="string_above_max_length"
            )
        turn.put(turn.text.feed(text.encode(errors="ignore").decode()))

    async def _end_turn(self) -> None:
        if self._turn is None:
            await self._say("session.done", total_sentences=0, usage=usage(Report()), segments=[])
        else:
            self._turn.end()

    def _start_turn(self) -> Turn:
        turn = Turn(self._engine, settle(_body(self._config), self._engine), cleaned=self._config.clean is not False)
        self._turn = turn
        self._speaking = asyncio.create_task(self._speak(turn))
        return turn

    async def _speak(self, turn: Turn) -> None:
        job, report, told = turn.job, turn.report, 0
        try:
            source_rate = (await self._engine.synthesizer()).sample_rate
            async with contextlib.aclosing(speak(job, self._engine, report)) as audio:
                async for piece in audio:
                    while told < len(report.begun):
                        if told:
                            await self._say("audio.done", sentence_index=told - 1)
                        begun = segment_begun(job, report, told, source_rate)
                        await self._say(
                            "audio.start",
                            sentence_index=told,
                            sentence_text=begun["text"],
                            format=job.format,
                            sample_rate=job.sample_rate,
                            start_s=begun["start_s"],
                        )
                        told += 1
                    await self._socket.send_bytes(piece)
            if told:
                await self._say("audio.done", sentence_index=told - 1)
            times = segment_times(job, report, source_rate)
            await self._say("session.done", total_sentences=told, usage=usage(report), segments=times)
        except OrpheusError as exc:
            await self._say_error(exc)
        if self._turn is turn:
            self._turn = self._speaking = None

    async def _say(self, kind: str, **fields: Any) -> None:
        await self._socket.send_text(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    async def _say_error(self, exc: OrpheusError) -> None:
        await self._say("error", **error_body(exc.message, error_type=exc.type, param=exc.param, code=exc.code))


def _body(config: LiveConfig) -> SpeechBody:
    return SpeechBody(input="", **config.model_dump())


def _parse(message: str) -> dict[str, Any]:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError) as exc:
        raise RequestError("The message is not valid JSON.", code="invalid_json") from exc
    if not isinstance(value, dict):
        raise RequestError("The message must be a JSON object with a type.", param="type")
    return value


def _config(message: dict[str, Any]) -> LiveConfig:
    """vLLM-Omni has the fields at the top; a nested "session" is taken too."""
    fields = message.get("session") if isinstance(message.get("session"), dict) else message
    try:
        return LiveConfig.model_validate(fields)
    except ValidationError as exc:
        first = exc.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else None
        raise RequestError(f"Invalid value for {name!r}: {first['msg']}.", param=name, code="invalid_value") from exc
