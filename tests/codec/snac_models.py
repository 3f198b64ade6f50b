"""The SNAC models that the decoder tests share, and the decoders over them, each made once."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support import tiny_snac
from tests.support.paths import build_key, build_once, cache_dir
from tts_engine.codec.decoder import Codes, Decoder, Pcm, Work
from tts_engine.codec.noise import Noise
from tts_engine.codec.openvino_decoder import OpenvinoStepper
from tts_engine.codec.snac_weights import SnacConfig, read_config, read_weights
from tts_engine.codec.stepping import SteppedDecoder
from tts_engine.codec.torch_decoder import TorchStepper
from tts_engine.codec.window_decoder import WindowDecoder

VARIANTS: dict[str, dict[str, Any]] = {
    "small": {},
    "no noise": {"noise": False},
    "dense": {"depthwise": False},
    "rates 4 4 8 4": {"decoder_rates": [4, 4, 8, 4]},
    "rates 16 8 4": {"decoder_rates": [16, 8, 4]},
    "rates 8 8 8": {"decoder_rates": [8, 8, 8], "latent_dim": 40},
    "rates 5 5 5 4": {"decoder_rates": [5, 5, 5, 4], "sampling_rate": 22_050},
}


def model(variant: str, *, noise: tiny_snac.Noise = "zero") -> Path:
    """A small model with some fields of its config changed, built on first use."""
    name = f"snac-{variant.replace(' ', '-')}-{build_key(__file__, variant=variant, noise=noise)}"

    def write(path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for field, value in VARIANTS[variant].items():
                patch.setitem(tiny_snac._SMALL, field, value)
            tiny_snac.build(path, noise=noise)

    return build_once(cache_dir() / name, write)


def _openvino(directory: Path) -> Decoder:
    return SteppedDecoder(OpenvinoStepper(read_weights(directory), Noise(), threads=2, wide=True))


def _openvino_narrow(directory: Path) -> Decoder:
    return SteppedDecoder(OpenvinoStepper(read_weights(directory), Noise(), threads=1))


def _torch(directory: Path) -> Decoder:
    return SteppedDecoder(TorchStepper(read_weights(directory), Noise(), "cpu"))


def _torch_padded(directory: Path) -> Decoder:
    """As on a GPU: steps of a few sizes, filled up with idle frames."""
    return SteppedDecoder(TorchStepper(read_weights(directory), Noise(), "cpu", batches=(1, 16)))


def _window(directory: Path) -> Decoder:
    return WindowDecoder(directory, Noise(), "cpu")


STEPPED: dict[str, Callable[[Path], Decoder]] = {
    "openvino": _openvino,
    "torch": _torch,
    "torch padded": _torch_padded,
}
DECODERS = {**STEPPED, "window": _window}


@functools.cache
def decoder(name: str, directory: Path) -> Decoder:
    return {**DECODERS, "openvino narrow": _openvino_narrow}[name](directory)


def config(directory: Path) -> SnacConfig:
    return read_config(directory)[0]


def decode_whole(of: Decoder, codes: Codes, *, seed: int = 0) -> Pcm:
    """One stream in one call."""
    return of.decode([Work(of.open(seed), codes, last=True)])[0]


def reference(directory: Path, codes: Codes, monkeypatch: pytest.MonkeyPatch, *, seed: int) -> NDArray[np.int16]:
    """SNAC.decode of the whole sequence, its NoiseBlocks given the noise of `seed` where they call torch.randn."""
    table = Noise()
    rates = np.cumprod(config(directory).decoder_rates)
    offsets = iter(table.offsets(seed, len(rates)))

    def randn(shape: tuple[int, int, int], **_: object) -> torch.Tensor:
        return torch.from_numpy(table.run(next(offsets), shape[-1])).view(shape)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "randn", randn)
        return tiny_snac.reference_pcm(directory, codes)


def assert_same(pcm: Pcm, expected: NDArray[np.int16]) -> None:
    """Within 1 of 32767, every sample, and sound at all."""
    assert pcm.dtype == np.int16 and pcm.shape == expected.shape
    assert np.abs(pcm.astype(np.int32) - expected).max() <= 1
    assert expected.std() > 500
