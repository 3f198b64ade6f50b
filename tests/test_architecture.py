"""The plan of the house holds: imports point one way, importing does nothing, nothing is asked of other hosts."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tts_engine.config import ROOT

LAYERS = (
    "errors", "voices", "config", "hardware", "text", "llm", "codec", "audio", "admission", "metrics",
    "guard", "cache",
    "line",
    "segment_speech", "synthesis", "engine", "checks",
    "jobs", "api", "reading", "__main__",
)  # fmt: skip
SIDE_BY_SIDE = {"text", "llm", "codec", "audio"}
MODULES = sorted((ROOT / "tts_engine").rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(ROOT / "tts_engine").parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down_the_house(path: Path) -> None:
    here = room(path)
    for name in imported(path):
        if name.startswith("tts_engine."):
            there = name.split(".")[1]
            assert LAYERS.index(there) <= LAYERS.index(here), f"{here} imports {there}"
            if here != there and here in SIDE_BY_SIDE:
                assert there not in SIDE_BY_SIDE, f"{here} imports its neighbour {there}"


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("httpx", {"llm"}),
        ("torch", {"codec", "hardware"}),
        ("snac", {"codec"}),
        ("openvino", {"codec"}),
        ("av", {"audio", "jobs"}),
    ],
)
def test_each_library_has_its_room(package: str, rooms: set[str]) -> None:
    users = {room(path) for path in MODULES if any(name.split(".")[0] == package for name in imported(path))}
    assert users <= rooms


def test_importing_the_app_does_nothing() -> None:
    code = (
        "import sys, app, tts_engine.api.speech\n"
        "heavy = {'torch', 'snac', 'openvino'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout


def test_the_page_asks_no_other_host() -> None:
    for folder in ("templates", "static"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".html", ".css", ".js") and "vendor" not in path.parts:
                text = path.read_text(encoding="utf-8")
                assert not re.search(r"""(?:src|href|url|import|fetch)\W{1,4}(?:https?:)?//""", text), path
