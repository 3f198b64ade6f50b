"""Bytes of a streamed completion in, the texts of its deltas out. Pure.

Reads what OpenAI's /v1/completions streams, and tolerantly its neighbours: chat deltas and llama.cpp's own events.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic_core import from_json

from tts_engine.llm.sse import SSEDecoder

_STOPPED = ("stop", "eos", "eos_token", "stop_sequence", "stop_str", "end_turn")
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of the stream."""

    text: str
    """May hold no, a part of, one or several tokens."""


@dataclass(frozen=True, slots=True)
class Finish:
    """How a completion ended."""

    reason: Literal["stop", "length"]
    """stop: the model ended its speech. length: max_tokens or the context was used up."""
    prompt_tokens: int | None
    """As the server counted them; None where it did not say."""
    completion_tokens: int | None
    """As the server counted them; None where it did not say."""


class BadAnswer(Exception):
    """The stream holds an error, or no completion. status: the HTTP status that the event names, else 502."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class AnswerReader:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self._events = SSEDecoder()
        self._fault: BadAnswer | None = None
        self._reason: Literal["stop", "length"] | None = None
        self._prompt_tokens: int | None = None
        self._completion_tokens: int | None = None
        self.done = False
        """The server said [DONE]: nothing more will come."""

    @property
    def finish(self) -> Finish | None:
        """How the answer ended, once the server said so."""
        if self._reason is None:
            return None
        return Finish(self._reason, self._prompt_tokens, self._completion_tokens)

    def feed(self, chunk: bytes) -> list[str]:
        """chunk: the next bytes, cut anywhere. Returns one text for each event that is now complete.

        Raises BadAnswer for an error in the stream, after the texts before it were returned, and InferenceError
        where one event is too large.
        """
        self.check()
        return self._texts(self._events.feed(chunk))

    def flush(self) -> list[str]:
        """The end of the body. Raises BadAnswer where the server never said that it finished."""
        self.check()
        texts = [] if self.finish or self.done else self._texts(self._events.flush())
        if not texts:
            self.check()
            if self._reason is None and not self.done:
                raise BadAnswer("it broke off its answer")
        return texts

    def check(self) -> None:
        """Raise the BadAnswer that came with the last texts, if any."""
        if self._fault is not None:
            raise self._fault

    def _texts(self, events: list[bytes]) -> list[str]:
        texts: list[str] = []
        try:
            for data in events:
                if data == _DONE:
                    self.done = True
                    self._reason = self._reason or "stop"
                    break
                text = self._text(data)
                if text is not None:
                    texts.append(text)
        except BadAnswer as fault:
            if not texts:
                raise
            self._fault = fault
        return texts

    def _text(self, data: bytes) -> str | None:
        if not data.strip():
            return None
        try:
            # A third of the time of the standard library's, which would be half of the whole way to the token numbers.
            event = from_json(data)
        except ValueError as exc:
            raise BadAnswer("its answer is broken JSON") from exc
        if not isinstance(event, dict):
            raise BadAnswer("its answer is no completion")
        if event.get("error") or event.get("object") == "error":
            raise _error(event)
        choices = event.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            return self._choice(event, choices[0])
        if "content" in event and choices is None:
            return self._native(event)
        self._count(event)
        return None

    def _choice(self, event: dict[str, object], choice: dict[str, object]) -> str:
        reason = choice.get("finish_reason")
        if reason is not None:
            self._end(reason)
        if event.get("usage") is not None:
            self._count(event)
        text = choice.get("text")
        if isinstance(text, str):
            return text
        inner = choice.get("delta") or choice.get("message")
        content = inner.get("content") if isinstance(inner, dict) else None
        return content if isinstance(content, str) else ""

    def _native(self, event: dict[str, object]) -> str:
        if event.get("stop") is True:
            self._end("length" if event.get("stop_type") == "limit" else "stop")
            evaluated, predicted = event.get("tokens_evaluated"), event.get("tokens_predicted")
            self._count({"usage": {"prompt_tokens": evaluated, "completion_tokens": predicted}})
        content = event.get("content")
        return content if isinstance(content, str) else ""

    def _end(self, reason: object) -> None:
        if reason == "length":
            self._reason = "length"
        elif reason in _STOPPED:
            self._reason = "stop"
        else:
            raise BadAnswer(f"it ended its answer with finish_reason {str(reason)[:40]!r}")

    def _count(self, event: dict[str, object]) -> None:
        usage = event.get("usage")
        if isinstance(usage, dict):
            prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
            self._prompt_tokens = prompt if isinstance(prompt, int) else self._prompt_tokens
            self._completion_tokens = completion if isinstance(completion, int) else self._completion_tokens


def error_message(document: object, limit: int = 400) -> str:
    """What a server says in any of the usual shapes of an error document, at most `limit` characters; "" for none.

    Never the request as the server echoes it (pydantic's `input`): that holds the user's text.
    """
    if isinstance(document, str):
        return " ".join(document.split())[:limit]
    if isinstance(document, list):
        return "; ".join(filter(None, (_detail(item) for item in document)))[:limit]
    if not isinstance(document, dict):
        return ""
    for key in ("error", "message", "detail"):
        message = error_message(document.get(key), limit)
        if message:
            return message
    return ""


def _detail(item: object) -> str:
    if not isinstance(item, dict):
        return error_message(item)
    where = item.get("loc")
    place = ".".join(str(part) for part in where) if isinstance(where, list) else ""
    message = error_message(item.get("msg") or item.get("message"))
    return f"{place}: {message}" if place and message else message


def _error(event: dict[str, object]) -> BadAnswer:
    inner = event.get("error")
    code = inner.get("code") if isinstance(inner, dict) else event.get("code")
    status = code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599 else 502
    return BadAnswer(error_message(event) or "it sent an error without a message", status)
