"""When each piece of text is heard -> SubRip (.srt) and WebVTT (.vtt) files. Pure: strings out, nothing is read."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caption:
    """One line of speech and when it is heard."""

    start_s: float
    """Seconds from the start of the audio, >= 0."""
    end_s: float
    """Seconds from the start of the audio, >= start_s."""
    text: str
    """What is said; line breaks are kept, empty lines are not: they would end the cue."""


def to_srt(captions: Iterable[Caption]) -> str:
    """Return a SubRip file. Captions without text are left out; the numbers run on from 1."""
    cues = _cues(captions)
    return "".join(
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{text.replace('-->', '->')}\n\n"
        for number, (cue, text) in enumerate(cues, start=1)
    )


def to_vtt(captions: Iterable[Caption]) -> str:
    """Return a WebVTT file (W3C WebVTT 1): `&`, `<` and `>` are escaped, so no text becomes a cue tag or an arrow."""
    body = "".join(
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{_escape(text)}\n\n" for cue, text in _cues(captions)
    )
    return f"WEBVTT\n\n{body}"


def _cues(captions: Iterable[Caption]) -> list[tuple[Caption, str]]:
    cues = [(caption, _lines(caption.text)) for caption in captions]
    return [(caption, text) for caption, text in cues if text]


def _lines(text: str) -> str:
    return "\n".join(line for raw in text.splitlines() if (line := raw.strip()))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
