"""ORPHEUS_API_URL in any form that people write it, the addresses of the inference server out. Pure."""

import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit, urlunsplit

from tts_engine.errors import SettingsError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VERSION = re.compile(r"/v1(-openai)?\Z")
_LEAVES = ("/chat/completions", "/completions", "/completion", "/models", "/responses", "/embeddings")
_LOOPBACK = re.compile(r"localhost|.*\.localhost|127(\.[0-9]+){3}|::1|0\.0\.0\.0", re.IGNORECASE)


def completions_url(url: str) -> str:
    """The full URL of the completions endpoint. Raises SettingsError where `url` names no server.

    Takes a bare host with or without a port and scheme, a base that ends in /v1 or /v1-openai, the full URL, a
    sub-path of a reverse proxy, and the address of a neighbouring endpoint (/v1/chat/completions, /v1/models).
    """
    parts = _split(url.strip())
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    for leaf in _LEAVES:
        base = path.removesuffix(leaf)
        if base != path and (leaf == "/completions" or _VERSION.search(base) or not base):
            known = base if base or leaf == "/completions" else "/v1"
            return urlunsplit((parts.scheme, parts.netloc, f"{known}/completions", parts.query, ""))
    version = "" if _VERSION.search(path) else "/v1"
    return urlunsplit((parts.scheme, parts.netloc, f"{path}{version}/completions", parts.query, ""))


def models_url(completions: str) -> str:
    """Where the same server lists its models."""
    return _with_path(completions, lambda path: path.removesuffix("/completions") + "/models")


def root_url(completions: str, path: str) -> str:
    """`path` (such as /props) beside the server's /v1."""
    return _with_path(completions, lambda own: _VERSION.sub("", own.removesuffix("/completions")) + path)


def is_loopback(url: str) -> bool:
    """Whether the server is on this machine, where no proxy can be meant."""
    return _LOOPBACK.fullmatch(urlsplit(url).hostname or "") is not None


def _split(url: str) -> SplitResult:
    if not _SCHEME.match(url):
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # what the resolver will do with it
    except ValueError as exc:
        raise _no_server(url) from exc
    if parts.scheme not in ("http", "https") or not host or port == 0 or re.search(r"[\s\\<>\"]", url):
        raise _no_server(url)
    if parts.username is not None or parts.password is not None:
        raise SettingsError(
            "ORPHEUS_API_URL holds a user name or a password: put the key into ORPHEUS_API_KEY instead."
        )
    if not re.fullmatch(r"[\w.:%-]+", host):
        raise _no_server(url)
    return parts


def _no_server(url: str) -> SettingsError:
    return SettingsError(
        f"ORPHEUS_API_URL={url!r} is no address of a server: write it like http://127.0.0.1:8080 or "
        "http://127.0.0.1:1234/v1/completions."
    )


def _with_path(url: str, change: Callable[[str], str]) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, change(parts.path), parts.query, ""))
