"""Schemathesis: whatever the served OpenAPI document allows, and what it does not, never breaks the server."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference

EXAMPLES = 15
"""Requests of an operation in each mode."""


@pytest.fixture(scope="module")
def playground(_fake: FakeInference, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A server with a `.env` and a data folder of its own: some requests change settings or begin jobs."""
    folder = tmp_path_factory.mktemp("playground")
    settings = {
        "ORPHEUS_API_URL": _fake.url,
        "ORPHEUS_SNAC_MODEL": str(weights),
        "ORPHEUS_API_TIMEOUT": "5",
        "ORPHEUS_ENV_FILE": str(folder / ".env"),
        "ORPHEUS_DATA_DIR": str(folder / "data"),
    }
    with AppServer(settings, cwd=folder) as server:
        yield server


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_no_request_breaks_the_server(playground: AppServer, fake: FakeInference, mode: str) -> None:
    """positive: requests that the document allows. negative: requests that it does not."""
    document = httpx.get(f"{playground.url}/openapi.json", trust_env=False).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=playground.url)
    operations = (found.ok() for found in schema.get_all_operations())
    asked = [_ask(operation, schemathesis.GenerationMode(mode)) for operation in operations]
    assert sum(asked) > EXAMPLES
    assert "Traceback" not in playground.log()


def _ask(operation: Any, mode: schemathesis.GenerationMode) -> int:
    """Send what Hypothesis makes up. Returns how many requests that were."""
    asked = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        _check(case, case.call(timeout=20))

    with contextlib.suppress(Unsatisfiable):  # nothing about an operation without parameters can be wrong
        ask()
    return asked


def _check(case: Any, answer: Any) -> None:
    said = (case.method, case.formatted_path, case.query, case.body, answer.status_code, answer.content[:500])
    assert answer.status_code < 500, said
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400 and case.method != "HEAD":
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}, said
        assert isinstance(error["message"], str) and error["message"], said
