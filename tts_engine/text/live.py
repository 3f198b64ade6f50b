"""Segments of a text that somebody is still writing, such as a language model's answer in a voice agent.

Like SegmentStream, but a writer who stops for a moment behind a full stop is taken to have ended the sentence: nobody
should wait for the next word to hear it.
"""

from collections.abc import Callable
from dataclasses import replace

from tts_engine.text.cuts import closes_sentence
from tts_engine.text.segments import Segment, SegmentStream

TAIL_CHARS = 120
"""What is looked at to tell a sentence end from an abbreviation."""


class LiveSegments:
    """feed the text as it comes, settle when nothing came for a moment, flush at its end."""

    def __init__(self, make: Callable[[], SegmentStream], language: str) -> None:
        """make: a new, empty stream with the settings of this text. language: ISO 639-1."""
        self._language = language
        self._make = make
        self._stream = make()
        self._tail = ""
        self._fed = 0
        self._base = 0

    @property
    def waits(self) -> bool:
        """Whether settle() would let something go."""
        return closes_sentence(self._tail.rstrip(), self._language)

    def feed(self, text: str) -> list[Segment]:
        """The segments that are certain now."""
        self._fed += len(text)
        self._tail = (self._tail + text)[-TAIL_CHARS:]
        return self._placed(self._stream.feed(text))

    def settle(self) -> list[Segment]:
        """Let go what is a whole sentence, though more text may follow."""
        if not self.waits:
            return []
        segments = self._restart()
        if segments:
            segments[-1] = replace(segments[-1], boundary="sentence")
        return segments

    def flush(self) -> list[Segment]:
        """The rest, the text being complete."""
        return self._restart()

    def _restart(self) -> list[Segment]:
        segments = self._placed(self._stream.flush())
        self._stream = self._make()
        self._base = self._fed
        self._tail = ""
        return segments

    def _placed(self, segments: list[Segment]) -> list[Segment]:
        return [replace(s, start=s.start + self._base, end=s.end + self._base) for s in segments]
