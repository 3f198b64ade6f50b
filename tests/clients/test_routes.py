"""Where things answer, and that what does not exist says so in JSON, also behind a proxy under a path."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tts_engine.voices import OPENAI_VOICES, VOICES

BODY = {"input": "Hello.", "response_format": "pcm"}
PAGES = ["/", "/health", "/v1/models", "/v1/audio/voices", "/models", "/status"]
NAMES = [voice.name for voice in VOICES]


def assert_error(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/json")
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/test", "/v1/readyz", "/v1/whatever", "/v1/audio", "/v1/audio/", "/v1/audio/speechx",
     "/v1/index.html", "/v1/audio/transcriptions", "/v1/chat/completions", "/readyz", "/whatever", "/outputs/../app.py"],
)  # fmt: skip
def test_what_does_not_exist_is_404_in_json(client: httpx.Client, method: str, path: str) -> None:
    assert_error(client.request(method, path, headers={"Accept": "text/html"}), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/audio/speech"), ("DELETE", "/v1/models"), ("POST", "/v1/audio/voices"), ("PUT", "/health")],
)
def test_another_method_is_405_and_names_the_right_one(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert_error(answer, 405)
    assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/audio/speech/", "/audio/speech/"])
def test_a_slash_too_many_never_turns_a_post_into_a_get(client: httpx.Client, fake: FakeInference, path: str) -> None:
    answer = client.post(path, json=BODY)
    if answer.status_code != 200:
        assert_error(answer, 404)


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/audio/speech"])
def test_speech_with_and_without_prefix(client: httpx.Client, fake: FakeInference, path: str) -> None:
    assert client.post(path, json=BODY).status_code == 200


@pytest.mark.parametrize(
    "path", [*PAGES, "/v1/audio/models", "/v1/models/orpheus", "/v1/voices", "/v1/audio/voices/x/y"]
)
def test_head_is_get_without_a_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


def test_health_is_ok_and_nothing_else(client: httpx.Client) -> None:
    answer = client.get("/health")
    assert answer.text == "OK"
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/audio/models", "/audio/models"])
def test_models_in_both_shapes(client: httpx.Client, path: str) -> None:
    body = client.get(path).json()
    assert body["object"] == "list"
    assert body["data"] == body["models"]
    for model in body["data"]:
        assert type(model["created"]) is int
        assert (model["object"], bool(model["owned_by"])) == ("model", True)
        assert [voice["name"] for voice in model["voices"]] == NAMES


@pytest.mark.parametrize("path", ["/v1/models/gpt-5", "/models/none", "/v1/models/a/b/c"])
def test_a_model_that_does_not_exist(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert_error(answer, 404)
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "path", ["/v1/audio/voices", "/audio/voices", "/v1/voices", "/voices", "/v1/audio/voices/orpheus",
             "/v1/audio/voices?model=x", "/v1/audio/voices?model_id=x", "/v1/audio/voices/canopylabs/orpheus"],
)  # fmt: skip
def test_voices_in_the_shape_that_fits_nearly_all(client: httpx.Client, path: str) -> None:
    body = client.get(path).json()
    assert body["voices"] == body["data"]
    assert {v["id"]: v["name"] for v in body["voices"]} == {name: name for name in NAMES}
    assert all(v["value"] == v["label"] == v["id"] for v in body["voices"])
    assert all(v["language"] and v["description"] and v["object"] == "audio.voice" for v in body["voices"])


def test_voices_as_plain_names(client: httpx.Client) -> None:
    assert client.get("/v1/audio/voices?legacy=true").json()["voices"] == NAMES


@pytest.mark.parametrize("voice", [*OPENAI_VOICES, "ALLOY", "Leo", {"id": "mia"}, {"id": "Nova"}, " tara "])
def test_every_name_of_a_voice_speaks_with_a_native_one(
    client: httpx.Client, fake: FakeInference, voice: str | dict[str, str]
) -> None:
    assert client.post("/v1/audio/speech", json={**BODY, "voice": voice}).status_code == 200
    prompt = str(fake.completions[0].body["prompt"])
    assert any(f"{name}: Hello." in prompt for name in NAMES)


@pytest.fixture(scope="module")
def behind_proxy(_fake: FakeInference, weights: Path) -> Iterator[httpx.Client]:
    settings = {
        "ORPHEUS_API_URL": _fake.url,
        "ORPHEUS_SNAC_MODEL": str(weights),
        "ORPHEUS_ROOT_PATH": "/tts",
        "ORPHEUS_ACCESS_KEY": "key",
    }
    with AppServer(settings) as server, httpx.Client(base_url=server.url, trust_env=False, timeout=30) as http:
        yield http


@pytest.mark.parametrize("prefix", ["", "/tts"], ids=["the proxy strips the path", "the proxy passes it on"])
def test_under_a_path_all_is_where_it_should_be(behind_proxy: httpx.Client, fake: FakeInference, prefix: str) -> None:
    for path in PAGES:
        answer = behind_proxy.get(prefix + path)
        assert answer.status_code == (401 if path == "/status" else 200), path
    assert "/tts/static/" in behind_proxy.get(f"{prefix}/").text
    key = {"Authorization": "Bearer key"}
    assert behind_proxy.post(f"{prefix}/v1/audio/speech", json=BODY).status_code == 401
    assert behind_proxy.post(f"{prefix}/v1/audio/speech", json=BODY, headers=key).status_code == 200
    assert_error(behind_proxy.get(f"{prefix}/v1/whatever", headers=key), 404)
    assert_error(behind_proxy.get(f"{prefix}/v1/models/none"), 404)
    # What the server names in an answer is asked for in the same way.
    name = behind_proxy.post(f"{prefix}/speak", json={"text": "Hello."}, headers=key).json()["output_file"]
    assert behind_proxy.get(f"{prefix}/{name}", headers=key).content[:4] == b"RIFF"


def test_the_document_under_a_path_names_it(behind_proxy: httpx.Client) -> None:
    document = behind_proxy.get("/openapi.json", headers={"Authorization": "Bearer key"}).json()
    assert [server["url"] for server in document["servers"]] == ["/tts"]
