"""The page and what only the page asks for; and the first Orpheus-FastAPI's endpoints: POST /speak answers JSON that
names a file, /web/ is a form."""

import asyncio
import contextlib
import functools
import json
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO, Annotated, Any

import numpy as np
from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from fastapi.templating import Jinja2Templates

from tts_engine.api import settings as settings_panel
from tts_engine.api.audio_response import AudioResponse
from tts_engine.api.outputs import Outputs
from tts_engine.api.schemas import AudioFormat, SpeakBody, SpeechBody
from tts_engine.api.speaking import resolve_aside, speak
from tts_engine.api.speech import engine_of
from tts_engine.audio.encoders import FORMATS, carried_rate
from tts_engine.audio.pipeline import CODEC_SAMPLE_RATE, AudioPipeline
from tts_engine.config import ROOT
from tts_engine.errors import OrpheusError, RequestError
from tts_engine.synthesis import Report
from tts_engine.text.languages import speech_seconds
from tts_engine.voices import EMOTION_TAGS, LANGUAGES

router = APIRouter(tags=["pages"])
router.include_router(settings_panel.router)
templates = Jinja2Templates(ROOT / "templates")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
"""The nonce is for the one style sheet that wavesurfer.js puts into its shadow root."""
PAGE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
KEPT_IN_MEMORY_BYTES = 8 << 20
"""An encoded file larger than this waits on disk."""
SENT_AT_ONCE_BYTES = 1 << 16
MAX_PCM_BYTES = 1 << 30
"""Six hours of speech; longer ones are jobs."""


@functools.cache
def _texts() -> dict[str, str]:
    """The interface's words, for the template and for the scripts. A translation is another such file."""
    texts: dict[str, str] = json.loads((ROOT / "static" / "text.en.json").read_text("utf-8"))
    return texts


@functools.cache
def _modules() -> list[str]:
    """The page's scripts, named in its head so that the browser asks for all of them at once."""
    static = ROOT / "static"
    found = [*(static / "js").glob("*.js"), *(static / "vendor" / "wavesurfer").glob("*.js")]
    return sorted(path.relative_to(static).as_posix() for path in found)


def _page(request: Request, status: int = 200, **result: Any) -> HTMLResponse:
    engine = engine_of(request)
    settings, nonce = engine.settings, secrets.token_urlsafe(16)
    context = {
        "t": _texts(),
        "modules": _modules(),
        "nonce": nonce,
        "languages": LANGUAGES,
        "voices": engine.voices.voices,
        "default_voice": engine.voices.find(settings.default_voice).name,
        "formats": list(FORMATS),
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_tokens,
        "data": {"emotion_tags": dict(EMOTION_TAGS), "max_input_chars": settings.max_input_chars},
        "root_path": request.scope.get("root_path", ""),
        "text": "",
        "output_file": None,
        "error": None,
        **result,
    }
    headers = {**PAGE_HEADERS, "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(nonce=nonce)}
    return templates.TemplateResponse(request, "index.html", context, status_code=status, headers=headers)


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/web/", methods=["GET", "HEAD"], include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """The page."""
    return _page(request)


@router.post("/page/plan", include_in_schema=False)
async def plan_speech(body: SpeechBody, request: Request) -> dict[str, Any]:
    """How this text would be spoken: its segments, as they will be announced, and the estimated seconds of each."""
    job = await resolve_aside(body, engine_of(request))
    pieces = job.speech.segments
    assert isinstance(pieces, Sequence)  # a whole text is cut at once
    planned = [
        {
            "text": segment.text,
            "boundary": segment.boundary,
            "seconds": round(speech_seconds(segment.text, segment.language) / job.speed, 2),
        }
        for segment in pieces
    ]
    return {"segments": planned, "seconds": round(sum(float(str(row["seconds"])) for row in planned), 2)}


@router.post("/page/encode", include_in_schema=False, max_body_size=MAX_PCM_BYTES)
async def encode_pcm(request: Request, to: Annotated[AudioFormat, Query()]) -> StreamingResponse:
    """The body, s16le mono PCM at 24 kHz, as a file of another format: the page keeps PCM and saves it as anything.

    Opus only exists at some rates and is resampled. The model has no part in it.
    """
    pipeline = AudioPipeline(to, sample_rate=carried_rate(to, CODEC_SAMPLE_RATE), source_rate=CODEC_SAMPLE_RATE)
    with contextlib.ExitStack() as unless_sent:
        file = unless_sent.enter_context(tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY_BYTES))
        half = b""
        async for piece in request.stream():
            data = half + piece
            whole = len(data) & ~1
            half = data[whole:]
            await asyncio.to_thread(_encode, pipeline, data[:whole], file)
        if half:
            raise RequestError("The PCM ends with half a sample: send s16le, two bytes a sample.")
        file.write(pipeline.flush())
        size = file.tell()
        file.seek(0)
        unless_sent.pop_all()
    return StreamingResponse(_read(file), media_type=FORMATS[to].media_type, headers={"Content-Length": str(size)})


def _encode(pipeline: AudioPipeline, pcm: bytes, file: IO[bytes]) -> None:
    file.write(pipeline.feed(np.frombuffer(pcm, "<i2")))


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(SENT_AT_ONCE_BYTES):
            yield piece


@router.post("/web/", include_in_schema=False)
async def speak_form(
    request: Request, text: Annotated[str, Form()], voice: Annotated[str, Form()] = ""
) -> HTMLResponse:
    """The page's form without a script: speaks the whole text, then shows the page with a player."""
    try:
        name, seconds = await _to_file(request, text, voice)
    except OrpheusError as exc:
        return _page(request, exc.status, text=text, error=exc.message)
    return _page(request, text=text, output_file=f"outputs/{name}", generation_time=seconds)


@router.post("/speak", response_model=None)
async def speak_to_file(body: SpeakBody, request: Request) -> Response | dict[str, Any]:
    """Speak a text into a WAV file and answer its path; a client that accepts audio gets the WAV itself."""
    engine = engine_of(request)
    speech = SpeechBody(input=body.text, voice=body.voice, response_format="wav")
    if "audio/" in request.headers.get("accept", ""):
        return AudioResponse(speak(await resolve_aside(speech, engine), engine, Report()), "audio/wav")
    name, seconds = await _to_file(request, body.text, body.voice)
    voice = (await resolve_aside(speech, engine)).voice.name
    return {"status": "ok", "voice": voice, "output_file": f"outputs/{name}", "generation_time": seconds}


@router.api_route("/outputs/{name}", methods=["GET", "HEAD"], response_class=FileResponse)
async def output(name: str, request: Request) -> FileResponse:
    """A file that POST /speak named."""
    return FileResponse(_outputs(request).path(name), media_type="audio/wav")


async def _to_file(request: Request, text: str, voice: str | None) -> tuple[str, float]:
    """Speak into a kept file. Returns its name and the seconds that it took."""
    began = time.monotonic()
    engine = engine_of(request)
    job = await resolve_aside(SpeechBody(input=text, voice=voice or None, response_format="pcm"), engine)
    name = await _outputs(request).write(job.sample_rate, speak(job, engine, Report()))
    return name, round(time.monotonic() - began, 2)


def _outputs(request: Request) -> Outputs:
    outputs: Outputs = request.app.state.outputs
    return outputs
