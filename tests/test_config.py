"""Settings: what is read, what is refused, and that code, .env.example and README tell the same."""

import os
import re
from pathlib import Path

import pytest

from tts_engine.config import PREFIX, ROOT, Settings, load_settings, unknown_settings
from tts_engine.errors import SettingsError

NO_FILE = Path("no such file")


def read(tmp_path: Path, text: str) -> Settings:
    env_file = tmp_path / ".env"
    env_file.write_text(text, encoding="utf-8")
    return load_settings(env_file)


def test_defaults_are_the_documented_ones() -> None:
    settings = load_settings(NO_FILE)
    assert settings.api_url is None
    assert (settings.api_timeout, settings.max_tokens, settings.temperature, settings.top_p) == (120, 8192, 0.6, 0.9)
    assert (settings.sample_rate, settings.host, settings.port) == (24000, "0.0.0.0", 5005)
    assert settings.model_name == "Orpheus-3b-FT-Q8_0.gguf"
    assert settings.snac_model == "hubertsiuzdak/snac_24khz"


def test_comment_after_a_value_is_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(tmp_path, "ORPHEUS_API_TIMEOUT=30 # scale this\n").api_timeout == 30
    monkeypatch.setenv("ORPHEUS_API_TIMEOUT", "40 # as docker --env-file keeps it")
    assert load_settings(NO_FILE).api_timeout == 40


def test_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORPHEUS_PORT", "6001")
    assert read(tmp_path, "ORPHEUS_PORT=6000\n").port == 6001


def test_empty_value_is_the_default(tmp_path: Path) -> None:
    assert read(tmp_path, "ORPHEUS_API_URL=\nORPHEUS_PORT=\n").api_url is None


def test_foreign_names_in_the_file_are_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, "HOME_ASSISTANT_TOKEN=x\nORPHEUS_PORT=7000\n").port == 7000


def test_lists_and_pairs_are_written_with_commas(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        "ORPHEUS_EXTRA_VOICES=anna, ऋतु\nORPHEUS_VOICE_ALIASES=alloy=anna, me = dan\nORPHEUS_ACCESS_KEY=a,b # two\n",
    )
    assert settings.extra_voices == ("anna", "ऋतु")
    assert settings.voices.find("Alloy").name == "anna"
    assert settings.voices.find("me").name == "dan"
    assert [key.get_secret_value() for key in settings.access_key] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ORPHEUS_PORT=abc", "ORPHEUS_PORT='abc'"),
        ("ORPHEUS_API_TIMEOUT=0", "ORPHEUS_API_TIMEOUT='0'"),
        ("ORPHEUS_ACCESS_KEY=,", "holds no key"),
        ("ORPHEUS_CACHE_MAX_GB=inf", "ORPHEUS_CACHE_MAX_GB='inf'"),
        ("ORPHEUS_API_URL=ftp://x", "ORPHEUS_API_URL='ftp://x'"),
        ("ORPHEUS_API_URL=http://", "ORPHEUS_API_URL='http://'"),
        ("ORPHEUS_API_URL=http://a:port", "ORPHEUS_API_URL='http://a:port'"),
        ("ORPHEUS_SAMPLE_RATE=7999", "ORPHEUS_SAMPLE_RATE='7999'"),
        ("ORPHEUS_API_DIALECT=ollama2", "ORPHEUS_API_DIALECT='ollama2'"),
        ("ORPHEUS_VOICE_ALIASES=x=nobody", "nobody"),
        ("ORPHEUS_VOICE_ALIASES=x", "name=voice"),
        ("ORPHEUS_EXTRA_VOICES=a:b", "a:b"),
        ("ORPHEUS_DEFAULT_VOICE=nobody", "ORPHEUS_DEFAULT_VOICE='nobody'"),
        ("ORPHEUS_TEMPERATURE=nan", "ORPHEUS_TEMPERATURE='nan'"),
    ],
)
def test_bad_value_is_named(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, line)
    assert told in caught.value.message


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    settings = read(tmp_path, "ORPHEUS_API_KEY=hush-1\nORPHEUS_ACCESS_KEY=hush-2\n")
    assert "hush" not in repr(settings)


def test_misspelt_setting_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ORPHEUS_TEST_")]:
        monkeypatch.delenv(name)
    env_file = tmp_path / ".env"
    env_file.write_text("ORPHEUS_APIURL=http://x\nORPHEUS_PORT=1\n")
    assert unknown_settings(env_file) == ["ORPHEUS_APIURL is no setting; did you mean ORPHEUS_API_URL?"]


def test_no_setting_touches_the_repetition_penalty() -> None:
    assert not [name for name in Settings.model_fields if "penalty" in name or "repe" in name]


def documented(name: str) -> str:
    """How `.env.example` shows a default."""
    default = Settings.model_fields[name].default
    if default is None or default in ((), {}):
        return ""
    return {True: "true", False: "false"}.get(default, default) if isinstance(default, bool) else str(default)


def test_env_example_lists_every_setting_with_its_default_and_help() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert f"# {field.description}\n# {PREFIX}{name.upper()}={documented(name)}\n" in text, name
    shown = re.findall(rf"^# ({PREFIX}\w+)=", text, re.MULTILINE)
    assert sorted(shown) == sorted(PREFIX + name.upper() for name in Settings.model_fields)


def test_readme_lists_every_setting_and_no_other() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("## Settings", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(rf"^\| `({PREFIX}\w+)`", table, re.MULTILINE)) == {
        PREFIX + name.upper() for name in Settings.model_fields
    }
    for name in Settings.model_fields:
        default = documented(name)
        assert re.search(
            rf"^\| `{PREFIX}{name.upper()}` \| {re.escape(f'`{default}`' if default else '')} ?\|", table, re.M
        ), name
