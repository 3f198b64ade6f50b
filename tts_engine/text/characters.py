"""Characters that cannot be said: controls, invisible ones and emoji leave, typographic forms become plain. Pure."""

import re
import unicodedata

import emoji

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ue000-\uf8ff\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]+"
)
"""Controls, soft hyphens, bidirectional marks, variation selectors, tags, private use, halves of surrogate pairs."""

_JOINERS = re.compile("[\u200c\u200d]+")
_JOINING_SCRIPTS = re.compile("[\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff]")
"""Arabic to Sinhala, Myanmar, Khmer: there a joiner changes how a word reads; between emoji it says nothing."""

_PICTURE = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u20e3\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_FLAG_HALVES = range(0x1F1E6, 0x1F200)
_KEYCAP = "\u20e3"  # follows its digit, which is text
_MARK = "\ue000"  # private use: none is left in the text when it is needed
_SPACES_AND_MARKS = re.compile(f"[ {_MARK}]+")

_FORMS = {
    "\u2010": "-", "\u2011": "-", "\u2212": "-", "\u02bc": "'", "\u02b9": "'", "\uff07": "'",
    **{chr(code): unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)},
    **{chr(code): chr(code - 0xFEE0) for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B))},
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF41, 0xFF5B)},
}  # fmt: skip
"""Hyphens, minus, primes, ligatures, full-width letters and digits."""
_QUOTES = {"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"',
           "«": '"', "»": '"', "…": "..."}  # fmt: skip
_OWN_QUOTES = frozenset({"zh", "ja"})  # there “ ” and …… are the plain forms
_ALL_FORMS = {**_FORMS, **_QUOTES}
_FORM = re.compile(f"[{''.join(map(re.escape, _FORMS))}]")
_ANY_FORM = re.compile(f"[{''.join(map(re.escape, _ALL_FORMS))}]")
_FRENCH_QUOTES = re.compile("«[\u00a0\u202f]|[\u00a0\u202f]»")


def plain(text: str, language: str) -> str:
    """The text without characters that cannot be said, in NFC. Lines stay lines. No letter or digit is lost."""
    if text.isascii():
        return text if text.isprintable() else _INVISIBLE.sub("", text)
    text = _JOINERS.sub(_joiner, _INVISIBLE.sub("", text))
    if language in _OWN_QUOTES:
        text = _FORM.sub(lambda form: _FORMS[form[0]], text)
    else:
        text = _ANY_FORM.sub(lambda form: _ALL_FORMS[form[0]], _FRENCH_QUOTES.sub('"', text))
    if _PICTURE.search(text):
        text = _SPACES_AND_MARKS.sub(_space, _PICTURE.sub(_mark, text))
    return unicodedata.normalize("NFC", text)


def _joiner(match: re.Match[str]) -> str:
    before = match.string[match.start() - 1 : match.start()] if match.start() else ""
    after = match.string[match.end() : match.end() + 1]
    return match[0][0] if _JOINING_SCRIPTS.match(before) and _JOINING_SCRIPTS.match(after) else ""


def _mark(match: re.Match[str]) -> str:
    char = match[0]
    if char == _KEYCAP:
        return ""
    picture = emoji.is_emoji(char) or emoji.is_emoji(char + "\ufe0f") or ord(char) in _FLAG_HALVES
    return _MARK if picture else char


def _space(match: re.Match[str]) -> str:
    """What is left where pictures stood: a space, or nothing before punctuation."""
    if _MARK not in match[0]:
        return match[0]
    return "" if match.string[match.end() : match.end() + 1] in set(".,!?;:") else " "
