"""The real llama.cpp HTTP server (package xllamacpp) with the tests' tiny model, in its own process."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

from tests.support import tiny_gguf
from tests.support.paths import PROJECT_ROOT
from tests.support.server_process import ServerProcess, clean_environment, free_port


class LlamaServer(ServerProcess):
    """llama.cpp's server on a loopback port; `with LlamaServer() as server: ...` waits until it has loaded (about 1 s).

    slots: requests that it speaks at once. context: tokens per slot. api_key: what clients must send.
    alias: name of the model in /v1/models. port: 0 picks a free one; give one to come back at the same place.
    options: attributes of xllamacpp.CommonParams, such as `{"special": True}`.
    """

    def __init__(
        self,
        *,
        model: Path | None = None,
        slots: int = 4,
        context: int = 8192,
        api_key: str | None = None,
        alias: str | None = None,
        port: int = 0,
        options: dict[str, Any] | None = None,
        wait: bool = True,
    ) -> None:
        port = port or free_port()
        self.api_key = api_key
        settings = {
            "model": str(model or tiny_gguf.cached()),
            "port": port,
            "slots": slots,
            "context": context,
            "api_key": api_key,
            "alias": alias,
            "options": options or {},
        }
        environment = clean_environment(PYTHONPATH=str(PROJECT_ROOT), OMP_NUM_THREADS="1")
        arguments = [str(Path(__file__).resolve()), json.dumps(settings)]
        super().__init__(arguments, port=port, environment=environment, cwd=None, wait=wait)

    def slots(self) -> list[dict[str, Any]]:
        """What /slots says of every slot."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        status, body = self.get("/slots", headers=headers)
        if status != 200:
            raise RuntimeError(f"/slots answered {status}: {body.decode(errors='replace')}")
        found: list[dict[str, Any]] = json.loads(body)
        return found

    def slots_busy(self) -> int:
        """How many slots are speaking right now."""
        return sum(bool(slot["is_processing"]) for slot in self.slots())


def _serve(settings: dict[str, Any]) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.port = settings["port"]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["slots"] * settings["context"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_gpu_layers = 0
    params.fit_params = False
    params.cache_ram_mib = 0
    if settings["api_key"]:
        params.api_keys = [settings["api_key"]]
    if settings["alias"]:
        params.model_alias = {settings["alias"]}
    for name, value in settings["options"].items():
        setattr(params, name, value)
    server = xllamacpp.Server(params)  # serves in threads of its own for as long as it is referenced
    threading.Event().wait()
    del server


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
