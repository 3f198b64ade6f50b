"""Streams of frames over a backend that decodes in steps of fixed shape.

Enters: Work. Leaves: PCM that is final. It cuts each stream's frames into steps, puts streams that stand at any
position into one batch, and gives out what lies inside the stream. Never: a tensor; those are the Stepper's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tts_engine.codec.decoder import CODES_A_FRAME, Codes, Pcm, Work
from tts_engine.codec.snac_weights import LATENTS_A_FRAME
from tts_engine.codec.streams import Stream, check_work

ENDLESS = 1 << 40
"""Length of a stream in latents as long as its end is unknown."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One fixed shape of a step."""

    batch: int
    """Streams."""
    frames: int
    """Frames of each."""


@dataclass(slots=True)
class Row:
    """One stream's part of one step."""

    state: Any
    """What the Stepper's `new_state` gave; `run` moves it on."""
    codes: Codes
    """int32 [frames, 7]; any codes where the stream has ended."""
    latent: int
    """Position of the step's first latent."""
    length: int
    """Latents of the stream, ENDLESS while unknown."""


class Stepper(Protocol):
    """A backend: runs one step of one of its shapes."""

    name: str
    device: str
    sample_rate: int
    frame_size: int
    delay: int
    """Samples by which a step's output lies behind its input."""
    shapes: Sequence[Shape]
    """One is of one frame; for each number of frames one is of one stream, unless pads_batches."""
    pads_batches: bool
    """Whether `run` takes fewer rows than the shape's batch, because the idle ones cost little (a GPU)."""

    def new_state(self, seed: int) -> Any:
        """State of a stream that has not begun."""

    def run(self, shape: Shape, rows: Sequence[Row]) -> Pcm:
        """Decode one step. Returns int16 [rows, frames x frame_size]. Raises CodecError."""


@dataclass(slots=True)
class _Task:
    """What is left to do of one Work."""

    stream: Stream
    codes: Codes
    """[frames left, 7], with the frames after the end that push the last samples out."""
    stepped: int
    """Frames of the stream that its steps have passed."""
    length: int
    """Latents of the stream, ENDLESS while unknown."""
    pieces: list[Pcm]
    """The samples so far."""


class SteppedDecoder:
    """A Decoder over a Stepper. Holds no stream: a call touches only the streams of its Works."""

    def __init__(self, stepper: Stepper) -> None:
        self.name = stepper.name
        self.device = stepper.device
        self.sample_rate = stepper.sample_rate
        self.frame_size = stepper.frame_size
        self._stepper = stepper
        self._flush_frames = -(-stepper.delay // stepper.frame_size)

    def open(self, seed: int) -> Stream:
        return Stream(self, self._stepper.new_state(seed))

    def warm_up(self) -> None:
        """Run every shape once."""
        for shape in self._stepper.shapes:
            codes = np.zeros((shape.frames, CODES_A_FRAME), np.int32)
            rows = [Row(self._stepper.new_state(0), codes, 0, ENDLESS) for _ in range(shape.batch)]
            self._stepper.run(shape, rows)

    def decode(self, work: Sequence[Work]) -> list[Pcm]:
        streams = check_work(work, self)
        tasks = [self._take(stream, item) for stream, item in zip(streams, work, strict=True)]
        for shape, batch in self._rounds(tasks):
            self._run(shape, batch)
        return [task.stream.give(np.concatenate([*task.pieces, np.zeros(0, np.int16)])) for task in tasks]

    def _take(self, stream: Stream, item: Work) -> _Task:
        stepped = stream.frames
        stream.take(item)
        flush = self._flush_frames if item.last and stream.frames else 0
        codes = np.concatenate([item.frames, np.zeros((flush, CODES_A_FRAME), np.int32)])
        return _Task(stream, codes, stepped, stream.frames * LATENTS_A_FRAME if item.last else ENDLESS, [])

    def _rounds(self, tasks: Sequence[_Task]) -> Iterator[tuple[Shape, list[_Task]]]:
        """Choose step after step: the most frames that some stream still has, for as many such streams as fit."""
        by_frames = sorted({shape.frames for shape in self._stepper.shapes}, reverse=True)
        while waiting := [task for task in tasks if len(task.codes)]:
            frames = next(count for count in by_frames if any(len(task.codes) >= count for task in waiting))
            ready = [task for task in waiting if len(task.codes) >= frames]
            shape = self._shape(frames, len(ready))
            yield shape, ready[: shape.batch]

    def _shape(self, frames: int, streams: int) -> Shape:
        shapes = sorted((shape for shape in self._stepper.shapes if shape.frames == frames), key=lambda s: s.batch)
        if self._stepper.pads_batches:
            return next((shape for shape in shapes if shape.batch >= streams), shapes[-1])
        return [shape for shape in shapes if shape.batch <= streams][-1]

    def _run(self, shape: Shape, batch: Sequence[_Task]) -> None:
        rows = [
            Row(task.stream.state, task.codes[: shape.frames], task.stepped * LATENTS_A_FRAME, task.length)
            for task in batch
        ]
        for task, samples in zip(batch, self._stepper.run(shape, rows), strict=True):
            first = task.stepped * self.frame_size - self._stepper.delay
            end = task.stream.frames * self.frame_size if task.stream.ended else first + len(samples)
            task.pieces.append(samples[max(0, -first) : max(0, end - first)])
            task.stepped += shape.frames
            task.codes = task.codes[shape.frames :]
