"""The step in OpenVINO, float32 on the processor: the CPU's backend.

Enters and leaves: what a Stepper takes and gives. Never: torch. One inference thread a caller, and it sleeps when idle:
a language model on the same cores is not disturbed by spinning.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from tts_engine.codec.decoder import Pcm
from tts_engine.codec.noise import Noise
from tts_engine.codec.snac_weights import LATENTS_A_FRAME, SnacWeights
from tts_engine.codec.spare_memory import SpareMemory
from tts_engine.codec.step import Array, Grid, Layer, Signal, Step, embed
from tts_engine.codec.stepping import StreamFrame
from tts_engine.errors import CodecError

logger = logging.getLogger(__name__)

WIDE = 4
"""Frames in a wide step, of any streams. They cost a tenth less a frame than one at a time; sixteen cost more again, they
fall out of the cache (9.0, 10.1 and 9.4 ms a frame on one thread of an EPYC)."""

PRESSING = 8
"""Frames that wait in one call before the wide step is compiled. It needs a copy of the weights and room to compute, 110
MB and 50 MB for each further thread, which a server is spared as long as it keeps up with its streams."""

SIN_SQUARED = (9.86960316, -32.4695816, 42.7253838, -30.0859528, 12.9907303, -3.27294612)
"""sin(pi r)^2 = u Q(u), u = r^2, |r| <= 1/2: coefficients of Q from the lowest, fitted to the least largest error
(6e-9). It fuses with the multiplications around it; OpenVINO's own Sin does not, and doubles the time of a step."""


@dataclass(slots=True)
class _State:
    """One stream between steps."""

    contexts: Array
    """float32 [state size]: every layer's left context."""
    noise_offsets: list[int]
    """Of each level."""


class OpenvinoStepper:
    """Runs steps. Any thread may call `run`; up to `threads` at a time do not wait for each other.

    Raises CodecError when OpenVINO cannot compile the step or run it.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, weights: SnacWeights, noise: Noise, threads: int, *, wide: bool = False) -> None:
        """wide: compile the wide step now, not when frames press."""
        self.sample_rate = weights.config.sample_rate
        self.frame_size = weights.config.frame_size
        self._noise = noise
        self._codebooks = weights.codebooks
        self._threads = threads
        self._spare = SpareMemory()
        self._step = Step(weights, _Graph(self._spare))
        self._core = ov.Core()
        self._programs: dict[int, _Program] = {}
        self._widening: threading.Thread | None = None
        self._lock = threading.Lock()
        self.delay = self._step.layout.output.delay
        self._compile(1)
        if wide:
            self._compile(WIDE)

    @property
    def batches(self) -> Sequence[int]:
        return sorted(self._programs)

    def next_batch(self, waiting: int) -> int:
        if waiting >= PRESSING and WIDE not in self._programs:
            self._widen()
        return WIDE if waiting >= WIDE and WIDE in self._programs else 1

    def new_state(self, seed: int) -> _State:
        layout = self._step.layout
        return _State(np.zeros(layout.state_size, np.float32), self._noise.offsets(seed, len(layout.noise)))

    def run(self, batch: int, frames: Sequence[StreamFrame]) -> Pcm:
        return self._programs[batch].run(frames, self._codebooks, self._noise)

    def join(self) -> None:
        """Wait for the wide step if it is being compiled."""
        if self._widening is not None:
            self._widening.join()

    def _widen(self) -> None:
        """Begin to compile the wide step, once."""
        with self._lock:
            if self._widening is None:
                self._widening = threading.Thread(target=self._compile_wide, name="compile wide step")
                self._widening.start()

    def _compile_wide(self) -> None:
        """Steps go on one frame at a time meanwhile, and for good if it fails."""
        try:
            self._compile(WIDE)
        except CodecError as exc:
            logger.warning("The wide step is not used: %s", exc.message)

    def _compile(self, batch: int) -> None:
        entry_size = self._codebooks.shape[0] * self._codebooks.shape[2]
        self._programs[batch] = _Program(self._core, self._step, entry_size, batch, self._threads)
        self._spare.give_back()


class _Call:
    """One request of a program and the arrays it reads and writes; one thread at a time."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self.request = compiled.create_infer_request()
        self.inputs = [np.zeros(tuple(port.shape), port.element_type.to_dtype()) for port in compiled.inputs]
        self.outputs = [np.zeros(tuple(port.shape), np.float32) for port in compiled.outputs]
        for index, array in enumerate(self.inputs):
            self.request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
        for index, array in enumerate(self.outputs):
            self.request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
        self.masked = True
        """False while the masks are all ones, and need no writing."""


