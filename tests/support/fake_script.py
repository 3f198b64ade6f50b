"""What a FakeInference can be told to do with a request, step by step. A script is a list of these, in order.

The first step that writes a part of a stream sends the head (200, text/event-stream, chunked) unless Head did.
A script that ends without Drop or Reset ends the body cleanly.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST_CODE, CODES, SLOTS = 10, 4096, 7
END_OF_SPEECH = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole plain answer. body: JSON value, or str for text/plain, or None for nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """The status line and headers of the stream, sent now. headers: added to, or in place of, the usual ones."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Text:
    """One SSE event for each delta, empty ones too."""

    deltas: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens as text. per_event: how many share an event. chars_per_event: cut their text there instead (half tokens).

    rate: tokens a second; None is as fast as the client reads.
    """

    numbers: Iterable[int]
    per_event: int = 1
    chars_per_event: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Endless:
    """Well-formed frames until the client leaves. rate: tokens a second."""

    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """From here on every HTTP chunk holds `size` bytes, wherever that cuts; None: one chunk an event."""

    size: int | None


@dataclass(frozen=True, slots=True)
class Newline:
    r"""From here on SSE lines end with this: "\n", "\r\n" or "\r"."""

    text: str


@dataclass(frozen=True, slots=True)
class Comment:
    """An SSE comment line, as servers send to keep a silent stream open."""

    text: str = "ping"


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes of the body, exactly these, not made into an event."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Finish:
    """The last event of a choice, with its finish_reason and, where the server would send it, usage."""

    reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Done:
    """`data: [DONE]`."""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An error in the middle of the stream, in llama.cpp's form."""

    message: str = "Context size has been exceeded."
    code: int = 500
    type: str = "server_error"


@dataclass(frozen=True, slots=True)
class Stall:
    """Silence for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Until:
    """Silence until the test sets the event."""

    event: threading.Event


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection without ending the body (FIN)."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection (RST)."""


Step = (
    Reply | Head | Text | Tokens | Endless | Cut | Newline | Comment | Raw | Finish | Done | ErrorEvent | Stall | Until
) | (Drop | Reset)


def frames_to_tokens(codes: NDArray[np.integer[Any]] | Sequence[Sequence[int]]) -> list[int]:
    """Token numbers of frames. codes: [N, 7], 0..4095. Returns 7 * N numbers, 10 + slot * 4096 + code."""
    frames = np.asarray(codes, dtype=np.int64).reshape(-1, SLOTS)
    numbers: list[int] = (frames + FIRST_CODE + np.arange(SLOTS) * CODES).reshape(-1).tolist()
    return numbers


def tokens_to_text(numbers: Iterable[int]) -> str:
    """`<custom_token_N>` for each number."""
    return "".join(f"<custom_token_{number}>" for number in numbers)


def speech(
    codes: NDArray[np.integer[Any]] | Sequence[Sequence[int]], *, rate: float | None = None, per_event: int = 1
) -> list[Step]:
    """A well-formed stream of these frames: codes [N, 7], end of speech, finish_reason, [DONE]."""
    numbers = [*frames_to_tokens(codes), END_OF_SPEECH]
    return [Tokens(numbers, per_event=per_event, rate=rate), Finish(), Done()]
