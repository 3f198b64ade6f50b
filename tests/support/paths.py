"""Where the tests keep what is dear to build, and how two runs may build it at once.

A build is written beside its place and renamed into it, so nobody ever sees half of one. Its name carries a hash of
the source that built it and of the parameters, so a changed builder never finds the work of the old one.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    """The folder of finished builds, git-ignored. Made when it is not there."""
    folder = PROJECT_ROOT / ".cache" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build_key(source: str, **parameters: object) -> str:
    """12 hex digits. source: the `__file__` of the module that builds. parameters: whatever changes the result."""
    digest = hashlib.sha256(Path(source).read_bytes())
    digest.update(repr(sorted(parameters.items())).encode())
    return digest.hexdigest()[:12]


def build_once(target: Path, write: Callable[[Path], None]) -> Path:
    """Have `write` fill a fresh path beside target (it makes the file or folder itself), then rename it to target.

    Does nothing when target exists. A second builder that comes in late throws its own work away.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        made = Path(folder) / target.name
        write(made)
        try:
            made.replace(target)
        except OSError:  # a folder that another run has put there meanwhile
            if not target.exists():
                raise
            shutil.rmtree(made)
    return target
