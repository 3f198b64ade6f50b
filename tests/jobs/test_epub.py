"""EPUBs as they are in the wild, and as somebody with bad intentions makes them."""

import contextlib
import time
from pathlib import Path

import pytest

from tests.jobs.epubs import CONTAINER, archive, epub, package, page
from tts_engine.errors import RequestError
from tts_engine.jobs import epub as epub_module
from tts_engine.jobs.book import Chapter, read_book
from tts_engine.jobs.epub import read_epub


def test_chapters_come_in_reading_order_with_the_titles_of_the_table_of_contents() -> None:
    book = read_epub(epub({"One": "<h1>I</h1><p>It began.</p>", "Two": "<p>It ended.</p>"}, title="Sense &amp; x"))
    assert book.chapters == (Chapter("One", "I\n\nIt began."), Chapter("Two", "It ended."))
    assert (book.title, book.language) == ("Sense &amp; x", "en")


def test_markup_is_read_as_a_reader_sees_it() -> None:
    body = (
        "<p>Hel<b>lo</b>&nbsp;there,<br/>you &amp; <i>me</i>.</p><script>bad()</script><style>p {}</style>"
        '<p>A<span epub:type="pagebreak" title="7">7</span> note<a epub:type="noteref" href="#n">1</a>.</p>'
        "<ul><li>first</li><li>second</li></ul><p hidden=''>unseen</p><p><ruby>漢<rt>kan</rt></ruby> &lt;laugh&gt;</p>"
    )
    (chapter,) = read_epub(epub({"One": body})).chapters
    assert chapter.text.split("\n\n") == ["Hello there,", "you & me.", "A note.", "first", "second", "漢 <laugh>"]


def test_a_contents_table_may_point_into_a_document_and_leave_documents_out() -> None:
    body = '<p>Still one.</p><div id="s"><h2>Two</h2><p>Here.</p></div>'
    nav = page(
        '<nav epub:type="toc"><ol><li><a href="c0.xhtml">One</a></li><li><a href="c1.xhtml#s">Two</a></li></ol></nav>'
    )
    book = read_epub(epub({"a": "<p>One.</p>", "b": body, "c": "<p>More.</p>"}, **{"OEBPS/nav.xhtml": nav}))
    assert book.chapters == (Chapter("One", "One.\n\nStill one."), Chapter("Two", "Two\n\nHere.\n\nMore."))


def test_epub_2_has_its_titles_in_the_ncx() -> None:
    items = '<item id="ncx" href="toc.ncx"/><item id="a" href="text/a%20b.html"/><item id="n" href="notes.html"/>'
    ncx = (
        '<?xml version="1.0"?><!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://127.0.0.1:9/ncx.dtd">'
        '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint id="x"><navLabel><text>First</text>'
        '</navLabel><content src="text/a%20b.html"/></navPoint></navMap></ncx>'
    )
    files = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": package(
            items, '<itemref idref="a"/><itemref idref="n" linear="no"/>', spine_attributes='toc="ncx"'
        ),
        "OEBPS/toc.ncx": ncx,
        "OEBPS/text/a b.html": page("<p>Old.</p>"),
        "OEBPS/notes.html": page("<p>Not read out.</p>"),
    }
    assert read_epub(archive(files)).chapters == (Chapter("First", "Old."),)


def test_without_a_table_of_contents_the_headings_are_the_titles() -> None:
    items = '<item id="a" href="a.html"/><item id="b" href="b.html"/>'
    files = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": package(items, '<itemref idref="a"/><itemref idref="b"/>'),
        "OEBPS/a.html": page("<h2>Alpha</h2><p>a</p>"),
        "OEBPS/b.html": page("<h1>Beta</h1><p>b</p>").replace("utf-8", "utf-16").encode("utf-16"),
    }
    assert [chapter.title for chapter in read_epub(archive(files)).chapters] == ["Alpha", "Beta"]


