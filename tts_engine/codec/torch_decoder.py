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
from tts_engine.codec.snac_weights import LATENTS_A_FRAME, SnacWeights
from tts_engine.codec.step import LATENT_SLOTS, Array, Grid, Layer, Signal, Step
from tts_engine.codec.stepping import Row, Shape
from tts_engine.errors import CodecError, OverloadedError

CPU_SHAPES = tuple(Shape(batch, frames) for batch in (1, 2, 4) for frames in (1, 2, 4))
GPU_SHAPES = tuple(Shape(batch, frames) for batch in (1, 2, 4, 8, 16, 32, 64) for frames in (1, 4))
"""A GPU reads the weights once a step, so a wide batch is nearly free and an idle row costs little."""

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

    def __init__(self, weights: SnacWeights, noise: Noise, device: str, shapes: Sequence[Shape] | None = None) -> None:
        """device: cpu, cuda or mps. shapes: others than the device's own, for tests."""
        on_gpu = device != "cpu"
        if not on_gpu:
            torch.set_num_threads(1)
        self.device = device
        self.sample_rate = weights.config.sample_rate
        self.frame_size = weights.config.frame_size
        self.shapes = shapes or (GPU_SHAPES if on_gpu else CPU_SHAPES)
        self.pads_batches = on_gpu
        step = Step(weights, _Operations(device))
        self.delay = step.layout.output.delay
        self._noise = noise
        self._levels = len(step.layout.noise)
        tables = _Tables(weights, noise, device, MAX_STREAMS + 1, step.layout.state_size)
        self._programs = {shape: _Program(step, tables, shape, device) for shape in self.shapes}
        self._free = deque(range(1, MAX_STREAMS + 1))
        self._turn: AbstractContextManager[object] = threading.Lock() if on_gpu else nullcontext()

    def new_state(self, seed: int) -> _State:
        try:
            state = _State(self._free.popleft(), self._noise.offsets(seed, self._levels))
        except IndexError:
            raise OverloadedError(f"All {MAX_STREAMS} places for audio streams are taken.") from None
        weakref.finalize(state, self._free.append, state.place)
        return state

    def run(self, shape: Shape, rows: Sequence[Row]) -> Pcm:
        try:
            with self._turn, torch.inference_mode():
                return self._programs[shape].run(rows)
        except RuntimeError as exc:  # what torch raises, out of memory included
            raise CodecError(f"torch failed in a decode on {self.device}: {exc}") from exc


class _Tables:
    """What every shape reads on the device, and the contexts of all streams."""

    def __init__(self, weights: SnacWeights, noise: Noise, device: str, places: int, state_size: int) -> None:
        self.codebooks = torch.from_numpy(weights.codebooks.reshape(-1, weights.config.codebook_dim)).to(device)
        levels = np.arange(len(weights.codebooks)) * CODEBOOK_SIZE
        self.level_starts = torch.from_numpy(levels).to(device)
        self.latent_slots = torch.from_numpy(LATENT_SLOTS).to(device)
        self.noise = torch.from_numpy(noise.table).to(device)
        self.contexts = torch.zeros((places, state_size), device=device)
        self.graph_memory = torch.cuda.graph_pool_handle() if device == "cuda" else None
        """Working memory that all recorded shapes share."""


class _Program:
    """The step in one shape. A row goes in as numbers: place, latent, length, noise offsets, codes."""

    def __init__(self, step: Step, tables: _Tables, shape: Shape, device: str) -> None:
        self.shape = shape
        self.tables = tables
        self._step = step
        self._device = device
        self._masks = _DeviceGrid(Grid(step.layout.masks, shape.frames * LATENTS_A_FRAME), device)
        self._noise = _DeviceGrid(Grid(step.layout.noise, shape.frames * LATENTS_A_FRAME), device)
        self.row_size = 3 + len(step.layout.noise) + shape.frames * CODES_A_FRAME
        self._recording: _Recording | None = None

    def run(self, rows: Sequence[Row]) -> Pcm:
        numbers = np.zeros((self.shape.batch, self.row_size), np.int64)
        for line, row in zip(numbers, rows, strict=False):  # the lines left over are idle: place 0, length 0
            line[:] = [row.state.place, row.latent, row.length, *row.state.noise_offsets, *row.codes.flat]
        if self._device != "cuda":
            return self.decode(torch.from_numpy(numbers).to(self._device)).cpu().numpy()[: len(rows)]
        if self._recording is None:
            self._recording = _Recording(self)
        return self._recording.replay(numbers)[: len(rows)]

    def decode(self, numbers: torch.Tensor) -> torch.Tensor:
        """One step, on the device. numbers: int64 [B, row size]. Returns int16 [B, T]."""
        tables, batch = self.tables, len(numbers)
        places, latent, length = numbers[:, 0], numbers[:, 1:2], numbers[:, 2:3]
        codes_from = 3 + len(self._noise.widths)
        offsets, codes = numbers[:, 3:codes_from], numbers[:, codes_from:].view(batch, -1, CODES_A_FRAME)
        entries = tables.codebooks[codes[:, :, tables.latent_slots] + tables.level_starts]
        positions = self._masks.positions + latent * self._masks.rates
        inside = (positions >= 0) & (positions < length * self._masks.rates)
        noise_places = self._noise.positions + latent * self._noise.rates + offsets[:, self._noise.lane_of]
        contexts = tables.contexts.index_select(0, places) * (latent > 0)  # a new stream finds its place's old contexts
        layout = self._step.layout
        samples, next_contexts = self._step(
            self.shape.frames,
            entries.reshape(batch, codes.shape[1] * LATENTS_A_FRAME, -1),
            _unpack(contexts, layout.contexts),
            _unpack(inside.to(contexts.dtype), [(width, 1) for width in self._masks.widths]),
            _unpack(tables.noise[noise_places & (PERIOD - 1)], [(width, 1) for width in self._noise.widths]),
        )
        tables.contexts.index_copy_(0, places, torch.cat([context.flatten(1) for context in next_contexts], 1))
        pcm: torch.Tensor = (samples.flatten(1) * 32767).round().to(torch.int16)
        return pcm


class _DeviceGrid:
    """A Grid on the device."""

    def __init__(self, grid: Grid, device: str) -> None:
        self.widths = grid.widths
        self.rates = torch.from_numpy(grid.rates).to(device)
        self.positions = torch.from_numpy(grid.positions).to(device)
        self.lane_of = torch.from_numpy(np.repeat(np.arange(len(grid.widths)), grid.widths)).to(device)
        """int64 [sum of widths]: which lane each row belongs to."""


class _Recording:
    """A program recorded as a CUDA graph, with pinned buffers on the host. One caller at a time."""

    def __init__(self, program: _Program) -> None:
        shape = (program.shape.batch, program.row_size)
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
            with torch.cuda.graph(self._graph, pool=program.tables.graph_memory, capture_error_mode="thread_local"):
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

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def _unpack(flat: torch.Tensor, shapes: Sequence[tuple[int, int]]) -> list[torch.Tensor]:
    """Cut [B, sum] into signals of (rows, channels)."""
    parts = torch.split(flat, [rows * channels for rows, channels in shapes], 1)
    return [part.view(len(flat), rows, channels) for part, (rows, channels) in zip(parts, shapes, strict=True)]
