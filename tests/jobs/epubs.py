"""EPUBs made up by the tests."""

import io
import zipfile
from collections.abc import Mapping
from xml.sax.saxutils import escape

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
    '<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def page(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="http://www.idpf.org/2007/ops"><head><title>never spoken</title></head><body>{body}</body></html>'
    )


def package(items: str, spine: str, *, title: str = "A Book", spine_attributes: str = "") -> str:
    return (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(title)}</dc:title><dc:language>en-GB'
        f"</dc:language></metadata><manifest>{items}</manifest><spine {spine_attributes}>{spine}</spine></package>"
    )


def archive(files: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        for name, data in files.items():
            book.writestr(name, data)
    return out.getvalue()


def epub(chapters: Mapping[str, str], *, title: str = "A Book", **more: str | bytes) -> bytes:
    """An EPUB 3: a document for each chapter, and a table of contents. more: files that are added or replaced."""
    items = '<item id="nav" properties="nav" href="nav.xhtml" media-type="application/xhtml+xml"/>'
    items += "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="x"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    links = "".join(f'<li><a href="c{n}.xhtml">{escape(name)}</a></li>' for n, name in enumerate(chapters))
    files: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": package(items, spine, title=title),
        "OEBPS/nav.xhtml": page(f'<nav epub:type="toc"><ol>{links}</ol></nav>'),
    }
    files |= {f"OEBPS/c{n}.xhtml": page(body) for n, body in enumerate(chapters.values())}
    return archive(files | more)
