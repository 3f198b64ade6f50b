"""Who may ask: access keys, listings, and pages of other origins."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.settings import KEYS, MODEL, ORIGIN
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference

SPEECH = "/v1/audio/speech"
BODY = {"input": "Hello.", "response_format": "pcm"}
LISTINGS = [
    "/v1/models", "/v1/models/tts-1", f"/v1/models/{MODEL}", "/models", "/v1/audio/models", "/audio/models",
    "/v1/audio/voices", "/v1/audio/voices?legacy=true", "/v1/audio/voices/orpheus", "/audio/voices", "/v1/voices",
]  # fmt: skip
LOCAL = ["http://localhost:3000", "http://127.0.0.1", "https://localhost", "http://[::1]:8080"]


@pytest.fixture
def keyed(guarded: AppServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.url, trust_env=False, timeout=30) as http:
        yield http


@pytest.fixture(scope="module")
def closed(_fake: FakeInference, weights: Path) -> Iterator[httpx.Client]:
    """A server whose listings need the key too, and that any page may call."""
    settings = {
        "ORPHEUS_API_URL": _fake.url,
        "ORPHEUS_SNAC_MODEL": str(weights),
        "ORPHEUS_ACCESS_KEY": KEYS[0],
        "ORPHEUS_PROTECT_LISTINGS": "true",
        "ORPHEUS_CORS_ORIGINS": "*",
    }
    with AppServer(settings) as server, httpx.Client(base_url=server.url, trust_env=False, timeout=30) as http:
        yield http


def ask(server: AppServer, authorization: str | bytes | None) -> tuple[int, dict[str, str], bytes]:
    """Ask for speech with this header, which httpx would refuse to send where it ends with a space."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers: dict[str, str | bytes] = {"Content-Type": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    try:
        connection.request("POST", SPEECH, json.dumps(BODY), headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer", "Bearer null", "Bearer x", "Basic eDp5", "", "x" * 4000])
def test_without_a_key_set_any_authorization_will_do(
    server: AppServer, fake: FakeInference, header: str | None
) -> None:
    status, _, audio = ask(server, header)
    assert status == 200
    assert audio


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer null", "Bearer wrong", f"Basic {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0]}x",
     b"Bearer \xff\xfe\xc3"],
)  # fmt: skip
def test_with_a_key_set_nothing_else_opens(guarded: AppServer, fake: FakeInference, header: str | bytes | None) -> None:
    status, headers, body = ask(guarded, header)
    assert status == 401
    assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert headers["www-authenticate"] == "Bearer"
    assert headers["x-request-id"]
    assert not fake.completions


@pytest.mark.parametrize("header", [f"Bearer {KEYS[0]}", f"bearer {KEYS[1]}", f"Bearer  {KEYS[1]} "])
def test_each_key_opens(guarded: AppServer, fake: FakeInference, header: str) -> None:
    assert ask(guarded, header)[0] == 200


@pytest.mark.parametrize("path", [*LISTINGS, "/health", "/", "/web/"])
def test_listings_health_and_page_need_no_key(keyed: httpx.Client, path: str) -> None:
    assert keyed.get(path).status_code == keyed.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/speak", "/v1/audio/speech", "/audio/speech", "/web/"])
def test_whatever_speaks_needs_the_key(keyed: httpx.Client, path: str) -> None:
    assert keyed.post(path, json={"text": "Hi", "input": "Hi"}).status_code == 401


@pytest.mark.parametrize(
    "path", ["/metrics", "/status", "/v1/models/../audio/speech", "//v1/models", "/v1/models//../x"]
)
def test_whatever_is_no_listing_needs_the_key(keyed: httpx.Client, path: str) -> None:
    """Also what only looks like one: the path goes over the wire as it is written here."""
    answer = keyed.send(keyed.build_request("GET", "/", extensions={"target": path.encode()}))
    assert answer.status_code in (401, 404)
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("path", LISTINGS)
def test_listings_are_closed_where_that_is_set(closed: httpx.Client, path: str) -> None:
    assert closed.get(path).status_code == 401
    assert closed.get(path, headers={"Authorization": f"Bearer {KEYS[0]}"}).status_code in (200, 404)
    assert closed.get("/health").text == "OK"


def preflight(client: httpx.Client, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,cache-control,content-type,x-stainless-os",
    }
    return client.options(SPEECH, headers=headers)


@pytest.mark.parametrize("origin", [ORIGIN, *LOCAL])
def test_pages_of_this_machine_and_of_the_list_may_call(keyed: httpx.Client, fake: FakeInference, origin: str) -> None:
    asked = preflight(keyed, origin)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == origin
    assert "POST" in asked.headers["access-control-allow-methods"]
    allowed = asked.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "cache-control", "content-type"))
    for key in (KEYS[0], "wrong"):  # a page must be able to read why it was refused
        answer = keyed.post(SPEECH, json=BODY, headers={"Origin": origin, "Authorization": f"Bearer {key}"})
        assert answer.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example:80",
        f"{ORIGIN}.evil",
        "null",
    ],
)
def test_pages_of_others_may_not(keyed: httpx.Client, origin: str) -> None:
    asked = preflight(keyed, origin)
    assert asked.status_code == 400
    assert "access-control-allow-origin" not in asked.headers
    assert "access-control-allow-origin" not in keyed.get("/v1/models", headers={"Origin": origin}).headers


def test_every_page_may_call_where_that_is_set(closed: httpx.Client) -> None:
    asked = preflight(closed, "https://anywhere.example")
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] in ("*", "https://anywhere.example")


def test_a_page_can_read_an_error_of_the_stream_s_begin(client: httpx.Client) -> None:
    answer = client.post(SPEECH, json={"input": ""}, headers={"Origin": LOCAL[0]})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, LOCAL[0])
