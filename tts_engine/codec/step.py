"""The SNAC decoder as one masked step of fixed shape, written once for every backend.

A step takes a batch of frames and gives as many frames of samples, computing each sample of each layer once. Every
layer keeps the few rows that its next frame needs as left context, and so runs behind its newest input by its own
lookahead, its delay: a step's output lies `delay` samples behind its input. Rows before the start or after the end of a
stream are multiplied by zero where a layer gives them out, which is what the padding of the whole-sequence decode is;
so one shape serves the start, the middle and the end. The frames of a batch are of any streams at any position, or
follow each other in one stream: then the left context of each is what the frame before it leaves, within the step.

Enters: SnacWeights and a backend's Operations. Leaves: a callable on that backend's signals, and the Layout of its
state, masks and noise. Never: a stream, a file, a clock. Signals are [frames, rows, channels], rows in time order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tts_engine.codec.decoder import Codes
from tts_engine.codec.snac_weights import KERNEL, LATENTS_A_FRAME, Block, Convolution, ResidualUnit, SnacWeights

Array = NDArray[np.float32]
Signal = Any
"""A backend's tensor or graph node, [frames, rows, channels] float32; it has +, - and * with broadcasting."""
Layer = Callable[[Signal], Signal]

# Slots of a frame's code for each of its 4 latents (rows) at levels 0, 1, 2: Orpheus interleaves them as
# level 0, 1, 2, 2, 1, 2, 2.
LATENT_SLOTS = np.array([[0, 1, 2], [0, 1, 3], [0, 4, 5], [0, 4, 6]])


class Operations(Protocol):
    """What a backend has to know: three kinds of layer, tanh, and moving rows about."""

    def linear(self, weight: Array, bias: Array | None) -> Layer:
        """Product with weight [out, in] on every row."""

    def convolution(self, weight: Array, bias: Array, dilation: int) -> Layer:
        """Conv1d over rows without padding; weight [out, in or 1 (channel by channel), taps]."""

    def snake(self, alpha: Array) -> Layer:
        """x + sin(alpha x)^2 / (alpha + 1e-9); alpha [C]."""

    def tanh(self, x: Signal) -> Signal: ...

    def join(self, parts: Sequence[Signal]) -> Signal:
        """Parts after one another in time."""

    def beside(self, parts: Sequence[Signal]) -> Signal:
        """Parts side by side in channels."""

    def cut(self, x: Signal, start: int, stop: int, stride: int = 1) -> Signal:
        """Rows start..stop-1, every stride-th."""

    def reshape(self, x: Signal, rows: int, channels: int) -> Signal:
        """The same numbers in the same order, as rows x channels a frame."""

    def shift(self, x: Signal) -> Signal:
        """Each frame's numbers in the place of the frame after it; any in the first one's."""

    def choose(self, first: Signal, a: Signal, b: Signal) -> Signal:
        """a where `first` is true, else b."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The clock of a signal: row j of the step of frame f is position f * rows - delay + j."""

    rows: int
    """Rows a frame."""
    delay: int
    """Rows behind the newest input."""


@dataclass(slots=True)
class Layout:
    """What a step carries and is given, each list in the order in which the layers meet it."""

    contexts: list[tuple[int, int]] = field(default_factory=list)
    """(rows, channels) of each layer's left context."""
    masks: list[Lane] = field(default_factory=list)
    """Where a signal is set to zero outside its stream."""
    noise: list[Lane] = field(default_factory=list)
    """Where noise comes in; one lane a level."""
    output: Lane = Lane(LATENTS_A_FRAME, 0)
    """The clock of the samples; its delay is the lookahead of an exact stream: 4757 for the 24 kHz model."""

    @property
    def state_size(self) -> int:
        """Numbers in all contexts: 84 thousand (336 KB) for the 24 kHz model."""
        return sum(rows * channels for rows, channels in self.contexts)


