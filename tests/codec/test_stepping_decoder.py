"""How much is computed: counts of steps, never times (a regression guard for issue 4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.codec.snac_models import assert_same, model
from tests.support.tiny_snac import random_codes, reference_pcm
from tts_engine.codec import torch_decoder
from tts_engine.codec.decoder import Pcm, Work
from tts_engine.codec.noise import Noise
from tts_engine.codec.openvino_decoder import PRESSING, WIDE, OpenvinoStepper
from tts_engine.codec.snac_weights import SnacConfig, read_weights
from tts_engine.codec.stepping import SteppedDecoder, StreamFrame
from tts_engine.codec.torch_decoder import TorchStepper
from tts_engine.errors import OverloadedError

FLUSH_FRAMES = 3


@dataclass
class CountingStepper:
    """A stepper of silence that remembers its steps. It reaches as far as the 24 kHz model."""

    next_batch: Callable[[int], int]
    batches: Sequence[int] = (1, 4)
    name: str = "counting"
    device: str = "cpu"
    sample_rate: int = 24_000
    frame_size: int = 2048
    delay: int = 4757
    steps: list[tuple[int, int]] = field(default_factory=list)
    """(size, frames that were not idle)."""

    def new_state(self, seed: int) -> int:
        return seed

    def run(self, batch: int, frames: Sequence[StreamFrame]) -> Pcm:
        assert 0 < len(frames) <= batch
        self.steps.append((batch, len(frames)))
        return np.zeros((len(frames), self.frame_size), np.int16)


def full_only(waiting: int) -> int:
    return 4 if waiting >= 4 else 1


def padded(waiting: int) -> int:
    return 1 if waiting == 1 else 16


def decode(stepper: CountingStepper, *counts: int, last: bool = False) -> None:
    of = SteppedDecoder(stepper)
    of.decode([Work(of.open(index), random_codes(count), last) for index, count in enumerate(counts)])


@pytest.mark.parametrize("next_batch", [full_only, lambda waiting: 1])
def test_every_frame_is_computed_once_and_the_end_costs_three(next_batch: Callable[[int], int]) -> None:
    stepper = CountingStepper(next_batch)
    of = SteppedDecoder(stepper)
    streams = [of.open(0), of.open(1)]
    for _ in range(10):
        of.decode([Work(stream, random_codes(2), last=False) for stream in streams])
    assert sum(size for size, _ in stepper.steps) == 2 * 10 * 2
    of.decode([Work(stream, random_codes(0), last=True) for stream in streams])
    assert sum(size for size, _ in stepper.steps) == 2 * (10 * 2 + FLUSH_FRAMES)


@pytest.mark.parametrize("counts", [(10,), (1,) * 10, (3, 5, 2), (0, 9, 1)])
def test_frames_fill_steps_whosever_they_are(counts: tuple[int, ...]) -> None:
    stepper = CountingStepper(full_only)
    decode(stepper, *counts)
    assert stepper.steps == [(4, 4), (4, 4), (1, 1), (1, 1)]


def test_a_padded_step_takes_all_that_wait() -> None:
    stepper = CountingStepper(padded)
    decode(stepper, 7, 6)
    decode(stepper, *[1] * 17)
    assert stepper.steps == [(16, 13), (16, 16), (1, 1)]


def test_only_the_next_frame_of_the_same_stream_follows() -> None:
    seen: list[list[tuple[int, int, bool]]] = []

    class Watching(CountingStepper):
        def run(self, batch: int, frames: Sequence[StreamFrame]) -> Pcm:
            seen.append([(frame.state, frame.index, frame.follows) for frame in frames])
            return super().run(batch, frames)

    decode(Watching(full_only), 2, 1, 3)
    assert seen == [
        [(0, 0, False), (0, 1, True), (1, 0, False), (2, 0, False)],
        [(2, 1, False)],
        [(2, 2, False)],
    ]


def test_every_size_is_run_in_a_warm_up() -> None:
    stepper = CountingStepper(full_only)
    SteppedDecoder(stepper).warm_up()
    assert stepper.steps == [(1, 1), (4, 4)]


def test_a_torch_cpu_runs_full_steps_and_a_gpu_fills_them_up() -> None:
    weights = read_weights(model("small"))
    cpu, gpu = TorchStepper(weights, Noise(), "cpu"), TorchStepper(weights, Noise(), "cpu", batches=(1, 4, 16))
    assert [cpu.next_batch(waiting) for waiting in (1, 3, 4, 11, 40)] == [1, 2, 4, 8, 8]
    assert [gpu.next_batch(waiting) for waiting in (1, 3, 4, 11, 40)] == [1, 4, 4, 16, 16]


def test_the_wide_step_is_compiled_when_frames_press_and_nobody_waits_for_it() -> None:
    """A server that keeps up with its streams is spared its memory (issue 4, start-up)."""
    directory, codes = model("small"), random_codes(PRESSING + 1)
    stepper = OpenvinoStepper(read_weights(directory), Noise(), threads=1)
    of = SteppedDecoder(stepper)
    of.warm_up()
    of.decode([Work(of.open(0), codes[: PRESSING - 1], last=False)])
    stepper.join()
    assert stepper.batches == [1] and stepper.next_batch(PRESSING - 1) == 1
    first = of.decode([Work(of.open(0), codes, last=True)])[0]
    stepper.join()
    assert stepper.batches == [1, WIDE] and stepper.next_batch(WIDE) == WIDE
    for pcm in (first, of.decode([Work(of.open(0), codes, last=True)])[0]):
        assert_same(pcm, reference_pcm(directory, codes))


def test_the_reach_follows_from_rates_kernels_and_dilations() -> None:
    assert SnacConfig(24_000, 768, 1024, (8, 8, 4, 2), 8, noise=True, depthwise=True).reach == 4757
    # by hand: 3, then x rate + half a rate + 3 (1 + 3 + 9), then 3
    assert SnacConfig(24_000, 8, 8, (4, 2), 8, noise=True, depthwise=True).reach == ((3 * 4 + 2 + 39) * 2 + 1 + 39) + 3


@pytest.mark.parametrize("variant", ["small", "dense", "rates 16 8 4", "rates 5 5 5 4"])
def test_the_step_lags_by_the_reach(variant: str) -> None:
    weights = read_weights(model(variant))
    assert TorchStepper(weights, Noise(), "cpu").delay == weights.config.reach


def test_a_torch_stream_s_place_is_given_back_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_decoder, "MAX_STREAMS", 2)
    directory, codes = model("small"), random_codes(5)
    of = SteppedDecoder(TorchStepper(read_weights(directory), Noise(), "cpu"))
    dropped, ended = of.open(0), of.open(0)
    of.decode([Work(dropped, codes, last=False), Work(ended, codes, last=True)])
    again = of.open(0)
    assert_same(of.decode([Work(again, codes, last=False)])[0], reference_pcm(directory, codes)[: 5 * 2048 - 4757])
    with pytest.raises(OverloadedError, match="All 2 places"):
        of.open(0)
    del dropped
    assert_same(of.decode([Work(of.open(0), codes, last=True)])[0], reference_pcm(directory, codes))


def test_of_frames_that_follow_each_other_only_the_last_writes_its_context() -> None:
    """Two writes to one place in one step come in any order on a GPU."""
    stepper = TorchStepper(read_weights(model("small")), Noise(), "cpu", batches=(8,))
    a, b, codes = stepper.new_state(0), stepper.new_state(1), random_codes(1)[0]
    frames = [StreamFrame(a, codes, 5, 9, False), StreamFrame(a, codes, 6, 9, True), StreamFrame(b, codes, 0, 9, False)]
    numbers = stepper._program.numbers(8, frames)
    assert numbers[:, 0].tolist() == [a.place, a.place, b.place, 0, 0, 0, 0, 0]
    assert numbers[:, 1].tolist() == [0, a.place, b.place, 0, 0, 0, 0, 0]
