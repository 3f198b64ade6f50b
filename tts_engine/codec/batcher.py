"""The one place where threads and the event loop meet: gathers the frames of all streams and decodes them in threads.

Enters: frames of many streams, each with `await`. Leaves: their PCM. A free decode thread takes the most urgent pieces
of all streams in one call: streams that have not been heard yet first, then those whose listener runs out of audio
soonest. Long work is cut into pieces, so a backlog never stands in front of a new stream for longer than one call.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tts_engine.codec.decoder import Codes, Decoder, DecoderStream, Pcm, Work
from tts_engine.codec.frames import SLOTS

MAX_BATCH = 8
"""Streams in one call on a CPU: enough to fill its steps; more would only make the next new stream wait."""
GPU_MAX_BATCH = 64
PIECE_FRAMES = 4
"""Frames of one stream in one call: four reach nine tenths of the speed of many."""


class _Job:
    """Frames that one stream waits for."""

    __slots__ = ("done", "frames", "future", "last", "pcm", "stream")

    def __init__(self, stream: "DecodeStream", frames: Codes, last: bool, future: asyncio.Future[Pcm]) -> None:
        self.stream = stream
        self.frames = frames
        self.last = last
        self.future = future
        self.done = 0
        self.pcm: list[Pcm] = []

    def piece(self) -> Work:
        end = min(self.done + PIECE_FRAMES, len(self.frames))
        return Work(self.stream.state, self.frames[self.done : end], self.last and end == len(self.frames))


class DecodeStream:
    """One stream of audio. Not for two tasks at a time."""

    def __init__(self, batcher: "Batcher", state: DecoderStream, frame_s: float) -> None:
        self.state = state
        self._batcher = batcher
        self._frame_s = frame_s
        self._heard_since: float | None = None
        self.audible = True
        """False while nobody listens yet: the audio of segments whose turn has not come goes last."""

    async def decode(self, frames: Sequence[Sequence[int]], *, last: bool = False) -> Pcm:
        """frames: the next ones, 7 codes each, may be none. last: the stream ends here. Returns the PCM now final.

        Raises CodecError.
        """
        codes = np.asarray(frames, dtype=np.int32).reshape(-1, SLOTS)
        return await self._batcher.submit(self, codes, last)

    def urgency(self) -> tuple[int, float]:
        """Sorts streams: those unheard first, then by the moment at which the listener has heard all that was made."""
        if not self.audible:
            return (2, self.state.frames)
        if self._heard_since is None:
            return (0, 0.0)
        return (1, self._heard_since + self.state.frames * self._frame_s)

    def begin_listening(self) -> None:
        """Somebody listens from now on; what was made before is in hand."""
        if not self.audible:
            self.audible = True
            self._heard_since = time.monotonic() if self.state.samples else None

    def mark_heard(self) -> None:
        if self._heard_since is None and self.state.samples:
            self._heard_since = time.monotonic()


class Batcher:
    """Owns the decode threads. Start in the event loop that uses it; close it when the last stream is done."""

    def __init__(self, decoder: Decoder, *, threads: int) -> None:
        self.decoder = decoder
        self.calls = 0
        self.frames = 0
        self._threads = threads
        self._max_batch = MAX_BATCH if decoder.device == "cpu" else GPU_MAX_BATCH
        self._free = threads
        self._waiting: list[_Job] = []
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Pieces of work that no thread has taken yet."""
        return len(self._waiting)

    def open(self, seed: int) -> DecodeStream:
        """Begin a stream; seed fixes its noise."""
        return DecodeStream(self, self.decoder.open(seed), self.decoder.frame_size / self.decoder.sample_rate)

    async def submit(self, stream: DecodeStream, frames: Codes, last: bool) -> Pcm:
        """See DecodeStream.decode. Cancelling it takes the work back, but for the piece a thread is decoding."""
        job = _Job(stream, frames, last, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._start_calls()
        try:
            return await job.future
        finally:
            if job in self._waiting:
                self._waiting.remove(job)

    async def close(self) -> None:
        """Let running calls end, drop what waits."""
        for job in self._waiting:
            job.future.cancel()
        self._waiting.clear()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._executor.shutdown(wait=True)

    def _start_calls(self) -> None:
        while self._free and self._waiting:
            share = math.ceil(len(self._waiting) / self._free)
            self._waiting.sort(key=lambda job: job.stream.urgency())
            batch = self._waiting[: min(share, self._max_batch)]
            del self._waiting[: len(batch)]
            self._free -= 1
            task = asyncio.create_task(self._call(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _call(self, batch: list[_Job]) -> None:
        pieces = [job.piece() for job in batch]
        decoding = asyncio.get_running_loop().run_in_executor(self._executor, self.decoder.decode, pieces)
        await asyncio.wait([decoding])
        self._free += 1
        error = decoding.exception()
        if error is None:
            self.calls += 1
            self.frames += sum(len(piece.frames) for piece in pieces)
            for job, piece, pcm in zip(batch, pieces, decoding.result(), strict=True):
                self._advance(job, len(piece.frames), pcm)
        else:
            for job in batch:
                if not job.future.done():
                    job.future.set_exception(error)
        self._start_calls()

    def _advance(self, job: _Job, frames: int, pcm: Pcm) -> None:
        job.pcm.append(pcm)
        job.done += frames
        job.stream.mark_heard()
        if job.future.done():  # cancelled: its stream is gone
            return
        if job.done < len(job.frames):
            self._waiting.append(job)
        else:
            job.future.set_result(np.concatenate(job.pcm))
