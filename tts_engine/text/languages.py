"""Which language a text is written in, and how long it takes to say. Pure; knows scripts, not dictionaries."""

import re
from collections.abc import Mapping
from types import MappingProxyType

_HAN = r"\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_KANA = r"\u3041-\u3096\u30a1-\u30fa\u30fc\u31f0-\u31ff\uff66-\uff9f"
_HANGUL = r"\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
_DEVANAGARI = r"\u0900-\u097f\ua8e0-\ua8ff"

SPACELESS = re.compile(f"[{_HAN}{_KANA}]")
"""A letter of a script that is written without spaces between words."""

_SCRIPT = re.compile(f"(?P<zh>[{_HAN}]+)|(?P<ja>[{_KANA}]+)|(?P<ko>[{_HANGUL}]+)|(?P<hi>[{_DEVANAGARI}]+)")
_ANY_SCRIPT = re.compile(f"[{_HAN}{_KANA}{_HANGUL}{_DEVANAGARI}]")
_LETTER_RUN = re.compile(r"[^\W\d_]+")
_DIGIT_RUN = re.compile(r"\d+")

_WEIGHT: Mapping[str, float] = MappingProxyType({"zh": 3.0, "ja": 3.0, "ko": 2.5, "hi": 1.0})
"""Latin letters that carry as much as one character of the script: "我爱 New York" is Chinese with a name in it."""

_KANA_SHARE = 0.1
"""Japanese prose is half kana; Chinese has none, save in a name."""

_SAMPLE_CHARS = 4000
"""A page tells the language; a book need not be counted."""

CHARS_PER_S: Mapping[str, float] = MappingProxyType(
    {
        "en": 15.0,  # audiobooks: 155 words a minute x 5.8 characters, space included
        "fr": 16.0,
        "de": 14.5,
        "es": 16.5,
        "it": 16.0,
        "hi": 12.0,  # vowel signs are characters of their own
        "ko": 6.0,  # a character is a syllable
        "zh": 4.5,  # likewise, with a tone to finish
        "ja": 7.0,  # a kana is a mora
    }
)
"""Reading pace, pauses between sentences included. Order and ratios follow the syllable rates of Pellegrino et al.,
"A cross-language perspective on speech information rate" (Language 87, 2011), brought down from 5-8 syllables a second
of fast reading to the pace of a narrator."""

_OTHER_CHARS_PER_S = 14.0
_DIGITS_PER_S = 5.0
"""A digit is most of a word: "1984" takes as long as ten letters or more."""


def language_of(text: str, default: str = "en") -> str:
    """The language that the script of most of the text belongs to: ko, hi, ja or zh, otherwise default.

    Looks at the first 4000 characters. default: ISO 639-1; also the answer for text without letters.
    """
    sample = text[:_SAMPLE_CHARS]
    if sample.isascii() or not _ANY_SCRIPT.search(sample):
        return default
    counts = {"zh": 0, "ja": 0, "ko": 0, "hi": 0}
    for match in _SCRIPT.finditer(sample):
        counts[str(match.lastgroup)] += len(match[0])
    others = sum(map(len, _LETTER_RUN.findall(_SCRIPT.sub(" ", sample))))
    ideographs = counts["zh"] + counts["ja"]
    japanese = counts["ja"] > _KANA_SHARE * ideographs
    score = {"zh": 0, "ja": 0, "ko": counts["ko"], "hi": counts["hi"], "ja" if japanese else "zh": ideographs}
    best = max(score, key=lambda language: score[language] * _WEIGHT[language])
    return best if score[best] * _WEIGHT[best] > others else default


def speech_seconds(text: str, language: str) -> float:
    """About how long a narrator needs for the text, in seconds; 0.0 for an empty one. Linear time.

    Each script has its own pace, so mixed text is right too; language sets the pace of letters of no script of its own.
    """
    seconds = 0.0
    rest = len(text)
    if not text.isascii() and _ANY_SCRIPT.search(text):
        for match in _SCRIPT.finditer(text):
            seconds += len(match[0]) / CHARS_PER_S[str(match.lastgroup)]
            rest -= len(match[0])
    digits = sum(map(len, _DIGIT_RUN.findall(text)))
    return seconds + digits / _DIGITS_PER_S + max(0, rest - digits) / _plain_pace(language)


def _plain_pace(language: str) -> float:
    """Characters a second of Latin letters, punctuation and spaces, also within a text of another script."""
    return CHARS_PER_S["en"] if language in _WEIGHT else CHARS_PER_S.get(language, _OTHER_CHARS_PER_S)
