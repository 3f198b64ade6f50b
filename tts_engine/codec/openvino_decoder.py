"""The step in OpenVINO, float32 on the processor: the CPU's backend.

Enters and leaves: what a Stepper takes and gives. Never: torch. One inference thread a caller, and it sleeps when idle:
a language model on the same cores is not disturbed by spinning.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from tts_engine.codec.decoder import Pcm
from tts_engine.codec.noise import Noise
from tts_engine.codec.snac_weights import LATENTS_A_FRAME, SnacWeights
from tts_engine.codec.step import Array, Grid, Layer, Signal, Step, embed
from tts_engine.codec.stepping import Row, Shape
from tts_engine.errors import CodecError

SHAPES = (Shape(1, 1),)
WIDE_SHAPES = (*SHAPES, Shape(1, 4), Shape(4, 1))
"""Four frames, of one stream or of four, cost a tenth less a frame than one (8.7 against 9.9 ms on one thread of an
EPYC); sixteen cost more again, they fall out of the cache. But each shape keeps its own copy of the weights: 110 MB."""

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
    """Runs steps of its shapes. Any thread may call `run`; up to `threads` at a time do not wait for each other.

    Raises CodecError when OpenVINO cannot compile the step or run it.
    """

    name = "openvino"
    device = "cpu"
    pads_batches = False

    def __init__(self, weights: SnacWeights, noise: Noise, threads: int, shapes: Sequence[Shape] = SHAPES) -> None:
        self.shapes = shapes
        self.sample_rate = weights.config.sample_rate
        self.frame_size = weights.config.frame_size
        self._noise = noise
        self._codebooks = weights.codebooks
        core = ov.Core()
        step = Step(weights, _Graph())
        with ThreadPoolExecutor(len(shapes), "compile") as pool:
            programs = pool.map(lambda shape: _Program(core, step, weights.projection.shape[1], shape, threads), shapes)
            self._programs = dict(zip(shapes, programs, strict=True))
        self.delay = step.layout.output.delay
        self._state_size = step.layout.state_size
        self._levels = len(step.layout.noise)

    def new_state(self, seed: int) -> _State:
        return _State(np.zeros(self._state_size, np.float32), self._noise.offsets(seed, self._levels))

    def run(self, shape: Shape, rows: Sequence[Row]) -> Pcm:
        return self._programs[shape].run(rows, self._codebooks, self._noise)


class _Call:
    """One request of a program and the arrays it reads and writes; one thread at a time."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self.request = compiled.create_infer_request()
        self.inputs = [np.zeros(tuple(port.shape), np.float32) for port in compiled.inputs]
        self.outputs = [np.zeros(tuple(port.shape), np.float32) for port in compiled.outputs]
        for index, array in enumerate(self.inputs):
            self.request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
        for index, array in enumerate(self.outputs):
            self.request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
        self.masked = True
        """False while the masks are all ones, and need no writing."""


