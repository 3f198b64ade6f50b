"""The hallway: a request walks through text, language model, codec and joins, and leaves as PCM.

Enters: a SpeechRequest. Leaves: PCM at the codec's rate while the model still talks. Every piece of state that a
request needs is made here and ended here: leaving the stream early closes the upstream connections at once.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from tts_engine.audio.joins import Joiner
from tts_engine.codec.decoder import Pcm
from tts_engine.llm.dialects import Sampling
from tts_engine.llm.prompt import Speech
from tts_engine.segment_speech import Report, SegmentSpeech, Speaker
from tts_engine.text.languages import speech_seconds
from tts_engine.text.segments import Segment

__all__ = ["Report", "SpeechRequest", "Synthesizer"]


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What to say and how, checked and complete."""

    segments: Sequence[Segment] | AsyncIterator[Segment]
    """At least one; or as they come, of a text that is still being written. The last one's boundary is "end"."""
    voice: str
    """For segments that name none, as the prompt says it."""
    sampling: Sampling
    """For every segment. A seed makes the audio repeat; the segments' own seeds follow from it."""
    cached: bool | None = None
    """Use the cache of segments, if there is one; None: only with a seed, because other audio is wanted each time."""
    whole: bool = False
    """Hand out no segment before it is complete, so that any fault of it can be mended; for files, not for ears."""


class Synthesizer:
    """Speaks requests. Shared by all of them; owns no request's state."""

    def __init__(self, speaker: Speaker, *, workers: int) -> None:
        """workers: segments of one request in flight."""
        self._speaker = speaker
        self._workers = workers

    @property
    def sample_rate(self) -> int:
        return self._speaker.batcher.decoder.sample_rate

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
        places = asyncio.Semaphore(self._workers)
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
        return SegmentSpeech(
            self._speaker,
            speech,
            request.sampling,
            report,
            index=index,
            expected_s=speech_seconds(segment.text, segment.language),
            whole=request.whole,
            cached=request.cached if request.cached is not None else request.sampling.seed is not None,
        )


async def _each(segments: Sequence[Segment] | AsyncIterator[Segment]) -> AsyncGenerator[Segment]:
    if isinstance(segments, Sequence):
        for segment in segments:
            yield segment
    else:
        async for segment in segments:
            yield segment
