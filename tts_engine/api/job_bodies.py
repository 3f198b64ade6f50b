"""What clients may send to /v1/audio/jobs: JSON, or a form with a file in it."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile

from tts_engine.api.schemas import SpeechBody
from tts_engine.api.speaking import sampling_of, voice_of
from tts_engine.audio.encoders import carried_rate, check
from tts_engine.engine import Engine
from tts_engine.errors import RequestError
from tts_engine.jobs.book import read_book, read_plain
from tts_engine.jobs.planning import plan
from tts_engine.jobs.records import JobSettings, NewJob

JobFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "m4b"]


class JobBody(SpeechBody):
    """Body of POST /v1/audio/jobs: as of a speech request, and what a book needs."""

    input: str = Field("", description="The text; or send a form with a `file` instead: .txt, .md or .epub.")
    response_format: JobFormat | None = Field(  # type: ignore[assignment]
        None, description="mp3 (default), opus, aac, flac, wav, pcm, or m4b: an audiobook with chapters."
    )
    language: str | None = Field(
        None, pattern="^[A-Za-z]{2}$", description="Of text in Latin letters, such as de; that of the voice by default."
    )
    title: str | None = Field(None, max_length=200, description="By default the one that the file has.")


class RegenerateBody(BaseModel):
    """Body of POST .../regenerate; may be left out."""

    seed: int | None = Field(None, ge=-1, le=2**32 - 2, description="-1 or none: a new one.")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file out of a form."""

    name: str
    data: bytes


def request_body_schema() -> dict[str, Any]:
    """How the two forms of the body are described in the OpenAPI document."""
    schema = JobBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    fields = schema["properties"]
    form = {"file": {"type": "string", "format": "binary"}, **{k: v for k, v in fields.items() if k != "voice"}}
    form["voice"] = {"type": "string"}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "multipart/form-data": {"schema": {"type": "object", "properties": form}},
            },
        }
    }


async def read_body(request: Request) -> tuple[JobBody, Upload | None]:
    """Raises RequestValidationError, RequestError, HTTPException as of any other body."""
    upload = None
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=40, max_part_size=16 << 20) as form:
            fields: object = {name: value for name, value in form.items() if isinstance(value, str) and value != ""}
            file = form.get("file")
            if isinstance(file, UploadFile):
                upload = Upload(file.filename or "", await file.read())
    else:
        try:
            fields = json.loads(await request.body())
        except (ValueError, RecursionError) as exc:
            raise RequestError("The body is not valid JSON.", code="invalid_json") from exc
    try:
        body = JobBody.model_validate(fields)
    except ValidationError as exc:
        raise RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in exc.errors()]) from exc
    if upload is None and not body.input:
        raise RequestError("Send the text as 'input' or a file as 'file'.", param="input", code="empty_input")
    return body, upload


def planned(body: JobBody, upload: Upload | None, engine: Engine) -> NewJob:
    """The job, ready to be handed in. Blocking: a long book takes seconds. Raises RequestError."""
    settings, voice_language = _settings(body, engine)
    book = read_plain(body.input) if upload is None else read_book(upload.name, upload.data)
    return plan(
        book,
        settings,
        engine.voices,
        language=(body.language or book.language or voice_language).lower(),
        clean=body.clean is not False,
        title=body.title or "",
        max_chars=engine.settings.segment_chars,
    )


def _settings(body: JobBody, engine: Engine) -> tuple[JobSettings, str]:
    """How it is spoken, and the language of the voice."""
    voice = voice_of(body, engine)
    job_format = body.response_format or "mp3"
    codec = "aac" if job_format == "m4b" else job_format
    sample_rate = body.sample_rate or carried_rate(codec, engine.settings.sample_rate)
    check(codec, sample_rate)
    sampling = sampling_of(body, engine.settings)
    cached = sampling.seed is not None if body.cache is None else body.cache
    return JobSettings(voice.name, sampling, job_format, body.speed or 1.0, sample_rate, cached), voice.language
