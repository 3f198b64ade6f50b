"""Voices are found by any case and by alias; an unknown one is told with all that are known."""

import pytest

from tts_engine.errors import RequestError
from tts_engine.voices import EMOTION_TAGS, LANGUAGES, OPENAI_VOICES, VOICES, VoiceBook


def test_the_twenty_five_voices() -> None:
    names = [voice.name for voice in VOICES]
    assert names[:8] == ["tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe"]
    assert {"pierre", "amelie", "marie", "jana", "thomas", "max", "유나", "준서", "ऋतिका", "长乐", "白芷"} < set(names)
    assert {"javi", "sergio", "maria", "pietro", "giulia", "carlo"} < set(names)
    assert len(names) == len(set(names)) == 25
    assert {voice.language for voice in VOICES} == set(LANGUAGES) == set(EMOTION_TAGS)


@pytest.mark.parametrize("name", ["tara", "TARA", " Tara ", "유나", "ऋतिका"])
def test_native_name_in_any_case(name: str) -> None:
    assert VoiceBook().find(name).name == name.strip().lower()


def test_all_openai_names_are_mapped() -> None:
    book = VoiceBook()
    assert len(OPENAI_VOICES) == 13
    assert {book.find(name.upper()).name for name in OPENAI_VOICES} <= {voice.name for voice in VOICES}


def test_unknown_voice_lists_the_known_ones() -> None:
    with pytest.raises(RequestError) as caught:
        VoiceBook().find("nobody")
    assert caught.value.param == "voice"
    assert all(voice.name in caught.value.message for voice in VOICES)


def test_extra_voice_is_a_voice() -> None:
    assert VoiceBook(["Anna"]).find("anna").name == "Anna"
