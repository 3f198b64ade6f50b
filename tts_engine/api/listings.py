"""What there is: models and voices, in the one shape that fits nearly every client.

`name` equals `id`, because several clients send `name` back as the voice; `label` and `value` are for SillyTavern.
"""

from typing import Any

from fastapi import APIRouter, Request

from tts_engine.api.speech import engine_of
from tts_engine.engine import Engine
from tts_engine.errors import NotFoundError
from tts_engine.voices import Voice

router = APIRouter(tags=["listings"])

MODEL_NAMES = ("orpheus", "tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Ours, and the names that clients are set to by default; each is the same model."""
_CREATED = 1742342400
"""19 March 2025, when Orpheus-3B came out."""


def _voice(voice: Voice) -> dict[str, str]:
    return {
        "id": voice.name,
        "name": voice.name,
        "object": "audio.voice",
        "label": voice.name,
        "value": voice.name,
        "language": voice.language,
        "gender": voice.gender,
        "description": voice.description,
    }


def _models(engine: Engine) -> list[dict[str, Any]]:
    voices = [{"name": voice.name, "language": voice.language} for voice in engine.voices.voices]
    names = dict.fromkeys((*MODEL_NAMES, engine.settings.model_name))
    return [
        {"id": name, "object": "model", "created": _CREATED, "owned_by": "canopylabs", "voices": voices}
        for name in names
    ]


@router.api_route("/v1/models", methods=["GET", "HEAD"], operation_id="list_models")
@router.api_route("/models", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/v1/audio/models", methods=["GET", "HEAD"], operation_id="list_audio_models")
@router.api_route("/audio/models", methods=["GET", "HEAD"], include_in_schema=False)
async def list_models(request: Request) -> dict[str, Any]:
    """All model names this server answers to; each speaks with the one Orpheus model behind it."""
    models = _models(engine_of(request))
    return {"object": "list", "data": models, "models": models}


@router.api_route("/v1/models/{model:path}", methods=["GET", "HEAD"], operation_id="get_model")
@router.api_route("/models/{model:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def get_model(model: str, request: Request) -> dict[str, Any]:
    """One model by its name."""
    for known in _models(engine_of(request)):
        if known["id"] == model:
            return known
    raise NotFoundError(f"The model {model!r} does not exist.", param="model", code="model_not_found")


@router.api_route("/v1/audio/voices", methods=["GET", "HEAD"], operation_id="list_voices")
@router.api_route("/v1/audio/voices/{model:path}", methods=["GET", "HEAD"], operation_id="list_model_voices")
@router.api_route("/audio/voices", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/v1/voices", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/voices", methods=["GET", "HEAD"], include_in_schema=False)
async def list_voices(request: Request, legacy: bool = False) -> dict[str, Any]:
    """All voices; with ?legacy=true plain names."""
    voices = engine_of(request).voices.voices
    if legacy:
        return {"voices": [voice.name for voice in voices]}
    shapes = [_voice(voice) for voice in voices]
    return {"object": "list", "voices": shapes, "data": shapes}
