"""From SSE bytes to frames: an hour of audio leaves nothing behind."""

import tracemalloc
from collections.abc import Iterator

from tests.support.fake_script import frames_to_tokens
from tests.support.tiny_snac import random_codes
from tts_engine.codec.frames import SLOTS, FrameAssembler
from tts_engine.codec.tokens import TokenParser
from tts_engine.llm.answer import AnswerReader

HOUR_FRAMES = 3600 * 24000 // 2048
MINUTE_FRAMES = HOUR_FRAMES // 60
CHUNK_BYTES = 4096


def minute() -> bytes:
    tokens = frames_to_tokens(random_codes(MINUTE_FRAMES))
    return b"".join(b'data: {"choices":[{"text":"<custom_token_%d>","index":0}]}\n\n' % token for token in tokens)


def chunks(stream: bytes) -> Iterator[bytes]:
    for start in range(0, len(stream), CHUNK_BYTES):
        yield stream[start : start + CHUNK_BYTES]


def test_memory_is_flat_over_an_hour_of_audio() -> None:
    reader, parser, assembler = AnswerReader(), TokenParser(), FrameAssembler()
    stream, frames, after_a_minute = minute(), 0, 0
    tracemalloc.start()
    try:
        for number in range(60):
            for chunk in chunks(stream):
                for delta in reader.feed(chunk):
                    frames += len(assembler.feed(parser.feed(delta)))
            if number == 0:
                after_a_minute = tracemalloc.get_traced_memory()[0]
        grown = tracemalloc.get_traced_memory()[0] - after_a_minute
    finally:
        tracemalloc.stop()
    assert frames == 60 * MINUTE_FRAMES
    assert assembler.tokens == frames * SLOTS
    assert grown < 50_000
