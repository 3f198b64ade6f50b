"""SNAC weights made up by the tests: the real `snac.SNAC` class, its real file format, random numbers inside.

"full" is the architecture of hubertsiuzdak/snac_24khz (20 M parameters, 80 MB); "small" keeps its strides, rates and
therefore its frames and receptive field, with a sixteenth of the widths. The numbers are drawn and then scaled layer
by layer on random codes, so that activations are near 1 and the output's standard deviation near 0.2, as of speech.
"""

import functools
import json
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tests.support.paths import build_key, build_once, cache_dir

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)  # snac 1.2.1, torch 2.13
    from snac import SNAC
    from snac.layers import NoiseBlock, ResidualUnit, Snake1d

SAMPLES_PER_FRAME = 2048
LEVEL_SLOTS = ((0,), (1, 4), (2, 3, 5, 6))
"""The slots of a frame that each codebook level reads, in time order."""
OUTPUT_STD, RESIDUAL_STD, NOISE_STD = 0.2, 0.5, 0.1
CALIBRATION_FRAMES = 8

Width = Literal["small", "full"]
Noise = Literal["zero", "random"]
_CONFIG: dict[str, Any] = {
    "sampling_rate": 24_000,
    "encoder_dim": 48,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}
_SMALL: dict[str, Any] = {"encoder_dim": 3, "decoder_dim": 64}


def build(directory: Path, *, width: Width = "small", noise: Noise = "zero", seed: int = 0) -> Path:
    """Write config.json and pytorch_model.bin into directory (made if absent).

    noise "zero": the NoiseBlocks are silent and a decode is always the same. "random": audible, fresh on each call.
    seed: other numbers. The random state of torch is left as it was.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = {**_CONFIG, **(_SMALL if width == "small" else {})}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = SNAC(**config).eval()
        _draw(model)
        _calibrate(model, noise)
    (directory / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    torch.save(model.state_dict(), directory / "pytorch_model.bin")
    return directory


def cached(*, width: Width = "small", noise: Noise = "zero", seed: int = 0) -> Path:
    """The directory out of the cache, built on first use."""
    name = f"tiny-snac-{width}-{build_key(__file__, width=width, noise=noise, seed=seed)}"

    def write(path: Path) -> None:
        build(path, width=width, noise=noise, seed=seed)

    return build_once(cache_dir() / name, write)


def random_codes(frames: int, *, seed: int = 0) -> NDArray[np.int32]:
    """Codes int32 [frames, 7], 0..4095; from 7 frames up, 0 and 4095 occur in every slot."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 4096, (frames, 7), dtype=np.int32)
    if frames >= 7:
        slots = np.arange(7)
        codes[slots, slots], codes[slots, (slots + 3) % 7] = 0, 4095
    return codes


def reference_pcm(directory: Path, codes: NDArray[np.integer[Any]]) -> NDArray[np.int16]:
    """`SNAC.decode` of the whole sequence. codes: [N, 7], 0..4095, N >= 1. Returns int16 [N * 2048]."""
    levels = [
        torch.from_numpy(np.ascontiguousarray(codes[:, slots].reshape(1, -1), dtype=np.int64)) for slots in LEVEL_SLOTS
    ]
    with torch.inference_mode():
        audio = load(directory).decode(levels)
    pcm: NDArray[np.int16] = np.rint(audio.reshape(-1).numpy() * 32767).astype(np.int16)
    return pcm


@functools.lru_cache(maxsize=4)
def load(directory: Path) -> SNAC:
    """The stock model out of a directory, loaded once."""
    return SNAC.from_pretrained(str(directory))


def _draw(model: SNAC) -> None:
    for module in model.decoder.modules():
        if isinstance(module, Snake1d):
            module.alpha.copy_(torch.empty_like(module.alpha).uniform_(0.5, 2))
        elif isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.get_parameter("parametrizations.weight.original1").normal_()
            if module.bias is not None:
                module.bias.normal_(0, 0.1)
    for quantizer in model.quantizer.quantizers:
        quantizer.codebook.weight.normal_()


def _calibrate(model: SNAC, noise: Noise) -> None:
    """Scale every layer to its standard deviation, first layer first, while random codes run through."""
    targets = {id(quantizer.out_proj): len(_CONFIG["vq_strides"]) ** -0.5 for quantizer in model.quantizer.quantizers}
    for module in model.decoder.modules():
        if isinstance(module, ResidualUnit):
            targets[id(module.block[-1])] = RESIDUAL_STD
        elif isinstance(module, NoiseBlock):
            targets[id(module.linear)] = NOISE_STD if noise == "random" else 0.0
    last = [module for module in model.decoder.modules() if isinstance(module, nn.Conv1d)][-1]
    targets[id(last)] = OUTPUT_STD

    def scale(module: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        factor = targets.get(id(module), 1.0) / float(output.std())
        module.get_parameter("parametrizations.weight.original0").mul_(factor)
        if isinstance(module.bias, nn.Parameter):
            module.bias.mul_(factor)
        return torch.mul(output, factor)

    layers = [module for module in model.modules() if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    strides = _CONFIG["vq_strides"]
    model.decode([torch.randint(0, 4096, (1, CALIBRATION_FRAMES * strides[0] // stride)) for stride in strides])
    for hook in hooks:
        hook.remove()
