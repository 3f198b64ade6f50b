"""`python app.py`: it serves on the settings' port, and stops soon although somebody is still listening."""

import os
import signal
import subprocess
import sys
import threading
import time

import httpx

from tests.support import tiny_snac
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Endless
from tests.support.server_process import clean_environment, free_port
from tts_engine.config import ROOT


def test_python_app_py_serves_and_stops(tmp_path: object) -> None:
    port = free_port()
    with FakeInference() as fake:
        fake.always([Endless(rate=200)])
        environment = clean_environment(
            ORPHEUS_API_URL=fake.url,
            ORPHEUS_SNAC_MODEL=str(tiny_snac.cached()),
            ORPHEUS_HOST="127.0.0.1",
            ORPHEUS_PORT=str(port),
            ORPHEUS_ENV_FILE=os.devnull,
            ORPHEUS_DATA_DIR=str(tmp_path),
        )
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for_health(port)
            heard = threading.Event()
            listener = threading.Thread(target=_listen, args=(port, heard))
            listener.start()
            assert heard.wait(20)
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            listener.join(5)
            assert not listener.is_alive()
        finally:
            process.kill()
            process.wait()


def _wait_for_health(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).text == "OK":
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")


def _listen(port: int, heard: threading.Event) -> None:
    body = {"input": "Hello.", "response_format": "pcm"}
    url = f"http://127.0.0.1:{port}/v1/audio/speech"
    try:
        with httpx.stream("POST", url, json=body, timeout=30, trust_env=False) as answer:
            for _ in answer.iter_bytes():
                heard.set()
    except httpx.TransportError:
        pass
