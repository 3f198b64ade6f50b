"""A book and the way to read it -> a job: every segment with its text, voice and pause, before anything is spoken."""

import secrets
from collections.abc import Callable
from dataclasses import replace

from tts_engine.errors import RequestError
from tts_engine.jobs.book import Book, Chapter
from tts_engine.jobs.records import JobSettings, NewJob, NewSegment
from tts_engine.jobs.store import SEEDS
from tts_engine.text.cleaning import clean as clean_text
from tts_engine.text.languages import language_of
from tts_engine.text.segments import Segment, segments
from tts_engine.voices import VoiceBook

CHAPTER_PAUSE_S = 2.0
"""Silence between two chapters; audiobook producers ask for 1 to 3 s."""
MAX_SEGMENTS = 200_000


def plan(
    book: Book,
    settings: JobSettings,
    voices: VoiceBook,
    *,
    language: str,
    clean: bool,
    title: str = "",
    max_chars: int | None = None,
) -> NewJob:
    """Cut a book into the segments of a job. A seed is drawn where the settings have none. Blocking, linear time.

    language: ISO 639-1, of text in Latin letters. max_chars: longest segment; None: 25 s of speech. Raises RequestError for a mark with an unknown voice, and where
    there is nothing to say.
    """
    titles: list[str] = []
    pieces: list[NewSegment] = []
    for chapter in book.chapters:
        found = _segments(chapter, language, clean, voices.knows, max_chars)
        if found:
            pieces += [_new_segment(piece, settings.voice, voices, len(titles)) for piece in found]
            titles.append(chapter.title)
    if not pieces:
        raise RequestError("Invalid 'input': there is nothing to say.", param="input", code="empty_input")
    if len(pieces) > MAX_SEGMENTS:
        raise RequestError(
            f"Invalid 'input': {len(pieces)} segments, and a job takes {MAX_SEGMENTS}.", param="input", code="too_long"
        )
    if settings.sampling.seed is None:
        settings = replace(settings, sampling=replace(settings.sampling, seed=secrets.randbelow(SEEDS)))
    return NewJob(title or book.title, settings, tuple(titles), tuple(_ended(pieces)))


def _segments(
    chapter: Chapter, language: str, clean: bool, known_voice: Callable[[str], bool], max_chars: int | None
) -> list[Segment]:
    text = chapter.text.encode(errors="ignore").decode()  # half a surrogate pair is no character
    if clean:
        text = clean_text(text, language_of(text, language))
    return segments(text, language=language, max_chars=max_chars, known_voice=known_voice)


def _new_segment(piece: Segment, voice: str, voices: VoiceBook, chapter: int) -> NewSegment:
    return NewSegment(
        text=piece.text,
        prompt=piece.prompt,
        voice=voice if piece.voice is None else voices.find(piece.voice).name,
        chapter=chapter,
        boundary=piece.boundary,
        pause_s=piece.pause_after_s,
    )


def _ended(pieces: list[NewSegment]) -> list[NewSegment]:
    """A chapter ends with a longer pause, the book with none; a text of one segment is said as it was written."""
    for index, piece in enumerate(pieces[:-1]):
        if piece.chapter != pieces[index + 1].chapter:
            pause_s = max(CHAPTER_PAUSE_S, piece.pause_s or 0.0)
            pieces[index] = replace(piece, boundary="paragraph", pause_s=pause_s)
    if len(pieces) == 1:
        pieces[0] = replace(pieces[0], prompt=pieces[0].text)
    return pieces
