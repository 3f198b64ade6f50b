"""Plain text and Markdown as books: chapters, titles, encodings, and no word lost."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_engine.errors import RequestError
from tts_engine.jobs.book import Book, read_book, read_markdown, read_plain


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


@pytest.mark.parametrize(
    "heading",
    ["Chapter 7", "CHAPTER XII.", "Chapter twenty-one: The storm", "Part One", "Prologue", "Kapitel 3", "Chapitre IV",
     "Capítulo 5", "Capitolo 2 – Il mare", "第十二章 風", "제 3 장", "अध्याय २"],
)  # fmt: skip
def test_a_line_that_says_chapter_begins_one(heading: str) -> None:
    book = read_plain(f"Before.\r\n\r\n{heading}\r\n\r\nAfter.\r\n\r\nMore.")
    assert titles(book) == ["", heading]
    assert book.chapters[1].text.startswith(heading)


@pytest.mark.parametrize(
    "line",
    ["Part of it was lost.", "Chapter 7 was the best of them.", "Introduction to physics", "part of it", "Book it"],
)
def test_a_sentence_is_no_heading(line: str) -> None:
    assert titles(read_plain(f"Before.\n\n{line}\n\nAfter.")) == [""]
    assert titles(read_plain("He said\nChapter 7\nand left.")) == [""]


def test_the_first_heading_needs_no_text_before_it() -> None:
    assert titles(read_plain("Chapter 1\n\nA.\n\nChapter 2\n\nB.")) == ["Chapter 1", "Chapter 2"]


def test_markdown_chapters_are_the_level_that_occurs_twice() -> None:
    book = read_markdown("# The Book\n\nintro\n\n## One\n\na\n\n### sub\n\n```\n# code\n```\n\nTwo *x*\n---\n\nb")
    assert book.title == "The Book"
    assert titles(book) == ["", "One", "Two x"]
    assert titles(read_markdown("# A\n\na\n\n# B\n\n## b\n\nb")) == ["A", "B"]
    assert titles(read_markdown("> # quoted\n\ntext")) == [""]


@given(
    st.lists(st.sampled_from(["# A", "## B", "Chapter 1", "word", "", "```", "text.", "第一章", " \t"]), max_size=30)
)
def test_no_word_is_lost_or_doubled(lines: list[str]) -> None:
    text = "\n".join(lines)
    for read in (read_plain, read_markdown):
        if text.strip():
            assert "".join(chapter.text for chapter in read(text).chapters).split() == text.split()
        else:
            with pytest.raises(RequestError, match="nothing to say"):
                read(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str) -> None:
    book = read_book("An Ähre.TXT", "Schöne Grüße – bald.".encode(encoding))
    assert book.chapters[0].text == "Schöne Grüße – bald."
    assert book.title == "An Ähre"


def test_what_cannot_be_read_is_refused() -> None:
    for name, data in (("a.pdf", b"%PDF"), ("a", b"x"), ("a.txt", b"\x00\x01\xff"), ("a.md", b"  ")):
        with pytest.raises(RequestError):
            read_book(name, data)


def test_a_long_book_is_read_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = ("Chapter " * 100 + "\n\n") * 2500 + "\n" * 200_000 + "#" * 100_000
    began = time.monotonic()
    read_plain(hostile)
    read_book("x.md", hostile.encode())
    assert time.monotonic() - began < 8
    monkeypatch.setattr("tts_engine.jobs.book.MAX_BOOK_CHARS", 1000)
    with pytest.raises(RequestError, match="send it in parts"):
        read_plain("x" * 1001)
