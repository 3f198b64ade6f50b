"""The step in torch: the GPU's backend, and the processor's where OpenVINO is not installed.

Enters and leaves: what a Stepper takes and gives. On CUDA each shape is recorded once as a graph and replayed: one copy
in, one launch, one copy back. Elsewhere the same code runs operation by operation.
"""

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tts_engine.codec.decoder import CODEBOOK_SIZE, CODES_A_FRAME, Pcm
from tts_engine.codec.noise import PERIOD, Noise
from tts_engine.codec.snac_weights import SnacWeights
from tts_engine.codec.step import LATENT_SLOTS, Array, Grid, Layer, Signal, Step
from tts_engine.codec.stepping import StreamFrame
from tts_engine.errors import CodecError, OverloadedError

CPU_BATCHES = (1, 2, 4, 8)
GPU_BATCHES = (1, 4, 16, 64, 256)
"""Frames in a step. A GPU reads the weights once a step, so many frames are nearly free and an idle one costs little."""

MAX_STREAMS = 1024
"""Streams that may be open at once. Their contexts, 336 KB each, stay on the device."""


@dataclass(slots=True, weakref_slot=True)
class _State:
    """One stream between steps; its contexts lie in a row of the stepper's."""

    place: int
    """1..MAX_STREAMS; 0 is the idle rows'."""
    noise_offsets: list[int] = field(default_factory=list)
    """Of each level."""


class TorchStepper:
    """Runs steps. On a GPU callers take turns; on a CPU they do not, and each is one thread.

    Sets torch's threads to one on a CPU: spinning ones starve a language model beside them. Raises CodecError when a
    step fails, OverloadedError when MAX_STREAMS are open.
    """

    name = "torch"

    def __init__(self, weights: SnacWeights, noise: Noise, device: str, batches: Sequence[int] = ()) -> None:
        """device: cpu, cuda or mps. batches: instead of the device's own, for tests: padded as on a GPU."""
        on_gpu = device != "cpu"
        if not on_gpu:
            torch.set_num_threads(1)
        self.device = device
        self.sample_rate = weights.config.sample_rate
        self.frame_size = weights.config.frame_size
        self.batches = batches or (GPU_BATCHES if on_gpu else CPU_BATCHES)
        self._pads = on_gpu or bool(batches)
        step = Step(weights, _Operations(device))
        self.delay = step.layout.output.delay
        self._noise = noise
        self._levels = len(step.layout.noise)
        self._program = _Program(step, weights, noise, device)
        self._recordings: dict[int, _Recording] = {}
        self._free = deque(range(1, MAX_STREAMS + 1))
        self._turn: AbstractContextManager[object] = threading.Lock() if on_gpu else nullcontext()

    def next_batch(self, waiting: int) -> int:
        if self._pads:
            return next((size for size in self.batches if size >= waiting), self.batches[-1])
        return max(size for size in self.batches if size <= waiting)

    def new_state(self, seed: int) -> _State:
        try:
            state = _State(self._free.popleft(), self._noise.offsets(seed, self._levels))
        except IndexError:
            raise OverloadedError(f"All {MAX_STREAMS} places for audio streams are taken.") from None
        weakref.finalize(state, self._free.append, state.place)
        return state

    def run(self, batch: int, frames: Sequence[StreamFrame]) -> Pcm:
        numbers = self._program.numbers(batch, frames)
        try:
            with self._turn, torch.inference_mode():
                return self._replay(numbers)[: len(frames)]
        except RuntimeError as exc:  # what torch raises, out of memory included
            raise CodecError(f"torch failed in a decode on {self.device}: {exc}") from exc

    def _replay(self, numbers: NDArray[np.int64]) -> Pcm:
        if self.device != "cuda":
            return self._program.decode(torch.from_numpy(numbers).to(self.device)).cpu().numpy()
        batch = len(numbers)
        if batch not in self._recordings:
            self._recordings[batch] = _Recording(self._program, batch)
        return self._recordings[batch].replay(numbers)


