"""Every row and edge of the hardware table, with faked hardware."""

import dataclasses
from pathlib import Path

import pytest

from tts_engine.config import load_settings
from tts_engine.errors import SettingsError
from tts_engine.hardware import Hardware, detect, plan

NO_FILE = Path("no such file")
CPU = Hardware("cpu", "a processor", cores=8, threads=16, ram_gb=32)


def gpu(vram_gb: float, capability: tuple[int, int] | None, device: str = "cuda") -> Hardware:
    return Hardware(device, "a GPU", 8, 16, 32, vram_gb, capability)


@pytest.mark.parametrize(
    ("hardware", "mode"),
    [
        (gpu(16, (6, 1)), "high-end GPU"),
        (gpu(15.9, (6, 1)), "standard GPU"),
        (gpu(6, (8, 0)), "high-end GPU"),
        (gpu(6, (7, 9)), "standard GPU"),
        (gpu(6, (12, 0)), "high-end GPU"),
        (gpu(12, (7, 0)), "high-end GPU"),
        (gpu(12, (6, 9)), "standard GPU"),
        (gpu(11.9, (7, 5)), "standard GPU"),
        (gpu(24, None), "high-end GPU"),
        (gpu(8, None), "standard GPU"),
        (gpu(12, None, "mps"), "standard GPU"),
        (gpu(48, None, "mps"), "high-end GPU"),
        (CPU, "CPU"),
    ],
)
def test_mode(hardware: Hardware, mode: str) -> None:
    assert plan(hardware, load_settings(NO_FILE)).mode == mode


def test_numbers_of_the_table() -> None:
    settings = load_settings(NO_FILE)
    high_end = plan(gpu(16, (8, 6)), settings)
    assert (high_end.workers, high_end.token_batch, high_end.parallel_io) == (4, 32, True)
    cpu = plan(CPU, settings)
    assert (cpu.workers, cpu.token_batch, cpu.parallel_io, cpu.device) == (2, 16, False, "cpu")
    assert min(high_end.speaking, cpu.speaking) >= 8


def test_settings_override_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = {"WORKERS": "7", "TOKEN_BATCH": "70", "DECODE_THREADS": "3", "MAX_SPEAKING": "9", "DEVICE": "cpu"}
    for name, value in overrides.items():
        monkeypatch.setenv(f"ORPHEUS_{name}", value)
    chosen = plan(gpu(16, (8, 6)), load_settings(NO_FILE))
    assert (chosen.workers, chosen.token_batch, chosen.decode_threads, chosen.speaking) == (7, 70, 3, 9)
    assert (chosen.device, chosen.mode) == ("cpu", "CPU")


def test_device_that_is_not_there_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORPHEUS_DEVICE", "cuda")
    with pytest.raises(SettingsError, match="ORPHEUS_DEVICE=cuda"):
        plan(CPU, load_settings(NO_FILE))


def test_decode_threads_never_exceed_the_cores() -> None:
    assert plan(dataclasses.replace(CPU, cores=1), load_settings(NO_FILE)).decode_threads == 1


def test_detection_tells_about_this_machine() -> None:
    found = detect()
    assert found.name
    assert 1 <= found.cores <= found.threads
    assert found.ram_gb > 0
