"""What this machine has, and the plan that follows from it: where SNAC runs, how many workers, how large a batch.

detect() looks; plan() only computes, so every row of the table can be tested with faked hardware.
"""

import logging
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from tts_engine.config import Settings
from tts_engine.errors import SettingsError

logger = logging.getLogger(__name__)

GIB = 1024**3

Device = Literal["cpu", "cuda", "mps"]


@dataclass(frozen=True, slots=True)
class Hardware:
    """What was found."""

    device: Device
    """"cuda" (NVIDIA, and AMD through ROCm, which torch names the same), "mps" (Apple) or "cpu"."""
    name: str
    """The GPU's or the processor's name."""
    cores: int
    """Physical cores that this process may use."""
    threads: int
    """Logical processors that this process may use."""
    ram_gb: float
    """Main memory, GiB."""
    vram_gb: float = 0.0
    """Memory of the GPU, GiB; 0 without one."""
    compute_capability: tuple[int, int] | None = None
    """NVIDIA's, such as (8, 6); None on other devices."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was chosen. Every number can be overridden by the setting of the same name."""

    mode: str
    """"high-end GPU", "standard GPU" or "CPU"."""
    device: Device
    """Where SNAC runs."""
    workers: int
    """Segments of one request in flight at the inference server."""
    token_batch: int
    """Tokens gathered before a decode once playing is ahead of real time; whole frames of 7 are decoded."""
    decode_threads: int
    """Threads that decode, each on one processor."""
    speaking: int
    """Requests that may speak at once."""
    parallel_io: bool
    """Whether files are written beside one another or one after the other."""

    def describe(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Row:
    mode: str
    workers: int
    token_batch: int
    speaking: int
    parallel_io: bool


# The original design's table. The standard GPU's numbers stand between the two rows that were given: two workers,
# because its memory is shared with a language model that has few slots; the large batch, because a decode call costs a
# GPU the same for one frame or four. Not measured on such a GPU. speaking: SNAC on one core keeps up with 6 to 7
# streams, so sixteen are more than two cores can do in real time and fewer than would hurt.
_HIGH_END = _Row("high-end GPU", workers=4, token_batch=32, speaking=256, parallel_io=True)
_STANDARD = _Row("standard GPU", workers=2, token_batch=32, speaking=64, parallel_io=True)
_CPU = _Row("CPU", workers=2, token_batch=16, speaking=16, parallel_io=False)


def plan(hardware: Hardware, settings: Settings) -> Plan:
    """Choose by the table. Raises SettingsError where ORPHEUS_DEVICE names a device that is not there."""
    device: Device = hardware.device if settings.device == "auto" else settings.device
    if device not in ("cpu", hardware.device):
        raise SettingsError(
            f"ORPHEUS_DEVICE={device}: this machine has no such device that torch can use (found: {hardware.device}). "
            "Leave it at auto."
        )
    row = _row(hardware, device)
    return Plan(
        mode=row.mode,
        device=device,
        workers=settings.workers or row.workers,
        token_batch=settings.token_batch or row.token_batch,
        decode_threads=settings.decode_threads or (min(2, hardware.cores) if device == "cpu" else 1),
        speaking=settings.max_speaking or row.speaking,
        parallel_io=row.parallel_io,
    )


def _row(hardware: Hardware, device: str) -> _Row:
    if device == "cpu":
        return _CPU
    capability = hardware.compute_capability or (0, 0)
    high_end = hardware.vram_gb >= 16 or capability >= (8, 0) or (hardware.vram_gb >= 12 and capability >= (7, 0))
    return _HIGH_END if high_end else _STANDARD


def detect() -> Hardware:
    """Look at this machine. torch is imported only where something hints at a GPU: it costs seconds and 400 MB."""
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    host = Hardware(
        device="cpu",
        name=_processor_name(),
        cores=min(cores, threads),
        threads=threads,
        ram_gb=round(psutil.virtual_memory().total / GIB, 1),
    )
    return _with_gpu(host) if _gpu_hinted() else host


def _gpu_hinted() -> bool:
    apple_gpu = platform.system() == "Darwin" and platform.machine() == "arm64"
    return apple_gpu or Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() or bool(shutil.which("nvidia-smi"))


def _with_gpu(host: Hardware) -> Hardware:
    import torch

    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        capability = None if torch.version.hip else (gpu.major, gpu.minor)
        return Hardware(
            "cuda", gpu.name, host.cores, host.threads, host.ram_gb, round(gpu.total_memory / GIB, 1), capability
        )
    if torch.backends.mps.is_available():
        # Memory is shared; by default Metal lends the GPU about three quarters of it.
        vram_gb = round(host.ram_gb * 0.75, 1)
        return Hardware("mps", "Apple GPU", host.cores, host.threads, host.ram_gb, vram_gb)
    logger.warning("There seems to be a GPU, but this build of torch (%s) cannot use it.", torch.__version__)
    return host


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
