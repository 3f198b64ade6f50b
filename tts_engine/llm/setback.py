"""Why a completion did not begin or broke off: the error that callers see, and whether trying again is worth it."""

import math
import random
from dataclasses import dataclass

import httpx

from tts_engine.errors import InferenceError, InferenceTimeout, InferenceUnavailable
from tts_engine.llm.answer import BadAnswer
from tts_engine.llm.probe import ServerInfo, nothing_there, refused_key

DELAYS_S = (0.25, 0.5, 1.0, 2.0)
"""Waits before the second and later tries, each made up to a fifth longer or shorter by chance."""

LONGEST_DELAY_S = 5.0
"""Where the server asks for a longer pause than this, the caller is told so instead."""

BUSY_RETRIES, FAULT_RETRIES, REUSED_RETRIES = 4, 2, 3


@dataclass(slots=True)
class Setback(Exception):
    """One try failed."""

    error: InferenceError
    """What the caller sees if there is no other try."""
    retries: int = 0
    """How many tries in all may follow a first one that failed like this."""
    pause_s: float | None = None
    """The pause that the server asks for (Retry-After)."""
    at_once: bool = False
    """The server never saw the request: no pause is needed."""
    doubt: bool = True
    """What is known of the server may be wrong."""


class Retries:
    """Counts the tries of one completion."""

    def __init__(self) -> None:
        self._made = 0

    def delay_s(self, setback: Setback) -> float | None:
        """Seconds to wait before the next try, or None where there is none."""
        if self._made >= setback.retries or (setback.pause_s or 0.0) > LONGEST_DELAY_S:
            return None
        self._made += 1
        if setback.at_once:
            return 0.0
        delay_s = DELAYS_S[min(self._made, len(DELAYS_S)) - 1] * random.uniform(0.8, 1.2)
        return max(delay_s, setback.pause_s or 0.0)


def not_sent(url: str, exc: httpx.HTTPError, *, reused: bool) -> Setback:
    """There is no answer: no connection, or it broke. reused: it was an old connection, which the server may have
    closed a moment before (llama.cpp and LM Studio do, after every stream)."""
    if isinstance(exc, httpx.ConnectTimeout):
        return Setback(InferenceTimeout(nothing_there(url, exc)))
    if isinstance(exc, httpx.ConnectError | httpx.ProxyError | httpx.UnsupportedProtocol):
        return Setback(InferenceError(nothing_there(url, exc)))
    setback = broken(url, exc)
    if reused:
        setback.retries, setback.at_once, setback.doubt = REUSED_RETRIES, True, False
    return setback


def broken(url: str, exc: httpx.HTTPError) -> Setback:
    """The connection broke, or what came over it was no HTTP."""
    why = str(exc) or type(exc).__name__
    message = f"The inference server at {url} broke off the connection ({why}): see its log, and try again."
    return Setback(InferenceError(message), FAULT_RETRIES)


def bad_answer(url: str, fault: BadAnswer) -> Setback:
    """The answer began, and holds an error or makes no sense."""
    if fault.status in (429, 503):
        return Setback(InferenceUnavailable(_said(url, str(fault))), BUSY_RETRIES, doubt=False)
    return Setback(InferenceError(_said(url, str(fault))), FAULT_RETRIES if fault.status >= 500 else 0, doubt=False)


def refusal(url: str, response: httpx.Response, message: str, info: ServerInfo, *, had_key: bool) -> Setback:
    """The answer has another status than 200. message: what the server says in its body, "" for nothing."""
    status = response.status_code
    why = message or response.reason_phrase or "no reason given"
    if status in (401, 403):
        return Setback(InferenceError(refused_key(url, had_key)))
    if status in (429, 503):
        return _busy(url, why, response.headers.get("retry-after", ""))
    if status >= 500:
        return Setback(InferenceError(_said(url, f"{status}: {why}")), FAULT_RETRIES, doubt=False)
    if status == 404:
        listed = f" It lists: {', '.join(info.models[:20])}." if info.models else ""
        hint = f"Check ORPHEUS_API_URL, and ORPHEUS_MODEL_NAME ({info.model!r}).{listed}"
        return Setback(InferenceError(f"{_said(url, f'404: {why}')} {hint}"))
    if 300 <= status < 400:
        target = response.headers.get("location", "elsewhere")[:200]
        return Setback(
            InferenceError(f"{url} redirects to {target}: set ORPHEUS_API_URL to the address that it names.")
        )
    return Setback(InferenceError(_said(url, f"{status}: {why}")))


def _busy(url: str, why: str, retry_after: str) -> Setback:
    error = InferenceUnavailable(_said(url, why))
    pause_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
    if pause_s is not None:
        error.retry_after_s = max(1, min(math.ceil(pause_s), 3600))
    return Setback(error, BUSY_RETRIES, pause_s, doubt=False)


def _said(url: str, why: str) -> str:
    return f"The inference server at {url} failed: {why.rstrip('. ')}."
