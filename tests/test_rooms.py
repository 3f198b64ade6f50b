"""Every room with state gives the same, however its input is cut."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_engine.audio.joins import Joiner
from tts_engine.audio.resample import Resampler
from tts_engine.audio.speed import Speed
from tts_engine.codec.frames import CODES, SLOTS, FrameAssembler
from tts_engine.codec.tokens import TokenParser
from tts_engine.codec.windows import Windows
from tts_engine.llm.sse import SSEDecoder
from tts_engine.text.segments import SegmentStream

RNG = np.random.default_rng(5)
TOKENS = [10 + slot * CODES + int(RNG.integers(CODES)) for _ in range(40) for slot in range(SLOTS)]
SPOILED = [token for i, token in enumerate(TOKENS) if i % 31] + [5, 99999, 2, *TOKENS[:20]]
TEXT = "".join(f"<custom_token_{token}>" for token in SPOILED).replace("3>", "3> ab<c ")
EVENTS = b'\xef\xbb\xbf: hello\r\n\r\ndata: {"a": "\xed\x95\x9c"}\n\ndata: b\rdata:c\r\r: x\nevent: y\ndata: [DONE]\n\n'
PCM = (np.sin(np.arange(12_000) * 0.05) * 9000 * (np.arange(12_000) % 5000 < 3500)).astype(np.int16)
PROSE = "Dr. Smith paid $3.14 at 5 p.m. today. He left! 그는 갔다. Then, <laugh> silence…\n\nA new day; a new page."

ROOMS: dict[str, tuple[Callable[[], Any], Any]] = {
    "tokens": (TokenParser, TEXT),
    "frames": (FrameAssembler, SPOILED),
    "windows": (lambda: Windows(3), np.array(TOKENS, np.int32).reshape(-1, SLOTS) % CODES),
    "sse": (SSEDecoder, EVENTS),
    "speed": (lambda: Speed(1.3, 24000), PCM),
    "resample": (lambda: Resampler(24000, 16000), PCM),
    "joins": (lambda: Joiner(24000), PCM),
    "segments": (lambda: SegmentStream(language="en"), PROSE),
}


def run(make: Callable[[], Any], pieces: Iterable[Any]) -> list[Any]:
    room = make()
    out = [y for piece in pieces for y in room.feed(piece)]
    out += room.flush()
    if out and isinstance(out[0], np.ndarray):
        return list(np.concatenate(out))
    return [repr(y) for y in out]


@pytest.mark.parametrize("name", ROOMS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_cutting_gives_the_same(name: str, data: st.DataObject) -> None:
    make, whole = ROOMS[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert run(make, pieces) == run(make, [whole])


@pytest.mark.parametrize("name", ROOMS)
def test_piece_by_piece_gives_the_same(name: str) -> None:
    make, whole = ROOMS[name]
    step = max(1, len(whole) // 500)
    assert run(make, [whole[i : i + step] for i in range(0, len(whole), step)]) == run(make, [whole])
