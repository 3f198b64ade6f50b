"""The settings panel: every setting with its help; those that are safe at run time can be changed.

A change is checked as the start would check it, written to `.env` in one step, and applies to the next request.
Who may: whoever gave an access key; without keys, only a program or a page of this server on this very machine.
Secrets never leave: of them is told only whether they are set.
"""

import asyncio
import ipaddress
import json
import logging
import os
import re
import tempfile
import threading
import types
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, Lt
from dotenv.parser import parse_stream
from fastapi import APIRouter, Body, Depends, Request
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tts_engine.api.speech import engine_of
from tts_engine.config import PREFIX, Settings, env_file, load_settings
from tts_engine.errors import ConflictError, ForbiddenError, RequestError, SettingsError

router = APIRouter(tags=["operations"])
logger = logging.getLogger(__name__)

AT_RUN_TIME = (
    "api_url",
    "api_timeout",
    "api_dialect",
    "model_name",
    "prompt_form",
    "max_tokens",
    "temperature",
    "top_p",
    "extra_voices",
    "voice_aliases",
    "default_voice",
    "sample_rate",
    "segment_chars",
    "max_waiting",
    "log_level",
)
"""Settings that Engine.apply can change; the others are built into what the start made."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_PLAIN_VALUE = re.compile(r"[\w./:,@%+=-]*")
_WRITING = threading.Lock()


@router.get("/settings", include_in_schema=False)
async def list_settings(request: Request) -> dict[str, Any]:
    """Every setting: its value (of secrets only whether there is one), default, limits, help, and whether it can be changed."""
    settings = engine_of(request).settings
    why_not = _why_not(request)
    return {
        "file": env_file().name,
        "may_change": why_not is None,
        "why_not": why_not,
        "settings": [_row(name, field, settings) for name, field in Settings.model_fields.items()],
    }


def _allowed(request: Request) -> None:
    """A dependency, because it has to come before the body is looked at."""
    why_not = _why_not(request)
    if why_not is not None:
        raise ForbiddenError(why_not, code="forbidden")


@router.post("/settings", dependencies=[Depends(_allowed)], include_in_schema=False)
async def change_settings(
    request: Request, values: Annotated[dict[str, str], Body(embed=True, description="Name -> value as in `.env`")]
) -> dict[str, Any]:
    """Change settings now and in `.env`; an empty value goes back to the default. All of them or none."""
    for name in values:
        _check_name(name)
    if values:
        engine = engine_of(request)
        checked = await asyncio.to_thread(_write, env_file(), values)
        engine.apply(engine.settings.model_copy(update={name: getattr(checked, name) for name in values}))
        logger.info("Settings changed on the page: %s", ", ".join(PREFIX + name.upper() for name in values))
    return await list_settings(request)


def _check_name(name: str) -> None:
    if name not in Settings.model_fields:
        raise RequestError(f"There is no setting {name[:80]!r}.", param=name[:80], code="unknown_setting")
    if name not in AT_RUN_TIME:
        raise ConflictError(
            f"{PREFIX}{name.upper()} cannot change while the server runs: change it in {env_file().name} and restart.",
            param=name,
            code="needs_restart",
        )
    if _from_environment(name):
        raise ConflictError(
            f"{PREFIX}{name.upper()} is set in the environment, which goes before {env_file().name}: change it there.",
            param=name,
            code="set_in_environment",
        )


# Who may


def _why_not(request: Request) -> str | None:
    """Why this request may not change settings; None where it may.

    With access keys, AccessKey has seen the key, which no page of another site can send. Without, the connection has to
    come from this machine, name this machine (against DNS rebinding), not through a proxy, and not from another site.
    """
    headers = request.headers
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "Settings can only be changed from this server's own page."
    if request.method == "POST" and not headers.get("content-type", "").lower().startswith("application/json"):
        return "Settings are sent as Content-Type: application/json."
    if engine_of(request).settings.access_key:
        return None
    host = headers.get("host", "")
    if not _is_this_machine(request) or (urlsplit(f"//{host}").hostname or "") not in LOCAL_NAMES:
        return (
            "Without an access key, settings can only be changed on the machine that runs the server, at "
            "http://localhost. Set ORPHEUS_ACCESS_KEY to change them from elsewhere."
        )
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "Settings can only be changed from this server's own page."
    return None


def _is_this_machine(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in PROXY_HEADERS):
        return False
    try:
        return ipaddress.ip_address(request.client.host.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return False


# What is shown


def _row(name: str, field: FieldInfo, settings: Settings) -> dict[str, Any]:
    value, secret = getattr(settings, name), _is_secret(field.annotation)
    row: dict[str, Any] = {
        "name": name,
        "variable": PREFIX + name.upper(),
        "help": field.description,
        "default": "" if secret else _as_text(field.default),
        "value": None if secret else _as_text(value),
        "is_set": bool(value) if secret else value != field.default,
        "secret": secret,
        "at_run_time": name in AT_RUN_TIME,
        "from_environment": _from_environment(name),
        **_kind(field),
    }
    return row


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_is_secret(part) for part in get_args(annotation))


def _kind(field: FieldInfo) -> dict[str, Any]:
    """How to ask for it: kind is choice, switch, whole, number or text; with choices or limits."""
    kinds = [part for part in _parts(field.annotation) if part is not type(None)]
    first = kinds[0]
    if get_origin(first) is Literal:
        return {"kind": "choice", "choices": list(get_args(first))}
    if first is bool:
        return {"kind": "switch"}
    if first in (int, float):
        limits: dict[str, Any] = {"kind": "whole" if first is int else "number"}
        for limit in field.metadata:
            if isinstance(limit, Ge | Gt):
                limits["least"] = limit.ge if isinstance(limit, Ge) else limit.gt
            elif isinstance(limit, Le | Lt):
                limits["most"] = limit.le if isinstance(limit, Le) else limit.lt
        return limits
    return {"kind": "text"}


def _parts(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _as_text(value: object) -> str:
    """A value as it is written in `.env`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={other}" for key, other in value.items())
    return str(value)


