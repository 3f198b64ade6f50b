"""Marks: what is one, what it means, and what is text after all."""

import pytest

from tts_engine.errors import RequestError
from tts_engine.text.markup import MARK, Pause, VoiceChange, add_pauses, read_mark


def known(name: str) -> bool:
    return name in {"leo", "유나"}


def marks(text: str) -> list[Pause | VoiceChange]:
    return [mark for match in MARK.finditer(text) if (mark := read_mark(match, known)) is not None]


def test_voices_and_pauses_are_marks() -> None:
    assert marks("Hi. [pause:1.5s] [voice:leo]I am Leo.[Voice: 유나 ] 안녕") == [
        Pause(1.5),
        VoiceChange("leo"),
        VoiceChange("유나"),
    ]


@pytest.mark.parametrize(
    ("mark", "seconds"),
    [
        ("[pause:500ms]", 0.5),
        ("[pause:1.5]", 1.5),
        ("[Pause: 2 S]", 2),
        ("[pause:1,5s]", 1.5),
        ("[pause:0]", 0),
        ("[pause:10s]", 10),
    ],
)
def test_a_pause_is_written_in_seconds_or_milliseconds(mark: str, seconds: float) -> None:
    assert marks(f"a{mark}b") == [Pause(pytest.approx(seconds))]


@pytest.mark.parametrize(
    "text",
    [
        "[laugh]",
        "[1]",
        "[pause]",
        "[pause:]",
        "[pause:soon]",
        "[pause:-1s]",
        "[pause:1e1s]",
        "[voice:]",
        "[voice: ]",
        "[voice:leo",
        "voice:leo]",
        "[stop:1s]",
        "a [[ b",
    ],
)
def test_anything_else_in_brackets_is_text(text: str) -> None:
    assert marks(text) == []


@pytest.mark.parametrize("text", ["[pause:10.5s]", "[pause:99999ms]"])
def test_too_long_a_silence_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="at most 10 s"):
        marks(text)


def test_pauses_in_a_row_are_refused_together() -> None:
    assert add_pauses(1.0, 0.5) == 1.5
    with pytest.raises(RequestError, match="at most 10 s"):
        add_pauses(6.0, 6.0)


def test_an_unknown_voice_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="'nobody'"):
        marks("a [voice:nobody] b")
