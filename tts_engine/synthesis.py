"""The hallway: a request walks through text, language model, codec and joins, and leaves as PCM.

Enters: a SpeechRequest. Leaves: PCM at the codec's rate while the model still talks. Every piece of state that a
request needs is made here and ended here: leaving the stream early closes the upstream connections at once.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from tts_engine.audio.joins import Joiner, Timing
from tts_engine.codec.batcher import Batcher
from tts_engine.codec.decoder import Pcm
from tts_engine.codec.frames import SLOTS, Frame, FrameAssembler
from tts_engine.codec.tokens import TokenParser
from tts_engine.errors import InferenceError
from tts_engine.llm.client import InferenceClient
from tts_engine.llm.dialects import Sampling
from tts_engine.llm.prompt import Speech
from tts_engine.text.segments import Segment

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 512
"""Frames that the inference server may be ahead of the decoder, 44 s: a whole usual segment, so that its slot is free
again early; 14 kB. Beyond it a slow listener slows the inference server."""
DECODE_FRAMES = 16
"""Most frames handed to the batcher at once: 1.4 s of audio, so that sound leaves between."""
AHEAD_S = 1.0
"""Audio a listener must have in hand before frames are gathered into batches instead of being decoded at once."""
SEEDS = 2**32 - 1
"""Seeds 0..2^32-2; llama.cpp reads 2^32-1 as "any"."""
SNIPPET_CHARS = 120
"""How much of a model's text answer an error shows."""


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What to say and how, checked and complete."""

    segments: Sequence[Segment] | AsyncIterator[Segment]
    """At least one; or as they come, of a text that is still being written. The last one's boundary is "end"."""
    voice: str
    """For segments that name none, as the prompt says it."""
    sampling: Sampling
    """For every segment. A seed makes the audio repeat; the segments' own seeds follow from it."""


@dataclass(slots=True)
class Report:
    """What became of a request; filled while it is spoken."""

    started: float = field(default_factory=time.monotonic)
    """time.monotonic() of the start."""
    first_audio_s: float | None = None
    """Seconds from the start to the first sample; None before."""
    samples: int = 0
    """Samples sent, at the codec's rate."""
    tokens: int = 0
    """Audio tokens read."""
    dropped_tokens: int = 0
    """Of those, the ones that were part of no whole frame."""
    prompt_tokens: int = 0
    """Tokens of the prompts, as the inference server counted them; 0 where it does not."""
    truncated: int = 0
    """Segments that ended at the token limit instead of at the end of speech."""
    timings: list[Timing] = field(default_factory=list)
    """Where each segment that has ended is heard, in samples at the codec's rate."""
    segments: list[Segment] = field(default_factory=list)
    """Those that are being spoken or were."""
    begun: list[int] = field(default_factory=list)
    """For each segment that has begun to be heard, the samples sent before it."""

    def note_begun(self, index: int) -> None:
        """Audio of this segment is about to leave."""
        while len(self.begun) <= index:
            self.begun.append(self.samples)


class FrameQueue:
    """Frames on their way from the inference server to the decoder, at most QUEUE_FRAMES. One writer, one reader."""

    def __init__(self, limit: int = QUEUE_FRAMES) -> None:
        self._frames: deque[Frame] = deque()
        self._limit = limit
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    async def put(self, frames: Sequence[Frame]) -> None:
        """Wait while the queue is full, then add."""
        while len(self._frames) >= self._limit:
            self._room.clear()
            await self._room.wait()
        self._frames.extend(frames)
        self._changed.set()

    def end(self, error: BaseException | None = None) -> None:
        """No more frames; error: why, if it was not the end of speech."""
        self._ended = True
        self._error = error
        self._changed.set()

    async def get(self, at_least: int, at_most: int) -> tuple[list[Frame], bool]:
        """Wait for `at_least` frames or the end. Returns them and whether they are the last; raises the error."""
        while len(self._frames) < at_least and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None and not self._frames:
            raise self._error
        frames = [self._frames.popleft() for _ in range(min(at_most, len(self._frames)))]
        self._room.set()
        return frames, self._ended and not self._frames and self._error is None