class _Program:
    """The step compiled for one size of batch, and its idle calls."""

    def __init__(self, core: ov.Core, step: Step, entry_size: int, batch: int, threads: int) -> None:
        self._masks = Grid(step.layout.masks)
        self._noise = Grid(step.layout.noise)
        self._idle: SimpleQueue[_Call] = SimpleQueue()
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._compiled = core.compile_model(self._model(step, batch, entry_size), "CPU", options)
        except RuntimeError as exc:  # what OpenVINO raises
            raise CodecError(f"OpenVINO cannot compile the SNAC decoder: {exc}") from exc

    def run(self, frames: Sequence[StreamFrame], codebooks: Array, noise: Noise) -> Pcm:
        try:
            call = self._idle.get_nowait()
        except Empty:
            call = _Call(self._compiled)
        self._fill(call, frames, codebooks, noise)
        try:
            call.request.infer()
        except RuntimeError as exc:
            raise CodecError(f"OpenVINO failed in a decode: {exc}") from exc
        samples, contexts = call.outputs
        for frame, context in zip(frames, contexts, strict=True):
            frame.state.contexts[:] = context  # of frames that follow each other the last one's stays
        pcm = np.rint(samples * np.float32(32767)).astype(np.int16)
        self._idle.put(call)
        return pcm

    def _fill(self, call: _Call, frames: Sequence[StreamFrame], codebooks: Array, noise: Noise) -> None:
        entries, contexts, masks, noises, follows = call.inputs
        entries[:] = embed(codebooks, np.stack([frame.codes for frame in frames]))
        masked = not all(self._masks.surrounded(frame.index, frame.length) for frame in frames)
        for place, frame in enumerate(frames):
            contexts[place] = frame.state.contexts
            follows[place] = frame.follows
            if masked:
                masks[place] = self._masks.inside(frame.index, frame.length)
            starts = zip(self._noise.lanes, frame.state.noise_offsets, strict=True)
            runs = [noise.run(offset + frame.index * lane.rows - lane.delay, lane.rows) for lane, offset in starts]
            np.concatenate([*runs, np.zeros(0, np.float32)], out=noises[place])
        if call.masked and not masked:
            masks[:] = 1
        call.masked = masked

    def _model(self, step: Step, batch: int, entry_size: int) -> ov.Model:
        """Inputs: entries [B, 4, entry_size], contexts [B, state], masks and noise [B, sum of rows], follows [B, 1, 1].

        Outputs: samples [B, T], contexts [B, state].
        """
        layout = step.layout
        entries = op.parameter([batch, LATENTS_A_FRAME, entry_size], ov.Type.f32)
        contexts, masks, noise = (
            op.parameter([batch, width], ov.Type.f32)
            for width in (layout.state_size, sum(self._masks.widths), sum(self._noise.widths))
        )
        follows = op.parameter([batch, 1, 1], ov.Type.boolean)
        samples, next_contexts = step(
            entries,
            _unpack(contexts, layout.contexts),
            _unpack(masks, [(rows, 1) for rows in self._masks.widths]),
            _unpack(noise, [(rows, 1) for rows in self._noise.widths]) if layout.noise else [],
            follows if batch > 1 else None,
        )
        state = op.concat([_reshape(context, -1) for context in next_contexts], 1)
        results = [op.result(_reshape(samples, -1)), op.result(state)]
        return ov.Model(results, [entries, contexts, masks, noise, follows], f"SNAC decoder step of {batch}")


class _Graph:
    """The step's operations as nodes of an OpenVINO graph. Rows are axis 1. All batches share the constants."""

    def __init__(self, spare: SpareMemory) -> None:
        self._spare = spare

    def linear(self, weight: Array, bias: Array | None) -> Layer:
        matrix, offset = self._constant(weight), None if bias is None else self._constant(bias)

        def run(x: Signal) -> Signal:
            product = op.matmul(x, matrix, False, True)
            return product if offset is None else product + offset

        return run

    def convolution(self, weight: Array, bias: Array, dilation: int) -> Layer:
        offset, swap = self._constant(bias[None, :, None]), op.constant(np.array([0, 2, 1]))
        by_channel = weight.shape[1] == 1
        taps = self._constant(weight[:, :, None] if by_channel else weight)
        convolve: Any = op.group_convolution if by_channel else op.convolution
        return lambda x: op.transpose(convolve(op.transpose(x, swap), taps, [1], [0], [0], [dilation]) + offset, swap)

    def snake(self, alpha: Array) -> Layer:
        wide = alpha.astype(np.float64)
        turns = op.constant((wide / np.pi).astype(np.float32))
        amplitude = op.constant((1 / (wide + 1e-9)).astype(np.float32))

        def run(x: Signal) -> Signal:
            turn = x * turns
            rest = turn - op.round(turn, "half_to_even")
            square = rest * rest
            series = op.constant(np.float32(SIN_SQUARED[-1]))
            for coefficient in SIN_SQUARED[-2::-1]:
                series = series * square + op.constant(np.float32(coefficient))
            return x + series * square * amplitude

        return run

    def tanh(self, x: Signal) -> Signal:
        return op.tanh(x)

    def join(self, parts: Sequence[Signal]) -> Signal:
        return op.concat(list(parts), 1)

    def beside(self, parts: Sequence[Signal]) -> Signal:
        return op.concat(list(parts), 2)

    def cut(self, x: Signal, start: int, stop: int, stride: int = 1) -> Signal:
        begin, end, every, axis = (op.constant(np.array([value])) for value in (start, stop, stride, 1))
        return op.slice(x, begin, end, every, axis)

    def reshape(self, x: Signal, rows: int, channels: int) -> Signal:
        return _reshape(x, rows, channels)

    def shift(self, x: Signal) -> Signal:
        begin, end, every, axis = (op.constant(np.array([value])) for value in (0, -1, 1, 0))
        first = op.slice(x, begin, every, every, axis)
        return op.concat([first, op.slice(x, begin, end, every, axis)], 0)

    def choose(self, first: Signal, a: Signal, b: Signal) -> Signal:
        return op.select(first, a, b)

    def _constant(self, array: Array) -> Signal:
        return op.constant(self._spare.hold(array), shared_memory=True)


def _reshape(x: Signal, *shape: int) -> Signal:
    """x as [B, *shape]."""
    return op.reshape(x, op.constant(np.array([0, *shape])), True)  # True: a 0 keeps the axis


def _unpack(flat: Signal, shapes: Sequence[tuple[int, int]]) -> list[Signal]:
    """Cut [B, sum] into signals of (rows, channels)."""
    widths = np.array([rows * channels for rows, channels in shapes])
    parts = op.variadic_split(flat, op.constant(1), op.constant(widths)).outputs()
    return [_reshape(part, rows, channels) for part, (rows, channels) in zip(parts, shapes, strict=True)]
