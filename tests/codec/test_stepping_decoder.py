"""How much is computed: counts of steps, never times (a regression guard for issue 4)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.support.tiny_snac import random_codes
from tts_engine.codec.decoder import Pcm, Work
from tts_engine.codec.openvino_decoder import SHAPES, WIDE_SHAPES
from tts_engine.codec.snac_weights import SnacConfig
from tts_engine.codec.stepping import Row, Shape, SteppedDecoder
from tts_engine.codec.torch_decoder import CPU_SHAPES, GPU_SHAPES

FLUSH_FRAMES = 3


@dataclass
class CountingStepper:
    """A stepper of silence that remembers its steps. It reaches as far as the 24 kHz model."""

    shapes: Sequence[Shape]
    pads_batches: bool = False
    name: str = "counting"
    device: str = "cpu"
    sample_rate: int = 24_000
    frame_size: int = 2048
    delay: int = 4757
    steps: list[tuple[Shape, int]] = field(default_factory=list)

    def new_state(self, seed: int) -> int:
        return seed

    def run(self, shape: Shape, rows: Sequence[Row]) -> Pcm:
        assert 0 < len(rows) <= shape.batch and (self.pads_batches or len(rows) == shape.batch)
        assert all(row.codes.shape == (shape.frames, 7) for row in rows)
        self.steps.append((shape, len(rows)))
        return np.zeros((len(rows), shape.frames * self.frame_size), np.int16)

    def frames(self) -> int:
        """Frames computed, idle rows included."""
        return sum(shape.batch * shape.frames for shape, _ in self.steps)


def decode(stepper: CountingStepper, *counts: int, last: bool = False) -> None:
    of = SteppedDecoder(stepper)
    of.decode([Work(of.open(index), random_codes(count), last) for index, count in enumerate(counts)])


@pytest.mark.parametrize("shapes", [SHAPES, WIDE_SHAPES, CPU_SHAPES])
def test_every_frame_is_computed_once_and_the_end_costs_three(shapes: Sequence[Shape]) -> None:
    stepper = CountingStepper(shapes)
    of = SteppedDecoder(stepper)
    streams = [of.open(0), of.open(1)]
    for _ in range(10):
        of.decode([Work(stream, random_codes(2), last=False) for stream in streams])
    assert stepper.frames() == 2 * 10 * 2
    of.decode([Work(stream, random_codes(0), last=True) for stream in streams])
    assert stepper.frames() == 2 * (10 * 2 + FLUSH_FRAMES)


def test_a_long_piece_goes_in_steps_of_four_and_the_rest_in_ones() -> None:
    stepper = CountingStepper(WIDE_SHAPES)
    decode(stepper, 10)
    assert stepper.steps == [(Shape(1, 4), 1)] * 2 + [(Shape(1, 1), 1)] * 2


def test_four_streams_share_a_step_and_a_fifth_goes_alone() -> None:
    stepper = CountingStepper(WIDE_SHAPES)
    decode(stepper, 1, 1, 1, 1, 1)
    assert stepper.steps == [(Shape(4, 1), 4), (Shape(1, 1), 1)]


def test_a_gpu_takes_all_streams_in_one_step() -> None:
    stepper = CountingStepper(GPU_SHAPES, pads_batches=True)
    decode(stepper, *[4] * 33)
    decode(stepper, *[1] * 5)
    decode(stepper, *[1] * 65)
    assert stepper.steps == [(Shape(64, 4), 33), (Shape(8, 1), 5), (Shape(64, 1), 64), (Shape(1, 1), 1)]


def test_every_shape_is_run_in_a_warm_up() -> None:
    stepper = CountingStepper(GPU_SHAPES, pads_batches=True)
    SteppedDecoder(stepper).warm_up()
    assert [shape for shape, _ in stepper.steps] == list(GPU_SHAPES)


def test_the_reach_follows_from_rates_kernels_and_dilations() -> None:
    assert SnacConfig(24_000, 768, 1024, (8, 8, 4, 2), 8, noise=True, depthwise=True).reach == 4757
    # by hand: 3, then x rate + half a rate + 3 (1 + 3 + 9), then 3
    assert SnacConfig(24_000, 8, 8, (4, 2), 8, noise=True, depthwise=True).reach == ((3 * 4 + 2 + 39) * 2 + 1 + 39) + 3
