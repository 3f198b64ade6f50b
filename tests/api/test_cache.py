"""The cache of segments: the same seeded words are spoken once."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import speech

BODY = {"input": "Say this once.", "response_format": "pcm"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeInference]:
    with FakeInference() as fake:
        fake.always(speech(tiny_snac.random_codes(12)))
        yield fake


@pytest.fixture(scope="module")
def cached(upstream: FakeInference, weights: Path) -> Iterator[httpx.Client]:
    settings = {"ORPHEUS_API_URL": upstream.url, "ORPHEUS_SNAC_MODEL": str(weights), "ORPHEUS_CACHE_MAX_GB": "0.1"}
    with AppServer(settings) as server, httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def ask(client: httpx.Client, upstream: FakeInference, **more: object) -> tuple[bytes, int]:
    """The audio, and how often the model was asked for it."""
    before = len(upstream.completions)
    answer = client.post("/v1/audio/speech", json={**BODY, **more})
    assert answer.status_code == 200
    return answer.content, len(upstream.completions) - before


def test_seeded_words_are_spoken_once(cached: httpx.Client, upstream: FakeInference) -> None:
    first, asked = ask(cached, upstream, seed=1)
    assert asked == 1
    again, asked = ask(cached, upstream, seed=1)
    assert (again == first, asked) == (True, 0)


@pytest.mark.parametrize("other", [{"seed": 2}, {"seed": 1, "voice": "leo"}, {"seed": 1, "temperature": 0.7}])
def test_whatever_shapes_the_audio_is_part_of_the_key(
    cached: httpx.Client, upstream: FakeInference, other: dict[str, object]
) -> None:
    ask(cached, upstream, seed=1)
    assert ask(cached, upstream, **other)[1] == 1


def test_unseeded_words_are_kept_only_if_asked(cached: httpx.Client, upstream: FakeInference) -> None:
    assert [ask(cached, upstream)[1] for _ in range(2)] == [1, 1]
    assert [ask(cached, upstream, cache=True)[1] for _ in range(2)] == [1, 0]
    assert ask(cached, upstream, seed=1, cache=False)[1] == 1
