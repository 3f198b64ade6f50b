"""The two marks a text may carry: `[pause:1.5s]` and `[voice:leo]`. Anything else in brackets is text. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tts_engine.errors import RequestError

MAX_PAUSE_S = 10.0
"""Longest silence between two pieces of speech; more is a typing error, or an attack that costs twelve characters."""

MARK = re.compile(r"\[\s{0,8}(pause|voice)\s{0,8}:\s{0,8}([^\[\]\n\r]{1,64})\]", re.IGNORECASE)
MARK_CHARS = 1 + 8 + 5 + 8 + 1 + 8 + 64 + 1
"""No mark is longer."""

_DURATION = re.compile(r"(\d{1,7}(?:[.,]\d{1,7})?)\s?(ms|s|sec|seconds?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence that the text asks for."""

    seconds: float
    """0 to 10."""


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """From here on another voice speaks."""

    voice: str
    """As it is written; the caller's known_voice accepted it."""


def read_mark(match: re.Match[str], known_voice: Callable[[str], bool]) -> Pause | VoiceChange | None:
    """What a match of MARK means, None where it is text after all. Raises RequestError
    for an unknown voice and for a silence longer than 10 s."""
    value = match[2].strip()
    if match[1].lower() == "voice":
        return _voice_change(value, known_voice)
    duration = _DURATION.fullmatch(value)
    if duration is None:
        return None
    unit_s = 0.001 if (duration[2] or "").lower() == "ms" else 1.0
    return Pause(add_pauses(0.0, float(duration[1].replace(",", ".")) * unit_s))


def add_pauses(first_s: float, second_s: float) -> float:
    """Their sum, seconds. Raises RequestError where that is longer than MAX_PAUSE_S."""
    total_s = first_s + second_s
    if total_s > MAX_PAUSE_S:
        raise RequestError(
            f"A pause of {total_s:g} s is too long: write at most {MAX_PAUSE_S:g} s between two pieces of speech.",
            param="input",
            code="invalid_value",
        )
    return total_s


def _voice_change(name: str, known_voice: Callable[[str], bool]) -> VoiceChange | None:
    if not name:
        return None
    if not known_voice(name):
        raise RequestError(
            f"Unknown voice {name!r} in [voice:{name}]. Write a voice that this server lists at /v1/audio/voices.",
            param="input",
            code="invalid_value",
        )
    return VoiceChange(name)
