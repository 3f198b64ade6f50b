import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.texts import PROSE, hostile, languages, words_only
from tts_engine.errors import RequestError
from tts_engine.text.languages import speech_seconds
from tts_engine.text.segments import Segment, SegmentStream, segments


def known(name: str) -> bool:
    return name == "leo"


def texts(text: str, **options: int | str) -> list[str]:
    return [segment.text for segment in segments(text, **options)]  # type: ignore[arg-type]


def sentences(text: str, language: str | None = None) -> list[str]:
    """Every sentence, packed as little as the packer allows."""
    return texts(text, language=language or "en", max_chars=20, first_max_chars=1)


@given(hostile, languages)
def test_nothing_is_lost_doubled_or_changed(text: str, language: str | None) -> None:
    found = segments(text, language=language)
    assert words_only("".join(s.text for s in found)) == words_only(text)
    for segment in found:
        assert words_only(text[segment.start : segment.end]) == words_only(segment.text)
        assert " ".join(segment.text.split()) == segment.text != ""


@given(hostile, languages, st.integers(20, 200), st.integers(1, 100))
def test_nothing_is_lost_and_no_segment_is_too_long_with_limits_in_characters(
    text: str, language: str | None, max_chars: int, first_max_chars: int
) -> None:
    found = texts(text, language=language or "en", max_chars=max_chars, first_max_chars=first_max_chars)
    assert words_only("".join(found)) == words_only(text)
    assert max(map(len, found), default=0) <= max_chars


@given(hostile, languages)
def test_no_segment_speaks_longer_than_the_limit(text: str, language: str | None) -> None:
    for found in texts(text, language=language or "en"):
        assert speech_seconds(found, language or "en") <= 25.01
        assert len(found) <= 1000


marked = st.lists(st.one_of(hostile, st.sampled_from(["[pause:1s]", "[voice:leo]", "[pause:", "[voice"])), max_size=6)


@given(marked.map("".join), languages, st.data(), st.sampled_from([None, 40]))
def test_any_cutting_of_the_text_gives_the_same_segments(
    text: str, language: str | None, data: st.DataObject, max_chars: int | None
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    expected = _answer(lambda: segments(text, language=language, max_chars=max_chars, known_voice=known))
    assert _answer(lambda: _streamed(_parts(text, cuts), language, max_chars)) == expected
    assert _answer(lambda: _streamed(list(text), language, max_chars)) == expected


def _answer(make):  # type: ignore[no-untyped-def]
    try:
        return make()
    except RequestError as error:
        return error.message


def _parts(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *cuts, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def _streamed(parts: list[str], language: str | None, max_chars: int | None) -> list[Segment]:
    stream = SegmentStream(language=language, max_chars=max_chars, known_voice=known)
    return [segment for part in parts for segment in stream.feed(part)] + stream.flush()


@pytest.mark.parametrize("language", PROSE)
def test_prose_of_each_language_is_cut_at_sentence_ends(language: str) -> None:
    found = segments(PROSE[language] * 1 + "\n\n" + " ".join([PROSE[language]] * 12), language=language)
    assert {segment.language for segment in found} == {language}
    assert {segment.boundary for segment in found} <= {"sentence", "paragraph", "end"}
    assert all(10 < speech_seconds(segment.text, language) <= 25 for segment in found[3:-1])


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "en",
            "He met Dr. Smith at 5 p.m. sharp. Then he left.",
            ["He met Dr. Smith at 5 p.m. sharp.", "Then he left."],
        ),
        ("fr", "Il voit M. Dupont là. Il dort.", ["Il voit M. Dupont là.", "Il dort."]),
        ("de", "Es war am 3. Mai. Dann ging er.", ["Es war am 3. Mai.", "Dann ging er."]),
        ("hi", "यहाँ डॉ. शर्मा आए थे। वह अब सो गए हैं।", ["यहाँ डॉ. शर्मा आए थे।", "वह अब सो गए हैं।"]),
        ("ko", "저는 어제 서울에 갔어요. 날씨가 좋았어요!", ["저는 어제 서울에 갔어요.", "날씨가 좋았어요!"]),
        (
            "zh",
            "然后天下雨了，对吗？他走了，没有人知道他去了哪里。",
            ["然后天下雨了，对吗？", "他走了，没有人知道他去了哪里。"],
        ),
        ("en", "He was at the end.Next was nothing.", ["He was at the end.", "Next was nothing."]),
        ("en", "See www.Example.Com/a.B?c=D now.", ["See www.Example.Com/a.B?c=D now."]),
        ("en", "1. First thing. 2. Second.", ["1. First thing.", "2. Second."]),
    ],
)
def test_sentence_ends(language: str, text: str, expected: list[str]) -> None:
    assert texts(text, language=language, max_chars=40, first_max_chars=1) == expected


def test_a_short_text_is_one_segment() -> None:
    assert segments("Hello.") == [Segment("Hello.", None, "en", "end", None, 0, 6)]
    assert len(segments("Hello there. How are you?")) == 1
    assert len(segments("A single sentence stays whole, " + "for it is not that long, " * 8 + "is it?")) == 1
    assert texts(".") == ["."]
    assert segments("") == segments(" \n\t\u3000\n\n ") == []


def test_the_first_segment_is_short_and_later_ones_are_not() -> None:
    found = [speech_seconds(text, "en") for text in texts("This is a sentence of some forty characters. " * 60)]
    assert 2 <= found[0] <= 5
    assert all(16 <= seconds <= 25 for seconds in found[3:-1])


