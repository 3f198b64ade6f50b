"""An engine whose synthesizer needs no model: audio that depends on the prompt, the voice and the seed alone."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from tts_engine.admission import Admission
from tts_engine.config import Settings
from tts_engine.engine import Engine
from tts_engine.jobs.book import read_plain
from tts_engine.jobs.files import Pcm
from tts_engine.jobs.planning import plan
from tts_engine.jobs.records import JobSettings, NewJob
from tts_engine.llm.dialects import Sampling
from tts_engine.metrics import Metrics
from tts_engine.synthesis import Report, SpeechRequest

RATE = 24_000


def spoken(prompt: str, voice: str, seed: int) -> Pcm:
    """The fake's audio: silence, noise as loud as speech, silence; whole frames."""
    random = np.random.default_rng([zlib.crc32(prompt.encode()), zlib.crc32(voice.encode()), seed])
    frames = 4 + int(random.integers(0, 4))
    pcm = random.integers(-6000, 6000, frames * 2048, dtype=np.int16)
    pcm[:2048] //= 1000
    pcm[-2048:] //= 1000
    return pcm


@dataclass
class FakePlan:
    workers: int = 2


class FakeSynthesizer:
    sample_rate = RATE

    def __init__(self, engine: "FakeEngine") -> None:
        self._engine = engine

    async def stream(self, request: SpeechRequest, report: Report) -> AsyncGenerator[Pcm]:
        (segment,) = request.segments
        engine = self._engine
        engine.in_flight += 1
        engine.most_in_flight = max(engine.most_in_flight, engine.in_flight)
        try:
            engine.heard.append(segment.text)
            await asyncio.sleep(0)
            if not engine.open.is_set():
                await engine.open.wait()
            if engine.fault is not None:
                engine.fault(segment.text, report)
            pcm = spoken(segment.text, segment.voice or request.voice, cast(int, request.sampling.seed))
            for start in range(0, len(pcm), 5000):
                yield pcm[start : start + 5000]
                await asyncio.sleep(0)
        finally:
            engine.in_flight -= 1


class FakeEngine:
    """Stands where the engine stands. `open`: cleared, nobody speaks. `fault`: may raise, or mark the report."""

    def __init__(self, *, workers: int = 2, places: int = 4, **settings: Any) -> None:
        self.settings = Settings(_env_file=None, **settings)  # type: ignore[call-arg]
        self.voices = self.settings.voices
        self.plan = FakePlan(workers)
        self.client = None
        self.metrics = Metrics()
        self.admission = Admission(speaking=places, waiting=8)
        self.open = asyncio.Event()
        self.open.set()
        self.fault: Callable[[str, Report], None] | None = None
        self.heard: list[str] = []
        self.in_flight = self.most_in_flight = 0

    async def synthesizer(self) -> FakeSynthesizer:
        return FakeSynthesizer(self)

    @property
    def real(self) -> Engine:
        return cast(Engine, self)


def text(sentences: int, *, chapters: int = 1) -> str:
    """Chapters of sentences that are too long to share a segment."""
    filler = "and then it went on and on through the whole long grey day " * 5
    parts = []
    for chapter in range(chapters):
        lines = [f"Sentence {n} of part {chapter} {filler}came to its end." for n in range(sentences)]
        parts.append(f"Chapter {chapter + 1}\n\n" + " ".join(lines) if chapters > 1 else " ".join(lines))
    return "\n\n".join(parts)


def settings(format: str = "pcm", *, seed: int | None = 7, speed: float = 1.0) -> JobSettings:
    return JobSettings("tara", Sampling(temperature=0.6, top_p=0.9, max_tokens=8192, seed=seed), format, speed, RATE)


def job(engine: FakeEngine, words: str, how: JobSettings | None = None) -> NewJob:
    return plan(read_plain(words), how or settings(), engine.voices, language="en", clean=True, title="A book")
