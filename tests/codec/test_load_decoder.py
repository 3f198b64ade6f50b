"""Finding a model: a directory, the cache, the hub, or a clear word about what is missing."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.codec.snac_models import assert_same, decode_whole, model
from tests.support.tiny_snac import random_codes, reference_pcm
from tts_engine.codec.load import load_decoder
from tts_engine.errors import CodecError, NotReadyError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("backend", "name"), [("auto", "openvino"), ("torch", "torch"), ("window", "window")])
def test_a_directory_is_used_as_it_is(backend: str, name: str) -> None:
    directory, codes = model("small"), random_codes(5)
    decoder = load_decoder(str(directory), backend=backend)  # type: ignore[arg-type]
    assert (decoder.name, decoder.device, decoder.sample_rate, decoder.frame_size) == (name, "cpu", 24_000, 2048)
    decoder.warm_up()
    assert_same(decode_whole(decoder, codes), reference_pcm(directory, codes))


def test_the_model_s_noise_can_be_silenced() -> None:
    loud, codes = model("small", noise="random"), random_codes(4)
    decoder = load_decoder(str(loud), silent_noise=True)
    assert (decode_whole(decoder, codes, seed=1) == decode_whole(decoder, codes, seed=2)).all()


@pytest.mark.parametrize("missing", ["config.json", "pytorch_model.bin"])
def test_a_directory_without_a_file_names_both(missing: str, tmp_path: Path) -> None:
    for file in model("small").iterdir():
        if file.name != missing:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(NotReadyError) as error:
        load_decoder(str(tmp_path))
    assert str(tmp_path) in error.value.message and f"no {missing}" in error.value.message
    assert "ORPHEUS_SNAC_MODEL" in error.value.message


@pytest.mark.parametrize("name", ["/not/a/model", "./model", "a/b/c"])
def test_a_path_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(NotReadyError, match="neither a directory nor a repo id") as error:
        load_decoder(name)
    assert name in error.value.message


def test_openvino_on_a_gpu_is_refused() -> None:
    with pytest.raises(CodecError, match="cuda"):
        load_decoder(str(model("small")), backend="openvino", device="cuda")


def test_openvino_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tts_engine.codec.openvino_decoder", None)
    with pytest.raises(CodecError, match="openvino is not installed"):
        load_decoder(str(model("small")), backend="openvino")


def test_a_gpu_that_is_not_there_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(CodecError, match="cuda"):
        load_decoder(str(model("small")), backend="torch", device="cuda")


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as serves one model's files."""

    requests: list[str]
    files: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        self.requests.append(f"{self.command} {self.path}")
        content = self.files.get(self.path.removeprefix("/someone/snac/resolve/main/"))
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    files = {file.name: file.read_bytes() for file in model("small").iterdir()}
    handler = type("ThisHub", (Hub,), {"requests": [], "files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def load_elsewhere(repo: str, home: Path, endpoint: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Load in a process of its own: huggingface_hub reads its settings once, when it is imported."""
    program = (
        "import sys\n"
        "from tts_engine.codec.load import find_model\n"
        "from tts_engine.errors import NotReadyError\n"
        "try:\n"
        "    print(sorted(file.name for file in find_model(sys.argv[1]).iterdir()))\n"
        "except NotReadyError as exc:\n"
        "    print('not ready:', exc.message)\n"
    )
    outside = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    settings = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-c", program, repo],
        env=outside | settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_repo_is_fetched_once_and_then_read_without_network(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    found = "['config.json', 'pytorch_model.bin']\n"
    assert load_elsewhere("someone/snac", tmp_path, endpoint).stdout == found
    requests: list[str] = hub.RequestHandlerClass.requests  # type: ignore[attr-defined]
    fetched = len(requests)
    assert [request for request in requests if request.startswith("GET") and request.endswith("model.bin")] == [
        "GET /someone/snac/resolve/main/pytorch_model.bin"
    ]
    assert load_elsewhere("someone/snac", tmp_path, endpoint).stdout == found
    assert load_elsewhere("someone/snac", tmp_path, endpoint, HF_HUB_OFFLINE="1").stdout == found
    assert len(requests) == fetched


def test_a_repo_that_the_hub_does_not_have_is_named(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    said = load_elsewhere("someone/else", tmp_path, f"http://127.0.0.1:{hub.server_port}").stdout
    assert said.startswith("not ready: The SNAC model someone/else") and "404" in said
    assert len(said.splitlines()) == 1


def test_an_unreachable_hub_is_asked_once(tmp_path: Path) -> None:
    """The hub's own client would ask six times in 24 s before the server could say what is missing."""
    result = load_elsewhere("someone/snac", tmp_path, "http://127.0.0.1:9")
    assert "could not be fetched from http://127.0.0.1:9" in result.stdout and "refused" in result.stdout
    assert "ORPHEUS_SNAC_MODEL" in result.stdout
    assert "Retrying" not in result.stderr and "Traceback" not in result.stderr


def test_offline_says_so_and_asks_nobody(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    said = load_elsewhere("someone/snac", tmp_path, endpoint, HF_HUB_OFFLINE="1").stdout
    assert "HF_HUB_OFFLINE" in said
    assert hub.RequestHandlerClass.requests == []  # type: ignore[attr-defined]