class _Program:
    """The step compiled for one shape, and its idle calls."""

    def __init__(self, core: ov.Core, step: Step, entry_size: int, shape: Shape, threads: int) -> None:
        latents = shape.frames * LATENTS_A_FRAME
        self._masks = Grid(step.layout.masks, latents)
        self._noise = Grid(step.layout.noise, latents)
        self._idle: SimpleQueue[_Call] = SimpleQueue()
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = self._model(step, shape, entry_size)
            self._compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as exc:  # what OpenVINO raises
            raise CodecError(f"OpenVINO cannot compile the SNAC decoder: {exc}") from exc

    def run(self, rows: Sequence[Row], codebooks: Array, noise: Noise) -> Pcm:
        try:
            call = self._idle.get_nowait()
        except Empty:
            call = _Call(self._compiled)
        self._fill(call, rows, codebooks, noise)
        try:
            call.request.infer()
        except RuntimeError as exc:
            raise CodecError(f"OpenVINO failed in a decode: {exc}") from exc
        samples, contexts = call.outputs
        for row, context in zip(rows, contexts, strict=True):
            row.state.contexts[:] = context
        pcm = np.rint(samples * np.float32(32767)).astype(np.int16)
        self._idle.put(call)
        return pcm

    def _fill(self, call: _Call, rows: Sequence[Row], codebooks: Array, noise: Noise) -> None:
        entries, contexts, masks, *noises = call.inputs
        entries[:] = embed(codebooks, np.stack([row.codes for row in rows]))
        masked = not all(self._masks.surrounded(row.latent, row.length) for row in rows)
        for index, row in enumerate(rows):
            contexts[index] = row.state.contexts
            if masked:
                masks[index] = self._masks.inside(row.latent, row.length)
            for grid in noises:
                places = zip(self._noise.lanes, self._noise.widths, row.state.noise_offsets, strict=True)
                runs = [
                    noise.run(offset + row.latent * lane.rate - lane.delay, width) for lane, width, offset in places
                ]
                np.concatenate(runs, out=grid[index])
        if call.masked and not masked:
            masks[:] = 1
        call.masked = masked

    def _model(self, step: Step, shape: Shape, entry_size: int) -> ov.Model:
        """Inputs: entries [B, latents, entry_size], contexts [B, state], masks [B, sum], noise [B, sum] if there is any.
        Outputs: samples [B, T], contexts [B, state]."""
        batch, layout, latents = shape.batch, step.layout, shape.frames * LATENTS_A_FRAME
        entries = op.parameter([batch, latents, entry_size], ov.Type.f32)
        contexts, masks, noise = (
            op.parameter([batch, width], ov.Type.f32)
            for width in (layout.state_size, sum(self._masks.widths), sum(self._noise.widths))
        )
        samples, next_contexts = step(
            shape.frames,
            entries,
            _unpack(contexts, layout.contexts),
            _unpack(masks, [(rows, 1) for rows in self._masks.widths]),
            _unpack(noise, [(rows, 1) for rows in self._noise.widths]) if layout.noise else [],
        )
        state = op.concat([_reshape(context, -1) for context in next_contexts], 1)
        results = [op.result(_reshape(samples, -1)), op.result(state)]
        inputs = [entries, contexts, masks, *([noise] if layout.noise else [])]
        return ov.Model(results, inputs, f"SNAC decoder step {shape.batch} x {shape.frames}")


class _Graph:
    """The step's operations as nodes of an OpenVINO graph. Rows are axis 1."""

    def linear(self, weight: Array, bias: Array | None) -> Layer:
        matrix, offset = _constant(weight), None if bias is None else _constant(bias)

        def run(x: Signal) -> Signal:
            product = op.matmul(x, matrix, False, True)
            return product if offset is None else product + offset

        return run

    def convolution(self, weight: Array, bias: Array, dilation: int) -> Layer:
        offset, swap = _constant(bias[None, :, None]), op.constant(np.array([0, 2, 1]))
        by_channel = weight.shape[1] == 1
        taps = _constant(weight[:, :, None] if by_channel else weight)
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


def _reshape(x: Signal, *shape: int) -> Signal:
    """x as [B, *shape]."""
    return op.reshape(x, op.constant(np.array([0, *shape])), True)  # True: a 0 keeps the axis


def _unpack(flat: Signal, shapes: Sequence[tuple[int, int]]) -> list[Signal]:
    """Cut [B, sum] into signals of (rows, channels)."""
    widths = np.array([rows * channels for rows, channels in shapes])
    parts = op.variadic_split(flat, op.constant(1), op.constant(widths)).outputs()
    return [_reshape(part, rows, channels) for part, (rows, channels) in zip(parts, shapes, strict=True)]


def _constant(array: Array) -> Signal:
    """A constant that reads the array where it lies; all shapes share it."""
    return op.constant(np.ascontiguousarray(array), shared_memory=True)
