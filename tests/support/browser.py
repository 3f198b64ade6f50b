"""Finds a Chromium for the page's tests, or installs Debian's; says clearly when there is none.

`python -m tests.support.browser` is a step of `make test`. With ORPHEUS_TEST_BROWSER=required its failure is fatal.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REQUIRED = os.environ.get("ORPHEUS_TEST_BROWSER") == "required"


def find() -> str | None:
    """The path of a Chromium on this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _install() -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        subprocess.run(["apt-get", *command], env=environment, check=False, stdout=subprocess.DEVNULL)


def main() -> int:
    if find() is None:
        _install()
    path = find()
    if path is not None:
        print(f"Browser for the page's tests: {path}")
        return 0
    print("No Chromium found, and none could be installed (Debian: apt-get install chromium).", file=sys.stderr)
    print("The page's tests are skipped." if not REQUIRED else "The page's tests are required here.", file=sys.stderr)
    return 1 if REQUIRED else 0


if __name__ == "__main__":
    raise SystemExit(main())
