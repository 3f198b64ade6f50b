"""EPUB 2 and 3 -> chapters of plain text, in reading order (the spine), titled by the table of contents.

A book from anywhere is an archive from anywhere: nothing is unpacked to the disk, no name in it is ever a path, what is
read is bounded before it is read, no entity and no network address is followed.
"""

import io
import posixpath
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from lxml import etree

from tts_engine.errors import RequestError
from tts_engine.jobs.book import MAX_TITLE_CHARS, Book, Chapter

MAX_ENTRIES = 20_000
MAX_DOCUMENT_BYTES = 8 << 20
"""A chapter of 8 MB is no chapter; the longest novels have 4 MB in all."""
MAX_TEXT_BYTES = 64 << 20
"""All documents together, unpacked."""
MAX_TAG_BYTES = 16 << 10
"""libxml2 takes quadratic time for the attributes of one tag; images written into the tag do not count."""

_SKIPPED = frozenset({"head", "script", "style", "svg", "math", "rt", "rp", "template", "audio", "video", "object"})
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details", "div", "dl"),
        *("dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
        *("hr", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th"),
        *("thead", "tr", "ul"),
    }
)
_HEADINGS = ("h1", "h2", "h3")
_DATA_ADDRESS = re.compile(rb"data:[^\"'\s>]*")
_LONG_TAG = re.compile(rb"<[^<>]{%d}" % MAX_TAG_BYTES)
_FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError)
"""What zipfile raises for damaged, encrypted or strangely packed entries."""


@dataclass(slots=True)
class _Section:
    """A piece of a document that begins where the table of contents points."""

    title: str
    paragraphs: list[str] = field(default_factory=list)


def read_epub(data: bytes) -> Book:
    """Read a book. Raises RequestError (param file, code invalid_file) for what is no EPUB, is locked, or is a bomb."""
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:  # before zipfile makes half a kilobyte of each
        raise _refused(f"it holds more than {MAX_ENTRIES} files")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.infolist()) > MAX_ENTRIES:
                raise _refused(f"it holds more than {MAX_ENTRIES} files")
            return _Reader(archive).book()
    except _UNREADABLE as exc:
        raise _refused(f"the archive is damaged or locked ({exc})") from exc


