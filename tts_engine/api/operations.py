"""For those who keep this running: is it alive, and what does it see."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from tts_engine.api.speech import engine_of

router = APIRouter(tags=["operations"])


@router.api_route("/health", methods=["GET", "HEAD"], response_class=PlainTextResponse)
async def health() -> PlainTextResponse:
    """The process serves. The body is exactly OK: clients tell servers apart by it. What is missing: GET /status."""
    return PlainTextResponse("OK")


@router.api_route("/metrics", methods=["GET", "HEAD"], response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(engine_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.api_route("/status", methods=["GET", "HEAD"])
async def status(request: Request) -> dict[str, Any]:
    """The inference server, the codec, the hardware, the plan, the queue, and what stands in the way of speech."""
    engine = engine_of(request)
    server = await engine.client.server() if engine.client is not None else None
    decoder = engine.batcher.decoder if engine.batcher is not None else None
    problems = await engine.problems()
    return {
        "ready": not problems,
        "problems": problems,
        "inference_server": asdict(server) if server is not None else None,
        "codec": {
            "ready": decoder is not None,
            "model": engine.settings.snac_model,
            "decoder": decoder.name if decoder is not None else None,
            "device": decoder.device if decoder is not None else engine.plan.device,
            "sample_rate": decoder.sample_rate if decoder is not None else None,
        },
        "hardware": asdict(engine.hardware),
        "plan": asdict(engine.plan),
        "queue": {
            "speaking": engine.admission.speaking,
            "speaking_limit": engine.admission.limit,
            "waiting": engine.admission.waiting,
            "waiting_limit": engine.admission.waiting_limit,
        },
    }
