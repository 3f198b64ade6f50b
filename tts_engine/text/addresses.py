"""Web and mail addresses as people say them: "example.org/a" becomes "example dot org slash a". Pure."""

import re
from collections.abc import Mapping
from types import MappingProxyType

_NAMES: Mapping[str, tuple[str, str, str, str, str, str]] = MappingProxyType(
    {
        "en": ("dot", "at", "slash", "dash", "underscore", "colon"),
        "fr": ("point", "arobase", "slash", "tiret", "tiret bas", "deux-points"),
        "de": ("Punkt", "at", "Schrägstrich", "Bindestrich", "Unterstrich", "Doppelpunkt"),
        "es": ("punto", "arroba", "barra", "guion", "guion bajo", "dos puntos"),
        "it": ("punto", "chiocciola", "barra", "trattino", "trattino basso", "due punti"),
        "ko": ("점", "골뱅이", "슬래시", "하이픈", "밑줄", "콜론"),
        "hi": ("डॉट", "ऐट", "स्लैश", "डैश", "अंडरस्कोर", "कोलन"),
        "zh": ("点", "艾特", "斜杠", "横杠", "下划线", "冒号"),
    }
)
"""Names of . @ / - _ : in each language; every other sign in an address is a short stop, as people read it out."""

_SIGNS = ".@/-_:"
_SIGN = re.compile(r"[^\w]|_")
_CHAR = r"[!#-&(-;=?-Z\\^_a-z~\[\]\u00c0-\u024f\u0370-\u08ff]"  # an address ends where Han, Hangul or quotes begin

_ADDRESS = re.compile(
    rf"(?<![A-Za-z0-9])(?:https?|ftp)://{_CHAR}+"
    rf"|(?<![A-Za-z0-9.@])www\.{_CHAR}+"
    r"|(?<![\w.+@-])[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"
    rf"|(?<![A-Za-z0-9.@/_-])(?:[a-z0-9-]{{1,63}}\.)+(?:com|org|net|edu|gov|io)(?![A-Za-z0-9@-])(?:/{_CHAR}*)?"
)
_HINT = re.compile(r"://|www\.|@|\.(?:com|org|net|edu|gov|io)")
_SCHEME = re.compile(r"(?:https?|ftp)://")


def speakable(text: str, language: str) -> str:
    """The text with its addresses in words of the language (English where it has none here).

    http:// is left out, as in speech; every other word and number of the address is kept.
    """
    if not _HINT.search(text):
        return text
    return _ADDRESS.sub(lambda match: _said(match, language), text)


def _said(match: re.Match[str], language: str) -> str:
    address = _SCHEME.sub("", match[0], count=1)
    kept = address.rstrip(".,;:!?)]*_~" if "(" not in address else ".,;:!?]*_~")
    if not kept:
        return match[0]
    names = dict(zip(_SIGNS, _NAMES.get(language, _NAMES["en"]), strict=True))
    said = _SIGN.sub(lambda sign: f" {names.get(sign[0], '')} ", kept.rstrip("/"))
    words = " ".join(said.split())
    after = match.string[match.end() : match.end() + 1]
    tail = address[len(kept) :]
    return words + tail + (" " if not tail and after.isalnum() else "")
