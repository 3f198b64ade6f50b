"""A real server in its own process: started, waited for, asked, and surely gone at the end."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
LOG_TAIL_CHARS = 4000
_WATCHED = Path(__file__).with_name("watched.py")


def free_port() -> int:
    """A TCP port that nobody on this machine listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """A Python program that serves HTTP on a loopback port. Enter it to start it and to wait for `GET /health` = 200.

    arguments: for Python, `["-m", module, ...]` or `[script, ...]`. port: where it will listen.
    environment: all of its environment. cwd: its working directory. wait: False returns as soon as it is started.
    """

    def __init__(
        self, arguments: list[str], *, port: int, environment: dict[str, str], cwd: Path | None, wait: bool
    ) -> None:
        self.port = port
        self._arguments = arguments
        self._environment = environment
        self._cwd = cwd
        self._wait = wait
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="server-log-")
        self._log_path = Path(self._folder.name) / "log.txt"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def rss_mb(self) -> float:
        """Resident memory of the process in 10^6 bytes."""
        return float(psutil.Process(self.pid).memory_info().rss / 1e6)

    def log(self) -> str:
        """All that the server has written so far, standard output and error together."""
        return self._log_path.read_text("utf-8", errors="replace") if self._log_path.exists() else ""

    def get(self, path: str, *, headers: dict[str, str] | None = None, timeout_s: float = 10.0) -> tuple[int, bytes]:
        """GET path: the status and the body. Raises OSError or HTTPException when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def start(self) -> None:
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(_WATCHED), *self._arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._cwd,
            )

    def wait_until_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Ask `GET /health` until it is 200. Raises RuntimeError with the end of the log when it never is."""
        deadline = time.monotonic() + timeout_s
        while not self._is_healthy():
            code = self._running().poll()
            if code is not None or time.monotonic() > deadline:
                state = f"ended with code {code}" if code is not None else f"is not healthy after {timeout_s:g} s"
                raise RuntimeError(f"{self._arguments[:2]} on port {self.port} {state}\n{self.log()[-LOG_TAIL_CHARS:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it the hard way, as a crash would, and wait until it is gone."""
        self._running().kill()
        self._running().wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """Ask it to end (SIGTERM), insist after STOP_TIMEOUT_S. Returns its exit code."""
        process = self._running()
        process.terminate()
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        self.start()
        if self._wait:
            try:
                self.wait_until_healthy()
            except BaseException:
                self._close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        process = self._running()
        if process.poll() is None:
            self.kill()
        if process.stdin is not None:
            process.stdin.close()
        self._folder.cleanup()

    def _is_healthy(self) -> bool:
        try:
            return self.get("/health", timeout_s=5)[0] == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this server has not been started")
        return self._process


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without ORPHEUS_* and proxies, with `settings` added. Python warns in neither."""
    unwanted = ("ORPHEUS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(unwanted)}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **settings}
