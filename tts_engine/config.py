"""Settings: the only reader of `.env` and of the environment.

One row a setting, below: its name is `ORPHEUS_` + the field's name in capitals; default, limits and the line of help
stand in the row. `.env.example`, README and the command line are held against these rows by a test.
Order: environment, then `.env` beside app.py (or the file that ORPHEUS_ENV_FILE names), then the default. An empty value is as good as none.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tts_engine.errors import RequestError, SettingsError
from tts_engine.voices import VoiceBook

PREFIX = "ORPHEUS_"
ROOT = Path(__file__).resolve().parent.parent
ENV_FILE_VARIABLE = "ORPHEUS_ENV_FILE"
"""Environment variable that names another file than `.env` beside app.py; for several servers from one folder."""

_VOICE_NAME = re.compile(r"[^:<>|\[\]\x00-\x1f]{1,64}")
_COMMENT = re.compile(r"\s+#.*\Z")


def _names(value: object) -> object:
    """A list written with commas: "a, b" -> ("a", "b")."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _keys(value: object) -> object:
    """As _names; a value without a key in it must not leave the server open."""
    keys = _names(value)
    if isinstance(value, str) and value.strip() and not keys:
        raise ValueError("holds no key")
    return keys


def _pairs(value: object) -> object:
    """Pairs written with commas and equal signs: "a=b, c=d" -> {"a": "b", "c": "d"}."""
    if not isinstance(value, str):
        return value
    parts = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(sign and key.strip() and other.strip() for key, sign, other in parts):
        raise ValueError('must be written as "name=voice, name=voice"')
    return {key.strip(): other.strip() for key, _, other in parts}


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys)]
Pairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]


