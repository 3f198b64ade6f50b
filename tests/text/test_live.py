"""A text that is still being written: what is complete leaves when the writer stops for a moment."""

import pytest

from tts_engine.text.live import LiveSegments
from tts_engine.text.segments import SegmentStream


def live(language: str = "en") -> LiveSegments:
    return LiveSegments(lambda: SegmentStream(language=language), language)


@pytest.mark.parametrize(
    ("text", "language"),
    [("Hello there. ", "en"), ("Really?", "en"), ("你好。", "zh"), ("नमस्ते।", "hi"), ("Stop!\u201d", "en")],
)
def test_whole_sentence_is_let_go_when_nothing_comes(text: str, language: str) -> None:
    writing = live(language)
    assert writing.feed(text) == []
    assert writing.waits
    (segment,) = writing.settle()
    assert (segment.text, segment.boundary) == (text.strip(), "sentence")
    assert writing.flush() == []


@pytest.mark.parametrize("text", ["Ask Dr.", "Hello", "At 3.", "Well,", ""])
def test_what_may_go_on_is_kept(text: str) -> None:
    writing = live()
    assert writing.feed(text) == []
    assert writing.settle() == []
    assert [segment.text for segment in writing.flush()] == ([text] if text else [])


def test_offsets_go_on_across_sentences() -> None:
    writing = live()
    text = "One is here. Two is there."
    first = writing.feed(text[:13]) + writing.settle()
    second = writing.feed(text[13:]) + writing.flush()
    assert [text[s.start : s.end] for s in first + second] == ["One is here.", "Two is there."]
