"""Where a text may be cut: sentence ends, and places inside a sentence that is too long. Pure; no state, no lengths.

Sentence ends are the answer of sentencex (Wikimedia; MIT), asked about each full stop with a little text around it: it
is quadratic on text without spaces, and a bounded window makes the answer the same whether the rest is there yet.
"""

import re
import unicodedata

import sentencex

from tts_engine.text.languages import SPACELESS

STOP = re.compile(r"[.!?…‥。！？｡．।॥؟۔։።]{1,100}[\"'”’»›)\]}」』】》〉]{0,20}")
"""What may end a sentence: full stops and the quotes and brackets that close behind them."""

_NO_SPACE_NEEDED = re.compile(r"[。！？｡।॥][\"'”’»›)\]}」』】》〉]{0,20}\Z")
_ENDED = re.compile(r"[.!?…‥:;。！？｡．：；।॥؟۔։።][\"'”’»›)\]}」』】》〉*_]{0,20}\Z")

LEFT_CHARS = 120
"""Text before a full stop that sentencex sees: abbreviations and the quote of a short speech lie within it."""
RIGHT_CHARS = 16
"""Of the word after a full stop; a month or a small letter tells that the sentence goes on."""

_WORD = re.compile(rf"\S{{1,{RIGHT_CHARS}}}")
_NUMBER_OR_INITIAL = re.compile(r"\W*(?:\d{1,4}|[^\W\d_])\.")
_TITLE = re.compile(r"(?:^|[\s(\[\"'“«])(?:MM?|Mme|Mlle|Mgr|डॉ|प्रो|पं|कु|स्व)\.\Z")
"""What sentencex takes for the end of a sentence: French and Hindi titles before a name."""
_A_NAME = "Smith"
TITLE_CHARS = 12
"""More than any of them has, and than a list number has."""

_TAG = re.compile(r"<[^<>\n]{1,40}>")
TAG_CHARS = 42

_STRONG = re.compile(r"[;:؛](?=\s)|[；：](?!\d)|[—–](?=\s)|—")
_WEAK = re.compile(r"[,،](?=\s)|[，、､](?!\d)|-(?=\s)")


def is_ended(text: str) -> bool:
    """Whether the text closes with a full stop or the like (quotes and brackets behind it do not matter)."""
    return _ENDED.search(text[-24:]) is not None


def closes_sentence(text: str, language: str) -> bool:
    """Whether a sentence is complete at the end of text, as far as one can tell before the next word is known.

    "Dr." may be followed by a name and "3." by more digits; "?" and "。" leave no doubt.
    """
    if not is_ended(text):
        return False
    if text[-1] != ".":
        return True
    if text[-2:-1].isdigit() or _is_abbreviation(text, 0, len(text)):
        return False
    return len(sentencex.segment(language, f"{text} {_A_NAME}")[-1].strip()) == len(_A_NAME)


def needs_no_space(stop: str) -> bool:
    """Whether this match of STOP ends a sentence also where the next one follows without a space."""
    return _NO_SPACE_NEEDED.search(stop) is not None


def is_sentence_end(text: str, start: int, stop: re.Match[str], following: int, language: str) -> bool:
    """Whether the sentence that began at start ends with stop (a match of STOP), the next text being at following.

    Depends on nothing but language and the text from start to the end of the word at following.
    """
    if following == stop.end() and not needs_no_space(stop[0]) and not _space_forgotten(text, start, following):
        return False
    if stop[0] == "." and _is_abbreviation(text, start, stop.end()):
        return False
    first = _word_start(text, start, stop.start())
    word = _WORD.match(text, following)
    window = text[first : word.end() if word else following].replace("\n", " ").replace("\r", " ")
    at = first
    for sentence in sentencex.segment(language, window):
        at += len(sentence)
        if at > stop.start():
            return at <= following
    return False


def _is_abbreviation(text: str, start: int, end: int) -> bool:
    """Whether the full stop before end belongs to a title, or to the number or initial that the sentence begins with."""
    if _TITLE.search(text[max(start, end - TITLE_CHARS) : end]):
        return True
    return end - start < TITLE_CHARS and _NUMBER_OR_INITIAL.fullmatch(text, start, end) is not None


def _space_forgotten(text: str, start: int, following: int) -> bool:
    """ "the end.Next word", but not "www.Example" or "System.IO"."""
    after = text[following : following + 2]
    if not (after[:1].isupper() and after[1:].islower()):
        return False
    run = text[max(start, following - 64) : following].rpartition(" ")[2]
    return run[:1].isalpha() and not re.search(r"[/@:\\]|www|\.\w", run)


def _word_start(text: str, start: int, stop: int) -> int:
    """Where the window before a full stop begins: at most LEFT_CHARS back, not inside a word if that can be helped."""
    first = max(start, stop - LEFT_CHARS)
    if first == start:
        return first
    space = text.find(" ", first, stop)
    return first if space < 0 else space + 1


def cut_inside(text: str, start: int, reach: int, end: int) -> int:
    """The best place to cut a sentence that is too long: start < place <= reach < end.

    Tried in this order: the last clause end (; : — and then ,) in the second half, the last place between words, a
    place between two characters as readers see them. Never inside a <tag>, an address or a number such as 3.14 or
    1,000, unless that alone is longer than the reach. Depends on text[start : min(end, reach + TAG_CHARS)] only.
    """
    tags = [match.span() for match in _TAG.finditer(text, start, min(end, reach + TAG_CHARS))]
    middle = start + (reach - start) // 2
    for clause in (_STRONG, _WEAK):
        ends = [match.end() for match in clause.finditer(text, middle, min(end, reach + 1)) if match.end() <= reach]
        for place in reversed(ends):
            if place > start and not _inside(place, tags):
                return place
    for place in range(reach, start, -1):
        if _between_words(text, place) and not _inside(place, tags):
            return place
    return _between_characters(text, start, _before_tag(reach, start, tags))


def _inside(place: int, spans: list[tuple[int, int]]) -> bool:
    return any(first < place < last for first, last in spans)


def _before_tag(place: int, start: int, tags: list[tuple[int, int]]) -> int:
    for first, last in tags:
        if first < place < last and first > start:
            return first
    return place


def _between_words(text: str, place: int) -> bool:
    before, after = text[place - 1], text[place]
    if after.isspace():
        return not (before.isdigit() and text[place + 1 : place + 2].isdigit())  # 1 000 000
    if _joins(text, place) or after in _NO_LINE_START or before in _NO_LINE_END:
        return False
    return SPACELESS.match(before) is not None or SPACELESS.match(after) is not None


_NO_LINE_START = "。！？｡．，、､；：…‥”’」』】》〉）)]}!?,.;:ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ"
_NO_LINE_END = "“‘「『【《〈（([{<"


def _between_characters(text: str, start: int, place: int) -> int:
    """place, moved back (at most 32 steps) to where no accent, vowel sign or joined emoji is torn from its letter."""
    for candidate in range(place, max(start, place - 32), -1):
        if not _joins(text, candidate):
            return candidate
    return place


def _joins(text: str, place: int) -> bool:
    """Whether text[place] belongs to the character before it (the main rules of Unicode's UAX #29)."""
    before, after = text[place - 1], text[place]
    if after.isascii():
        return False
    if unicodedata.category(after).startswith("M") or unicodedata.combining(before) == 9:  # 9: a virama joins letters
        return True
    if "\u200c" in (before, after) or "\u200d" in (before, after) or "\u1160" <= after <= "\u11ff":
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True
    return _is_flag_half(before) and _is_flag_half(after)


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
