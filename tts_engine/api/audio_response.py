"""A response whose bytes are still being made: real status codes before the first byte, a cut connection after it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tts_engine.errors import OrpheusError

logger = logging.getLogger(__name__)

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nothing between here and the listener may keep the audio or wait for more of it."""


class StreamBroken(Exception):
    """Ends a response without its last chunk, so that the client sees that audio is missing."""


class AudioResponse(Response):
    """Stream what `audio` yields.

    The status line waits for the first bytes: a failure before them is raised and becomes an error response. A failure
    after them ends the connection without the end of the body, which every HTTP client reports. A client that leaves,
    also before the first byte, closes `audio` at once.
    """

    def __init__(self, audio: AsyncGenerator[bytes], media_type: str, headers: Mapping[str, str] | None = None) -> None:
        self.audio = audio
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.body = b""
        self.init_headers({**STREAM_HEADERS, **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_client_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})
        if sending.cancelled():
            logger.debug("The client left before the end.")
        else:
            with contextlib.suppress(StreamBroken, OSError):
                sending.result()

    async def _send(self, send: Send) -> None:
        async with contextlib.aclosing(self.audio):
            first = await anext(self.audio, b"")
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": first, "more_body": True})
            try:
                async for piece in self.audio:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except OrpheusError as exc:
                logger.warning("Cut off after the audio had begun: %s", exc.log_message)
                raise StreamBroken from exc
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
