"""One segment being spoken, by itself: its completion is read and decoded in a task of its own, ahead of its turn.

A segment that goes wrong is asked for again with another seed as long as nobody waits for it; what somebody waits for
goes out as it comes, unless it is nothing at all. What cannot be mended is noted in the report. Leaving early closes the upstream connection at once.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from tts_engine.audio.joins import Timing
from tts_engine.cache import SegmentCache, segment_key
from tts_engine.codec.batcher import Batcher, DecodeStream
from tts_engine.codec.decoder import Pcm
from tts_engine.codec.early import EarlyStream
from tts_engine.codec.frames import SLOTS, Frame, FrameAssembler
from tts_engine.codec.tokens import TokenParser
from tts_engine.errors import InferenceError
from tts_engine.guard import Fault, Guard
from tts_engine.line import Line
from tts_engine.llm.client import InferenceClient
from tts_engine.llm.dialects import Sampling
from tts_engine.llm.prompt import Speech
from tts_engine.text.segments import Segment

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 512
"""Frames that the inference server may be ahead of the decoder, 44 s; 14 kB."""
QUEUE_PCM_S = 60.0
"""Audio that a segment may be ahead of its listener: a whole usual segment, so that its slot at the inference server is
free again early; 3 MB. Beyond it a slow listener slows the inference server."""
DECODE_FRAMES = 16
"""Most frames handed to the batcher at once: 1.4 s of audio, so that sound leaves between."""
AHEAD_S = 1.0
"""Audio a listener must have in hand before frames are gathered into batches instead of being decoded at once."""
ATTEMPTS = 3
"""How often a segment is asked for; a model that fails three times with three seeds fails on the text."""
SNIPPET_CHARS = 120
"""How much of a model's text answer an error shows."""
SEEDS = 2**32 - 1
"""Seeds are 0..2^32-2; llama.cpp reads 2^32-1 as "any"."""
ATTEMPT_SEED_STEP = 1_000_003
"""Between the seeds of two attempts, so that they do not meet the next segments' seeds."""


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
    asked_again: int = 0
    """Completions that were thrown away because something was wrong with them."""
    problems: list[tuple[int, Fault]] = field(default_factory=list)
    """Segments (by index) that are heard although something is wrong with them."""
    segments: list[Segment] = field(default_factory=list)
    """Those that are being spoken or were."""
    begun: list[int] = field(default_factory=list)
    """For each segment that has begun to be heard, the samples sent before it."""
    timings: list[Timing] = field(default_factory=list)
    """Where each segment that has ended is heard, in samples at the codec's rate."""

    def note_begun(self, index: int) -> None:
        """Audio of this segment is about to leave."""
        while len(self.begun) <= index:
            self.begun.append(self.samples)

    def ahead_s(self, sample_rate: int) -> float:
        """Seconds of audio that were sent before the listener can have heard them."""
        if self.first_audio_s is None:
            return 0.0
        return self.samples / sample_rate - (time.monotonic() - self.started - self.first_audio_s)


@dataclass(frozen=True, slots=True)
class Speaker:
    """What speaking a segment needs of the process."""

    client: InferenceClient
    batcher: Batcher
    batch_frames: int
    """Frames gathered before a decode once playing is ahead of real time."""
    early: bool
    """Give out the first sound of a request before it is exact."""
    cache: SegmentCache | None
    """Spoken segments, by everything that shapes them."""
    shape: Mapping[str, str]
    """What of the process shapes every segment's audio: model, prompt form, codec."""


