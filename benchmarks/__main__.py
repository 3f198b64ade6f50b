"""All benchmarks into one table, docs/benchmarks.md and the README: `make bench`, under ten minutes on two cores.

Every row is a ratio against a baseline that was measured in the same run. Absolute times are of the machine named.
"""

import platform
import statistics
import sys
from pathlib import Path

from benchmarks import decode, start_up, streams, token_path
from tests.support import tiny_snac
from tts_engine.hardware import detect

ROOT = Path(__file__).resolve().parent.parent
DECODE_ROUNDS = 5
STREAM_SECONDS = 10.0
TOKENS = 20_000
BEGIN, END = "<!-- benchmarks -->", "<!-- end of benchmarks -->"

Row = tuple[str, str, str, str]
"""What, its figure, the baseline with its figure, the ratio."""


def decode_rows() -> list[Row]:
    times = decode.measure(tiny_snac.cached(width="full"), DECODE_ROUNDS)
    usual = times[decode.USUAL]
    rows = []
    for name, values in times.items():
        if name in (decode.USUAL, "limit"):
            continue
        ratio = statistics.median(base / value for base, value in zip(usual, values, strict=True))
        baseline = f"usual way, {statistics.median(usual):.0f} ms"
        rows.append(
            (f"SNAC decode, {name}", f"{statistics.median(values):.1f} ms CPU a frame", baseline, f"{ratio:.1f}x")
        )
    limit = statistics.median(times["limit"])
    best = min(statistics.median(values) for name, values in times.items() if name.startswith("openvino"))
    rows.append(
        (
            "SNAC decode, best step",
            f"{best:.1f} ms",
            f"its matrix products alone, {limit:.1f} ms",
            f"{limit / best:.0%}",
        )
    )
    return rows


def token_rows() -> list[Row]:
    chunks = token_path.events(TOKENS)
    baseline = token_path.rate(lambda: token_path.with_httpx_sse(chunks), TOKENS)
    ours = token_path.rate(lambda: token_path.with_reader(chunks), TOKENS)
    whole = token_path.through_a_socket(chunks, 1, TOKENS)
    shown = f"httpx-sse and json, {baseline:,.0f}"
    return [
        ("SSE bytes to codes", f"{ours:,.0f} tokens a CPU second", shown, f"{ours / baseline:.1f}x"),
        (
            "the same through HTTP, a chunk a token",
            f"{whole:,.0f} tokens a CPU second",
            shown,
            f"{whole / baseline:.1f}x",
        ),
    ]


def stream_rows() -> list[Row]:
    figures = list(streams.curve(STREAM_SECONDS))
    one = figures[0]
    rows = [
        (
            "first audio byte, one stream",
            f"{one.first_ms:.0f} ms",
            "its 21 tokens' own time, 256 ms",
            f"+{one.first_ms - 21 / streams.TOKENS_A_SECOND * 1000:.0f} ms",
        )
    ]
    for each in figures:
        exact = "exact" if each.exact else "NOT EXACT"
        waited = f"a listener waited {each.late_ms:.0f} ms at most"
        rows.append(
            (
                f"{each.streams} real-time streams, {exact}",
                f"{each.cpu_ms:.0f} ms CPU a second of audio; {waited}; /health {each.health_ms:.1f} ms",
                f"1 stream, {one.cpu_ms:.0f} ms",
                f"{one.cpu_ms / each.cpu_ms:.2f}x",
            )
        )
    return rows


def start_rows() -> list[Row]:
    (seconds, megabytes), (usual_s, usual_mb) = start_up.measure()
    return [
        ("start to first OK, weights warm", f"{seconds:.1f} s", f"importing torch and snac, {usual_s:.1f} s",
         f"{usual_s / seconds:.2f}x"),
        ("memory after a request", f"{megabytes:.0f} MB", f"importing torch and snac, {usual_mb:.0f} MB",
         f"{usual_mb / megabytes:.2f}x"),
    ]  # fmt: skip


def main() -> None:
    rows: list[Row] = []
    for section in (start_rows, stream_rows, token_rows, decode_rows):
        rows += section()
        print(f"{section.__name__} done", file=sys.stderr)
    hardware = detect()
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = (
        f"Measured on {hardware.name}, {hardware.cores} cores, {hardware.ram_gb:.0f} GB, Python "
        f"{platform.python_version()}, full-width SNAC with random weights, by `make bench`.\n\n"
        f"| what | figure | baseline, same run | ratio |\n|---|---|---|---:|\n{table}\n"
    )
    (ROOT / "docs" / "benchmarks.md").write_text(f"# Benchmarks\n\n{text}", encoding="utf-8")
    readme = ROOT / "README.md"
    head, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    readme.write_text(f"{head}{BEGIN}\n{text}{END}{tail}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
