"""Text to segments: pieces of text that each become one prompt, cut where a reader would breathe.

In: text, whole or as it is being written. Out: Segments, in order, nothing lost or doubled. Never: changes a word.
A step is taken only when as much text is there as could change it, so any cutting of the input gives the same segments.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from tts_engine.text.cuts import RIGHT_CHARS, STOP, TAG_CHARS, cut_inside, is_ended, is_sentence_end
from tts_engine.text.languages import language_of
from tts_engine.text.markup import MARK, MARK_CHARS, Pause, add_pauses, read_mark
from tts_engine.text.packing import Boundary, Measure, Pack, Packer, Piece

GAP_CHARS = 200
"""So much white space is a paragraph end, whatever it is made of; also bounds how far a step has to look ahead."""

_GAP = re.compile(rf"\s{{0,{GAP_CHARS}}}")
_PARAGRAPH_END = re.compile(r"(?>\r\n|[\n\r\x0b\x0c\x85\u2028])[^\S\n\r]*[\n\r\x0b\x0c\x85\u2028]|[\x0c\u2029]")
_LINE_END = r"[\n\r\x0b\x0c\x85\u2028\u2029]"
_EVENT = re.compile(rf"{_LINE_END}|{STOP.pattern}")
EVENT_CHARS = 150
"""More than any event is long (STOP: at most 120 characters)."""
_EVENT_OR_MARK = re.compile(rf"\[|{_EVENT.pattern}")

_CLOSERS = "\"'”’»)]}」』】》"
_FULL_STOP = {"zh": "。", "ja": "。", "hi": "।"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text that becomes one prompt."""

    text: str
    """White space is single spaces; all else is as it was written. Empty only for a pause before the first word."""
    voice: str | None
    """Whom [voice:x] named; None: the voice of the request."""
    language: str
    """ISO 639-1: by script, otherwise the language asked for."""
    boundary: Boundary
    """What it ends with; decides how long a pause sounds natural after it."""
    pause_after_s: float | None
    """What [pause:...] asks for after it, 0 to 10 s; None: nothing."""
    start: int
    """Offset of its first character in the text that was fed."""
    end: int
    """Offset behind its last character."""

    @property
    def prompt(self) -> str:
        """The text with a full stop where a title or the end has none; without one the model repeats itself.

        (prakharsr/audiobook-creator, pull request 13: titles without one were spoken two or three times.)
        """
        last = self.text.rstrip(_CLOSERS)[-1:]
        if self.boundary == "clause" or not last or unicodedata.category(last)[0] not in "LMN":
            return self.text
        return self.text + _FULL_STOP.get(self.language, ".")


def segments(
    text: str,
    *,
    language: str | None = None,
    max_chars: int | None = None,
    first_max_chars: int | None = None,
    known_voice: Callable[[str], bool] | None = None,
) -> list[Segment]:
    """All segments of a text; what SegmentStream gives for it. Linear time. Empty for white space only."""
    stream = SegmentStream(
        language=language, max_chars=max_chars, first_max_chars=first_max_chars, known_voice=known_voice
    )
    return stream.feed(text) + stream.flush()


