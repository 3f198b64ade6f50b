import pytest
from hypothesis import given

from tests.text.texts import hostile, words_only
from tts_engine.errors import RequestError
from tts_engine.text.markup import Passage, passages


def known(name: str) -> bool:
    return name in {"leo", "유나"}


def test_voices_and_pauses_part_the_text() -> None:
    assert passages("Hi. [pause:1.5s] [voice:leo]I am Leo.[voice:유나] 안녕", known) == [
        Passage("Hi. ", None, 0.0, 0),
        Passage("I am Leo.", "leo", 1.5, 28),
        Passage(" 안녕", "유나", 0.0, 47),
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
        ("[pause:1s] [pause:500ms]", 1.5),
    ],
)
def test_a_pause_is_written_in_seconds_or_milliseconds(mark: str, seconds: float) -> None:
    assert [p.pause_before_s for p in passages(f"a{mark}b", known)] == [0.0, pytest.approx(seconds)]


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
    assert passages(text, known) == [Passage(text, None, 0.0, 0)]


@pytest.mark.parametrize("text", ["[pause:10.5s]", "[pause:99999ms]", "[pause:6s] [pause:6s] a"])
def test_too_long_a_silence_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="at most 10 s"):
        passages(text, known)


def test_an_unknown_voice_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="'nobody'"):
        passages("a [voice:nobody] b", known)


def test_silence_after_the_last_word_is_kept_and_empty_text_is_nothing() -> None:
    assert passages("a[pause:1s] ", known)[1:] == [Passage("", None, 1.0, 11)]
    assert passages(" \n", known) == []
    assert passages("[voice:leo] ", known) == []


@given(hostile)
def test_text_without_marks_comes_back_as_it_is(text: str) -> None:
    assert words_only("".join(p.text for p in passages(text, known))) == words_only(text)
