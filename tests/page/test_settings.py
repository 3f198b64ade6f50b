"""The settings panel: who may change what, what is written, what never leaves the server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values
from playwright.sync_api import Page, expect

from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tts_engine.api.settings import AT_RUN_TIME, edited, quoted
from tts_engine.config import Settings, load_settings
from tts_engine.errors import RequestError

ENV = b"# mine\r\nOTHER='kept  as is' # too\r\nORPHEUS_TEMPERATURE=0.5 # calm\r\n\r\nexport HF_TOKEN=hf_secret\r\n"


@pytest.fixture(autouse=True)
def _env(env_file: Path, client: httpx.Client) -> Iterator[None]:
    """Every test begins and ends with this `.env` and the settings of the start."""
    env_file.write_bytes(ENV)
    yield
    env_file.write_bytes(ENV)
    usual = dict.fromkeys((name for name in AT_RUN_TIME if name != "api_url"), "")  # the environment holds that one
    assert client.post("/settings", json={"values": usual}).status_code == 200


def post(client: httpx.Client, values: dict[str, str], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/settings", json={"values": values}, headers=named)


def value(client: httpx.Client, name: str) -> object:
    rows = {row["name"]: row for row in client.get("/settings").json()["settings"]}
    return rows[name]["value"]


def test_every_setting_is_listed_with_its_help(client: httpx.Client) -> None:
    rows = client.get("/settings").json()["settings"]
    assert [row["name"] for row in rows] == list(Settings.model_fields)
    assert all(row["help"] and row["variable"].startswith("ORPHEUS_") for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["temperature"]["kind"] == "number"
    assert (by_name["temperature"]["least"], by_name["temperature"]["most"]) == (0, 2)
    assert by_name["workers"]["kind"] == "whole"
    assert by_name["device"]["choices"] == ["auto", "cpu", "cuda", "mps"]
    assert by_name["protect_listings"]["kind"] == "switch"


def test_a_change_applies_at_once_and_keeps_every_other_byte(client: httpx.Client, env_file: Path) -> None:
    env_file.chmod(0o640)
    answer = post(client, {"temperature": "0.9", "default_voice": "유나"})
    assert answer.status_code == 200, answer.text
    assert value(client, "temperature") == "0.9"
    assert 'value="유나" data-language="ko" checked' in client.get("/").text
    assert (
        env_file.read_bytes() == ENV.replace(b"=0.5 # calm", b"=0.9 # calm") + "ORPHEUS_DEFAULT_VOICE=유나\r\n".encode()
    )
    assert env_file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in env_file.parent.iterdir() if path.name.startswith(".env-")] == []


def test_a_changed_setting_is_what_the_model_is_asked_with(client: httpx.Client, fake: FakeInference) -> None:
    post(client, {"temperature": "0.2", "extra_voices": "anna", "default_voice": "anna"})
    client.post("/v1/audio/speech", json={"input": "Hello."})
    assert fake.completions[0].body["temperature"] == 0.2
    assert "anna: Hello." in str(fake.completions[0].body["prompt"])


@pytest.mark.parametrize(
    ("values", "status", "word"),
    [
        ({"temperature": "hot"}, 400, "ORPHEUS_TEMPERATURE"),
        ({"temperature": "3"}, 400, "ORPHEUS_TEMPERATURE"),
        ({"default_voice": "nobody"}, 400, "nobody"),
        ({"default_voice": "tara\nORPHEUS_API_URL=http://elsewhere"}, 400, "one line"),
        ({"default_voice": "${HF_TOKEN}"}, 400, "${"),
        ({"no_such": "1"}, 400, "no_such"),
        ({"port": "80"}, 409, "restart"),
        ({"access_key": "mine"}, 409, "restart"),
        ({"temperature": "0.9", "port": "80"}, 409, "ORPHEUS_PORT"),
    ],
)
def test_a_bad_change_changes_nothing(
    client: httpx.Client, env_file: Path, values: dict[str, str], status: int, word: str
) -> None:
    answer = post(client, values)
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]
    assert env_file.read_bytes() == ENV
    assert value(client, "temperature") == "0.6"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"host": "evil.example"},
        {"host": "evil.example:5005"},
        {"x_forwarded_for": "203.0.113.7"},
        {"forwarded": "for=203.0.113.7"},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
    ],
)
def test_other_sites_proxies_and_rebound_names_are_refused(
    client: httpx.Client, env_file: Path, headers: dict[str, str]
) -> None:
    answer = post(client, {"temperature": "0.9"}, **headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "permission_error"
    assert env_file.read_bytes() == ENV


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_s_own_names_are_accepted(client: httpx.Client, server: AppServer, host: str) -> None:
    here = f"{host}:{server.port}"
    answer = post(client, {"top_p": "0.8"}, host=here, origin=f"http://{here}", sec_fetch_site="same-origin")
    assert answer.status_code == 200, answer.text


def test_with_an_access_key_and_settings_in_the_environment(
    _fake: FakeInference, weights: Path, tmp_path: Path
) -> None:
    settings = {
        "ORPHEUS_API_URL": _fake.url,
        "ORPHEUS_API_KEY": "sk-very-secret",
        "ORPHEUS_ACCESS_KEY": "open-sesame",
        "ORPHEUS_SNAC_MODEL": str(weights),
        "ORPHEUS_ENV_FILE": str(tmp_path / ".env"),
        "ORPHEUS_TEMPERATURE": "0.4",
    }
    with AppServer(settings) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/settings").status_code == 401
        client.headers["authorization"] = "Bearer open-sesame"
        answer = client.get("/settings")
        assert not [word for word in ("very-secret", "sesame") if word in answer.text]
        rows = {row["name"]: row for row in answer.json()["settings"]}
        assert rows["api_key"]["is_set"] is True
        assert rows["api_key"]["value"] is None
        # With the key it may be done from anywhere, but not by another site's page.
        assert post(client, {"top_p": "0.7"}, host="speech.example").status_code == 200
        assert post(client, {"top_p": "0.7"}, sec_fetch_site="cross-site").status_code == 403
        refused = post(client, {"temperature": "0.9"})
        assert refused.status_code == 409
        assert "environment" in refused.json()["error"]["message"]
        assert (tmp_path / ".env").read_text() == "ORPHEUS_TOP_P=0.7\n"
        assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "A=1", "A=1\n", "# only this\n", "ORPHEUS_TOP_P='x y' # c\nORPHEUS_TOP_P=2\n"])
@pytest.mark.parametrize("given", ["0.7", "a b, c=d", "it's \\ fine", 'say "hi"', "유나", "#no", ""])
def test_what_is_written_is_what_is_read(tmp_path: Path, text: str, given: str) -> None:
    if given == "#no":
        with pytest.raises(RequestError):
            quoted(given)
        return
    file = tmp_path / ".env"
    file.write_text(edited(text, {"ORPHEUS_TOP_P": given}), encoding="utf-8", newline="")
    assert dotenv_values(file)["ORPHEUS_TOP_P"] == given
    assert file.read_text(encoding="utf-8").startswith(text.rpartition("ORPHEUS_TOP_P=2")[0] or text)


def test_the_panel_changes_a_setting(page: Page, client: httpx.Client, env_file: Path) -> None:
    page.get_by_role("link", name="Server", exact=True).click()
    page.get_by_label("ORPHEUS_TEMPERATURE").fill("0.75")
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator("#settings-said")).to_have_text("Saved and in use.")
    assert value(client, "temperature") == "0.75"
    assert load_settings(env_file).temperature == 0.75


def test_the_panel_says_what_is_wrong(page: Page, client: httpx.Client, watch: object) -> None:
    watch.expected = ("400",)  # type: ignore[attr-defined]
    page.get_by_role("link", name="Server", exact=True).click()
    page.get_by_label("ORPHEUS_DEFAULT_VOICE").fill("nobody")
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator("#settings-said")).to_contain_text("ORPHEUS_DEFAULT_VOICE")
    expect(page.get_by_label("ORPHEUS_DEFAULT_VOICE")).to_have_attribute("aria-invalid", "true")
    assert value(client, "default_voice") == "tara"


def test_the_inference_server_can_be_set_on_the_page(tmp_path: Path, weights: Path) -> None:
    """A beginner starts with nothing and needs no restart."""
    file = tmp_path / ".env"
    file.write_text("# mine\n")
    with (
        FakeInference() as fake,
        AppServer({"ORPHEUS_ENV_FILE": str(file), "ORPHEUS_SNAC_MODEL": str(weights)}) as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client,
    ):
        speech = {"input": "Hello.", "response_format": "pcm"}
        assert client.post("/v1/audio/speech", json=speech).status_code == 503
        bad = client.post("/settings", json={"values": {"api_url": "ftp://x"}})
        assert (bad.status_code, file.read_text()) == (400, "# mine\n")
        assert client.post("/settings", json={"values": {"api_url": fake.url}}).status_code == 200
        assert client.post("/v1/audio/speech", json=speech).status_code == 200
        assert file.read_text() == f"# mine\nORPHEUS_API_URL={fake.url}\n"
