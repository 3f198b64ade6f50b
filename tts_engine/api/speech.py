"""POST /v1/audio/speech, as OpenAI has it."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tts_engine.api.audio_response import AudioResponse
from tts_engine.api.schemas import SpeechBody
from tts_engine.api.speaking import resolve, speak
from tts_engine.audio.encoders import FORMATS
from tts_engine.engine import Engine
from tts_engine.synthesis import Report

router = APIRouter()


def engine_of(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


@router.post("/v1/audio/speech", response_class=Response, tags=["speech"])
@router.post("/audio/speech", response_class=Response, include_in_schema=False)
async def create_speech(body: SpeechBody, request: Request) -> Response:
    """Speak a text. Audio is sent while the model is still talking."""
    engine = engine_of(request)
    job = resolve(body, engine)
    return AudioResponse(speak(job, engine, Report()), FORMATS[job.format].media_type)
