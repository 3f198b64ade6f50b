"""Which server this is, and what it serves: a few short GETs, never a completion. Never raises.

Every kind of server names itself in its list of models (`owned_by`): llama.cpp tools/server, vllm and sglang
entrypoints/openai/protocol.py, tensorrt_llm/serve/openai_protocol.py, gpustack routes/openai.py; LM Studio says
"organization_owner". Ollama gives the namespace of the model there, so it is asked for its version.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import httpx

from tts_engine.llm.dialects import DIALECTS
from tts_engine.llm.urls import models_url, root_url

PROBE_S = 2.0
"""Longest wait for the answers to one round of questions; there are two rounds at most."""

_MAX_BYTES = 4 << 20
_OWNERS: Mapping[str, str] = MappingProxyType(
    {
        "llamacpp": "llama.cpp",
        "organization_owner": "lmstudio",
        "gpustack": "gpustack",
        "vllm": "vllm",
        "tensorrt_llm": "trtllm",
        "sglang": "sglang",
    }
)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What is known of the inference server."""

    reachable: bool
    """It answered, whatever it said."""
    dialect: str
    """A name in DIALECTS."""
    model: str
    """The model that requests will name."""
    models: tuple[str, ...] = ()
    """What it lists; empty where it does not tell."""
    n_ctx: int | None = None
    """Tokens of prompt and speech together, for one request."""
    slots: int | None = None
    """Requests that it speaks at once, where it says so."""
    problem: str | None = None
    """In plain words what is wrong and what to do; None where nothing is known to be wrong."""
    settled: bool = True
    """False: it could not be asked properly now, so it is worth asking again soon."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    document: object
    """The JSON of the body; None where it holds none."""
    server: str
    """The Server header."""


async def probe(http: httpx.AsyncClient, url: str, dialect: str, model: str) -> ServerInfo:
    """Ask the server behind the completions URL. dialect: a name in DIALECTS that overrules the finding, or "auto"."""
    unknown = ServerInfo(True, "openai" if dialect == "auto" else dialect, model)
    try:
        async with asyncio.timeout(PROBE_S):
            answer = await _get(http, models_url(url))
    except TimeoutError:
        return replace(
            unknown,
            reachable=False,
            settled=False,
            problem=f"{models_url(url)} does not answer within {PROBE_S:g} s: the inference server is busy, loading, "
            "or not at this address (ORPHEUS_API_URL).",
        )
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return replace(unknown, reachable=False, settled=False, problem=nothing_there(url, exc))
    if answer.server.startswith("llama.cpp") and dialect == "auto":
        unknown = replace(unknown, dialect="llama.cpp")
    if answer.status in (401, 403):
        return replace(unknown, settled=False, problem=refused_key(url, "authorization" in http.headers))
    if answer.status in (429, 503):
        return replace(unknown, settled=False, problem=f"{url} is not ready: it is loading its model or has no room.")
    return await _look_closer(http, url, dialect, unknown, answer)


def nothing_there(url: str, exc: Exception) -> str:
    why = str(exc) or type(exc).__name__
    return f"Nothing answers at {url} ({why}): start the inference server, or correct ORPHEUS_API_URL."


def refused_key(url: str, had_key: bool) -> str:
    if had_key:
        return f"The inference server at {url} refused ORPHEUS_API_KEY: set it to a key that the server accepts."
    return f"The inference server at {url} wants a key: set ORPHEUS_API_KEY."


def choose_model(wanted: str, models: tuple[str, ...]) -> str | None:
    """The model to name in requests: the wanted one, or the only one that can be meant. None where that is open."""
    if not models or wanted in models:
        return wanted
    speakers = [name for name in models if not name.startswith("text-embedding")]
    if len(speakers) == 1:
        return speakers[0]
    orpheus = [name for name in speakers if "orpheus" in name.casefold()]
    return orpheus[0] if len(orpheus) == 1 else None


async def _look_closer(
    http: httpx.AsyncClient, url: str, dialect: str, unknown: ServerInfo, answer: _Answer
) -> ServerInfo:
    rows = _rows(answer.document)
    found = dialect if dialect != "auto" else _dialect_of(rows) or unknown.dialect
    props: object = None
    if found == "llama.cpp":
        props, *_ = await _documents(http, root_url(url, "/props"))
    elif found == "openai" and dialect == "auto":
        props, version, other = await _documents(
            http, root_url(url, "/props"), root_url(url, "/api/version"), root_url(url, "/v1-openai/models")
        )
        if isinstance(props, dict) and "default_generation_settings" in props:
            found = "llama.cpp"
        elif isinstance(version, dict) and isinstance(version.get("version"), str) and not _is_kobold(rows):
            found = "ollama"
        elif not rows and _dialect_of(_rows(other)) == "gpustack":
            # GPUStack before 0.7 kept /v1/models for itself and listed what it serves here.
            found, rows = "gpustack", _rows(other)
    return _describe(url, found, unknown.model, rows, props)


def _describe(url: str, dialect: str, wanted: str, rows: list[dict[str, object]], props: object) -> ServerInfo:
    row = DIALECTS[dialect]
    models = tuple(str(item["id"]) for item in rows)
    model: str | None = wanted if row.one_model and len(models) <= 1 else choose_model(wanted, models)
    problem = row.refusal
    if problem is None and model is None:
        listed = ", ".join(models[:20])
        problem = f"{url} has no model named {wanted!r}; it lists: {listed}. Set ORPHEUS_MODEL_NAME to one of them."
    elif problem is None and not rows:
        problem = f"{models_url(url)} lists no models. If speech fails too, check ORPHEUS_API_URL and load the model."
    n_ctx, slots = _llama_sizes(props)
    return ServerInfo(True, dialect, model or wanted, models, n_ctx or _listed_n_ctx(rows), slots, problem)


async def _documents(http: httpx.AsyncClient, *urls: str) -> list[object]:
    """The JSON of each URL, None for each that has none in time."""
    return list(await asyncio.gather(*(_document(http, url) for url in urls)))


async def _document(http: httpx.AsyncClient, url: str) -> object:
    try:
        async with asyncio.timeout(PROBE_S):
            answer = await _get(http, url)
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL):
        return None
    return answer.document if answer.status == 200 else None


async def _get(http: httpx.AsyncClient, url: str) -> _Answer:
    # httpcore forgets to close a socket whose TLS handshake is cancelled, so that has a limit of its own, below ours.
    limits = httpx.Timeout(None, connect=PROBE_S / 2)
    async with http.stream("GET", url, headers={"connection": "close"}, timeout=limits) as response:
        read = bytearray()
        async for piece in response.aiter_bytes():
            read += piece
            if len(read) > _MAX_BYTES:
                break
        return _Answer(response.status_code, _parse(bytes(read)), response.headers.get("server", ""))


def _parse(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _rows(document: object) -> list[dict[str, object]]:
    """The models of OpenAI's list document."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        return []
    return [item for item in data if isinstance(item, dict) and isinstance(item.get("id"), str)]


def _dialect_of(rows: list[dict[str, object]]) -> str | None:
    return next((_OWNERS[str(row.get("owned_by"))] for row in rows if str(row.get("owned_by")) in _OWNERS), None)


def _is_kobold(rows: list[dict[str, object]]) -> bool:
    """KoboldCpp answers Ollama's questions too."""
    return any(row.get("owned_by") == "koboldcpp" for row in rows)


def _llama_sizes(props: object) -> tuple[int | None, int | None]:
    """Context of a slot and number of slots, from llama.cpp's /props."""
    if not isinstance(props, dict):
        return None, None
    defaults = props.get("default_generation_settings")
    return _whole(defaults.get("n_ctx") if isinstance(defaults, dict) else None), _whole(props.get("total_slots"))


def _listed_n_ctx(rows: list[dict[str, object]]) -> int | None:
    for row in rows:
        meta = row.get("meta")
        size = _whole(row.get("max_model_len")) or _whole(meta.get("n_ctx") if isinstance(meta, dict) else None)
        if size is not None:
            return size
    return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
