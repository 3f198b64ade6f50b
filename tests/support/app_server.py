"""This project's own server in its own process, started as README says."""

import os
import tempfile
from pathlib import Path

from tests.support.paths import PROJECT_ROOT
from tests.support.server_process import ServerProcess, clean_environment, free_port


class AppServer(ServerProcess):
    """`python -m uvicorn app:app` on a loopback port, with a clean environment and only the settings given.

    settings: environment variables, such as `{"ORPHEUS_API_URL": llama.url}`. cwd: where it runs (default: the
    project; a `.env` is looked for there). Enter it to start it and wait for `GET /health`; `wait=False` does not wait.
    """

    def __init__(
        self,
        settings: dict[str, str] | None = None,
        *,
        cwd: Path | None = None,
        port: int = 0,
        uvicorn_options: tuple[str, ...] = (),
        wait: bool = True,
    ) -> None:
        port = port or free_port()
        address = ["--host", "127.0.0.1", "--port", str(port)]
        arguments = ["-m", "uvicorn", "app:app", "--app-dir", str(PROJECT_ROOT), *address, *uvicorn_options]
        self._data = tempfile.TemporaryDirectory(prefix="orpheus-data-", ignore_cleanup_errors=True)
        mine = {"ORPHEUS_ENV_FILE": os.devnull, "ORPHEUS_DATA_DIR": self._data.name, **(settings or {})}
        environment = clean_environment(**mine)
        super().__init__(arguments, port=port, environment=environment, cwd=cwd or PROJECT_ROOT, wait=wait)

    def _close(self) -> None:
        super()._close()
        self._data.cleanup()
