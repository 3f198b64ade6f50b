"""Text of the stream in, token numbers out: "<custom_token_4107>" -> 4107.

Survives any cutting of the text. Never keeps more than the longest unfinished token, never raises.
"""

import re

_TOKEN = re.compile(r"<custom_token_([0-9]{1,5})>")
_HEAD = "<custom_token_"


class TokenParser:
    """Finds the custom tokens in a stream of text; everything else in it is foreign and skipped."""

    def __init__(self) -> None:
        self._tail = ""

    def feed(self, text: str) -> list[int]:
        """text: the next piece, cut anywhere. Returns the numbers N of the tokens that are now complete, 0..999,999,999."""
        if self._tail:
            text = self._tail + text
            self._tail = ""
        cut = text.rfind("<")
        if cut >= 0 and text.find(">", cut) < 0 and _may_grow(text[cut : cut + len(_HEAD) + 10]):
            self._tail = text[cut:]
            text = text[:cut]
        return [int(number) for number in _TOKEN.findall(text)]

    def flush(self) -> list[int]:
        """The end of the text: an unfinished token is no token."""
        self._tail = ""
        return []


def _may_grow(piece: str) -> bool:
    if len(piece) <= len(_HEAD):
        return _HEAD.startswith(piece)
    digits = piece[len(_HEAD) :]
    return piece.startswith(_HEAD) and len(digits) <= 9 and digits.isascii() and digits.isdigit()
