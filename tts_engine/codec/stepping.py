"""Streams of frames over a backend that decodes in steps of fixed size.

Enters: Work. Leaves: PCM that is final. It lines up the frames of all streams, fills steps with them, and gives out
what lies inside each stream. Never: a tensor; those are the Stepper's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tts_engine.codec.decoder import CODES_A_FRAME, Codes, Pcm, Work
from tts_engine.codec.streams import Stream, check_work

ENDLESS = 1 << 40
"""Length of a stream in frames as long as its end is unknown."""


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """One frame of one stream, as a step takes it."""

    state: Any
    """What the Stepper's `new_state` gave; `run` moves it on."""
    codes: NDArray[np.int32]
    """[7]; any codes after the end of the stream."""
    index: int
    """Its place in the stream."""
    length: int
    """Frames of the stream, ENDLESS while unknown."""
    follows: bool
    """Whether the frame before it in the step is the one before it in its stream."""


class Stepper(Protocol):
    """A backend: runs one step."""

    name: str
    device: str
    sample_rate: int
    frame_size: int
    delay: int
    """Samples by which a step's output lies behind its input."""

    @property
    def batches(self) -> Sequence[int]:
        """Sizes of the steps that are ready, in frames."""

    def next_batch(self, waiting: int) -> int:
        """Size of the step to run when so many frames wait, one of `batches`. More than wait: the rest is idle."""

    def new_state(self, seed: int) -> Any:
        """State of a stream that has not begun."""

    def run(self, batch: int, frames: Sequence[StreamFrame]) -> Pcm:
        """One step of 1..batch frames. Returns int16 [frames, frame_size]. Raises CodecError."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One Work under way."""

    stream: Stream
    codes: Codes
    """[K, 7], with the frames after the end that push the last samples out."""
    first: int
    """Place in the stream of codes[0]."""
    length: int
    """Frames of the stream, ENDLESS while unknown."""
    pieces: list[Pcm]
    """The samples so far."""

    def frame(self, place: int, follows: bool) -> StreamFrame:
        return StreamFrame(self.stream.state, self.codes[place], self.first + place, self.length, follows)


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
        """Run a step of every size that is ready once."""
        codes = np.zeros(CODES_A_FRAME, np.int32)
        for batch in self._stepper.batches:
            states = [self._stepper.new_state(0) for _ in range(batch)]
            self._stepper.run(batch, [StreamFrame(state, codes, 0, ENDLESS, False) for state in states])

    def decode(self, work: Sequence[Work]) -> list[Pcm]:
        streams = check_work(work, self)
        tasks = [self._take(stream, item) for stream, item in zip(streams, work, strict=True)]
        line = [(task, place) for task in tasks for place in range(len(task.codes))]
        while line:
            batch = self._stepper.next_batch(len(line))
            self._run(batch, line[:batch])
            line = line[batch:]
        return [task.stream.give(np.concatenate([*task.pieces, np.zeros(0, np.int16)])) for task in tasks]

    def _take(self, stream: Stream, item: Work) -> _Task:
        first = stream.frames
        stream.take(item)
        flush = self._flush_frames if item.last and stream.frames else 0
        codes = np.concatenate([item.frames, np.zeros((flush, CODES_A_FRAME), np.int32)])
        return _Task(stream, codes, first, stream.frames if item.last else ENDLESS, [])

    def _run(self, batch: int, line: Sequence[tuple[_Task, int]]) -> None:
        before = [None, *(task for task, _ in line)]
        frames = [
            task.frame(place, follows=task is earlier) for (task, place), earlier in zip(line, before, strict=False)
        ]
        for (task, _), frame, samples in zip(line, frames, self._stepper.run(batch, frames), strict=True):
            start = frame.index * self.frame_size - self._stepper.delay
            end = task.length * self.frame_size
            task.pieces.append(samples[max(0, -start) : max(0, end - start)])
