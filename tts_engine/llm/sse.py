"""Bytes of a server-sent event stream in, the data of its events out. Pure.

Follows the WHATWG HTML standard, section 9.2.6 (lines end with LF, CR or CRLF; comments; a leading byte order mark;
several data lines make one event), for the one field that matters here: `data`. Works on bytes, so a character may be
cut anywhere. One thing is looser: an event that the end of the stream cuts off before its blank line still counts.
"""

from tts_engine.errors import InferenceError

MAX_EVENT_BYTES = 1 << 20
"""llama.cpp's largest event (the last one, with the prompt in it) stays below a tenth of this."""

_BOM = b"\xef\xbb\xbf"


class SSEDecoder:
    """Splits a stream into events. Keeps at most MAX_EVENT_BYTES of an unfinished one."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        """Pieces of the line that has not ended yet."""
        self._line_bytes = 0
        self._data: list[bytes] = []
        """Data lines of the event that has not ended yet."""
        self._data_bytes = 0
        self._after_cr = False
        self._head: bytes | None = b""
        """The stream's first bytes while they may still be a byte order mark."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """chunk: the next bytes, cut anywhere. Returns the data of each event that is now complete.

        Raises InferenceError where one event is larger than MAX_EVENT_BYTES.
        """
        if self._head is not None:
            chunk = self._without_mark(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        first, *rest = chunk.split(b"\n")
        self._keep(first)
        if not rest:
            return []
        last = rest.pop()
        lines = [b"".join(self._line), *rest]
        self._line.clear()
        self._line_bytes = 0
        self._keep(last)
        return self._take(lines)

    def flush(self) -> list[bytes]:
        """The end of the stream. Returns the data of the last event, if its blank line is missing."""
        line = (self._head or b"") + b"".join(self._line)
        self._head = b""
        self._after_cr = False
        self._line.clear()
        self._line_bytes = 0
        return self._take([line, b""])

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line[:5] == b"data:":
                value = line[6:] if line[5:6] == b" " else line[5:]
                data.append(value)
                self._data_bytes += len(value) + 1
                _check(self._data_bytes)
            elif not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                    self._data_bytes = 0
            elif line == b"data":
                data.append(b"")
                self._data_bytes += 1
                _check(self._data_bytes)
        return events

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._line_bytes += len(piece)
            _check(self._line_bytes)

    def _without_mark(self, chunk: bytes) -> bytes:
        head = (self._head or b"") + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        if self._after_cr and chunk[0] == 0x0A:
            chunk = chunk[1:]
        self._after_cr = chunk[-1:] == b"\r"
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _check(size: int) -> None:
    if size > MAX_EVENT_BYTES:
        raise InferenceError(
            f"The inference server sent a line of more than {MAX_EVENT_BYTES} bytes; that is no stream of tokens. "
            "Check that ORPHEUS_API_URL points to its /v1/completions."
        )