class Step:
    """The decoder of one set of weights; batches of every size share its layers."""

    def __init__(self, weights: SnacWeights, operations: Operations) -> None:
        self.layout = Layout()
        self._ops = operations
        self._rows, self._delay = LATENTS_A_FRAME, 0
        self._stages = [self._projection(weights), self._head(weights)]
        for level, block in enumerate(weights.blocks):
            # The first block has so few rows that reading its weights is its cost: it takes the form with fewer.
            self._stages.append(self._upsampling(block, fast=level > 0))
            self._stages.extend(self._unit(unit) for unit in block.units)
        self._stages.append(self._tail(weights))
        self.layout.output = Lane(self._rows, self._delay)

    def __call__(
        self,
        entries: Signal,
        contexts: Sequence[Signal],
        masks: Sequence[Signal],
        noise: Sequence[Signal],
        follows: Signal | None,
    ) -> tuple[Signal, list[Signal]]:
        """One step. entries [frames, 4, 3 codebook_dim]: the codes, looked up in their codebooks.

        contexts, masks [frames, rows, 1] and noise [frames, rows, 1] as the layout lists them. follows [frames, 1, 1],
        bool: whether a frame continues the one before it in the batch, and not its context; None when none does.
        Returns the samples [frames, rows, 1], -1..1, and the contexts that each frame leaves.
        """
        flow = _Flow(self._ops, iter(contexts), iter(masks), iter(noise), follows)
        signal = entries
        for stage in self._stages:
            signal = stage(signal, flow)
        return signal, flow.next_contexts

    def _projection(self, weights: SnacWeights) -> "_Stage":
        linear = self._ops.linear(weights.projection, weights.projection_bias)
        self._mask()
        return lambda x, flow: flow.silence(linear(x))

    def _head(self, weights: SnacWeights) -> "_Stage":
        layers = [self._layer(convolution) for convolution in weights.head]
        extend = self._context(KERNEL - 1, weights.config.latent_dim)
        self._mask()
        return lambda x, flow: flow.silence(_chain(layers, extend(x, flow)))

    def _upsampling(self, block: Block, fast: bool) -> "_Stage":
        """Snake, transposed convolution, noise. Its taps span two inputs: output block q is now(x[q]) + before(x[q-1])."""
        rate, (inner, outer, _) = block.rate, block.up_weight.shape
        extend = self._context(1, inner)
        rows = self._rows
        self._rows, self._delay = rows * rate, self._delay * rate + (rate + 1) // 2
        now, before = (
            np.ascontiguousarray(half.transpose(2, 1, 0).reshape(rate * outer, inner))
            for half in (block.up_weight[:, :, :rate], block.up_weight[:, :, rate:])
        )
        product = (self._fast_product if fast else self._plain_product)(now, before, np.tile(block.up_bias, rate), rows)
        snake = self._ops.snake(block.snake)
        add_noise = self._noise(block.noise)
        self._mask()

        def run(x: Signal, flow: _Flow) -> Signal:
            y = product(extend(snake(x), flow))
            return flow.silence(add_noise(self._ops.reshape(y, rows * rate, outer), flow))

        return run

    def _plain_product(self, now: Array, before: Array, bias: Array, rows: int) -> Layer:
        """Both products on every row: x has one row of context, then `rows`."""
        ops, new, old = self._ops, self._ops.linear(now, bias), self._ops.linear(before, None)
        return lambda x: new(ops.cut(x, 1, rows + 1)) + old(ops.cut(x, 0, rows))

    def _fast_product(self, now: Array, before: Array, bias: Array, rows: int) -> Layer:
        """The same from three products on every second row in place of four (Winograd's F(2, 2)):

        y[2m]   = now x[2m] + before x[2m-1]
        y[2m+1] = (now + before)(x[2m] + x[2m+1]) - now x[2m] - before x[2m+1]
        A tenth of the decoder's arithmetic less; the step at 4 frames went from 9.3 to 8.8 ms a frame (1 thread, EPYC).
        """
        ops = self._ops
        even_product, odd_product = ops.linear(now, None), ops.linear(before, bias)
        sum_product = ops.linear(now + before, 2 * bias)  # one of the two goes with odd_product's

        def run(x: Signal) -> Signal:
            even, odd = ops.cut(x, 1, rows + 1, 2), ops.cut(x, 0, rows + 1, 2)
            both = even + ops.cut(odd, 1, rows // 2 + 1)
            by_now, by_before = even_product(even), odd_product(odd)
            first = by_now + ops.cut(by_before, 0, rows // 2)
            second = sum_product(both) - by_now - ops.cut(by_before, 1, rows // 2 + 1)
            return ops.beside([first, second])

        return run

    def _noise(self, weight: Array | None) -> "_Stage":
        if weight is None:
            return lambda x, flow: x
        linear = self._ops.linear(weight, None)
        self.layout.noise.append(Lane(self._rows, self._delay))
        return lambda x, flow: x + linear(x) * flow.noise()

    def _unit(self, unit: ResidualUnit) -> "_Stage":
        reach = (KERNEL - 1) * unit.dilation
        extend = self._context(reach, len(unit.snake))
        rows = self._rows
        self._mask()
        layers = [
            self._ops.snake(unit.snake),
            self._layer(unit.taps, unit.dilation),
            self._ops.snake(unit.mid_snake),
            self._layer(unit.point),
        ]

        def run(x: Signal, flow: _Flow) -> Signal:
            longer = extend(x, flow)
            middle = self._ops.cut(longer, reach // 2, reach // 2 + rows)
            return flow.silence(middle + _chain(layers, longer))

        return run

    def _tail(self, weights: SnacWeights) -> "_Stage":
        """Snake, 7 taps to one channel, tanh. One product gives all seven taps' parts; the taps then only sum them."""
        snake, taps = self._ops.snake(weights.snake), self._ops.linear(weights.tail.weight[0].T, None)
        extend = self._context(KERNEL - 1, KERNEL)
        total = self._ops.convolution(np.eye(KERNEL, dtype=np.float32)[None], weights.tail.bias, 1)
        return lambda x, flow: self._ops.tanh(total(extend(taps(snake(x)), flow)))

    def _layer(self, convolution: Convolution, dilation: int = 1) -> Layer:
        if convolution.weight.shape[2] == 1:
            return self._ops.linear(convolution.weight[:, :, 0], convolution.bias)
        return self._ops.convolution(convolution.weight, convolution.bias, dilation)

    def _context(self, length: int, channels: int) -> "_Stage":
        """Note a layer's left context; half of it is lookahead, but for the one row that upsampling keeps.

        Returns what puts the context in front of a signal.
        """
        self.layout.contexts.append((length, channels))
        self._delay += length // 2
        # Where a context is longer than a frame, what a frame leaves depends on the frame before it, and so on.
        links = -(-length // self._rows)
        return lambda x, flow: flow.extend(x, length, links)

    def _mask(self) -> None:
        self.layout.masks.append(Lane(self._rows, self._delay))


class _Flow:
    """What one call hands from layer to layer beside the signal."""

    def __init__(
        self,
        operations: Operations,
        contexts: Iterator[Signal],
        masks: Iterator[Signal],
        noise: Iterator[Signal],
        follows: Signal | None,
    ) -> None:
        self._ops = operations
        self._contexts = contexts
        self._masks = masks
        self._noise = noise
        self._follows = follows
        self.next_contexts: list[Signal] = []

    def extend(self, x: Signal, length: int, links: int) -> Signal:
        """x behind its left context of `length` rows; the last rows of both are the context that each frame leaves."""
        own = context = next(self._contexts)
        if self._follows is not None:
            for _ in range(links):
                left = self._last(x if links == 1 else self._ops.join([context, x]), length)
                context = self._ops.choose(self._follows, self._ops.shift(left), own)
        longer = self._ops.join([context, x])
        self.next_contexts.append(self._last(longer, length))
        return longer

    def _last(self, x: Signal, length: int) -> Signal:
        return self._ops.cut(x, -length, 2**31 - 1)

    def silence(self, x: Signal) -> Signal:
        """x, zero outside its stream."""
        return x * next(self._masks)

    def noise(self) -> Signal:
        return next(self._noise)


_Stage = Callable[[Signal, _Flow], Signal]


def _chain(layers: Sequence[Layer], x: Signal) -> Signal:
    for layer in layers:
        x = layer(x)
    return x


class Grid:
    """The positions of every row of some lanes in one frame, flat in the order of the lanes: one array, not one a layer."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = list(lanes)
        self.widths = [lane.rows for lane in lanes]
        """Rows of each lane."""
        self.rows = np.repeat(np.array(self.widths, np.int64), self.widths)
        """int64 [sum of widths]: rows a frame."""
        behind = [np.arange(lane.rows, dtype=np.int64) - lane.delay for lane in lanes]
        self.positions = np.concatenate([*behind, np.zeros(0, np.int64)])
        """int64 [sum of widths]: position of each row in the step of frame 0."""
        self._settled = max((-(-lane.delay // lane.rows) for lane in lanes), default=0)

    def surrounded(self, frame: int, length: int) -> bool:
        """True when every row of the step of `frame` lies inside its stream of `length` frames."""
        return self._settled <= frame < length

    def inside(self, frame: int, length: int) -> NDArray[np.bool_]:
        """Which rows of the step of `frame` lie inside its stream of `length` frames. Returns bool [sum of widths]."""
        positions = self.positions + frame * self.rows
        return np.asarray((positions >= 0) & (positions < length * self.rows))


def embed(codebooks: Array, codes: Codes) -> Array:
    """Look up codes [frames, 7] in codebooks [3, 4096, D]. Returns the latents' entries [frames, 4, 3 D]."""
    return codebooks[np.arange(3), codes[:, LATENT_SLOTS]].reshape(len(codes), LATENTS_A_FRAME, -1)