def test_entities_and_other_files_are_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    attack = f'<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY s SYSTEM "file://{secret}">]>'
    evil = package('<item id="a" href="a.html"/>', '<itemref idref="a"/>', title="T")
    evil = evil.replace('<?xml version="1.0"?>', f'<?xml version="1.0"?>{attack}').replace(">T<", ">T&s;<")
    document = attack + page("<p>Text &s; and &a;.</p>")
    book = read_epub(archive({"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": evil, "OEBPS/a.html": document}))
    assert "SECRET" not in book.title + book.chapters[0].text


def test_a_billion_laughs_are_not_laughed() -> None:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    opf = package('<item id="a" href="a.html"/>', '<itemref idref="a"/>', title="T").replace(">T<", ">&a9;<")
    opf = opf.replace('<?xml version="1.0"?>', f'<?xml version="1.0"?><!DOCTYPE x [{entities}]>')
    began = time.monotonic()
    with pytest.raises(RequestError):
        read_epub(archive({"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": opf, "OEBPS/a.html": page("x")}))
    assert time.monotonic() - began < 5


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epub_module, "MAX_DOCUMENT_BYTES", 100_000)
    bomb = epub({"One": "<p>" + "a" * 50_000_000 + "</p>"})
    assert len(bomb) < 100_000
    with pytest.raises(RequestError, match="too large unpacked"):
        read_epub(bomb)
    monkeypatch.setattr(epub_module, "MAX_TEXT_BYTES", 150_000)
    with pytest.raises(RequestError, match="too large unpacked"):
        read_epub(epub({str(n): f"<p>{'a' * 60_000}</p>" for n in range(3)}))
    monkeypatch.setattr(epub_module, "MAX_ENTRIES", 3)
    with pytest.raises(RequestError, match="more than 3 files"):
        read_epub(epub({"One": "<p>x</p>"}))


@pytest.mark.parametrize(
    "body", ["<a " * 200_000, "<a " + " ".join(f"a{n}=1" for n in range(100_000)) + ">", "<!--" * 10**5]
)
def test_markup_that_is_made_to_be_slow_is_not(body: str) -> None:
    began = time.monotonic()
    with pytest.raises(RequestError):
        read_epub(epub({"One": body}))
    assert time.monotonic() - began < 5


def test_text_that_is_nested_too_deeply_is_refused_and_not_lost() -> None:
    with pytest.raises(RequestError, match="nested too deeply"):
        read_epub(epub({"One": "<div>" * 5000 + "lost" + "</div>" * 5000}))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "container.xml"),
        ({"META-INF/container.xml": "<container/>"}, "no package"),
        ({"META-INF/container.xml": ""}, "empty"),
        ({"META-INF/container.xml": CONTAINER}, "book.opf"),
        ({"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": package("", "")}, "no text"),
        (
            {"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": package('<item id="a" href="../../../etc/passwd"/>', '<itemref idref="a"/>')},
            "does not hold",
        ),
    ],
)  # fmt: skip
def test_what_is_no_book_is_refused_in_words(files: dict[str, str], reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        read_epub(archive(files))
    assert (caught.value.param, caught.value.code) == ("file", "invalid_file")


def test_a_locked_book_is_refused_but_not_for_its_fonts() -> None:
    def encryption(algorithm: str) -> str:
        return (
            '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><e:EncryptedData xmlns:e='
            f'"http://www.w3.org/2001/04/xmlenc#"><e:EncryptionMethod Algorithm="{algorithm}"/></e:EncryptedData></encryption>'
        )

    fonts = encryption("http://www.idpf.org/2008/embedding")
    assert read_epub(epub({"One": "<p>x</p>"}, **{"META-INF/encryption.xml": fonts})).chapters
    locked = encryption("http://www.w3.org/2001/04/xmlenc#aes256-cbc")
    with pytest.raises(RequestError, match="DRM"):
        read_epub(epub({"One": "<p>x</p>"}, **{"META-INF/encryption.xml": locked}))


def test_damaged_archives_are_refused() -> None:
    whole = epub({"One": "<p>Something to read.</p>" * 50})
    for size in range(0, len(whole), 97):
        with pytest.raises(RequestError):
            read_epub(whole[:size])
    for place in range(30, len(whole), 53):
        bent = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        with contextlib.suppress(RequestError):  # nothing else may come out; some bits matter to nobody
            read_book("b.epub", bent)
