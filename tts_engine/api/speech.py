"""POST /v1/audio/speech, as OpenAI has it: audio bytes, server-sent events, or JSON with the time of every segment."""

import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tts_engine.api.audio_response import AudioResponse
from tts_engine.api.errors import error_body
from tts_engine.api.schemas import SpeechBody
from tts_engine.api.segment_times import segment_begun, segment_times, usage
from tts_engine.api.speaking import Job, resolve_aside, speak
from tts_engine.audio.encoders import FORMATS, WAV_HEADER_BYTES, wav_header
from tts_engine.engine import Engine
from tts_engine.errors import OrpheusError
from tts_engine.synthesis import Report

router = APIRouter()


def engine_of(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


_SPEECH_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The audio, as it is made.",
        "content": {kind.media_type: {"schema": {"type": "string", "format": "binary"}} for kind in FORMATS.values()}
        | {"text/event-stream": {"schema": {"type": "string"}}, "application/json": {"schema": {"type": "object"}}},
    }
}


@router.post("/v1/audio/speech", response_class=Response, responses=_SPEECH_CONTENT, tags=["speech"])
@router.post("/audio/speech", response_class=Response, include_in_schema=False)
async def create_speech(body: SpeechBody, request: Request) -> Response:
    """Speak a text. Audio is sent while the model is still talking."""
    engine = engine_of(request)
    job = await resolve_aside(body, engine)
    if body.stream_format == "sse":
        return AudioResponse(_events(job, engine, every_segment=bool(body.timestamps)), "text/event-stream")
    if body.timestamps:
        return AudioResponse(_with_times(job, engine), "application/json")
    return AudioResponse(speak(job, engine, Report()), FORMATS[job.format].media_type)


def _event(kind: str, **fields: Any) -> bytes:
    return b"data: " + json.dumps({"type": kind, **fields}, ensure_ascii=False).encode() + b"\n\n"


async def _events(job: Job, engine: Engine, *, every_segment: bool) -> AsyncGenerator[bytes]:
    """OpenAI's events; between them, if asked for, one for each segment that begins to be heard."""
    report, told, begun = Report(), 0, False
    source_rate = (await engine.synthesizer()).sample_rate
    try:
        async for piece in speak(job, engine, report):
            while every_segment and told < len(report.begun):
                yield _event("speech.audio.segment", **segment_begun(job, report, told, source_rate))
                told += 1
            begun = True
            yield _event("speech.audio.delta", audio=base64.b64encode(piece).decode())
    except OrpheusError as exc:
        if begun:
            yield b"data: " + json.dumps({"type": "error", **_error(exc)}).encode() + b"\n\n"
        raise
    yield _event("speech.audio.done", usage=usage(report), segments=segment_times(job, report, source_rate))


def _error(exc: OrpheusError) -> dict[str, Any]:
    return error_body(exc.message, error_type=exc.type, param=exc.param, code=exc.code)


async def _with_times(job: Job, engine: Engine) -> AsyncGenerator[bytes]:
    """One JSON object: the audio in base64, and when each segment is heard."""
    report = Report()
    source_rate = (await engine.synthesizer()).sample_rate
    audio = b"".join([piece async for piece in speak(job, engine, report)])
    if job.format == "wav":
        audio = wav_header(job.sample_rate, len(audio) - WAV_HEADER_BYTES) + audio[WAV_HEADER_BYTES:]
    result = {
        "audio": base64.b64encode(audio).decode(),
        "format": job.format,
        "sample_rate": job.sample_rate,
        "duration_s": round(report.samples / source_rate / job.speed, 3),
        "segments": segment_times(job, report, source_rate),
        "usage": usage(report),
    }
    yield json.dumps(result, ensure_ascii=False).encode()
