"""What clients may send. Unknown fields and nulls are ignored: real clients send plenty of both."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AudioFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class VoiceReference(BaseModel):
    """OpenAI's other way to name a voice."""

    id: str


class VoiceSettings(BaseModel):
    """How to speak: what every speech endpoint takes."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: str | None = Field(None, description="Any name: this server has one model.")
    voice: str | VoiceReference | None = Field(None, description="One of GET /v1/audio/voices, or an OpenAI name.")
    instructions: str | None = Field(None, description="Accepted and without effect: Orpheus takes no instructions.")
    response_format: AudioFormat | None = Field(None, description="mp3 (default), opus, aac, flac, wav or pcm.")
    speed: float | None = Field(None, ge=0.25, le=4.0, description="0.25 to 4.0, pitch kept; 1.0 by default.")
    sample_rate: int | None = Field(None, ge=8000, le=48000, description="Hz; 24000 by default.")
    temperature: float | None = Field(None, ge=0, le=2, description="Sampling temperature.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling.")
    max_tokens: int | None = Field(None, ge=7, description="Most tokens of one segment; 82 are a second.")
    seed: int | None = Field(None, ge=-1, le=2**32 - 2, description="Repeats the audio; -1 or none: another each time.")
    cache: bool | None = Field(
        None, description="Keep segments and use kept ones, if the server has a cache; by default only with a seed."
    )
    clean: bool | None = Field(None, description="Strip Markdown and emoji, make addresses speakable; true by default.")


class LiveConfig(VoiceSettings):
    """Settings of a WebSocket conversation; raw PCM by default, which a voice agent plays as it comes."""

    response_format: AudioFormat | None = "pcm"


class SpeechBody(VoiceSettings):
    """Body of POST /v1/audio/speech: OpenAI's fields, and the generation settings of this server."""

    input: str = Field(description="The text to speak. Emotion tags such as <laugh> are spoken as sounds.")
    stream_format: Literal["audio", "sse"] | None = Field(None, description="audio (default) or sse.")
    timestamps: bool | None = Field(
        None,
        description="With sse: an event for every segment. With audio: JSON that holds the audio and all segments.",
    )


class SpeakBody(BaseModel):
    """Body of POST /speak, the first Orpheus-FastAPI's endpoint."""

    text: str
    voice: str | None = None
