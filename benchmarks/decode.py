"""CPU time of the SNAC decode a frame (85.3 ms of audio), against the usual way in the same run.

python -m benchmarks.decode [rounds]

The usual way, of every Orpheus server known: for each new frame one decode of the last 7 frames by the stock model, of
which one frame is kept. Full-width random weights, one thread, the methods in turn within each round; times are CPU
time of the process, and a ratio is the median of the rounds' ratios. The last row is what the decoder's matrix products
alone would take at this machine's speed of one large product, counted without the step's saving of a tenth of them.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads shall not look like work

import numpy as np
import torch

from tests.support import tiny_snac
from tts_engine.codec.decoder import Decoder, Work
from tts_engine.codec.load import load_decoder

ROUNDS = 9
FRAMES = 4
"""New frames a method decodes in a round, of each of its streams; the usual way has as many windows."""
GFLOP_A_FRAME = 0.828  # 103.5 million multiplications with addition a latent, 4 latents
PRODUCT_SIZE = 1024

USUAL = "usual way: stock 7-frame window, one frame kept"

Method = Callable[[], int]
"""Decodes some frames and returns how many."""


def usual_way(directory: Path) -> Method:
    model = tiny_snac.load(directory)
    codes = tiny_snac.random_codes(7)
    levels = [torch.from_numpy(codes[:, slots].reshape(1, -1).astype(np.int64)) for slots in tiny_snac.LEVEL_SLOTS]

    def run() -> int:
        with torch.inference_mode():
            for _ in range(FRAMES):
                model.decode(levels)
        return FRAMES

    return run


def streams(decoder: Decoder, batch: int, frames: int) -> Method:
    """`batch` streams that go on for ever, each given `frames` a call."""
    decoder.warm_up()
    opened = [decoder.open(seed) for seed in range(batch)]
    codes = tiny_snac.random_codes(frames)

    def run() -> int:
        for _ in range(FRAMES // frames):
            decoder.decode([Work(stream, codes, last=False) for stream in opened])
        return FRAMES * batch

    run()
    return run


def machine_limit() -> Method:
    a, b = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE), torch.randn(PRODUCT_SIZE, PRODUCT_SIZE)
    count = round(FRAMES * GFLOP_A_FRAME * 1e9 / (2 * PRODUCT_SIZE**3)) + 8

    def run() -> int:
        for _ in range(count):
            torch.mm(a, b)
        return count

    return run


def methods(directory: Path) -> dict[str, Method]:
    name = str(directory)
    window = load_decoder(name, backend="window")
    step = load_decoder(name, backend="torch")
    openvino = load_decoder(name, backend="openvino", wide=True)
    return {
        USUAL: usual_way(directory),
        "window decoder (the reference)": streams(window, 1, 1),
        "torch step, 1 frame of 1 stream": streams(step, 1, 1),
        "torch step, 4 frames of 1 stream": streams(step, 1, 4),
        "torch step, 1 frame of 8 streams": streams(step, 8, 1),
        "openvino step, 1 frame of 1 stream": streams(openvino, 1, 1),
        "openvino step, 4 frames of 1 stream": streams(openvino, 1, 4),
        "openvino step, 2 frames of 2 streams": streams(openvino, 2, 2),
        "openvino step, 1 frame of 4 streams": streams(openvino, 4, 1),
        "openvino step, 1 frame of 8 streams": streams(openvino, 8, 1),
    }


def cpu_ms(method: Method) -> float:
    """CPU time of one run a frame, ms."""
    start = time.process_time()
    frames = method()
    return (time.process_time() - start) * 1000 / frames


def measure(directory: Path, rounds: int) -> dict[str, list[float]]:
    """CPU ms a frame of each method in each round."""
    torch.set_num_threads(1)
    limit = machine_limit()
    tried = methods(directory)
    times: dict[str, list[float]] = {name: [] for name in [*tried, "limit"]}
    for _ in range(rounds):
        for name, method in tried.items():
            times[name].append(cpu_ms(method))
        products_a_frame = GFLOP_A_FRAME * 1e9 / (2 * PRODUCT_SIZE**3)
        times["limit"].append(cpu_ms(limit) * products_a_frame)
    return times


def start_up(directory: Path) -> list[float]:
    """Seconds and megabytes of a process that only decodes with OpenVINO."""
    program = (
        "import json, sys, time\n"
        "start = time.perf_counter()\n"
        "from tts_engine.codec.load import load_decoder\n"
        "imported = time.perf_counter()\n"
        "decoder = load_decoder(sys.argv[1], backend='openvino')\n"
        "loaded = time.perf_counter()\n"
        "decoder.warm_up()\n"
        "warm = time.perf_counter()\n"
        "import psutil\n"
        "print(json.dumps([imported - start, loaded - imported, warm - loaded, psutil.Process().memory_info().rss / 1e6]))"
    )
    command = [sys.executable, "-c", program, str(directory)]
    figures: list[float] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return figures


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    directory = tiny_snac.cached(width="full")
    times = measure(directory, int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    frame_ms = 2048 / 24
    print("| method | CPU ms a frame | times the usual way | audio s a CPU s |")
    print("|---|---:|---:|---:|")
    for name, values in times.items():
        ratio = statistics.median(base / value for base, value in zip(times[USUAL], values, strict=True))
        median = statistics.median(values)
        shown = "matrix products alone, one large product's speed" if name == "limit" else name
        print(f"| {shown} | {median:.2f} | {ratio:.1f} | {frame_ms / median:.2f} |")
    imported, loaded, warm, megabytes = start_up(directory)
    print("\n| process that only decodes with | import s | load s | warm-up s | resident MB |")
    print("|---|---:|---:|---:|---:|")
    print(f"| openvino | {imported:.2f} | {loaded:.2f} | {warm:.2f} | {megabytes:.0f} |")


if __name__ == "__main__":
    main()