class SegmentStream:
    """Segments of a text that is still being written; each leaves when nothing that follows can change it."""

    def __init__(
        self,
        *,
        language: str | None = None,
        max_chars: int | None = None,
        first_max_chars: int | None = None,
        known_voice: Callable[[str], bool] | None = None,
    ) -> None:
        """language: of text in Latin letters (None: English); other scripts speak for themselves.

        max_chars: longest segment, 20 to 1000 characters; None: 25 s of speech by the pace of each script.
        first_max_chars: the same for the first segment, if it has more than one sentence; None: 5 s of speech.
        known_voice: given, [voice:x] and [pause:1s] are read as marks; None: they are text.
        feed and flush raise RequestError for a mark with an unknown voice or too long a pause.
        """
        self._language = language or "en"
        self._measure = Measure(self._language, max_chars, first_max_chars)
        self._packer = Packer(self._measure)
        self._known_voice = known_voice
        self._event = _EVENT if known_voice is None else _EVENT_OR_MARK
        self._text = ""
        self._base = 0  # offset of _text[0] in all that was fed
        self._start = 0  # of the sentence being read, in _text
        self._scan = 0  # no sentence end before here, in _text
        self._voice: str | None = None
        self._new_paragraph = True
        self._held: Segment | None = None  # a [pause] may still follow it
        self._out: list[Segment] = []

    def feed(self, delta: str) -> list[Segment]:
        """The segments that are certain now."""
        self._text += delta
        return self._advance(final=False)

    def flush(self) -> list[Segment]:
        """The rest, the text being complete; the last segment's boundary is "end". The stream is spent."""
        self._advance_into_out(final=True)
        while self._start < len(self._text):
            self._end_sentence(len(self._text), len(self._text), "paragraph")
        self._close()
        self._release("end")
        return self._taken()

    def _advance(self, final: bool) -> list[Segment]:
        self._advance_into_out(final)
        self._base += self._start
        self._text = self._text[self._start :]
        self._scan -= self._start
        self._start = 0
        return self._taken()

    def _advance_into_out(self, final: bool) -> None:
        while self._step(final):
            pass

    def _taken(self) -> list[Segment]:
        out, self._out = self._out, []
        return out

    def _step(self, final: bool) -> bool:
        """Go on by one event. False: more text is needed (or, if final, there is none)."""
        if self._scan == self._start:
            begun = self._begin_sentence(final)
            if begun is not None:
                return begun
        horizon = self._start + self._measure.most_chars + TAG_CHARS + EVENT_CHARS
        event = self._event.search(self._text, self._scan, horizon)
        place = event.start() if event else min(len(self._text), horizon)
        if place - self._start >= self._measure.most_chars + TAG_CHARS:
            return self._cut(place)
        if event is None:
            self._scan = place
            return False
        if event[0] == "[":
            return self._bracket(place, final)
        if event[0].isspace():
            return self._line_end(place, final)
        return self._stop(event, final)

    def _begin_sentence(self, final: bool) -> bool | None:
        """Before the first character of a sentence: pass white space and marks. None: the sentence begins here."""
        if self._start == len(self._text):
            return False
        if self._text[self._start].isspace():
            gap = self._gap(self._start, final)
            if gap is None:
                return False
            self._pass(len(gap), _is_paragraph_end(gap))
            return True
        if self._text[self._start] == "[" and self._known_voice is not None:
            return self._mark(self._start, final)
        self._release()
        return None

    def _pass(self, chars: int, paragraph_end: bool) -> None:
        self._start = self._scan = self._start + chars
        if paragraph_end:
            self._new_paragraph = True
            if self._held is not None:
                self._held = replace(self._held, boundary="paragraph")

    def _gap(self, place: int, final: bool) -> str | None:
        """The white space at place, at most GAP_CHARS; None: it may go on in text that is not here yet."""
        match = _GAP.match(self._text, place)
        gap = match[0] if match else ""
        open_end = place + len(gap) == len(self._text) and len(gap) < GAP_CHARS and not final
        return None if open_end else gap

    def _bracket(self, place: int, final: bool) -> bool:
        known = self._mark(place, final)
        if known is None:
            self._scan = place + 1
        return known is not False

    def _mark(self, place: int, final: bool) -> bool | None:
        """Read a mark at place. False: it is not complete; None: this bracket is text."""
        ahead = self._text[place + 1 : place + MARK_CHARS]
        if not final and len(ahead) < MARK_CHARS - 1 and not re.search(r"[\[\]\n\r]", ahead):
            return False
        match = MARK.match(self._text, place)
        mark = read_mark(match, self._known_voice) if match and self._known_voice else None
        if match is None or mark is None:
            if place == self._start:
                self._release()
            return None
        if place > self._start:
            if self._too_long(place):
                return self._cut(place)
            self._end_sentence(place, place, "sentence" if is_ended(self._text[:place].rstrip()) else "clause")
        self._close()
        if isinstance(mark, Pause):
            self._add_pause(mark.seconds)
        else:
            self._voice = mark.voice
        self._start = self._scan = match.end()
        return True

    def _add_pause(self, seconds: float) -> None:
        at = self._base + self._start
        held = self._held or Segment("", self._voice, self._language, "clause", None, at, at)
        self._held = replace(held, pause_after_s=add_pauses(held.pause_after_s or 0.0, seconds))

    def _line_end(self, place: int, final: bool) -> bool:
        gap = self._gap(place, final)
        if gap is None:
            return False
        if not _is_paragraph_end(gap):
            self._scan = place + len(gap)
            return True
        return self._end_sentence(place, place + len(gap), "paragraph")

    def _stop(self, stop: re.Match[str], final: bool) -> bool:
        """A full stop, or what looks like one."""
        end = stop.end()
        gap = self._gap(end, final)
        if gap is None:
            return False
        following = end + len(gap)
        if _is_paragraph_end(gap):
            return self._end_sentence(end, following, "paragraph")
        if len(self._text) - following < RIGHT_CHARS and not final and not self._word_complete(following):
            return False
        if following < len(self._text) and self._ends_sentence(stop, following):
            return self._end_sentence(end, following, "sentence")
        self._scan = end
        return True

    def _word_complete(self, place: int) -> bool:
        return re.search(r"\s", self._text[place : place + RIGHT_CHARS]) is not None

    def _ends_sentence(self, stop: re.Match[str], following: int) -> bool:
        return is_sentence_end(self._text, self._start, stop, following, self._language)

    def _end_sentence(self, end: int, following: int, boundary: Boundary) -> bool:
        """The sentence ends at end, the next may begin at following; one that is too long is cut first."""
        if self._too_long(end):
            return self._cut(end)
        self._push(end, boundary)
        self._start = self._scan = following
        self._new_paragraph = boundary == "paragraph"
        return True

    def _too_long(self, end: int) -> bool:
        return not self._measure.fits(self._text[self._start : end].rstrip())

    def _cut(self, end: int) -> bool:
        place = cut_inside(self._text, self._start, self._measure.reach(self._text, self._start, end - 1), end)
        self._push(place, "clause")
        self._start = self._scan = place
        self._new_paragraph = False
        return True

    def _push(self, end: int, boundary: Boundary) -> None:
        raw = self._text[self._start : end].rstrip()
        text = " ".join(raw.split())
        heading = boundary == "paragraph" and self._new_paragraph and not is_ended(text)
        start = self._base + self._start
        piece = Piece(text, self._measure.of(text), start, start + len(raw), boundary, heading)
        for pack in self._packer.add(piece):
            self._hold(pack)

    def _close(self) -> None:
        """No piece that follows may join the segment that is being packed."""
        for pack in self._packer.close():
            self._hold(pack)

    def _hold(self, pack: Pack) -> None:
        self._release()
        first, last, text = pack.pieces[0], pack.pieces[-1], pack.text
        language = language_of(text, self._language)
        self._held = Segment(text, self._voice, language, last.boundary, None, first.start, last.end)

    def _release(self, boundary: Boundary | None = None) -> None:
        """Text follows (or, with a boundary, nothing does): the segment that was held is complete."""
        if self._held is not None:
            self._out.append(self._held if boundary is None else replace(self._held, boundary=boundary))
            self._held = None


def _is_paragraph_end(gap: str) -> bool:
    return len(gap) >= GAP_CHARS or _PARAGRAPH_END.search(gap) is not None
