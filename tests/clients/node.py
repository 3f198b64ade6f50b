"""Node and the packages of js/package-lock.json, installed by `npm ci` into the tests' cache on first use.

Without Node, npm or their registry the tests are skipped, or fail where ORPHEUS_TEST_CLIENTS=required.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.paths import build_key, build_once, cache_dir

REQUIRED = os.environ.get("ORPHEUS_TEST_CLIENTS") == "required"
SCRIPTS = Path(__file__).with_name("js")
INSTALL_TIMEOUT_S = 300
RUN_TIMEOUT_S = 60


def packages() -> Path:
    """The folder that holds node_modules. Skips the test that asks, or fails it, where there is none."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            _without(f"there is no {tool} on this machine (Node 20 or later has both)")
    try:
        return build_once(cache_dir() / f"node-{build_key(str(SCRIPTS / 'package-lock.json'))}", _install)
    except subprocess.SubprocessError as exc:
        _without(f"npm ci failed: {exc} {str(getattr(exc, 'stderr', '') or '')[-500:]}")


def run(script: str, *arguments: str, folder: Path) -> Any:
    """Run js/script with these packages. Returns the JSON that it prints; fails with what it says on its way down."""
    # Read from standard input, imports are looked for from the working directory on, not beside the script.
    command = ["node", "--input-type=module", "-", *arguments]
    source = (SCRIPTS / script).read_text("utf-8")
    done = subprocess.run(
        command, input=source, cwd=folder, capture_output=True, encoding="utf-8", timeout=RUN_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _install(folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SCRIPTS / name, folder)
    npm = [shutil.which("npm") or "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(npm, cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)


def _without(reason: str) -> NoReturn:
    message = f"The JavaScript clients cannot run: {reason}"
    pytest.fail(message) if REQUIRED else pytest.skip(message)