def test_a_bare_line_end_is_a_space_and_a_blank_line_ends_a_paragraph() -> None:
    text = "A line that was\nwrapped by an\r\neditor.\n \nAnother paragraph stands here."
    assert [(s.text, s.boundary) for s in segments(text)] == [
        ("A line that was wrapped by an editor.", "paragraph"),
        ("Another paragraph stands here.", "end"),
    ]


def test_a_heading_is_a_segment_with_a_full_stop_in_its_prompt() -> None:
    found = segments("Yes.\n\nChapter 1\n\nIt rained. It did.\n\n第一章\n\n下雨了，下得很大。")
    assert [s.prompt for s in found] == ["Yes.", "Chapter 1.", "It rained. It did.", "第一章。", "下雨了，下得很大。"]
    assert found[1].text == "Chapter 1"
    for text, prompt in [
        ("वह गया", "वह गया।"),
        ("안녕", "안녕."),
        ('Say "no"', 'Say "no".'),
        ("Ha <laugh>", "Ha <laugh>"),
        ("Hm,", "Hm,"),
    ]:
        assert [s.prompt for s in segments(text)] == [prompt]


def test_tiny_paragraphs_are_spoken_together() -> None:
    assert texts("Yes.\n\nNo.\n\nYes, I said.") == ["Yes. No. Yes, I said."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "one two three four; five six seven eight, nine ten",
            ["one two three four;", "five six seven eight,", "nine ten"],
        ),
        ("one two three four five six seven eight nine", ["one two three four five", "six seven eight nine"]),
        ("it costs 1,000,000 dollars or 3.141592 euros", ["it costs 1,000,000", "dollars or 3.141592", "euros"]),
        ("다섯 마디 말을 하고 나서도 또 <작은 웃음> 그리고", ["다섯 마디 말을 하고 나서도 또", "<작은 웃음> 그리고"]),
        ("x" * 50, ["x" * 24, "x" * 24, "xx"]),
        ("长长长长长长长长长长长长长，长长长长长长长长长长长长长长长", ["长长长长长长长长长长长长长，", "长" * 15]),
        ("a" + "e\u0301" * 20, ["a" + "e\u0301" * 11, "e\u0301" * 9]),
        ("👨‍👩‍👧‍👦" * 5, ["👨‍👩‍👧‍👦" * 3, "👨‍👩‍👧‍👦" * 2]),
        ("🇫🇷" * 20, ["🇫🇷" * 12, "🇫🇷" * 8]),
    ],
)
def test_a_long_sentence_is_cut_where_it_hurts_least(text: str, expected: list[str]) -> None:
    assert texts(text, max_chars=24) == expected


def test_marks_change_the_voice_and_add_silence() -> None:
    found = segments(
        "[pause:1s]Hi [laugh] [voice:leo]I am Leo. [pause:500ms][pause:1]\n\nBye[pause:2s]", known_voice=known
    )
    assert [(s.text, s.voice, s.boundary, s.pause_after_s) for s in found] == [
        ("", None, "clause", 1.0),
        ("Hi [laugh]", None, "clause", None),
        ("I am Leo.", "leo", "paragraph", 1.5),
        ("Bye", "leo", "end", 2.0),
    ]
    assert texts("Hi [voice:nobody] [pause:1s]") == ["Hi [voice:nobody] [pause:1s]"]


@pytest.mark.parametrize("text", ["a [voice:nobody] b", "a [pause:11s] b"])
def test_a_bad_mark_is_the_callers_fault(text: str) -> None:
    with pytest.raises(RequestError):
        segments(text, known_voice=known)


@pytest.mark.parametrize(("max_chars", "first"), [(19, None), (1001, None), (100, 0)])
def test_limits_outside_the_range_are_refused(max_chars: int, first: int | None) -> None:
    with pytest.raises(RequestError):
        segments("a", max_chars=max_chars, first_max_chars=first)


def test_a_segment_leaves_as_soon_as_the_word_after_it_is_there() -> None:
    stream = SegmentStream()
    first = "A sentence that is long enough to be spoken on its own."
    assert stream.feed(first) == []
    assert stream.feed(" Next") == []
    assert [s.text for s in stream.feed(" ")] == [first]
    assert [s.text for s in stream.flush()] == ["Next"]
    paragraph = SegmentStream()
    assert [s.text for s in paragraph.feed(first + "\n\nN")] == [first]


BOOK = ("It was a good day for Dr. Smith, who had nothing to say. He left at 5 p.m., didn't he? " * 4 + "\n\n") * 900
HOSTILE = [
    "a",
    "“",
    "[",
    "<",
    ".",
    ". ",
    "a.b.",
    "长",
    "\u0301",
    "👨‍",
    "9",
    "x" + " " * 199,
    "[pause:",
    '."',
    "<a ",
    "\n",
]


@pytest.mark.parametrize("unit", ["", *HOSTILE])
def test_time_is_linear(unit: str) -> None:
    text = (unit * 50_000)[:50_000] if unit else BOOK[:150_000]
    once, four_times = _seconds(text), _seconds(text * 4)
    assert four_times < 9 * once + 0.1  # linear: 4, quadratic: 16


def test_time_is_linear_in_a_text_that_comes_character_by_character() -> None:
    once, four_times = (min(_streaming_seconds(BOOK[:chars]) for _ in range(2)) for chars in (5_000, 20_000))
    assert four_times < 9 * once + 0.1


def _streaming_seconds(text: str) -> float:
    begin = time.process_time()
    _streamed(list(text), None, None)
    return time.process_time() - begin


def _seconds(text: str) -> float:
    begin = time.process_time()
    segments(text, known_voice=known)
    return time.process_time() - begin