class _Reader:
    """One archive being read; counts what was unpacked."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._left = MAX_TEXT_BYTES

    def book(self) -> Book:
        if "META-INF/encryption.xml" in self._archive.namelist() and self._locked():
            raise _refused("it is locked by its seller (DRM)")
        package_path = self._package_path()
        package = self._xml(package_path)
        manifest = {
            item.get("id", ""): (_resolve(package_path, item.get("href", "")), item)
            for item in package.iterfind(".//{*}manifest/{*}item")
        }
        titles = self._titles(package, manifest)
        sections: list[_Section] = []
        for reference in package.iterfind(".//{*}spine/{*}itemref"):
            path, item = manifest.get(reference.get("idref", ""), ("", None))
            is_nav = item is not None and "nav" in item.get("properties", "").split()
            if path and not is_nav and reference.get("linear") != "no":
                sections += self._sections(path, titles)
        chapters = _chapters(sections)
        if not chapters:
            raise _refused("it has no text that could be read")
        language = (_text_of(package, ".//{*}metadata/{*}language") or "").partition("-")[0].lower()
        title = _text_of(package, ".//{*}metadata/{*}title")
        return Book(title[:MAX_TITLE_CHARS], chapters, language if re.fullmatch("[a-z]{2}", language) else None)

    def _locked(self) -> bool:
        """True unless nothing but fonts is scrambled."""
        methods = self._xml("META-INF/encryption.xml").iterfind(".//{*}EncryptionMethod")
        return any(method.get("Algorithm") not in _FONT_SCRAMBLING for method in methods)

    def _package_path(self) -> str:
        root = self._xml("META-INF/container.xml").find(".//{*}rootfile")
        path = "" if root is None else root.get("full-path", "")
        if not path:
            raise _refused("META-INF/container.xml names no package")
        return _resolve("", path)

    def _titles(
        self, package: "etree._Element", manifest: "dict[str, tuple[str, etree._Element]]"
    ) -> dict[str, dict[str, str]]:
        """document -> fragment ("" for its beginning) -> title, from the EPUB 3 nav or the EPUB 2 ncx."""
        titles: dict[str, dict[str, str]] = {}
        for path, item in manifest.values():
            if "nav" in item.get("properties", "").split() and (links := self._nav_links(path)):
                break
        else:
            spine = package.find(".//{*}spine")
            path, _ = manifest.get(spine.get("toc", "") if spine is not None else "", ("", None))
            links = self._ncx_links(path) if path else []
        for address, title in links:
            document, _, fragment = address.partition("#")
            if title:
                titles.setdefault(_resolve(path, document), {}).setdefault(unquote(fragment), title)
        return titles

    def _nav_links(self, path: str) -> list[tuple[str, str]]:
        """(address, title) of the chapters; deeper levels than the second are sections of chapters."""
        navs = [nav for nav in self._html(path).iter("nav") if "toc" in nav.get("epub:type", nav.get("role", "toc"))]
        links = [link for nav in navs[:1] for link in nav.iter("a") if sum(1 for _ in link.iterancestors("ol")) <= 2]
        return [(link.get("href", ""), _one_line("".join(link.itertext()))) for link in links]

    def _ncx_links(self, path: str) -> list[tuple[str, str]]:
        points = [
            point for point in self._xml(path).iterfind(".//{*}navPoint")
            if sum(1 for _ in point.iterancestors("{*}navPoint")) <= 1
        ]  # fmt: skip
        contents = [(point.find("{*}content"), _text_of(point, "{*}navLabel/{*}text")) for point in points]
        return [(content.get("src", ""), title) for content, title in contents if content is not None]

    def _sections(self, path: str, titles: dict[str, dict[str, str]]) -> list[_Section]:
        """A document, cut where the table of contents points into it."""
        known = titles.get(path, {})
        document = self._html(path)
        first = known.get("") or ("" if known else _first_heading(document))
        walk = _Walk(first, known)
        walk.enter(document)
        return walk.finished()

    def _xml(self, path: str) -> "etree._Element":
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True, remove_comments=True,
            remove_pis=True,
        )  # fmt: skip
        return self._parsed(path, parser)

    def _html(self, path: str) -> "etree._Element":
        parser = etree.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, encoding="utf-8")
        return self._parsed(path, parser)

    def _parsed(self, path: str, parser: "etree.XMLParser | etree.HTMLParser") -> "etree._Element":
        data = self._read(path)
        if _LONG_TAG.search(_DATA_ADDRESS.sub(b"", data)):
            raise _refused(f"{path} holds a tag of more than {MAX_TAG_BYTES >> 10} kB")
        try:
            root = etree.fromstring(data, parser)
        except etree.LxmlError as exc:
            raise _refused(f"{path} is damaged ({exc})") from exc
        too_deep = any("depth" in entry.message for entry in parser.error_log)
        if root is None or too_deep:
            raise _refused(f"{path} is {'nested too deeply' if too_deep else 'empty'}")
        return root

    def _read(self, path: str) -> bytes:
        """One entry. Its own word on its size is not trusted: no more than the limit is ever unpacked."""
        limit = min(MAX_DOCUMENT_BYTES, self._left)
        try:
            with self._archive.open(path) as entry:
                data = entry.read(limit + 1)
        except KeyError as exc:
            raise _refused(f"it names {path}, which it does not hold") from exc
        if len(data) > limit:
            raise _refused(f"{path} is too large unpacked")
        self._left -= len(data)
        return _as_utf8(data)


class _Walk:
    """Gathers the text of a document; blocks are paragraphs."""

    def __init__(self, first_title: str, titles: dict[str, str]) -> None:
        self._titles = titles
        self._sections = [_Section(first_title)]
        self._words: list[str] = []

    def enter(self, root: "etree._Element") -> None:
        skipping: etree._Element | None = None
        for event, element in etree.iterwalk(root, events=("start", "end")):
            if skipping is None and event == "start":
                if self._skips(element):
                    skipping = element
                else:
                    self._start(element)
            elif event == "end":
                if skipping is None and element.tag in _BLOCKS:
                    self._end_paragraph()
                if skipping is element:
                    skipping = None
                if skipping is None and element.tail:
                    self._words.append(element.tail)

    def finished(self) -> list[_Section]:
        self._end_paragraph()
        return self._sections

    def _start(self, element: "etree._Element") -> None:
        if element.tag in _BLOCKS:
            self._end_paragraph()
        title = self._titles.get(element.get("id", "\0")) or self._titles.get(element.get("name", "\0"))
        if title is not None:
            self._end_paragraph()
            self._sections.append(_Section(title))
        if element.text:
            self._words.append(element.text)

    def _skips(self, element: "etree._Element") -> bool:
        kind = element.get("epub:type", "")
        return element.tag in _SKIPPED or element.get("hidden") is not None or "pagebreak" in kind or "noteref" in kind

    def _end_paragraph(self) -> None:
        paragraph = _one_line("".join(self._words))
        self._words.clear()
        if paragraph:
            self._sections[-1].paragraphs.append(paragraph)


def _chapters(sections: list[_Section]) -> tuple[Chapter, ...]:
    """A section without a title goes on with the chapter before it; a title without text joins what follows."""
    chapters: list[_Section] = []
    for section in sections:
        if not section.paragraphs:
            continue
        if section.title or not chapters:
            chapters.append(section)
        else:
            chapters[-1].paragraphs += section.paragraphs
    return tuple(Chapter(chapter.title[:MAX_TITLE_CHARS], "\n\n".join(chapter.paragraphs)) for chapter in chapters)


def _first_heading(document: "etree._Element") -> str:
    return next((_one_line("".join(heading.itertext())) for heading in document.iter(*_HEADINGS)), "")


def _text_of(parent: "etree._Element", path: str) -> str:
    found = parent.find(path)
    return "" if found is None else _one_line("".join(found.itertext()))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _resolve(base: str, address: str) -> str:
    """The archive's name for what a document at `base` calls `address`."""
    path = unquote(urlsplit(address).path)
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), path)) if path else base


def _as_utf8(data: bytes) -> bytes:
    """UTF-16 documents are allowed; libxml2 would be told otherwise by the parser's encoding."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", errors="replace")
        return re.sub(r"^\s*<\?xml[^>]*\?>", "", text).encode()
    return data


def _refused(reason: str) -> RequestError:
    return RequestError(f"The EPUB cannot be read: {reason}.", param="file", code="invalid_file")
