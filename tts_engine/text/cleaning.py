"""Text as people write it to text that can be said. In and out: text. Never: drops a word or changes a number.

Markdown's inline marks are read by markdown-it-py, emoji are those of the emoji package; the marks at the beginning
of lines are few and are taken off here, because a whole document would lose link definitions and table cells.
What is left out on purpose: where a link leads, the language named on a code fence, http:// of an address.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tts_engine.text.addresses import speakable
from tts_engine.text.characters import plain
from tts_engine.text.markup import MARK

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028]")
_BLANK_LINE = re.compile(r"\n\s*\n")
_SPACES = re.compile(r"[^\S\n]+")

_LINE_MARKS = re.compile(r"\A(?:(?:#{1,6}|[-+*•●▪◦‣∙]) +|> ?)+")
_BULLET = re.compile(r"(?:> ?)*[-+*•●▪◦‣∙] ")
_HEADING = re.compile(r"(?:> ?)*#{1,6} ")
_HEADING_END = re.compile(r" +#+\Z")
_NUMBERED = re.compile(r"(\d{1,3})[.)] ")
_RULE = re.compile(r"[-=_*~][-=_*~ ]*[-=_*~]")
_FENCE = re.compile(r"(?:`{3,}(?=[^`]*\Z)|~{3,}(?=[^~]*\Z)) ?")
_FENCE_LANGUAGE = re.compile(
    "bash|c|cpp|cs|csharp|css|console|diff|dockerfile|go|html|ini|java|javascript|js|json|kotlin|markdown|md|php|"
    "plaintext|powershell|py|python|r|ruby|rust|sh|shell|sql|swift|text|toml|ts|tsx|typescript|txt|xml|yaml|yml|"
)
"""A word after a fence that nobody wants to hear; any other word may be text."""
_TABLE_RULE = re.compile(r"[-:| ]+")

_HTML = re.compile(
    r"</?(br|p|div|li|b|i|em|strong|u|s|del|ins|sub|sup|small|span|code|pre)(?:\s+[a-z-]+=[^<>]{0,200})?\s?/?>",
    re.IGNORECASE,
)
_HTML_BREAKS = frozenset({"br", "p", "div", "li", "pre"})

_INLINE_MARK = re.compile(r"[*_`\\&]|~~|\]\(|<[^<>\s]*[:@]")
_TIMES = re.compile(r"(?<=\d)\*(?=\d)")
_MARK_THEN_BRACKET = re.compile(rf"({MARK.pattern})\(", re.IGNORECASE)
_BARE = re.compile(r"[*_`\\&~<>|]+|(?<=\])\(")

_ROUNDS = 8
"""Marks within marks are taken off in rounds; text that needs more is no text, and loses all its marks at once."""


class _Inline(MarkdownIt):
    """The inline half of CommonMark, with ~~strikethrough~~, without HTML."""

    def __init__(self) -> None:
        super().__init__("zero")
        self.enable(["emphasis", "strikethrough", "backticks", "link", "image", "autolink", "entity", "escape"])

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the name is the library's
        """A link leads somewhere: "see [1](note)" and "f[i](x)" are text."""
        return re.search(r"[/.#:%]", url) is not None


_INLINE = _Inline()


def clean(text: str, language: str) -> str:
    """Text without Markdown, emoji, invisible characters; typographic forms plain, addresses in words of language.

    Paragraphs are parted by one blank line; headings, list items and table rows become paragraphs. Emotion tags and
    [pause:..] and [voice:..] stay as they are. clean(clean(x)) == clean(x). Linear time.
    """
    lines = _LINE_ENDS.sub("\n", text).replace("\u2029", "\n\n")
    return "\n\n".join(done for part in _paragraphs(lines) for done in _settle(part, language, _ROUNDS))


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in _BLANK_LINE.split(text) if part.strip()]


def _settle(paragraph: str, language: str, rounds: int) -> list[str]:
    """Clean until nothing changes any more: a mark may hide another, as in &amp;lt; or \\\\*."""
    cleaned = _clean_once(paragraph, language)
    if cleaned == paragraph:
        return [cleaned]
    if not rounds:
        return _paragraphs(_clean_once(_BARE.sub(" ", cleaned), language))
    return [done for part in _paragraphs(cleaned) for done in _settle(part, language, rounds - 1)]


def _clean_once(paragraph: str, language: str) -> str:
    text = _without_line_marks(_SPACES.sub(" ", plain(paragraph, language)))
    if "<" in text:
        text = _HTML.sub(lambda tag: "\n" if tag[1].lower() in _HTML_BREAKS else "", text)
    if _INLINE_MARK.search(text):
        text = _without_inline_marks(text)
    lines = (_SPACES.sub(" ", line).strip() for line in speakable(text, language).split("\n"))
    return "\n".join(lines).strip()


def _without_line_marks(text: str) -> str:
    """Lines without their Markdown marks; a blank line goes where a heading, an item or a rule parts paragraphs."""
    lines: list[str] = []
    in_list = False
    for raw in text.split("\n"):
        line = _without_fence(raw.strip())
        if line is None or _RULE.fullmatch(line):
            lines.append("")
            continue
        item = _is_item(line, in_list)
        in_list = item or (in_list and line != "")
        heading = _HEADING.match(line) is not None
        if item or heading or _is_table_row(line):
            lines.append("")
        lines.append(_said_line(_LINE_MARKS.sub("", line, count=1), heading))
        if heading:
            lines.append("")
    return "\n".join(lines)


def _without_fence(line: str) -> str | None:
    """The line without ``` at its beginning; None where nothing but a fence stands there."""
    fence = _FENCE.match(line)
    if fence is None:
        return line
    rest = line[fence.end() :]
    return None if _FENCE_LANGUAGE.fullmatch(rest) else rest


def _is_item(line: str, in_list: bool) -> bool:
    """Whether a list item begins here. As in CommonMark, "45. Then" inside a paragraph does not begin a list."""
    number = _NUMBERED.match(line)
    return _BULLET.match(line) is not None or (number is not None and (in_list or number[1] == "1"))


def _is_table_row(line: str) -> bool:
    return len(line) > 1 and line.startswith("|") and line.endswith("|")


def _said_line(line: str, heading: bool) -> str:
    if heading:
        return _HEADING_END.sub("", line)
    if not _is_table_row(line):
        return line
    cells = [cell.strip() for cell in line.split("|")]
    return "" if _TABLE_RULE.fullmatch(line) else ", ".join(cell for cell in cells if cell)


def _without_inline_marks(text: str) -> str:
    text = _MARK_THEN_BRACKET.sub(r"\1 (", _TIMES.sub(" * ", text))
    return "".join(_said(token) for token in _INLINE.parseInline(text))


def _said(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    if token.children:
        children = token.children
        return "".join(_said(child) or _href_of_empty_link(children, i) for i, child in enumerate(children))
    return token.content


def _href_of_empty_link(tokens: list[Token], index: int) -> str:
    """[](https://example.org) has nothing to say but where it leads."""
    if tokens[index].type != "link_open" or tokens[index + 1].type != "link_close":
        return ""
    return str(tokens[index].attrGet("href") or "")
