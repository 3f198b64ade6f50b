import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.texts import PROSE, chunks, languages
from tts_engine.text.cleaning import clean

MARKS = [
    "*",
    "**",
    "_",
    "`",
    "```\n",
    "~~",
    "\\",
    "# ",
    "- ",
    "> ",
    "1. ",
    "|",
    "\n|",
    "|\n",
    "---\n",
    "![",
    "](",
    "&amp;",
]
MARKS += [
    "&",
    "<b>",
    "</b>",
    "<br>",
    "<https://",
    "https://",
    "www.",
    "@",
    "😀",
    "1️⃣",
    "\u200d",
    "\u202e",
    "\x00",
    "ﬁ",
    "’",
]
document = st.lists(st.one_of(chunks, st.sampled_from(MARKS)), max_size=40).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title #\n\nHello **bold** and *it*", "Title\n\nHello bold and it"),
        ("Title\n=====\nText", "Title\n\nText"),
        ("Look:\n- one\n- two\n  more", "Look:\n\none\n\ntwo\nmore"),
        ("1. a\n2. b", "1. a\n\n2. b"),
        ("he was born in\n45. Then", "he was born in\n45. Then"),
        ("| a | b |\n|---|:-:|\n| c | d | e |", "a, b\n\nc, d, e"),
        ("> quoted\n> text", "quoted\ntext"),
        ("```python\nx = f[i](y)\n```", "x = f[i](y)"),
        ("[a *b*](https://x.org/a_b 'T') ![alt](u.png)", "a b alt"),
        ("[](https://a.org)", "a dot org"),
        ("```\nleft\n```\n~~~~Dr.\n```code``` and", "left\n\nDr.\ncode and"),
        ("~~old~~ `code` \\*x\\* &amp;lt;", "old code x <"),
        ("2*3*4 snake_case C# 5 * 6 #tag @me 1 < 2 > 0", "2 * 3 * 4 snake_case C# 5 * 6 #tag @me 1 < 2 > 0"),
        ("<b>x</b> <laugh> <작은 웃음> <i love you>", "x <laugh> <작은 웃음> <i love you>"),
        ("[pause:1.5s] [voice:leo](whispers) [laugh]", "[pause:1.5s] [voice:leo] (whispers) [laugh]"),
    ],
)
def test_markdown_leaves_and_words_stay(text: str, expected: str) -> None:
    assert clean(text, "en") == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Hi 😀! Ok 👨‍👩‍👧 go 🇫🇷👍🏽.", "Hi! Ok go."),
        ("en", "1️⃣ Intel™ ★", "1 Intel ★"),
        ("en", "it’s “x” … ﬁne\u00a0A１\tb", 'it\'s "x" ... fine A1 b'),
        ("fr", "«\u00a0Oui\u202f!\u00a0» et « non »", '"Oui !" et " non "'),
        ("zh", "“你好”……ＡＢ", "“你好”……AB"),
        ("hi", "क्\u200dष क\u200c a\u200db", "क्\u200dष क ab"),
        ("en", "a\x00b\u202ec\u200bd\ufeff e\u0301\r\nf\u2028g\u2029h", "abcd \u00e9\nf\ng\n\nh"),
    ],
)
def test_what_cannot_be_said_leaves(language: str, text: str, expected: str) -> None:
    assert clean(text, language) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "en",
            "See https://www.example.org/a-b_c?d=1.",
            "See www dot example dot org slash a dash b underscore c d 1.",
        ),
        ("en", "(see http://b.org/x) or example.com!", "(see b dot org slash x) or example dot com!"),
        ("fr", "jean.b@exemple.fr", "jean point b arobase exemple point fr"),
        ("de", "http://a.de:80", "a Punkt de Doppelpunkt 80"),
        ("es", "a@b.es", "a arroba b punto es"),
        ("it", "a@b.it", "a chiocciola b punto it"),
        ("ko", "https://a.kr에서", "a 점 kr 에서"),
        ("hi", "www.a.in", "www डॉट a डॉट in"),
        ("zh", "访问https://example.cn/a查看", "访问example 点 cn 斜杠 a 查看"),
        ("pt", "a@b.pt", "a at b dot pt"),
        (
            "en",
            "3.14 e.g. this, file.md, Mr.Smith a@b 12:30 and/or",
            "3.14 e.g. this, file.md, Mr.Smith a@b 12:30 and/or",
        ),
    ],
)
def test_addresses_become_words_of_the_language(language: str, text: str, expected: str) -> None:
    assert clean(text, language) == expected


@given(document, languages)
def test_cleaning_twice_is_cleaning_once(text: str, language: str | None) -> None:
    once = clean(text, language or "en")
    assert clean(once, language or "en") == once


plain_marks = st.sampled_from(
    ["*", "**", "_", "`", "~~", "# ", "- ", "> ", "1. ", "|", "\n|", "|\n", "\n", "\n\n", "\\", "😀"]
)
words = st.sampled_from([word for text in PROSE.values() for word in text.split()] + ["<laugh>", "12", "[x]", "(y)"])


@given(st.lists(st.one_of(words, words.map(" {} ".format), plain_marks), max_size=40).map("".join), languages)
def test_no_word_is_lost_or_doubled(text: str, language: str | None) -> None:
    assert _letters(clean(text, language or "en")) == _letters(text)


@given(st.text(), languages)
def test_no_letter_of_any_text_without_markup_is_lost(text: str, language: str | None) -> None:
    quiet = re.sub(r"[&<`~\[]", " ", text)
    assert _letters(clean(quiet, language or "en")) == _letters(quiet)


def _letters(text: str) -> str:
    """Letters and digits, in the form that clean() gives them."""
    formed = unicodedata.normalize(
        "NFKC", re.sub(r"[\u2190-\u2bff\U0001f000-\U0001faff\u2122\u2139\u3297\u3299\u02b9\u02bc]", "", text)
    )
    return "".join(char for char in formed if unicodedata.category(char)[0] in "LN")


def test_clean_prose_stays_as_it_is() -> None:
    for language in ("en", "ko", "hi", "zh"):
        prose = PROSE[language]
        assert clean(prose, language) == prose


HOSTILE = [
    "[",
    "![",
    "[a](b",
    "*a **a",
    "\\",
    "&amp;",
    "<a:",
    "- ",
    "> ",
    "|",
    "# ",
    "- > ",
    "😀",
    "👨‍",
    "a@",
    "a.",
    "http://",
]
HOSTILE += ["`a", "<b ", "[voice:", "- \n", "&lt;b&gt;", " ", "\n", "1. ", "<", "“"]


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_is_linear(unit: str) -> None:
    text = (unit * 15_000)[:15_000]
    once = min(_seconds(text) for _ in range(2))
    four_times = min(_seconds(text * 4) for _ in range(2))
    assert four_times < 9 * once + 0.1  # linear: 4, quadratic: 16


def _seconds(text: str) -> float:
    begin = time.process_time()
    clean(text, "en")
    return time.process_time() - begin
