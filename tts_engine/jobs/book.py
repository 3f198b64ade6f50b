"""An uploaded file or a plain text -> a book: chapters of plain text. Pure, apart from the EPUB's own reader.

No word is lost: every heading stays in the text of its chapter, too.
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import PurePath

from markdown_it import MarkdownIt

from tts_engine.errors import RequestError

MAX_BOOK_CHARS = 8_000_000
"""Two and a half times War and Peace; about 150 hours of speech."""
MAX_TITLE_CHARS = 200
EXTENSIONS = (".txt", ".md", ".markdown", ".epub")


_BLANK_BEFORE = re.compile(r"(?:\A|\n[ \t]*\n)\s*\Z")
_BLANK_AFTER = re.compile(r"[ \t]*(?:\n[ \t]*\n|\s*\Z)")


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a book."""

    title: str
    """May be empty."""
    text: str
    """Paragraphs parted by blank lines, the title among them where the book prints it. Not empty."""


@dataclass(frozen=True, slots=True)
class Book:
    """What is to be read."""

    title: str
    """May be empty."""
    chapters: tuple[Chapter, ...]
    """At least one."""
    language: str | None = None
    """ISO 639-1, where the file says it."""


_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ONES = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
_NUMBER = (
    rf"(?:\d{{1,4}}|[IVXLC]{{1,8}}|(?:{_TENS})(?:[- ](?:{_ONES}))?|{_ONES}|the first|the second|the third|the last)"
)
_WORDS = (
    "chapter|part|book|kapitel|teil|buch|chapitre|partie|livre|cap[ií]tulo|parte|libro|capitolo",
    "prologue|epilogue|prolog|epilog|épilogue|prólogo|epílogo|prologo|epilogo|preface|foreword|introduction|afterword",
)
_HEADING = re.compile(
    rf"^[ \t]*(?:(?:{_WORDS[0]})[ \t]+{_NUMBER}(?:[ \t]*[.:—–-][^\n]{{0,80}})?|(?:{_WORDS[1]})"
    r"|第[0-9一二三四五六七八九十百零〇]{1,6}[章回節节][^\n]{0,40}|제?[ \t]?\d{1,4}[ \t]?장[^\n]{0,40}|अध्याय[ \t]+[^\n]{1,40})"
    r"[ \t]*\.?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""A line of its own that says chapter, in the languages of the model."""


def read_book(name: str, data: bytes) -> Book:
    """Read a file by the ending of its name. Raises RequestError (param file) for what is no such file, or too much."""
    ending = PurePath(name).suffix.lower()
    if ending not in EXTENSIONS:
        known = ", ".join(EXTENSIONS)
        raise RequestError(f"{name!r} cannot be read: send one of {known}.", param="file", code="invalid_file")
    if ending == ".epub":
        from tts_engine.jobs.epub import read_epub  # keeps lxml out of a server that reads no books

        book = read_epub(data)
    elif ending == ".txt":
        book = read_plain(_decoded(data))
    else:
        book = read_markdown(_decoded(data))
    _check_size(sum(len(chapter.text) for chapter in book.chapters), "file")
    return book if book.title else Book(PurePath(name).stem[:MAX_TITLE_CHARS], book.chapters, book.language)


def read_plain(text: str) -> Book:
    """A chapter begins at a line such as "Chapter 7: The storm" between blank lines. Raises RequestError if empty."""
    _check_size(len(text), "input")
    lines = _lines(text)
    starts = [
        (match.start(), match[0].strip())
        for match in _HEADING.finditer(lines)
        if _stands_alone(lines, match.start(), match.end())
    ]
    return Book("", _cut(lines, starts))


def read_markdown(text: str) -> Book:
    """A chapter begins at a heading of the highest level that occurs twice; a single one above is the book's title."""
    _check_size(len(text), "input")
    text = _lines(text)
    headings = _markdown_headings(text)
    levels = [level for level, _, _ in headings]
    chapter_level = next((level for level in (1, 2) if levels.count(level) > 1), min(levels, default=1))
    title = next((title for level, _, title in headings if level < chapter_level), "")
    offsets = _line_offsets(text)
    starts = [(offsets[line], heading) for level, line, heading in headings if level == chapter_level]
    return Book(title[:MAX_TITLE_CHARS], _cut(text, starts))


def _cut(text: str, starts: list[tuple[int, str]]) -> tuple[Chapter, ...]:
    """What stands before the first heading is a chapter without a title; headings without text join the next one."""
    chapters: list[Chapter] = []
    marks = [(0, ""), *starts] if not starts or text[: starts[0][0]].strip() else [(0, starts[0][1]), *starts[1:]]
    for (start, title), end in zip(marks, [*(place for place, _ in marks[1:]), len(text)], strict=True):
        chapters.append(Chapter(title[:MAX_TITLE_CHARS], text[start:end]))
    if not text.strip():
        raise RequestError("There is nothing to say.", param="input", code="empty_input")
    return tuple(chapter for chapter in chapters if chapter.text.strip())


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Blank lines, or an end of the text, on both sides of text[start:end], which is whole lines."""
    return _BLANK_BEFORE.search(text, max(0, start - 200), start) is not None and (
        _BLANK_AFTER.match(text, end) is not None
    )


def _markdown_headings(text: str) -> list[tuple[int, int, str]]:
    """(level, line, title) of the headings 1 and 2, none out of code or quotes."""
    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    found = []
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.tag in ("h1", "h2") and token.map:
            found.append((int(token.tag[1]), token.map[0], re.sub(r"[*_`]", "", inline.content).strip()))
    return found


def _line_offsets(text: str) -> list[int]:
    """Where each line begins, as markdown-it counts lines."""
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _decoded(data: bytes) -> str:
    """UTF-16 by its mark, UTF-8, otherwise what Windows calls ANSI."""
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as exc:
        if utf16 or b"\x00" in data:
            raise RequestError("The file is no text: save it as UTF-8.", param="file", code="invalid_file") from exc
        return data.decode("cp1252", errors="replace")


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_size(chars: int, param: str) -> None:
    if chars > MAX_BOOK_CHARS:
        raise RequestError(
            f"The text has {chars} characters, and a job takes {MAX_BOOK_CHARS}: send it in parts.",
            param=param,
            code="string_above_max_length",
        )
