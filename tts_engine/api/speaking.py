"""From a checked body to audio bytes: what every speech endpoint shares."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from tts_engine.api.middleware import request_id
from tts_engine.api.schemas import SpeechBody, VoiceSettings
from tts_engine.audio.encoders import carried_rate, check
from tts_engine.audio.pipeline import AudioPipeline
from tts_engine.config import Settings
from tts_engine.engine import Engine
from tts_engine.errors import OrpheusError, RequestError
from tts_engine.llm.dialects import Sampling
from tts_engine.synthesis import Report, SpeechRequest
from tts_engine.text.cleaning import clean
from tts_engine.text.languages import language_of
from tts_engine.text.segments import Segment, segments
from tts_engine.voices import Voice

logger = logging.getLogger(__name__)

LONG_INPUT_CHARS = 10_000
"""From here on a text is cleaned and cut in a thread: 10,000 characters take about 5 ms."""


@dataclass(frozen=True, slots=True)
class Job:
    """A speech request, resolved against the settings."""

    speech: SpeechRequest
    voice: Voice
    format: str
    speed: float
    sample_rate: int


def resolve(body: SpeechBody, engine: Engine) -> Job:
    """Check what the schema cannot. Raises RequestError that names the field."""
    job = settle(body, engine)
    limit = engine.settings.max_input_chars
    if len(body.input) > limit:
        raise RequestError(
            f"Invalid 'input': {len(body.input)} characters, and this server takes {limit} (ORPHEUS_MAX_INPUT_CHARS).",
            param="input",
            code="string_above_max_length",
        )
    pieces = _segments(body, job.voice, engine)
    if not pieces:
        raise RequestError("Invalid 'input': there is nothing to say.", param="input", code="empty_input")
    return replace(job, speech=replace(job.speech, segments=pieces))


def settle(body: SpeechBody, engine: Engine) -> Job:
    """Everything but the text. Raises RequestError that names the field."""
    settings = engine.settings
    voice = voice_of(body, engine)
    sampling = sampling_of(body, settings)
    audio_format = body.response_format or "mp3"
    sample_rate = body.sample_rate or carried_rate(audio_format, settings.sample_rate)
    check(audio_format, sample_rate)
    return Job(
        speech=SpeechRequest((), voice.name, sampling, cached=body.cache),
        voice=voice,
        format=audio_format,
        speed=body.speed or 1.0,
        sample_rate=sample_rate,
    )


async def resolve_aside(body: SpeechBody, engine: Engine) -> Job:
    """resolve(), in a thread where the text is so long that others would wait for it."""
    if len(body.input) < LONG_INPUT_CHARS:
        return resolve(body, engine)
    return await asyncio.to_thread(resolve, body, engine)


def _segments(body: SpeechBody, voice: Voice, engine: Engine) -> list[Segment]:
    text = body.input.encode(errors="ignore").decode()  # half a surrogate pair is no character
    if body.clean is not False:
        text = clean(text, language_of(text, voice.language))
    pieces = segments(
        text,
        language=voice.language,
        max_chars=engine.settings.segment_chars,
        known_voice=engine.voices.knows,
    )
    return [replace(p, voice=engine.voices.find(p.voice).name) if p.voice is not None else p for p in pieces]


def voice_of(body: VoiceSettings, engine: Engine) -> Voice:
    """The voice asked for, or the default one. Raises RequestError."""
    named = body.voice if isinstance(body.voice, str) or body.voice is None else body.voice.id
    return engine.voices.find((named or "").strip() or engine.settings.default_voice)


def sampling_of(body: VoiceSettings, settings: Settings) -> Sampling:
    """How the tokens are drawn. Raises RequestError."""
    if body.max_tokens is not None and body.max_tokens > settings.max_tokens:
        raise RequestError(
            f"Invalid 'max_tokens': {body.max_tokens}, and this server allows {settings.max_tokens} (ORPHEUS_MAX_TOKENS).",
            param="max_tokens",
            code="integer_above_max_value",
        )
    return Sampling(
        temperature=settings.temperature if body.temperature is None else body.temperature,
        top_p=body.top_p or settings.top_p,
        max_tokens=body.max_tokens or settings.max_tokens,
        seed=None if body.seed == -1 else body.seed,
    )


async def speak(job: Job, engine: Engine, report: Report) -> AsyncGenerator[bytes]:
    """The audio in the format asked for, as it is made. Takes a place first; writes the request's log line at the end.

    Raises UnavailableError, InferenceError, CodecError.
    """
    outcome = "failed"
    synthesizer = await engine.synthesizer()
    pipeline = AudioPipeline(
        job.format, source_rate=synthesizer.sample_rate, sample_rate=job.sample_rate, speed=job.speed
    )
    try:
        async with engine.admission.place(), contextlib.aclosing(synthesizer.stream(job.speech, report)) as stream:
            async for pcm in stream:
                if encoded := pipeline.feed(pcm):
                    yield encoded
            if tail := pipeline.flush():
                yield tail
        outcome = "ok"
    except (asyncio.CancelledError, GeneratorExit):
        outcome = "cancelled"
        raise
    except OrpheusError as exc:
        outcome = type(exc).__name__
        raise
    finally:
        _note(job, engine, report, outcome, synthesizer.sample_rate)


def _note(job: Job, engine: Engine, report: Report, outcome: str, sample_rate: int) -> None:
    """The request's log line and its counts."""
    elapsed_s = time.monotonic() - report.started
    audio_s = report.samples / sample_rate
    engine.metrics.request_ended(
        outcome,
        first_audio_s=report.first_audio_s,
        elapsed_s=elapsed_s,
        audio_s=audio_s,
        tokens=report.tokens,
        dropped=report.dropped_tokens,
        truncated=report.truncated,
        asked_again=report.asked_again,
        problems=[fault for _, fault in report.problems],
    )
    logger.info(
        "%s %s voice=%s format=%s segments=%d first_audio_ms=%s audio_s=%.2f rtf=%.2f tokens=%d dropped=%d truncated=%d"
        " asked_again=%d problems=%s",
        request_id.get(),
        outcome,
        job.voice.name,
        job.format,
        len(report.segments),
        "-" if report.first_audio_s is None else round(report.first_audio_s * 1000),
        audio_s,
        elapsed_s / audio_s if audio_s else 0.0,
        report.tokens,
        report.dropped_tokens,
        report.truncated,
        report.asked_again,
        ",".join(f"{index}:{fault}" for index, fault in report.problems) or "-",
    )
