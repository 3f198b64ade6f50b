"""From the name of a SNAC model to a decoder: find the files, choose the backend, load.

Enters: a Hugging Face repo id or a directory. Leaves: a Decoder. The only user of huggingface_hub, which reads
HF_HUB_OFFLINE, HF_ENDPOINT and its cache's place from the environment itself.
"""

import importlib.util
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from tts_engine.codec.decoder import Decoder
from tts_engine.codec.noise import Noise
from tts_engine.codec.snac_weights import CONFIG_FILE, WEIGHTS_FILE, read_weights
from tts_engine.codec.stepping import SteppedDecoder
from tts_engine.errors import CodecError, NotReadyError

logger = logging.getLogger(__name__)

Backend = Literal["auto", "openvino", "torch", "window"]
Device = Literal["cpu", "cuda", "mps"]

_ANSWER_TIMEOUT_S = 3.0
"""How long the hub may take to answer before it counts as unreachable."""


def load_decoder(
    snac_model: str,
    *,
    backend: Backend = "auto",
    device: Device = "cpu",
    threads: int = 1,
    wide: bool = False,
    silent_noise: bool = False,
) -> Decoder:
    """Load a SNAC model's decoder. It is slow on its first steps until its `warm_up` was called.

    snac_model: a repo id, or a directory holding config.json and pytorch_model.bin. backend: auto is openvino on a cpu
    where it is installed, torch otherwise. threads: callers of `decode` at a time. wide: openvino, compile the step of four frames now and not when it is
    first of use. silent_noise: the model's noise off.
    Raises NotReadyError when the files are neither here nor to be fetched, CodecError when they cannot be used.
    """
    if backend == "auto":
        backend = "openvino" if device == "cpu" and importlib.util.find_spec("openvino") else "torch"
    start = time.perf_counter()
    directory = find_model(snac_model)
    noise = Noise(silent=silent_noise)
    if backend == "openvino":
        decoder: Decoder = _build_openvino(directory, device, threads, noise, wide)
    else:
        decoder = _build_torch(directory, backend, device, noise)
    taken_s = time.perf_counter() - start
    logger.debug("SNAC decoder %s on %s loaded from %s in %.2f s", backend, device, directory, taken_s)
    return decoder


# Each backend is imported only where it is chosen: torch alone takes 2 s and 200 MB.
def _build_openvino(directory: Path, device: Device, threads: int, noise: Noise, wide: bool) -> Decoder:
    if device != "cpu":
        raise CodecError(f"The openvino decoder runs on a cpu, not on {device}; choose torch there.")
    try:
        from tts_engine.codec.openvino_decoder import OpenvinoStepper
    except ImportError as exc:
        raise CodecError("The openvino decoder was asked for, but the package openvino is not installed.") from exc
    return SteppedDecoder(OpenvinoStepper(read_weights(directory), noise, threads, wide=wide))


def _build_torch(directory: Path, backend: Literal["torch", "window"], device: Device, noise: Noise) -> Decoder:
    try:
        if backend == "torch":
            from tts_engine.codec.torch_decoder import TorchStepper

            return SteppedDecoder(TorchStepper(read_weights(directory), noise, device))
        from tts_engine.codec.window_decoder import WindowDecoder

        return WindowDecoder(directory, noise, device)
    # What torch raises for a device that is absent, full, or not in this build of it.
    except (RuntimeError, AssertionError) as exc:
        raise CodecError(f"torch cannot use the device {device}: {exc}") from exc


def find_model(snac_model: str) -> Path:
    """The directory that holds the model's two files, fetched if need be. Raises NotReadyError."""
    directory = Path(snac_model).expanduser()
    if not directory.is_dir():
        return _find_repo(snac_model)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (directory / name).is_file():
            raise NotReadyError(f"The SNAC model directory {directory} has no {name}. {_WAY_OUT}")
    return directory


_WAY_OUT = (
    "Set ORPHEUS_SNAC_MODEL to a Hugging Face repo id (hubertsiuzdak/snac_24khz) or to a directory holding "
    f"{CONFIG_FILE} and {WEIGHTS_FILE}."
)


def _find_repo(repo_id: str) -> Path:
    from huggingface_hub import constants, errors, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub import try_to_load_from_cache as look_up

    try:
        cached = _directory_of([look_up(repo_id, name) for name in (CONFIG_FILE, WEIGHTS_FILE)])
    except errors.HFValidationError as exc:
        raise NotReadyError(f"The SNAC model {repo_id!r} is neither a directory nor a repo id. {_WAY_OUT}") from exc
    if cached:
        return cached
    if constants.is_offline_mode():
        raise NotReadyError(
            f"The SNAC model {repo_id} is not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids "
            f"fetching it. Unset it once, or: {_WAY_OUT}"
        )
    # The base error of whichever HTTP library this version of the hub uses; it lets them through.
    http_error = cast("type[Exception]", errors.HfHubHTTPError.__bases__[0])
    logger.info("Fetching the SNAC model %s from %s", repo_id, constants.ENDPOINT)
    try:
        # hf_hub_download tries an unreachable hub again for half a minute; this asks it once.
        get_hf_file_metadata(hf_hub_url(repo_id, CONFIG_FILE), timeout=_ANSWER_TIMEOUT_S)
        fetched = _directory_of([hf_hub_download(repo_id, name) for name in (CONFIG_FILE, WEIGHTS_FILE)])
    except (OSError, http_error) as exc:
        reason = str(exc.__cause__ or exc).strip().partition("\n")[0]
        raise NotReadyError(
            f"The SNAC model {repo_id} is not in the cache and could not be fetched from {constants.ENDPOINT}: "
            f"{reason}. Check the network and the name, or: {_WAY_OUT}"
        ) from exc
    if fetched is None:
        raise NotReadyError(f"The SNAC model {repo_id} changed while it was fetched. Try again, or: {_WAY_OUT}")
    return fetched


def _directory_of(paths: Sequence[object]) -> Path | None:
    """The directory that holds all paths; None when one of them is no path, or lies elsewhere (another revision)."""
    directories = {Path(path).parent if isinstance(path, str) else None for path in paths}
    return directories.pop() if len(directories) == 1 else None
