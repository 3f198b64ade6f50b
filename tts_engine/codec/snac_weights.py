"""The decoder half of a SNAC model as NumPy arrays: the config checked, the weight norms folded in.

Enters: a directory holding `config.json` and `pytorch_model.bin`. Leaves: SnacConfig and SnacWeights. Never: torch, the
encoder's weights. Layer names and shapes: snac 1.2.1, layers.py and vq.py (MIT), model hubertsiuzdak/snac_24khz.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_engine.codec.decoder import CODEBOOK_SIZE
from tts_engine.codec.tensor_file import TensorFile
from tts_engine.errors import CodecError

Array = NDArray[np.float32]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "pytorch_model.bin"

VQ_STRIDES = (4, 2, 1)
"""Latents a code of each level covers: what makes a frame 1 + 2 + 4 = 7 codes."""
LATENTS_A_FRAME = 4
KERNEL = 7
DILATIONS = (1, 3, 9)


@dataclass(frozen=True, slots=True)
class SnacConfig:
    """The numbers of config.json that decoding needs."""

    sample_rate: int
    """Hz."""
    latent_dim: int
    """Channels of a latent."""
    decoder_dim: int
    """Channels ahead of the first block; each block halves them."""
    decoder_rates: tuple[int, ...]
    """Upsampling of each block; their product is the samples of a latent."""
    codebook_dim: int
    """Channels of a codebook entry, ahead of its projection."""
    noise: bool
    """Whether each block has a NoiseBlock."""
    depthwise: bool
    """Whether the convolutions of 7 taps run channel by channel."""

    @property
    def frame_size(self) -> int:
        """Samples a frame."""
        return LATENTS_A_FRAME * math.prod(self.decoder_rates)

    @property
    def reach(self) -> int:
        """Samples on each side of a sample that it depends on codes of: 4757 for the 24 kHz model."""
        reach = KERNEL // 2
        for rate in self.decoder_rates:
            reach = reach * rate + (rate + 1) // 2 + sum(KERNEL // 2 * dilation for dilation in DILATIONS)
        return reach + KERNEL // 2


@dataclass(frozen=True, slots=True)
class Convolution:
    """Weights of a Conv1d. Channel by channel when `weight` has one input channel and several outputs."""

    weight: Array
    """[out, in or 1, taps]."""
    bias: Array
    """[out]."""


@dataclass(frozen=True, slots=True)
class ResidualUnit:
    """Snake, 7 taps, Snake, 1 tap, and the sum with its input."""

    dilation: int
    snake: Array
    """alpha [C]."""
    taps: Convolution
    mid_snake: Array
    """alpha [C]."""
    point: Convolution


@dataclass(frozen=True, slots=True)
class Block:
    """Snake, upsampling, noise, three residual units."""

    rate: int
    snake: Array
    """alpha [in]."""
    up_weight: Array
    """ConvTranspose1d [in, out, 2 rate]."""
    up_bias: Array
    """[out]."""
    noise: Array | None
    """[out, out], no bias; None without noise."""
    units: tuple[ResidualUnit, ...]


@dataclass(frozen=True, slots=True)
class SnacWeights:
    """Everything between codes and samples."""

    config: SnacConfig
    codebooks: Array
    """[3 levels, 4096, codebook_dim]."""
    projection: Array
    """[latent_dim, 3 codebook_dim]: the three levels' projections side by side, so that one product sums them."""
    projection_bias: Array
    """[latent_dim]."""
    head: tuple[Convolution, ...]
    """7 taps, then 1 tap when depthwise."""
    blocks: tuple[Block, ...]
    snake: Array
    """alpha [last]."""
    tail: Convolution
    """7 taps to one channel; a tanh follows."""


def read_config(directory: Path) -> tuple[SnacConfig, dict[str, Any]]:
    """Read config.json. Returns what decoding needs, and the file as it is. Raises CodecError."""
    path = directory / CONFIG_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise CodecError(f"{path} cannot be read as a SNAC config: {exc}.") from exc
    if not isinstance(raw, dict):
        raise CodecError(f"{path} is no SNAC config: it holds {type(raw).__name__} where an object belongs.")
    return _check_config(path, raw), raw


def read_weights(directory: Path) -> SnacWeights:
    """Read config.json and pytorch_model.bin. Raises CodecError naming the file and the key."""
    config, _ = read_config(directory)
    file = TensorFile(directory / WEIGHTS_FILE)
    try:
        return _Reader(file, config).read()
    finally:
        file.close()


def _check_config(path: Path, raw: Mapping[str, Any]) -> SnacConfig:
    def refuse(name: str, why: str) -> CodecError:
        return CodecError(f"{path}: {name} = {json.dumps(raw.get(name))} cannot be decoded here: {why}.")

    def number(name: str) -> int:
        value = raw.get(name)
        if type(value) is not int or value < 1:
            raise refuse(name, "a whole number from 1 up belongs there")
        return value

    def switch(name: str) -> bool:
        value = raw.get(name, True)  # the default of snac.SNAC
        if type(value) is not bool:
            raise refuse(name, "true or false belongs there")
        return value

    if "attn_window_size" not in raw or raw["attn_window_size"] is not None:
        raise refuse("attn_window_size", "a decoder with attention has no fixed reach; null is needed")
    if raw.get("codebook_size", CODEBOOK_SIZE) != CODEBOOK_SIZE:
        raise refuse("codebook_size", f"Orpheus tokens carry codes of {CODEBOOK_SIZE} entries")
    if raw.get("vq_strides") != list(VQ_STRIDES):
        raise refuse("vq_strides", f"7 codes a frame need {list(VQ_STRIDES)}")
    rates = raw.get("decoder_rates")
    if not isinstance(rates, list) or not rates or any(type(rate) is not int or rate < 2 for rate in rates):
        raise refuse("decoder_rates", "a list of whole numbers from 2 up belongs there")
    decoder_dim = number("decoder_dim")
    if decoder_dim % 2 ** len(rates):
        raise refuse("decoder_dim", f"{len(rates)} blocks halve it, so it must be a multiple of {2 ** len(rates)}")
    if raw.get("latent_dim") is None:
        if not isinstance(raw.get("encoder_rates"), list):
            raise refuse("encoder_rates", "without latent_dim, a list belongs there")
        latent_dim = number("encoder_dim") * 2 ** len(raw["encoder_rates"])
    else:
        latent_dim = number("latent_dim")
    codebook_dim = 8 if "codebook_dim" not in raw else number("codebook_dim")  # the default of snac.SNAC
    return SnacConfig(
        number("sampling_rate"),
        latent_dim,
        decoder_dim,
        tuple(rates),
        codebook_dim,
        switch("noise"),
        switch("depthwise"),
    )