def _from_environment(name: str) -> bool:
    variable = PREFIX + name.upper()
    return any(value for key, value in os.environ.items() if key.upper() == variable)


# What is written


def _write(file: Path, values: dict[str, str]) -> Settings:
    """Put the values into the file, in one step, if the start would accept the result. Returns the settings it holds.

    Raises RequestError for a bad value, ConflictError where the file cannot be written; the file is then as it was.
    """
    file = file.resolve()  # a link stays a link
    with _WRITING:
        try:
            old = file.read_bytes().decode() if file.exists() else ""
            new = edited(old, {PREFIX + name.upper(): value for name, value in values.items()})
            with tempfile.TemporaryDirectory(dir=file.parent, prefix=".env-") as folder:
                part = Path(folder) / file.name
                _write_through(part, new.encode(), file.stat().st_mode & 0o777 if file.exists() else 0o600)
                checked = _checked(part, values)
                part.replace(file)
        except (OSError, UnicodeDecodeError) as exc:
            raise ConflictError(f"{file.name} could not be changed ({exc}); nothing was changed.") from exc
    return checked


def _write_through(path: Path, data: bytes, mode: int) -> None:
    """Write a new file onto the disk, so that a power cut leaves the old or the new `.env`, never an empty one."""
    with path.open("xb") as file:
        path.chmod(mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _checked(part: Path, values: dict[str, str]) -> Settings:
    try:
        return load_settings(part)
    except SettingsError as exc:
        named = next((name for name in values if f"{PREFIX}{name.upper()}=" in exc.message), None)
        raise RequestError(exc.message, param=named, code="invalid_value") from exc


def edited(text: str, values: dict[str, str]) -> str:
    """The text of a `.env` with these variables set; every other byte, and comments after a value, stay as they are.

    Where a variable stands twice the last one counts, so that is the one that changes. Raises RequestError.
    """
    lines = [(binding.key, binding.original.string) for binding in parse_stream(StringIO(text, newline=""))]
    newline = "\r\n" if "\r\n" in text else "\n"
    for variable, value in values.items():
        places = [place for place, (key, _) in enumerate(lines) if key == variable]
        if places:
            lines[places[-1]] = (variable, _with_value(lines[places[-1]][1], quoted(value)))
            continue
        if lines and not lines[-1][1].endswith(("\n", "\r")):
            lines.append((None, newline))
        lines.append((variable, f"{variable}={quoted(value)}{newline}"))
    return "".join(line for _, line in lines)


_ASSIGNMENT = re.compile(
    r"""(?P<head>\s*(?:export[^\S\r\n]+)?[^\s=]+[^\S\r\n]*)=?[^\S\r\n]*(?:'(?:\\.|[^'])*'|"(?:\\.|[^"])*"|[^\r\n]*?)"""
    r"(?P<tail>(?:[^\S\r\n]+\#[^\r\n]*)?[^\S\r\n]*(?:\r\n|\n|\r)?)",
    re.DOTALL,
)


def _with_value(assignment: str, value: str) -> str:
    """One assignment as it stands in the file, quoted or not, with another value."""
    match = _ASSIGNMENT.fullmatch(assignment)
    if match is None:
        raise ConflictError(f"This line cannot be changed by the page: {assignment.split('=')[0].strip()}=…")
    return f"{match['head']}={value}{match['tail']}"


def quoted(value: str) -> str:
    """A value so written that `.env` gives it back. Raises RequestError for what cannot be written there."""
    value = value.strip()
    if any(ord(character) < 32 for character in value) or "${" in value or re.search(r"\s#|^#", value):
        raise RequestError("A setting is one line of text, without ' #' and '${'.", code="invalid_value")
    if _PLAIN_VALUE.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