class _Program:
    """The step on the device, with what it reads there and the contexts of all streams.

    A frame goes in as numbers: where its context is read and where it is written, index, length, follows, noise
    offsets, codes.
    """

    def __init__(self, step: Step, weights: SnacWeights, noise: Noise, device: str) -> None:
        self._step = step
        self._codebooks = torch.from_numpy(weights.codebooks.reshape(-1, weights.config.codebook_dim)).to(device)
        self._level_starts = torch.arange(len(weights.codebooks), device=device) * CODEBOOK_SIZE
        self._latent_slots = torch.from_numpy(LATENT_SLOTS).to(device)
        self._noise_table = torch.from_numpy(noise.table).to(device)
        self._contexts = torch.zeros((MAX_STREAMS + 1, step.layout.state_size), device=device)
        self._masks = _DeviceGrid(Grid(step.layout.masks), device)
        self._noise = _DeviceGrid(Grid(step.layout.noise), device)
        self._codes_from = 5 + len(step.layout.noise)
        self.numbers_a_frame = self._codes_from + CODES_A_FRAME

    def numbers(self, batch: int, frames: Sequence[StreamFrame]) -> NDArray[np.int64]:
        """Frames as int64 [batch, numbers a frame]; the idle ones read and write place 0 and have no length."""
        numbers = np.zeros((batch, self.numbers_a_frame), np.int64)
        for place, frame in enumerate(frames):
            followed = place + 1 < len(frames) and frames[place + 1].follows
            write = 0 if followed else frame.state.place  # of frames that follow each other the last one writes
            clock = (frame.state.place, write, frame.index, frame.length, frame.follows)
            numbers[place] = (*clock, *frame.state.noise_offsets, *frame.codes)
        return numbers

    def decode(self, numbers: torch.Tensor) -> torch.Tensor:
        """One step, on the device. numbers: int64 [B, numbers a frame]. Returns int16 [B, T]."""
        read, write, index, length, follows = (numbers[:, place] for place in range(5))
        index, length = index[:, None], length[:, None]
        offsets, codes = numbers[:, 5 : self._codes_from], numbers[:, self._codes_from :]
        entries = self._codebooks[codes[:, self._latent_slots] + self._level_starts]
        positions = self._masks.positions + index * self._masks.rows
        inside = (positions >= 0) & (positions < length * self._masks.rows)
        noise_places = self._noise.positions + index * self._noise.rows + offsets[:, self._noise.lane_of]
        begun = index > 0  # before, a place holds the contexts of the stream that had it last
        contexts = self._contexts.index_select(0, read) * begun
        samples, next_contexts = self._step(
            entries.flatten(2),
            _unpack(contexts, self._step.layout.contexts),
            _unpack(inside.to(contexts.dtype), [(rows, 1) for rows in self._masks.widths]),
            _unpack(self._noise_table[noise_places & (PERIOD - 1)], [(rows, 1) for rows in self._noise.widths]),
            follows[:, None, None] > 0 if len(numbers) > 1 else None,
        )
        self._contexts.index_copy_(0, write, torch.cat([context.flatten(1) for context in next_contexts], 1))
        pcm: torch.Tensor = (samples.flatten(1) * 32767).round().to(torch.int16)
        return pcm


class _DeviceGrid:
    """A Grid on the device."""

    def __init__(self, grid: Grid, device: str) -> None:
        self.widths = grid.widths
        self.rows = torch.from_numpy(grid.rows).to(device)
        self.positions = torch.from_numpy(grid.positions).to(device)
        self.lane_of = torch.from_numpy(np.repeat(np.arange(len(grid.widths)), grid.widths)).to(device)
        """int64 [sum of widths]: which lane each row belongs to."""


class _Recording:
    """A program recorded for one size of batch as a CUDA graph, with pinned buffers on the host. One caller at a time."""

    def __init__(self, program: _Program, batch: int) -> None:
        shape = (batch, program.numbers_a_frame)
        self._host_numbers = torch.zeros(shape, dtype=torch.int64, pin_memory=True)
        self._numbers = torch.zeros(shape, dtype=torch.int64, device="cuda")
        self._graph = torch.cuda.CUDAGraph()
        # cuDNN would use TF32, ten bits of mantissa; torch's own kernels for these convolutions are exact.
        with torch.backends.cudnn.flags(enabled=False):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                program.decode(self._numbers)  # kernels load and libraries allocate on a first run; a graph cannot
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._pcm = program.decode(self._numbers)
        self._host_pcm = torch.empty(self._pcm.shape, dtype=torch.int16, pin_memory=True)

    def replay(self, numbers: NDArray[np.int64]) -> Pcm:
        self._host_numbers.numpy()[:] = numbers
        self._numbers.copy_(self._host_numbers, non_blocking=True)
        self._graph.replay()
        self._host_pcm.copy_(self._pcm, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return self._host_pcm.numpy().copy()


class _Operations:
    """The step's operations on tensors. Rows are axis 1."""

    def __init__(self, device: str) -> None:
        self._device = device

    def linear(self, weight: Array, bias: Array | None) -> Layer:
        matrix, offset = self._tensor(weight), None if bias is None else self._tensor(bias)
        return lambda x: functional.linear(x, matrix, offset)

    def convolution(self, weight: Array, bias: Array, dilation: int) -> Layer:
        taps, offset = self._tensor(weight), self._tensor(bias)
        groups = len(weight) if weight.shape[1] == 1 else 1

        def run(x: Signal) -> Signal:
            return functional.conv1d(x.transpose(1, 2), taps, offset, dilation=dilation, groups=groups).transpose(1, 2)

        return run

    def snake(self, alpha: Array) -> Layer:
        scale, amplitude = self._tensor(alpha), self._tensor(np.reciprocal(alpha + np.float32(1e-9)))
        return lambda x: x + amplitude * torch.sin(scale * x).square()

    def tanh(self, x: Signal) -> Signal:
        return torch.tanh(x)

    def join(self, parts: Sequence[Signal]) -> Signal:
        return torch.cat(list(parts), 1)

    def beside(self, parts: Sequence[Signal]) -> Signal:
        return torch.cat(list(parts), 2)

    def cut(self, x: Signal, start: int, stop: int, stride: int = 1) -> Signal:
        return x[:, start:stop:stride]

    def reshape(self, x: Signal, rows: int, channels: int) -> Signal:
        return x.reshape(len(x), rows, channels)

    def shift(self, x: Signal) -> Signal:
        return x.roll(1, 0)

    def choose(self, first: Signal, a: Signal, b: Signal) -> Signal:
        return torch.where(first, a, b)

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def _unpack(flat: torch.Tensor, shapes: Sequence[tuple[int, int]]) -> list[torch.Tensor]:
    """Cut [B, sum] into signals of (rows, channels)."""
    parts = torch.split(flat, [rows * channels for rows, channels in shapes], 1)
    return [part.view(len(flat), rows, channels) for part, (rows, channels) in zip(parts, shapes, strict=True)]
