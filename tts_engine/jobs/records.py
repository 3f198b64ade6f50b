"""What a job is: the values that the store keeps and everybody else reads. Data only."""

from dataclasses import dataclass
from typing import Literal

from tts_engine.llm.dialects import Sampling

State = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
"""States that nobody works on any more."""

SegmentState = Literal["waiting", "done", "failed"]

Boundary = Literal["clause", "sentence", "paragraph", "end"]


@dataclass(frozen=True, slots=True)
class JobSettings:
    """How a whole job is spoken and what its file is."""

    voice: str
    """As the prompt says it; for segments that name none."""
    sampling: Sampling
    """seed: the user's, or one drawn when the job was made; segment n is spoken with (seed + n)."""
    format: str
    """mp3, opus, aac, flac, wav, pcm or m4b."""
    speed: float
    """0.25 to 4; of the file, not of the stored segments."""
    sample_rate: int
    """Of the file, Hz."""
    cached: bool = False
    """Use the cache of segments: asked for, or the user gave a seed."""


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A piece of text to be spoken."""

    text: str
    """As a reader sees it; empty for a pause before the first word."""
    prompt: str
    """As the model is told it."""
    voice: str
    """As the prompt says it."""
    chapter: int
    """Index of its chapter."""
    boundary: Boundary
    """What it ends with; "end" for the last one only."""
    pause_s: float | None
    """Silence asked for after it, seconds; None: what the boundary asks for."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it is handed in."""

    title: str
    settings: JobSettings
    chapters: tuple[str, ...]
    """Titles; at least one, which may be empty."""
    segments: tuple[NewSegment, ...]
    """At least one."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands."""

    id: str
    title: str
    settings: JobSettings
    chapters: tuple[str, ...]
    state: State
    error: str | None
    """Why it failed."""
    created: float
    """Unix time, seconds."""
    updated: float
    """Unix time of the last change, seconds."""
    version: int
    """Goes up with every change."""
    running_s: float
    """Time in which somebody worked on it, seconds."""
    segments_total: int
    segments_done: int
    chars_done: int
    """Characters of the segments that are done."""
    chars_total: int
    samples: int
    """Of all stored segments, at the codec's rate."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class JobSegment:
    """A segment as it stands."""

    number: int
    """From 0."""
    text: str
    prompt: str
    voice: str
    chapter: int
    boundary: Boundary
    pause_s: float | None
    seed: int
    state: SegmentState
    take: int
    """How often it was asked for again."""
    file: str | None
    """Name of the stored audio; of the take before while a new one is waited for. None: no audio."""
    samples: int
    problem: str | None
    """What is wrong with the audio, in words for people."""
    start: int | None
    """First sample of its speech in the joined audio; None: not joined yet."""
    end: int | None
    """One past the last sample of its speech in the joined audio."""

    def settled(self) -> bool:
        """Nobody has to speak it any more."""
        return self.state != "waiting"

    def audible(self) -> bool:
        """What follows may be heard: it is settled, or there is the audio of the take before."""
        return self.settled() or self.file is not None


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a segment that was spoken."""

    file: str | None
    """Name of its FLAC file; None: it is only a pause."""
    samples: int
    """At the codec's rate."""
    bytes: int
    """Size of the file."""
    problem: str | None
    """What is wrong with it, in words for people."""
