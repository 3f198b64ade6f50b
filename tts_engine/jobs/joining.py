"""Stored segments in order -> the audio of the whole job; the same joins as of a live request."""

from collections.abc import Sequence

from tts_engine.audio.blocks import Pcm
from tts_engine.audio.captions import Caption
from tts_engine.audio.joins import Joiner, Timing
from tts_engine.jobs.records import JobSegment


class JobJoiner:
    """Owns the silence between two segments. Any stream of a job's segments gives the same samples."""

    def __init__(self, sample_rate: int) -> None:
        self._joiner = Joiner(sample_rate)

    @property
    def timings(self) -> Sequence[Timing]:
        """Where the speech of each segment is, in samples; complete for all but the last one fed."""
        return self._joiner.timings

    def feed(self, segment: JobSegment, pcm: Pcm) -> list[Pcm]:
        """A whole segment, int16 [T], T >= 0; returns the joined pieces that may leave."""
        out = self._joiner.feed(pcm)
        if segment.boundary != "end":
            out += self._joiner.end_segment(segment.boundary, segment.pause_s)
        elif segment.pause_s is not None:
            out += self._joiner.end_segment(pause_s=segment.pause_s)
        return out

    def flush(self) -> list[Pcm]:
        return self._joiner.flush()


def captions(segments: Sequence[JobSegment], sample_rate: int, speed: float) -> list[Caption]:
    """A caption for every segment whose place in the audio is known."""
    second = sample_rate * speed
    return [
        Caption(segment.start / second, segment.end / second, segment.text)
        for segment in segments
        if segment.start is not None and segment.end is not None and segment.end > segment.start
    ]
