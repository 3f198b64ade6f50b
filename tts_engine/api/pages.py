"""The page, and the first Orpheus-FastAPI's endpoints: POST /speak answers JSON that names a file, /web/ is a form."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.templating import Jinja2Templates

from tts_engine.api.audio_response import AudioResponse
from tts_engine.api.outputs import Outputs
from tts_engine.api.schemas import SpeakBody, SpeechBody
from tts_engine.api.speaking import resolve_aside, speak
from tts_engine.api.speech import engine_of
from tts_engine.config import ROOT
from tts_engine.errors import OrpheusError
from tts_engine.synthesis import Report
from tts_engine.voices import EMOTION_TAGS, LANGUAGES

router = APIRouter(tags=["pages"])
templates = Jinja2Templates(ROOT / "templates")

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _page(request: Request, status: int = 200, **result: Any) -> HTMLResponse:
    engine = engine_of(request)
    context = {
        "languages": LANGUAGES,
        "voices": engine.voices.voices,
        "default_voice": engine.voices.find(engine.settings.default_voice).name,
        "emotion_tags": dict(EMOTION_TAGS),
        "root_path": request.scope.get("root_path", ""),
        "text": "",
        "output_file": None,
        "error": None,
        **result,
    }
    return templates.TemplateResponse(request, "index.html", context, status_code=status, headers=PAGE_HEADERS)


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/web/", methods=["GET", "HEAD"], include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """The page."""
    return _page(request)


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