class SegmentSpeech:
    """A segment on its way from prompt to PCM."""

    def __init__(
        self,
        speaker: Speaker,
        speech: Speech,
        sampling: Sampling,
        report: Report,
        *,
        index: int,
        expected_s: float,
        whole: bool,
        cached: bool,
    ) -> None:
        """index: of the segment in its request. expected_s: how long its text should take.

        whole: nothing is handed out before the segment is complete, so that any fault can still be mended.
        cached: look for it in the cache, and keep it there.
        """
        self._speaker = speaker
        self._speech = speech
        self._sampling = sampling
        self._report = report
        self._index = index
        self._expected_s = expected_s
        self._whole = whole
        self._cache = speaker.cache if cached else None
        self._out: Line[Pcm] = Line(float("inf") if whole else QUEUE_PCM_S)
        self._audible = False
        self._left = False
        self._stream: DecodeStream | None = None
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; the connection to the inference server is closed when this returns."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def pcm(self) -> AsyncGenerator[Pcm]:
        """The audio, in pieces that are final. Raises InferenceError, CodecError."""
        self._audible = True
        if self._stream is not None:
            self._stream.begin_listening()
        if self._whole:
            await self._out.ended()
        last = False
        while not last:
            pieces, last = await self._out.get()
            for piece in pieces:
                self._left = True
                yield piece

    async def _run(self) -> None:
        try:
            if not await self._from_cache():
                await self._attempts()
        except BaseException as exc:  # whoever waits for the audio must hear of whatever ended it
            if isinstance(exc, InferenceError):  # servers quote the prompt
                exc.log_message = exc.log_message.replace(self._speech.text, "(the text)")
            self._out.end(exc)
            if not isinstance(exc, InferenceError):
                raise
        else:
            self._out.end()

    async def _from_cache(self) -> bool:
        """Hand out what the cache holds of this segment, if anything."""
        if self._cache is None:
            return False
        pcm = await asyncio.to_thread(self._cache.get, self._key())
        if pcm is None:
            return False
        rate = self._speaker.batcher.decoder.sample_rate
        for piece in np.array_split(pcm, range(rate, len(pcm), rate)):
            await self._out.put([piece], len(piece) / rate)
        return True

    async def _keep(self, pieces: list[Pcm]) -> None:
        if self._cache is not None:
            await asyncio.to_thread(self._cache.put, self._key(), np.concatenate(pieces))

    def _key(self) -> str:
        sampling = asdict(self._seeded(0))
        return segment_key(**self._speaker.shape, text=self._speech.text, voice=self._speech.voice, **sampling)

    async def _attempts(self) -> None:
        for attempt in range(ATTEMPTS):
            last_one = attempt == ATTEMPTS - 1
            fault = await self._attempt(self._seeded(attempt), may_fail=not last_one)
            if fault is None:
                return
            if last_one or not (fault == Fault.NO_AUDIO or self._nobody_waits()):
                self._report.problems.append((self._index, fault))
                logger.warning("Segment %d could not be mended: %s", self._index, fault)
                return
            logger.info("Segment %d is asked for again: %s", self._index, fault)
            self._report.asked_again += 1
            self._out.clear()

    def _seeded(self, attempt: int) -> Sampling:
        """A seed of its own for every segment and attempt, or equal sentences would be spoken to the letter alike."""
        seed = self._sampling.seed
        if seed is None:
            return self._sampling
        return replace(self._sampling, seed=(seed + self._index + attempt * ATTEMPT_SEED_STEP) % SEEDS)

    async def _attempt(self, sampling: Sampling, *, may_fail: bool) -> Fault | None:
        """Read and decode one completion. Returns the fault, if any; with may_fail as soon as it is found."""
        decoder = self._speaker.batcher.decoder
        frame_s = decoder.frame_size / decoder.sample_rate
        guard = Guard(expected_s=self._expected_s, frame_s=frame_s, sample_rate=decoder.sample_rate)
        frames: Line[Frame] = Line(QUEUE_FRAMES)
        reading = asyncio.create_task(self._read(sampling, frames, guard, may_fail=may_fail))
        made: list[Pcm] = []
        try:
            async with contextlib.aclosing(self._decoded(frames, sampling.seed)) as pieces:
                async for pcm in pieces:
                    guard.heard(pcm)
                    if guard.fault and may_fail and self._nobody_waits():
                        return guard.fault
                    if self._cache is not None:
                        made.append(pcm)
                    await self._out.put([pcm], len(pcm) / decoder.sample_rate)
            await reading
        except _NoAudio as exc:
            if may_fail and not self._left:
                return Fault.NO_AUDIO
            raise InferenceError(str(exc), log_message=exc.log_message) from exc
        except InferenceError as exc:
            if not (may_fail and guard.frames and self._nobody_waits()):
                raise
            logger.info("Segment %d broke off: %s", self._index, exc.log_message)
            return Fault.BROKEN_OFF
        finally:
            reading.cancel()
            await asyncio.wait([reading])
        if made and guard.fault is None:
            await self._keep(made)
        return guard.fault

    def _nobody_waits(self) -> bool:
        """Its turn has not come, or it is handed out whole: asking again once more is heard by nobody."""
        return not self._left and (self._whole or not self._audible)

    async def _decoded(self, frames: Line[Frame], seed: int | None) -> AsyncGenerator[Pcm]:
        noise_seed = secrets.randbits(32) if seed is None else seed
        self._stream = self._speaker.batcher.open(noise_seed)
        self._stream.audible = self._audible
        stream: DecodeStream | EarlyStream = self._stream
        if self._speaker.early and self._index == 0 and not self._whole:
            stream = EarlyStream(self._speaker.batcher, self._stream, noise_seed)
        last = False
        while not last:
            gather = 1 if self._is_urgent() else self._speaker.batch_frames
            taken, last = await frames.get(gather, max(gather, DECODE_FRAMES))
            pcm = await stream.decode(taken, last=last)
            if len(pcm):
                yield pcm

    def _is_urgent(self) -> bool:
        """Somebody listens, and has little audio in hand."""
        return self._audible and self._report.ahead_s(self._speaker.batcher.decoder.sample_rate) < AHEAD_S

    async def _read(self, sampling: Sampling, frames: Line[Frame], guard: Guard, *, may_fail: bool) -> None:
        try:
            await self._read_completion(sampling, frames, guard, may_fail=may_fail)
        except BaseException as exc:  # whoever waits for the frames must hear of whatever ended them
            frames.end(exc)
            if not isinstance(exc, InferenceError | _NoAudio):
                raise
        else:
            frames.end()

    async def _read_completion(self, sampling: Sampling, line: Line[Frame], guard: Guard, *, may_fail: bool) -> None:
        parser, assembler = TokenParser(), FrameAssembler()
        report, heard_text = self._report, ""
        try:
            async with self._speaker.client.stream(self._speech, sampling) as completion:
                async for delta in completion:
                    tokens = parser.feed(delta.text)
                    if not tokens and not guard.frames:
                        heard_text = (heard_text + delta.text)[:SNIPPET_CHARS]
                    frames = assembler.feed(tokens)
                    if frames:
                        guard.saw(frames)
                        await line.put(frames, 1)
                    if guard.fault and may_fail and self._nobody_waits():
                        return
                    if assembler.ended or assembler.tokens >= sampling.max_tokens:
                        break
            assembler.flush()
        finally:
            report.tokens += assembler.tokens
            report.dropped_tokens += assembler.dropped
        guard.end()
        if guard.fault == Fault.NO_AUDIO:
            raise _NoAudio(
                _no_audio(assembler.tokens, heard_text), _no_audio(assembler.tokens, heard_text and "(text)")
            )
        finish = completion.finish
        if finish is not None:
            report.prompt_tokens += finish.prompt_tokens or 0
        if not assembler.ended and (finish is None or finish.reason == "length"):
            report.truncated += 1


class _NoAudio(Exception):
    """A completion without a single frame, with the reason for people and for the log."""

    def __init__(self, message: str, log_message: str) -> None:
        super().__init__(message)
        self.log_message = log_message


def _no_audio(tokens: int, text: str) -> str:
    if tokens:
        return f"The inference server sent {tokens} audio tokens but no whole frame of {SLOTS}. Is it an Orpheus model?"
    if text.strip():
        return (
            f"The inference server answered with text instead of audio tokens: {text!r}. It must serve an Orpheus "
            "model and pass the prompt on as it is, without a chat template."
        )
    return (
        "The inference server ended its answer without any audio. Is the model an Orpheus model? llama.cpp shows the "
        "audio tokens of some GGUF files only when it is started with --special."
    )
