"""ORPHEUS_API_URL as people write it."""

import pytest

from tts_engine.errors import SettingsError
from tts_engine.llm.client import InferenceClient, completions_url
from tts_engine.llm.urls import is_loopback, models_url, root_url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://h:8080/v1/completions", "http://h:8080/v1/completions"),
        ("http://h:8080/v1/completions/", "http://h:8080/v1/completions"),
        ("http://h:8080/v1", "http://h:8080/v1/completions"),
        ("http://h:8080/v1/", "http://h:8080/v1/completions"),
        ("http://h/v1-openai", "http://h/v1-openai/completions"),
        ("http://h/v1-openai/", "http://h/v1-openai/completions"),
        ("http://h/v1-openai/completions", "http://h/v1-openai/completions"),
        ("http://h:1234", "http://h:1234/v1/completions"),
        ("http://h:1234//", "http://h:1234/v1/completions"),
        ("h", "http://h/v1/completions"),
        ("localhost:8080", "http://localhost:8080/v1/completions"),
        ("192.168.1.5:1234/v1", "http://192.168.1.5:1234/v1/completions"),
        ("[::1]:8080", "http://[::1]:8080/v1/completions"),
        ("https://tts.example.com", "https://tts.example.com/v1/completions"),
        ("HTTPS://tts.example.com/v1", "https://tts.example.com/v1/completions"),
        ("  http://h:1  ", "http://h:1/v1/completions"),
        ("https://h/llm", "https://h/llm/v1/completions"),
        ("https://h/llm/v1/", "https://h/llm/v1/completions"),
        ("https://h/api/completions", "https://h/api/completions"),
        ("http://h:1/v1/chat/completions", "http://h:1/v1/completions"),
        ("http://h:1/v1-openai/chat/completions", "http://h:1/v1-openai/completions"),
        ("http://h:1/chat/completions", "http://h:1/v1/completions"),
        ("http://h:1/completion", "http://h:1/v1/completions"),
        ("http://h:1/v1/models", "http://h:1/v1/completions"),
        ("http://h:1/v1?key=a", "http://h:1/v1/completions?key=a"),
        ("http://h:1/v1#top", "http://h:1/v1/completions"),
    ],
)
def test_url_in_any_form(written: str, meant: str) -> None:
    assert completions_url(written) == meant


@pytest.mark.parametrize(
    "nonsense",
    ["", "   ", "http://", "ftp://h", "file:///etc/passwd", "http://h:port", "http://h:99999", "h:0", "two words",
     "http://a b/v1", "http://[::1", "/v1/completions", "https:///v1", "http://h,i:1", "a..b", "x" * 64, "http://h:1/<path>"],
)  # fmt: skip
def test_nonsense_is_named(nonsense: str) -> None:
    with pytest.raises(SettingsError, match="ORPHEUS_API_URL"):
        completions_url(nonsense)


def test_host_that_cannot_be_written_is_named_by_the_client() -> None:
    with pytest.raises(SettingsError, match="ORPHEUS_API_URL"):
        InferenceClient(url="http://‐‐.invalid", api_key=None, model="m", timeout_s=1)


def test_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="ORPHEUS_API_KEY") as caught:
        completions_url("http://me:hunter2@h/v1")
    assert "hunter2" not in caught.value.message


def test_neighbours_of_the_endpoint() -> None:
    assert models_url("http://h/sub/v1-openai/completions") == "http://h/sub/v1-openai/models"
    assert root_url("http://h/sub/v1-openai/completions", "/props") == "http://h/sub/props"
    assert root_url("http://h:1/v1/completions", "/props") == "http://h:1/props"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1/v1/completions", True),
        ("http://127.0.0.1/v1/completions", True),
        ("http://127.9.9.9/v1/completions", True),
        ("http://[::1]:8/v1/completions", True),
        ("http://10.0.0.1/v1/completions", False),
        ("http://localhost.example.com/v1/completions", False),
    ],
)
def test_loopback(url: str, here: bool) -> None:
    assert is_loopback(url) is here