class SegmentSpeech:
    """One segment being spoken: reads its completion in a task of its own, decodes it when its turn has come."""

    def __init__(self, owner: "Synthesizer", speech: Speech, sampling: Sampling, report: Report) -> None:
        self._owner = owner
        self._sampling = sampling
        self._report = report
        self._queue = FrameQueue()
        self._task = asyncio.create_task(self._read(speech))

    async def close(self) -> None:
        """Stop reading; the connection to the inference server is closed when this returns."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def pcm(self) -> AsyncGenerator[Pcm]:
        """The audio, as it becomes final. Raises InferenceError, CodecError."""
        seed = self._sampling.seed
        stream = self._owner.batcher.open(secrets.randbits(32) if seed is None else seed)
        report, last = self._report, False
        while not last:
            gather = self._owner.batch_frames if self._owner.ahead_s(report) > AHEAD_S else 1
            frames, last = await self._queue.get(gather, max(gather, DECODE_FRAMES))
            pcm = await stream.decode(frames, last=last)
            if len(pcm):
                yield pcm

    async def _read(self, speech: Speech) -> None:
        try:
            await self._read_completion(speech)
        except BaseException as exc:  # the reader of the queue must hear of whatever ended it
            self._queue.end(exc)
            if not isinstance(exc, InferenceError):
                raise
        else:
            self._queue.end()

    async def _read_completion(self, speech: Speech) -> None:
        parser, assembler = TokenParser(), FrameAssembler()
        report, heard_text, frames_made = self._report, "", 0
        try:
            async with self._owner.client.stream(speech, self._sampling) as completion:
                async for delta in completion:
                    tokens = parser.feed(delta.text)
                    if not tokens and not frames_made:
                        heard_text = (heard_text + delta.text)[:SNIPPET_CHARS]
                    frames = assembler.feed(tokens)
                    if frames:
                        frames_made += len(frames)
                        await self._queue.put(frames)
                    if assembler.ended or assembler.tokens >= self._sampling.max_tokens:
                        break
            assembler.flush()
        finally:
            report.tokens += assembler.tokens
            report.dropped_tokens += assembler.dropped
        if not frames_made:
            raise InferenceError(_no_audio(assembler.tokens, heard_text))
        finish = completion.finish
        if finish is not None:
            report.prompt_tokens += finish.prompt_tokens or 0
        if not assembler.ended and (finish is None or finish.reason == "length"):
            report.truncated += 1


def _segment_sampling(sampling: Sampling, index: int) -> Sampling:
    """A seed of its own for every segment, or equal sentences would be spoken to the letter alike."""
    return sampling if sampling.seed is None else replace(sampling, seed=(sampling.seed + index) % SEEDS)


def _no_audio(tokens: int, text: str) -> str:
    if tokens:
        return f"The inference server sent {tokens} audio tokens that make no whole frame of {SLOTS}. Is it an Orpheus model?"
    if text.strip():
        return (
            f"The inference server answered with text instead of audio tokens: {text!r}. It must serve an Orpheus model "
            "and pass the prompt on as it is, without a chat template."
        )
    return (
        "The inference server ended its answer without any audio. Is the model an Orpheus model? llama.cpp shows audio "
        "tokens of some GGUF files only when it is started with --special."
    )


class Synthesizer:
    """Speaks requests. Shared by all of them; owns no request's state."""

    def __init__(self, client: InferenceClient, batcher: Batcher, *, workers: int, token_batch: int) -> None:
        self.client = client
        self.batcher = batcher
        self.workers = workers
        self.batch_frames = max(1, token_batch // SLOTS)

    @property
    def sample_rate(self) -> int:
        return self.batcher.decoder.sample_rate

    def ahead_s(self, report: Report) -> float:
        """Seconds of audio that were made before the listener can have heard them."""
        if report.first_audio_s is None:
            return 0.0
        return report.samples / self.sample_rate - (time.monotonic() - report.started - report.first_audio_s)

    async def stream(self, request: SpeechRequest, report: Report) -> AsyncGenerator[Pcm]:
        """Speak. Yields int16 [T], T > 0, at `sample_rate`. Close it to stop. Raises InferenceError, CodecError.

        Up to `workers` segments are in flight; they are heard in order.
        """
        async with contextlib.aclosing(self._joined(request, report)) as joined:
            async for pcm in joined:
                if report.first_audio_s is None:
                    report.first_audio_s = time.monotonic() - report.started
                report.samples += len(pcm)
                yield pcm

    async def _joined(self, request: SpeechRequest, report: Report) -> AsyncGenerator[Pcm]:
        joiner = Joiner(self.sample_rate)
        report.timings = joiner.timings
        async with contextlib.aclosing(self._in_order(request, report)) as speaking:
            async for segment, speech in speaking:
                if segment.boundary == "end":
                    joiner.final_segment()
                if speech is not None:
                    async with contextlib.aclosing(speech.pcm()) as pieces:
                        async for pcm in pieces:
                            for joined in joiner.feed(pcm):
                                report.note_begun(len(joiner.timings))
                                yield joined
                if segment.boundary != "end":
                    for joined in joiner.end_segment(segment.boundary, segment.pause_after_s):
                        yield joined
                elif segment.pause_after_s is not None:
                    for joined in joiner.end_segment(pause_s=segment.pause_after_s):
                        yield joined
        for joined in joiner.flush():
            report.note_begun(len(joiner.timings) - 1)
            yield joined

    async def _in_order(
        self, request: SpeechRequest, report: Report
    ) -> AsyncGenerator[tuple[Segment, SegmentSpeech | None]]:
        """Start segments as places come free, hand them out in order, close whatever runs when left."""
        places = asyncio.Semaphore(self.workers)
        begun: asyncio.Queue[tuple[Segment, SegmentSpeech | None] | None] = asyncio.Queue()
        running: list[SegmentSpeech] = []

        async def begin_all() -> None:
            try:
                async for segment in _each(request.segments):
                    await places.acquire()
                    speech = self._begin(request, segment, report)
                    if speech is not None:
                        running.append(speech)
                    begun.put_nowait((segment, speech))
            finally:
                begun.put_nowait(None)

        beginning = asyncio.create_task(begin_all())
        try:
            while (item := await begun.get()) is not None:
                yield item
                if item[1] is not None:
                    running.remove(item[1])
                    await item[1].close()
                places.release()
            await beginning  # raises what the source of the segments raised
        finally:
            beginning.cancel()
            await asyncio.wait([beginning])
            await asyncio.gather(*(speech.close() for speech in running))

    def _begin(self, request: SpeechRequest, segment: Segment, report: Report) -> SegmentSpeech | None:
        """Begin to speak a segment; None for one that is only a pause."""
        index = len(report.segments)
        report.segments.append(segment)
        if not segment.text:
            return None
        # A text that is one segment goes out as it was written; in a longer one a heading gets its full stop.
        alone = index == 0 and segment.boundary == "end"
        speech = Speech(segment.text if alone else segment.prompt, segment.voice or request.voice)
        return SegmentSpeech(self, speech, _segment_sampling(request.sampling, index), report)


async def _each(segments: Sequence[Segment] | AsyncIterator[Segment]) -> AsyncGenerator[Segment]:
    if isinstance(segments, Sequence):
        for segment in segments:
            yield segment
    else:
        async for segment in segments:
            yield segment
