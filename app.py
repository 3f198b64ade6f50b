"""The web server: `make run`, `python app.py`, or `uvicorn app:app`.

Importing this does nothing; the app is made when somebody asks for `app`.
"""

import contextlib
import functools
import logging
import sys
from collections.abc import AsyncGenerator
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from tts_engine.api import errors, jobs, listings, live, operations, pages, speech
from tts_engine.api.middleware import AccessKey, BodyLimit, PathRule, RequestId, Unforeseen
from tts_engine.api.outputs import Outputs
from tts_engine.config import ROOT, Settings, env_file, load_settings, unknown_settings
from tts_engine.engine import Engine
from tts_engine.errors import SettingsError
from tts_engine.jobs.runner import JobRunner

logger = logging.getLogger("tts_engine")

VERSION = "0.1.0"
LAST_WORDS_S = 10
"""What runs may take so long to end when the server is stopped; then it is cut off."""
OPEN_PATHS = ("/", "/health", "/web/", "/favicon.ico")
LISTINGS = ("/v1/models", "/models", "/v1/audio/models", "/audio/models", "/v1/voices", "/voices", "/audio/voices")
LISTING_PREFIXES = ("/v1/models/", "/models/", "/v1/audio/voices")


class PageFiles(StaticFiles):
    """The page's files: browsers ask each time whether they changed, so that an upgrade never mixes old and new."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_app(settings: Settings) -> FastAPI:
    """The whole web server for these settings. Its lifespan loads the codec and greets the inference server.

    Raises SettingsError.
    """
    engine = Engine(settings)
    outputs = Outputs()
    runner = JobRunner(engine)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await engine.start()
        await runner.start()
        try:
            yield
        finally:
            await runner.close()
            await engine.close()
            outputs.close()

    app = FastAPI(
        title="Orpheus-FastAPI",
        version=VERSION,
        description="Speech from an Orpheus-3B model behind OpenAI's speech API.",
        lifespan=lifespan,
        docs_url=None,  # the stock page asks other hosts for its scripts; /openapi.json is served
        redoc_url=None,
        redirect_slashes=False,
        root_path=settings.root_path,
    )
    app.state.engine = engine
    app.state.outputs = outputs
    app.state.jobs = runner
    errors.install(app)
    for room in (speech, live, jobs, listings, operations, pages):
        app.include_router(room.router)
    app.mount("/static", PageFiles(directory=ROOT / "static"), name="static")
    _add_middleware(app, settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last one added is the first one that a request passes."""
    listed = () if settings.protect_listings else LISTINGS
    listed_prefixes = () if settings.protect_listings else LISTING_PREFIXES
    rule = PathRule((*OPEN_PATHS, *listed), ("/static/", *listed_prefixes))
    app.add_middleware(Unforeseen)
    # A character takes at most 12 bytes of JSON (\\ud83d\\ude00); the other fields are small.
    app.add_middleware(
        BodyLimit,
        limit=settings.max_input_chars * 12 + 65536,
        larger={"/v1/audio/jobs": jobs.MAX_BODY_BYTES, "/page/encode": pages.MAX_PCM_BYTES},
    )
    app.add_middleware(AccessKey, keys=[key.get_secret_value() for key in settings.access_key], open_paths=rule)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_origin_regex=live.LOCAL_PAGES.pattern,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id"],
    )
    app.add_middleware(RequestId)


def _load_or_exit() -> Settings:
    try:
        settings = load_settings(env_file())
    except SettingsError as exc:
        sys.exit(f"Cannot start: {exc.message}")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("tts_engine").setLevel(settings.log_level)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every request at INFO
    for warning in unknown_settings(env_file()):
        logger.warning("%s", warning)
    return settings


@functools.cache
def _default_app() -> FastAPI:
    try:
        return create_app(_load_or_exit())
    except SettingsError as exc:
        sys.exit(f"Cannot start: {exc.message}")


def __getattr__(name: str) -> FastAPI:
    if name == "app":
        return _default_app()
    raise AttributeError(name)


def main() -> None:
    """Serve on ORPHEUS_HOST and ORPHEUS_PORT."""
    app = _default_app()
    settings: Settings = app.state.engine.settings
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        timeout_graceful_shutdown=LAST_WORDS_S,
    )


if __name__ == "__main__":
    main()