class Settings(BaseSettings):
    """All settings, checked and frozen. Make one with `load_settings()`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    # The inference server
    api_url: str | None = Field(
        None,
        description="The inference server: http://host:port, or a URL that ends in /v1 or /v1/completions.",
    )
    api_key: SecretStr | None = Field(None, description="Key for the inference server, sent as a bearer token.")
    api_timeout: float = Field(
        120, gt=0, le=3600, description="Seconds that the inference server may be silent; not a limit on the whole."
    )
    api_dialect: Literal[
        "auto", "llama.cpp", "lmstudio", "gpustack", "vllm", "trtllm", "sglang", "ollama", "openai"
    ] = Field("auto", description="Which kind of server it is; auto asks it.")
    model_name: str = Field(
        "Orpheus-3b-FT-Q8_0.gguf", min_length=1, description="The model to ask for, as the inference server calls it."
    )
    prompt_form: Literal["training", "text", "audio"] = Field(
        "training",
        description="How the prompt is written: training (the model's own), text (the same as text) or audio (the first FastAPI's).",
    )

    # Generation
    max_tokens: int = Field(8192, ge=7, le=131_072, description="Most tokens of one segment (82 tokens are a second).")
    temperature: float = Field(0.6, ge=0, le=2, description="Sampling temperature; lower is steadier.")
    top_p: float = Field(0.9, gt=0, le=1, description="Nucleus sampling: the share of likely tokens to choose from.")

    # Speech
    extra_voices: Names = Field((), description="Voices of a fine-tuned model, with commas: anna, ben.")
    voice_aliases: Pairs = Field(
        {}, description="More names for voices, or other voices for OpenAI's: alloy=leah, me=dan."
    )
    default_voice: str = Field("tara", description="The voice of a request that names none.")
    sample_rate: int = Field(
        24000, ge=8000, le=48000, description="Samples a second of what is sent; other rates than 24000 are resampled."
    )
    segment_chars: int | None = Field(
        None,
        ge=20,
        le=1000,
        description="Longest segment in characters; unset: 25 s of speech by the pace of each script.",
    )
    max_input_chars: int = Field(200_000, ge=1, description="Longest input of one request, in characters.")

    # The codec and the hardware
    snac_model: str = Field(
        "hubertsiuzdak/snac_24khz",
        min_length=1,
        description="SNAC weights: a Hugging Face repository or a local folder.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where SNAC runs; auto takes a GPU if any."
    )
    decoder: Literal["auto", "openvino", "torch", "window"] = Field(
        "auto", description="How SNAC runs: OpenVINO (CPU), torch (CPU, GPU), or the plain windowed reference."
    )
    first_audio: Literal["exact", "fast"] = Field(
        "exact",
        description="fast: the first sound 7 tokens earlier, its first 43 ms nearly exact (docs/architecture.md).",
    )
    workers: int | None = Field(None, ge=1, le=64, description="Segments of one request in flight; unset: by hardware.")
    token_batch: int | None = Field(
        None, ge=7, le=896, description="Tokens gathered before a decode once ahead of real time; unset: by hardware."
    )
    decode_threads: int | None = Field(None, ge=1, le=64, description="Threads that decode; unset: by hardware.")

    # This server
    host: str = Field("0.0.0.0", description="Address to listen on; 127.0.0.1 keeps it to this machine.")
    port: int = Field(5005, ge=1, le=65535, description="Port to listen on.")
    root_path: str = Field("", description="Path under which a reverse proxy serves this, such as /tts.")
    access_key: Secrets = Field((), description="Keys that clients must send, with commas; unset: open to everybody.")
    protect_listings: bool = Field(False, description="true: models and voices need the access key too.")
    cors_origins: Names = Field((), description="Web pages of other hosts that may call, with commas, or *.")
    max_speaking: int | None = Field(
        None, ge=1, le=4096, description="Requests that speak at once; unset: by hardware."
    )
    max_waiting: int = Field(64, ge=0, le=4096, description="Requests that may wait for a place before 503.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much the log tells.")

    # Long work and files
    data_dir: Path = Field(Path("data"), description="Folder of jobs and their audio; from the project's folder on.")
    jobs_running: int = Field(1, ge=1, le=64, description="Jobs that are spoken at once; the others wait.")
    jobs_max_gb: float = Field(20, gt=0, description="Disk space for all jobs, GB; ten hours take about one.")
    jobs_keep_days: float = Field(0, ge=0, description="Days after which an ended job is deleted; 0: never.")
    cache_max_gb: float = Field(0, ge=0, description="Disk space for spoken segments to be used again, GB; 0: none.")

    @field_validator("*", mode="before")
    @classmethod
    def _without_comment(cls, value: object) -> object:
        """A value may be followed by a comment also where it comes from `docker --env-file`, which keeps it."""
        return _COMMENT.sub("", value).strip() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("api_url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            address = urlsplit(value if "://" in value else f"http://{value}")
            usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
        except ValueError:
            usable = False
        if not usable or re.search(r"\s", value):
            raise ValueError("must be an address such as http://127.0.0.1:8080")
        return value

    @field_validator("root_path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        path = value.strip().strip("/")
        return f"/{path}" if path else ""

    @field_validator("voice_aliases")
    @classmethod
    def _no_alias_to_nowhere(cls, value: dict[str, str], info: Any) -> dict[str, str]:
        try:
            VoiceBook(info.data.get("extra_voices", ()), value)
        except RequestError as exc:
            raise ValueError(exc.message) from exc
        return value

    @field_validator("default_voice")
    @classmethod
    def _known_voice(cls, value: str, info: Any) -> str:
        try:
            VoiceBook(info.data.get("extra_voices", ()), info.data.get("voice_aliases", {})).find(value)
        except RequestError as exc:
            raise ValueError(exc.message) from exc
        return value

    @field_validator("extra_voices")
    @classmethod
    def _sayable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _VOICE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a voice: at most 64 characters, none of : < > | [ ]")
        return value

    @property
    def voices(self) -> VoiceBook:
        """The voices of the model, the extra ones and all aliases."""
        return VoiceBook(self.extra_voices, self.voice_aliases)


def env_file() -> Path:
    """The file that settings are read from; it need not exist."""
    return Path(os.environ.get(ENV_FILE_VARIABLE) or ROOT / ".env")


def load_settings(file: Path) -> Settings:
    """Read `.env` and the environment. Raises SettingsError that names the setting and the value.

    Hugging Face's own variables (HF_HOME, HF_TOKEN, HF_HUB_OFFLINE ...) in `.env` are handed on to its library.
    """
    for name, value in _read_env_file(file).items():
        if name.startswith("HF_"):
            os.environ.setdefault(name, value)
    try:
        return Settings(_env_file=file)
    except ValidationError as exc:
        raise SettingsError("\n".join(_explain(error) for error in exc.errors())) from exc


def unknown_settings(file: Path) -> list[str]:
    """One warning for each ORPHEUS_ name that no setting has: a misspelt setting has no effect and says nothing."""
    known = {ENV_FILE_VARIABLE, *(PREFIX + name.upper() for name in Settings.model_fields)}
    names = {name for name in (*_read_env_file(file), *os.environ) if name.upper().startswith(PREFIX)}
    warnings = []
    for name in sorted(names):
        if name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            warnings.append(f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else " and has no effect."))
    return warnings


def _read_env_file(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        return {name: value for name, value in dotenv_values(file).items() if value is not None}
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{file} is not UTF-8 text: save it as UTF-8.") from exc


def _explain(error: Any) -> str:
    field = str(error["loc"][0])
    shown = "(a secret)" if "key" in field else repr(error["input"])
    return f"{PREFIX}{field.upper()}={shown}: {error['msg']} ({Settings.model_fields[field].description})"
