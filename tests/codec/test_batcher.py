"""Who is decoded when. The decoder here only counts: what is tested is the order and the crossing, not the audio."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tts_engine.codec.batcher import MAX_BATCH, PIECE_FRAMES, Batcher
from tts_engine.codec.decoder import Pcm, Work
from tts_engine.errors import CodecError

pytestmark = pytest.mark.anyio
FRAME = (1, 2, 3, 4, 5, 6, 7)


@dataclass
class CountingStream:
    name: int
    frames: int = 0
    samples: int = 0
    ended: bool = False


class CountingDecoder:
    """A decoder of one-sample frames that can be held back, and remembers its calls."""

    name, device, sample_rate, frame_size = "counting", "cpu", 24000, 1

    def __init__(self) -> None:
        self.calls: list[list[tuple[int, int]]] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None

    def open(self, seed: int) -> CountingStream:
        return CountingStream(seed)

    def decode(self, work: Sequence[Work]) -> list[Pcm]:
        self.go.wait(10)
        if self.error is not None:
            raise self.error
        self.calls.append([(piece.stream.name, len(piece.frames)) for piece in work])  # type: ignore[attr-defined]
        for piece in work:
            piece.stream.frames += len(piece.frames)  # type: ignore[misc]
            piece.stream.samples += len(piece.frames)  # type: ignore[misc]
        return [piece.frames[:, 0].astype(np.int16) for piece in work]

    def warm_up(self) -> None: ...


async def test_long_work_comes_back_whole_and_in_order() -> None:
    decoder = CountingDecoder()
    batcher = Batcher(decoder, threads=1)
    frames = [(i, 0, 0, 0, 0, 0, 0) for i in range(3 * PIECE_FRAMES + 1)]
    pcm = await batcher.open(1).decode(frames, last=True)
    assert pcm.tolist() == list(range(len(frames)))
    assert [call[0][1] for call in decoder.calls] == [PIECE_FRAMES] * 3 + [1]
    await batcher.close()


async def test_new_stream_goes_before_an_old_backlog() -> None:
    decoder = CountingDecoder()
    batcher = Batcher(decoder, threads=1)
    old = batcher.open(1)
    await old.decode([FRAME])
    decoder.go.clear()
    backlog = asyncio.create_task(old.decode([FRAME] * 40))
    await asyncio.sleep(0)
    others = [asyncio.create_task(batcher.open(seed).decode([FRAME])) for seed in range(2, 2 + MAX_BATCH)]
    await asyncio.sleep(0)
    decoder.go.set()
    await asyncio.gather(backlog, *others)
    assert {name for name, _ in decoder.calls[2]} == set(range(2, 2 + MAX_BATCH))
    await batcher.close()


async def test_waiting_streams_share_one_call() -> None:
    decoder = CountingDecoder()
    batcher = Batcher(decoder, threads=1)
    decoder.go.clear()
    tasks = [asyncio.create_task(batcher.open(seed).decode([FRAME])) for seed in range(1 + MAX_BATCH)]
    await asyncio.sleep(0)
    decoder.go.set()
    await asyncio.gather(*tasks)
    assert [len(call) for call in decoder.calls] == [1, MAX_BATCH]
    await batcher.close()


async def test_failure_reaches_every_stream_of_the_call_and_no_other() -> None:
    decoder = CountingDecoder()
    batcher = Batcher(decoder, threads=1)
    decoder.error = CodecError("broken")
    with pytest.raises(CodecError, match="broken"):
        await batcher.open(1).decode([FRAME])
    decoder.error = None
    assert len(await batcher.open(2).decode([FRAME])) == 1
    await batcher.close()


async def test_cancelled_work_is_never_decoded() -> None:
    decoder = CountingDecoder()
    batcher = Batcher(decoder, threads=1)
    decoder.go.clear()
    first = asyncio.create_task(batcher.open(1).decode([FRAME]))
    await asyncio.sleep(0)
    second = asyncio.create_task(batcher.open(2).decode([FRAME]))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    decoder.go.set()
    await first
    assert decoder.calls == [[(1, 1)]]
    assert batcher.waiting == 0
    await batcher.close()
