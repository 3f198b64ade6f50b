"""What every request passes, as plain ASGI.

Never Starlette's BaseHTTPMiddleware: it turns a failure in the middle of a stream into a clean end of the body, and the
client would take the cut audio for whole (seen with starlette 1.10).
"""

import hmac
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tts_engine.api.errors import error_response
from tts_engine.errors import AuthenticationError, OrpheusError, TooLargeError

logger = logging.getLogger(__name__)

UNFORESEEN = "Something went wrong here. The server's log tells more; please report it."

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request being served, for log lines."""

KEY_PROTOCOL = "openai-insecure-api-key."
"""OpenAI's way to give a key to a WebSocket from a page: a subprotocol that ends in it."""

_SANE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RequestId:
    """Give every request an id, the client's own if it is sane, and every response `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        this_id = given if _SANE_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        token = request_id.set(this_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message)["x-request-id"] = this_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            request_id.reset(token)


class AccessKey:
    """Ask for one of the access keys, as a bearer token, where any are set.

    open_paths: exact paths that never need one. Preflights carry no key and pass.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str], open_paths: "PathRule") -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not self._keys or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        if self._is_key(_given_key(scope)):
            await self._app(scope, receive, send)
            return
        error = AuthenticationError(
            "Missing or wrong access key: send it as 'Authorization: Bearer KEY'. "
            "The one who runs this server has it in ORPHEUS_ACCESS_KEY.",
            code="invalid_api_key",
        )
        response = error_response(error)
        response.headers["WWW-Authenticate"] = "Bearer"
        await response(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        return scope.get("method") == "OPTIONS" or self._open(scope.get("method", ""), _path(scope))

    def _is_key(self, given: str) -> bool:
        # Every key is compared, in constant time, so that timing tells neither which nor how much of one was right.
        matches = [hmac.compare_digest(given.encode(), key) for key in self._keys]
        return any(matches)


def _given_key(scope: Scope) -> str:
    """The key of a request; of a WebSocket that a page opens, which has no header for it, from the subprotocols."""
    kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return key.strip()
    offered: list[str] = scope.get("subprotocols", [])
    return next((name.removeprefix(KEY_PROTOCOL) for name in offered if name.startswith(KEY_PROTOCOL)), "")


class Unforeseen:
    """Answer what nobody foresaw with 500, innermost, so that the answer passes all the others on its way out.

    Starlette's own handler for it stands outside of all middleware: its answer has no id and no page may read it.
    After the first byte the connection is broken instead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_some(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_some)
        except Exception as exc:
            if begun:
                raise
            logger.error("%s %s", scope["method"], scope["path"], exc_info=exc)
            await error_response(OrpheusError(UNFORESEEN, code="internal_error"))(scope, receive, send)


class BodyLimit:
    """Refuse bodies that are too large with 413: by their declared length at once, else as soon as they exceed it.

    The frameworks' own limit answers plain text, which OpenAI's clients cannot read.
    larger: path prefix -> bytes, where more than `limit` bytes may come.
    """

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] = MappingProxyType({})) -> None:
        self._app = app
        self._limit = limit
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next((size for prefix, size in self._larger.items() if _path(scope).startswith(prefix)), self._limit)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await error_response(_too_large(limit))(scope, receive, send)
            return
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                # FastAPI passes on this class alone from within a body that it reads.
                raise HTTPException(413, _too_large(limit).message)
            return message

        await self._app(scope, receive_some, send)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body has more than the {limit} bytes that this server reads.", code="request_too_large")


class PathRule:
    """Which requests need no access key: (method, path) -> bool."""

    def __init__(self, paths: Sequence[str], prefixes: Sequence[str]) -> None:
        self._paths = frozenset(paths)
        self._prefixes = tuple(prefixes)

    def __call__(self, method: str, path: str) -> bool:
        return method in ("GET", "HEAD") and (path in self._paths or path.startswith(self._prefixes))


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path