class _Reader:
    """Takes the tensors by name and shape out of a file."""

    def __init__(self, file: TensorFile, config: SnacConfig) -> None:
        self._file = file
        self._config = config

    def read(self) -> SnacWeights:
        config = self._config
        first = 2 if config.depthwise else 1
        last = first + len(config.decoder_rates)
        quantizers = [f"quantizer.quantizers.{level}" for level in range(len(VQ_STRIDES))]
        entries = (CODEBOOK_SIZE, config.codebook_dim)
        project = [
            self._convolution(f"{name}.out_proj", config.latent_dim, config.codebook_dim, 1) for name in quantizers
        ]
        width = config.decoder_dim >> len(config.decoder_rates)
        return SnacWeights(
            config=config,
            codebooks=np.stack([self._take(f"{name}.codebook.weight", entries) for name in quantizers]),
            projection=np.concatenate([layer.weight[:, :, 0] for layer in project], axis=1),
            projection_bias=np.sum([layer.bias for layer in project], axis=0, dtype=np.float32),
            head=self._head(),
            blocks=tuple(
                self._block(index, f"decoder.model.{first + index}") for index in range(len(config.decoder_rates))
            ),
            snake=self._alpha(f"decoder.model.{last}", width),
            tail=self._convolution(f"decoder.model.{last + 1}", 1, width, KERNEL),
        )

    def _head(self) -> tuple[Convolution, ...]:
        inner, outer = self._config.latent_dim, self._config.decoder_dim
        if not self._config.depthwise:
            return (self._convolution("decoder.model.0", outer, inner, KERNEL),)
        return (
            self._convolution("decoder.model.0", inner, 1, KERNEL),
            self._convolution("decoder.model.1", outer, inner, 1),
        )

    def _block(self, index: int, name: str) -> Block:
        width, rate = self._config.decoder_dim >> (index + 1), self._config.decoder_rates[index]
        first_unit = 3 if self._config.noise else 2
        noise = self._weight(f"{name}.block.2.linear", (width, width, 1))[:, :, 0] if self._config.noise else None
        return Block(
            rate=rate,
            snake=self._alpha(f"{name}.block.0", 2 * width),
            up_weight=self._weight(f"{name}.block.1", (2 * width, width, 2 * rate)),
            up_bias=self._take(f"{name}.block.1.bias", (width,)),
            noise=noise,
            units=tuple(
                self._unit(f"{name}.block.{first_unit + place}.block", width, dilation)
                for place, dilation in enumerate(DILATIONS)
            ),
        )

    def _unit(self, name: str, width: int, dilation: int) -> ResidualUnit:
        return ResidualUnit(
            dilation=dilation,
            snake=self._alpha(f"{name}.0", width),
            taps=self._convolution(f"{name}.1", width, 1 if self._config.depthwise else width, KERNEL),
            mid_snake=self._alpha(f"{name}.2", width),
            point=self._convolution(f"{name}.3", width, width, 1),
        )

    def _convolution(self, name: str, outer: int, inner: int, taps: int) -> Convolution:
        return Convolution(self._weight(name, (outer, inner, taps)), self._take(f"{name}.bias", (outer,)))

    def _alpha(self, name: str, width: int) -> Array:
        return self._take(f"{name}.alpha", (1, width, 1)).reshape(width)

    def _weight(self, name: str, shape: tuple[int, int, int]) -> Array:
        """The weight of a layer, its norm folded in: g v / |v|, |v| over all but the first axis (torch weight_norm)."""
        if f"{name}.weight" in self._file:
            return self._take(f"{name}.weight", shape)
        new, old = f"{name}.parametrizations.weight.original", f"{name}.weight_"
        g_name, v_name = (new + "0", new + "1") if new + "1" in self._file else (old + "g", old + "v")
        g, v = self._take(g_name, (shape[0], 1, 1)), self._take(v_name, shape)
        norm = np.sqrt(np.sum(np.square(v, dtype=np.float64), axis=(1, 2), keepdims=True))
        if not norm.all():
            raise CodecError(f"{self._file.path}: {v_name} has a row of zeros, which has no direction.")
        fused: Array = v * (g / norm).astype(np.float32)
        return fused

    def _take(self, name: str, shape: tuple[int, ...]) -> Array:
        if name not in self._file:
            raise CodecError(f"{self._file.path} has no {name}, which its config.json asks for.")
        found = self._file[name]
        if found.shape != shape:
            raise CodecError(f"{self._file.path}: {name} has shape {found.shape}, its config.json asks for {shape}.")
        if not np.isfinite(found).all():
            raise CodecError(f"{self._file.path}: {name} holds numbers that are not finite.")
        return found
