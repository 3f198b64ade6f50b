"""The voices Orpheus was trained on, their languages and emotion tags, and OpenAI's names for them. Data only.

Source of the voices and descriptions: the model cards of canopylabs/orpheus-3b-0.1-ft and its multilingual siblings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tts_engine.errors import RequestError


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice of the model."""

    name: str
    """What the prompt says, as the model was trained on it."""
    language: str
    """ISO 639-1 code."""
    gender: str
    """"female", "male", or "" where it is not known (voices of fine-tuned models)."""
    description: str
    """Two or three words for people."""


LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "en": "English",
        "fr": "French",
        "de": "German",
        "ko": "Korean",
        "hi": "Hindi",
        "zh": "Mandarin",
        "es": "Spanish",
        "it": "Italian",
    }
)

VOICES: tuple[Voice, ...] = (
    Voice("tara", "en", "female", "conversational, clear"),
    Voice("leah", "en", "female", "warm, gentle"),
    Voice("jess", "en", "female", "energetic, youthful"),
    Voice("leo", "en", "male", "authoritative, deep"),
    Voice("dan", "en", "male", "friendly, casual"),
    Voice("mia", "en", "female", "professional, articulate"),
    Voice("zac", "en", "male", "enthusiastic, dynamic"),
    Voice("zoe", "en", "female", "calm, soothing"),
    Voice("pierre", "fr", "male", "sophisticated"),
    Voice("amelie", "fr", "female", "elegant"),
    Voice("marie", "fr", "female", "spirited"),
    Voice("jana", "de", "female", "clear"),
    Voice("thomas", "de", "male", "authoritative"),
    Voice("max", "de", "male", "energetic"),
    Voice("유나", "ko", "female", "melodic"),
    Voice("준서", "ko", "male", "confident"),
    Voice("ऋतिका", "hi", "female", "expressive"),
    Voice("长乐", "zh", "female", "gentle"),
    Voice("白芷", "zh", "female", "clear"),
    Voice("javi", "es", "male", "warm"),
    Voice("sergio", "es", "male", "professional"),
    Voice("maria", "es", "female", "friendly"),
    Voice("pietro", "it", "male", "passionate"),
    Voice("giulia", "it", "female", "expressive"),
    Voice("carlo", "it", "male", "refined"),
)

_ENGLISH_TAGS = ("laugh", "sigh", "chuckle", "cough", "sniffle", "groan", "yawn", "gasp")

EMOTION_TAGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": (*_ENGLISH_TAGS, "giggle", "giggles"),
        "fr": ("chuckle", "cough", "gasp", "groan", "laugh", "sigh", "sniffle", "whimper", "yawn"),
        "de": ("chuckle", "cough", "gasp", "groan", "laugh", "sigh", "sniffle", "yawn"),
        "ko": ("한숨", "헐", "헛기침", "훌쩍", "하품", "낄낄", "신음", "작은 웃음", "기침", "으르렁"),
        "hi": _ENGLISH_TAGS,
        "zh": ("嬉笑", "轻笑", "呻吟", "大笑", "咳嗽", "抽鼻子", "咳"),
        "es": ("groan", "chuckle", "gasp", "resoplido", "laugh", "yawn", "cough"),
        "it": ("sigh", "laugh", "cough", "sniffle", "groan", "yawn", "gemito", "gasp"),
    }
)
"""Tags that the model of each language speaks as a sound, written <tag> in the text. They pass through untouched."""

OPENAI_VOICES: Mapping[str, str] = MappingProxyType(
    {
        "alloy": "tara",
        "ash": "dan",
        "ballad": "leo",
        "cedar": "leo",
        "coral": "jess",
        "echo": "zac",
        "fable": "mia",
        "marin": "tara",
        "nova": "leah",
        "onyx": "leo",
        "sage": "zoe",
        "shimmer": "zoe",
        "verse": "dan",
    }
)
"""OpenAI's thirteen names, each mapped to the voice that comes nearest; ORPHEUS_VOICE_ALIASES changes or adds to it."""


class VoiceBook:
    """All voices that this server speaks with, looked up by name in any letter case."""

    def __init__(self, extra: Iterable[str] = (), aliases: Mapping[str, str] = MappingProxyType({})) -> None:
        """extra: names of a fine-tuned model's voices. aliases: name -> voice, over OPENAI_VOICES.

        Raises RequestError where an alias points to no voice.
        """
        self.voices = (*VOICES, *(Voice(name, "en", "", "fine-tuned") for name in extra))
        self._by_name = {voice.name.casefold(): voice for voice in reversed(self.voices)}
        wanted = {**OPENAI_VOICES, **aliases}
        self._by_alias = {alias.casefold(): self._known(name) for alias, name in wanted.items()}

    def find(self, name: str) -> Voice:
        """The voice with this name or alias. Raises RequestError (param "voice") that lists the known ones."""
        key = name.strip().casefold()
        if key in self._by_name:
            return self._by_name[key]
        if key in self._by_alias:
            return self._by_alias[key]
        return self._known(name)

    def knows(self, name: str) -> bool:
        key = name.strip().casefold()
        return key in self._by_name or key in self._by_alias

    def _known(self, name: str) -> Voice:
        voice = self._by_name.get(name.strip().casefold())
        if voice is None:
            known = ", ".join(v.name for v in self.voices)
            raise RequestError(
                f"Unknown voice {name[:80]!r}. Known voices: {known}; OpenAI's names work too. "
                "Voices of a fine-tuned model are listed in ORPHEUS_EXTRA_VOICES.",
                param="voice",
                code="invalid_value",
            )
        return voice
