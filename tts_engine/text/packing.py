"""How much text one prompt gets: lengths, limits, and the packing of sentences under them. Pure."""

from dataclasses import dataclass, field
from typing import Literal

from tts_engine.errors import RequestError
from tts_engine.text.languages import CHARS_PER_S, speech_seconds

Boundary = Literal["clause", "sentence", "paragraph", "end"]
"""What a segment ends with: inside a sentence, at its end, at a paragraph's end, at the end of all text."""

LIMIT_S = 25.0
"""Orpheus drifts, loops or stops in prompts past about 45 s of speech; a slow voice needs 1.5 times the usual pace."""
FIRST_S = 5.0
"""The first segment: while it is spoken, the next ones are made. Each may be twice as long as the one before it."""
TINY_S = 1.0
"""Less than this is a bad prompt (too little text to find a melody): joined to what follows if it is no heading."""
MOST_CHARS = 1000
FEWEST_CHARS = 20
"""No word of any language is to be cut in an ordinary text."""

_FULL = 2 / 3
"""A segment that has reached this part of its limit leaves at the next sentence end, not waiting for a perfect fit."""


class Measure:
    """Length of text: seconds of speech, or characters where the caller set a limit in characters."""

    def __init__(self, language: str, max_chars: int | None, first_max_chars: int | None) -> None:
        """Raises RequestError where max_chars is not 20 to 1000, or first_max_chars is below 1."""
        if max_chars is not None and not FEWEST_CHARS <= max_chars <= MOST_CHARS:
            raise RequestError(
                f"A segment of at most {max_chars} characters cannot be made; choose {FEWEST_CHARS} to {MOST_CHARS}.",
                param="max_chars",
            )
        if first_max_chars is not None and first_max_chars < 1:
            raise RequestError(f"first_max_chars is {first_max_chars}; it must be at least 1.", param="first_max_chars")
        self._language = language
        self._in_chars = max_chars is not None
        self.most_chars = max_chars or MOST_CHARS
        self.limit = float(max_chars) if max_chars else LIMIT_S
        self.tiny = self.limit * TINY_S / LIMIT_S
        self.first = self.limit * FIRST_S / LIMIT_S
        if first_max_chars is not None:
            self.first = min(self.limit, self.of("x" * min(first_max_chars, MOST_CHARS)))

        self._surely = max_chars or int(LIMIT_S * min(CHARS_PER_S.values()))  # chars that fit, whatever they are
        self.space = self.of(" ")

    def of(self, text: str) -> float:
        """Length of a text. Lengths add up: a text is as long as its parts."""
        return float(len(text)) if self._in_chars else speech_seconds(text, self._language)

    def fits(self, text: str) -> bool:
        return len(text) <= self._surely or (len(text) <= self.most_chars and self.of(text) <= self.limit)

    def reach(self, text: str, start: int, end: int) -> int:
        """The last place <= end up to which text[start:] fits; at least one character on."""
        fit, over = start + 1, min(end, start + self.most_chars) + 1
        while over - fit > 1:
            middle = (fit + over) // 2
            if self.of(text[start:middle]) <= self.limit:
                fit = middle
            else:
                over = middle
        return fit


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, or a part of one that is too long; it fits under the limit."""

    text: str
    """White space is single spaces."""
    size: float
    """Its length, by the packer's measure."""
    start: int
    """Offset in all text."""
    end: int
    """Offset behind it."""
    boundary: Boundary
    """What it ends with."""
    heading: bool
    """A paragraph of its own without a full stop."""


@dataclass(slots=True)
class Pack:
    """Pieces that will be one segment."""

    pieces: list[Piece] = field(default_factory=list)
    size: float = 0.0
    """By the packer's measure, the spaces between the pieces included."""

    @property
    def text(self) -> str:
        parts: list[str] = []
        end = self.pieces[0].start
        for piece in self.pieces:
            parts.append(piece.text if piece.start == end else f" {piece.text}")
            end = piece.end
        return "".join(parts)


class Packer:
    """Puts pieces together under limits that grow from the first segment's to the full one."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._limit = measure.first
        self._pack = Pack()

    def add(self, piece: Piece) -> list[Pack]:
        """The packs that this piece completes: none, the one before it, itself, or both."""
        done: list[Pack] = []
        if self._pack.pieces and (piece.heading or not self._takes(piece)):
            done += self.close()
        self._pack.size += piece.size + (self._measure.space if self._pack.pieces else 0.0)
        self._pack.pieces.append(piece)
        if self._is_complete(piece):
            done += self.close()
        return done

    def close(self) -> list[Pack]:
        """What was gathered, as a pack; nothing if nothing was."""
        if not self._pack.pieces:
            return []
        pack, self._pack = self._pack, Pack()
        self._limit = min(2 * self._limit, self._measure.limit)
        return [pack]

    def _takes(self, piece: Piece) -> bool:
        limit = self._measure.limit if self._pack.size < self._measure.tiny else self._limit
        span = piece.end - self._pack.pieces[0].start  # with its white space as written, so never less than the text
        return self._pack.size + self._measure.space + piece.size <= limit and span <= self._measure.most_chars

    def _is_complete(self, piece: Piece) -> bool:
        if piece.boundary == "paragraph":
            return piece.heading or self._pack.size >= self._measure.tiny
        return self._pack.size >= _FULL * self._limit
