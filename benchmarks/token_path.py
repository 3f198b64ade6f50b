"""SSE bytes to token numbers: tokens per second of CPU, against httpx-sse as the baseline.

Run: python -m benchmarks.token_path [tokens]      (needs httpx-sse, from requirements-dev.txt)

The bytes are llama.cpp's: one event a token, about 260 bytes each. "events" cuts them as llama.cpp does, one read an
event; "blocks" as they come when the reader is behind, 16 KiB a read. The last rows go through a socket, chunked HTTP
and the whole client, with the sender in another process.
"""

import asyncio
import json
import multiprocessing
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing.connection import Connection

import httpx
from httpx_sse import EventSource

from tts_engine.codec.tokens import TokenParser
from tts_engine.llm.answer import AnswerReader
from tts_engine.llm.client import InferenceClient
from tts_engine.llm.dialects import Sampling
from tts_engine.llm.prompt import Speech

TOKENS = 50_000
BLOCK_BYTES = 16 << 10
ROUNDS = 3
BASELINE = "httpx-sse, json"
Chunks = list[bytes]


class Stream(httpx.AsyncByteStream):
    """A response body out of memory."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def event(text: str, reason: str | None = None) -> bytes:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
    rest = {"created": 1795225052, "model": "Orpheus-3b-FT-Q8_0.gguf", "system_fingerprint": "b0-unknown"}
    kind = {"object": "text_completion", "id": "chatcmpl-cPZWhzFtpf9xXXbiTNKl6CfW3lQf3HOu"}
    return b"data: " + json.dumps({"choices": [choice], **rest, **kind}, separators=(",", ":")).encode() + b"\n\n"


def events(tokens: int) -> Chunks:
    spoken = [event(f"<custom_token_{10 + number % 7 * 4096 + number * 37 % 4096}>") for number in range(tokens)]
    return [*spoken, event("", "stop"), b"data: [DONE]\n\n"]


def blocks(chunks: Chunks) -> Chunks:
    whole = b"".join(chunks)
    return [whole[start : start + BLOCK_BYTES] for start in range(0, len(whole), BLOCK_BYTES)]


def answer(chunks: Chunks) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(chunks))


async def with_httpx_sse(chunks: Chunks) -> int:
    parser, count = TokenParser(), 0
    async for sse in EventSource(answer(chunks)).aiter_sse():
        if sse.data != "[DONE]":
            count += len(parser.feed(json.loads(sse.data)["choices"][0]["text"]))
    return count


async def with_lines(chunks: Chunks) -> int:
    parser, count = TokenParser(), 0
    async for line in answer(chunks).aiter_lines():
        if line.startswith("data: ") and line != "data: [DONE]":
            count += len(parser.feed(json.loads(line[6:])["choices"][0]["text"]))
    return count


async def with_reader(chunks: Chunks) -> int:
    parser, reader, count = TokenParser(), AnswerReader(), 0
    async for chunk in answer(chunks).aiter_bytes():
        count += len(parser.feed("".join(reader.feed(chunk))))
    return count


async def with_reader_only(chunks: Chunks) -> int:
    reader, count = AnswerReader(), 0
    async for chunk in answer(chunks).aiter_bytes():
        count += "".join(reader.feed(chunk)).count(">")
    return count


def serve(chunks: Chunks, per_write: int, ready: Connection) -> None:
    """Answer every POST with the chunks, each as one chunk of HTTP, `per_write` of them in one write."""
    wire = [f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks] + [b"0\r\n\r\n"]
    writes = [b"".join(wire[start : start + per_write]) for start in range(0, len(wire), per_write)]
    models = json.dumps({"data": [{"id": "m", "owned_by": "vllm"}]}).encode()
    listener = socket.create_server(("127.0.0.1", 0))
    ready.send(listener.getsockname()[1])
    while True:
        peer, _ = listener.accept()
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if request(peer).startswith(b"GET"):
                peer.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(models) + models
                )
                continue
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in writes:
                peer.sendall(piece)


def request(peer: socket.socket) -> bytes:
    """One whole request: closing with a part of it unread would reset the connection."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += peer.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    while len(body) < length:
        body += peer.recv(65536)
    return head


async def with_client(port: int) -> int:
    client = InferenceClient(url=f"http://127.0.0.1:{port}", api_key=None, model="m", timeout_s=60)
    parser, count = TokenParser(), 0
    async with client.stream(Speech("Hello.", "tara"), Sampling(0.6, 0.9, 8192)) as completion:
        async for delta in completion:
            count += len(parser.feed(delta.text))
    await client.close()
    return count


def through_a_socket(chunks: Chunks, per_write: int, tokens: int) -> float:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(chunks, per_write, there), daemon=True)
    server.start()
    port = here.recv()
    try:
        return rate(lambda: with_client(port), tokens)
    finally:
        server.terminate()
        server.join()


def rate(path: Callable[[], Awaitable[int]], tokens: int) -> float:
    """Best of ROUNDS, in tokens per second of this process's CPU time."""
    best = 0.0
    for _ in range(ROUNDS):
        began = time.process_time()
        count = asyncio.run(_run(path))
        best = max(best, tokens / (time.process_time() - began))
        if count != tokens:
            raise SystemExit(f"{count} tokens instead of {tokens}")
    return best


async def _run(path: Callable[[], Awaitable[int]]) -> int:
    return await path()


def main() -> None:
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else TOKENS
    single = events(tokens)
    in_memory: dict[str, Callable[[Chunks], Awaitable[int]]] = {
        BASELINE: with_httpx_sse,
        "httpx aiter_lines, json": with_lines,
        "AnswerReader": with_reader,
        "AnswerReader, deltas only": with_reader_only,
    }
    print(f"| path ({tokens} tokens) | cut | tokens/CPU s | against {BASELINE} |\n|---|---|---:|---:|")
    baseline = {}
    for cut, chunks in (("events", single), ("blocks", blocks(single))):
        for name, path in in_memory.items():
            found = rate(lambda path=path, chunks=chunks: path(chunks), tokens)  # type: ignore[misc]
            baseline.setdefault(cut, found)
            print(f"| {name} | {cut} | {found:,.0f} | {found / baseline[cut]:.1f}x |")
    for label, per_write in (("one HTTP chunk a write", 1), ("64 HTTP chunks a write", 64)):
        found = through_a_socket(single, per_write, tokens)
        print(f"| whole client, socket | {label} | {found:,.0f} | {found / baseline['events']:.1f}x |")
    found = through_a_socket(blocks(single), 1, tokens)
    print(f"| whole client, socket | blocks | {found:,.0f} | {found / baseline['blocks']:.1f}x |")


if __name__ == "__main__":
    main()
