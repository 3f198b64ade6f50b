"""The plain windowed decode: the reference that the faster decoders are compared with, and the last fallback.

Every window is one call of the snac package's own model, and its middle frame is given out. Two things differ from
calling SNAC.decode: the noise comes from its place in the stream, so that windows agree where they overlap, and the
weights are read without unpickling. Correct and slow: about twenty times the work of the step.
"""

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tts_engine.codec.decoder import Pcm, Work
from tts_engine.codec.noise import Noise
from tts_engine.codec.snac_weights import LATENTS_A_FRAME, WEIGHTS_FILE, SnacConfig, read_config
from tts_engine.codec.streams import Stream, check_work
from tts_engine.codec.tensor_file import TensorFile
from tts_engine.codec.windows import Window, Windows
from tts_engine.errors import CodecError

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)  # snac 1.2.1
    from snac import SNAC
    from snac.layers import NoiseBlock

LEVEL_SLOTS = ([0], [1, 4], [2, 3, 5, 6])
"""Slots of a frame that each codebook level reads, in time order."""


@dataclass(slots=True)
class _State:
    """One stream between calls."""

    windows: Windows
    noise_offsets: list[int]


class WindowDecoder:
    """A Decoder that decodes one window at a time. Threads wait for each other."""

    name = "window"

    def __init__(self, directory: Path, noise: Noise, device: str) -> None:
        """directory: config.json and pytorch_model.bin. device: cpu, cuda or mps. Raises CodecError."""
        config, raw = read_config(directory)
        self.device = device
        self.sample_rate = config.sample_rate
        self.frame_size = config.frame_size
        self._context = -(-config.reach // config.frame_size)
        self._noise = noise
        self._model = _load(directory, raw)
        self._placed = _place_noise(self._model, config, noise)
        self._model.to(device)
        self._lock = threading.Lock()  # a window's noise places lie in the model while it runs

    def open(self, seed: int) -> Stream:
        return Stream(self, _State(Windows(self._context), self._noise.offsets(seed, len(self._placed))))

    def warm_up(self) -> None:
        stream = self.open(0)
        self.decode([Work(stream, np.zeros((1, 7), np.int32), True)])

    def decode(self, work: Sequence[Work]) -> list[Pcm]:
        streams = check_work(work, self)
        return [self._decode_stream(stream, item) for stream, item in zip(streams, work, strict=True)]

    def _decode_stream(self, stream: Stream, item: Work) -> Pcm:
        stream.take(item)
        state: _State = stream.state
        windows = state.windows.feed(item.frames) + (state.windows.flush() if item.last else [])
        pieces = [self._decode_window(window, state.noise_offsets) for window in windows]
        return stream.give(np.concatenate([*pieces, np.zeros(0, np.int16)]))

    def _decode_window(self, window: Window, noise_offsets: Sequence[int]) -> Pcm:
        levels = [torch.from_numpy(window.frames[:, slots].reshape(1, -1)).to(self.device) for slots in LEVEL_SLOTS]
        with self._lock, torch.inference_mode():
            for placed, offset in zip(self._placed, noise_offsets, strict=True):
                placed.place = offset + window.first * LATENTS_A_FRAME * placed.rate
            samples: NDArray[np.float32] = self._model.decode(levels).flatten().cpu().numpy()
        middle = samples[window.middle * self.frame_size :][: self.frame_size]
        pcm: Pcm = np.rint(middle * 32767).astype(np.int16)
        return pcm


class _PlacedNoise(nn.Module):
    """A NoiseBlock whose noise is looked up by place."""

    def __init__(self, linear: nn.Module, rate: int, noise: Noise) -> None:
        super().__init__()
        self.linear = linear
        self.rate = rate
        """Noise numbers a latent."""
        self.place = 0
        """Of the first number: the stream's offset + its position at this level."""
        self._noise = noise

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        numbers = torch.from_numpy(self._noise.run(self.place, x.shape[-1])).to(x)
        noise: torch.Tensor = numbers * self.linear(x)
        return x + noise


def _load(directory: Path, raw: dict[str, Any]) -> Any:
    file = TensorFile(directory / WEIGHTS_FILE)
    try:
        model = SNAC(**raw).eval()
        model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in file.items()})
    except (TypeError, RuntimeError) as exc:  # an unknown field; a missing or misshapen tensor
        raise CodecError(f"{directory} cannot be loaded as a SNAC model: {exc}") from exc
    finally:
        file.close()
    return model


def _place_noise(model: Any, config: SnacConfig, noise: Noise) -> list[_PlacedNoise]:
    """Replace the NoiseBlocks of the model's decoder. Returns what replaced them, first level first."""
    blocks = [layer.block for layer in model.decoder.model if hasattr(layer, "block")]
    placed, rate = [], 1
    for block, upsampling in zip(blocks, config.decoder_rates, strict=True):
        rate *= upsampling
        for index, layer in enumerate(block):
            if isinstance(layer, NoiseBlock):
                block[index] = _PlacedNoise(layer.linear, rate, noise)
                placed.append(block[index])
    return placed
