import pytest

from tests.text.texts import PROSE
from tts_engine.text.languages import language_of, speech_seconds


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("안녕하세요, 저는 John입니다", "ko"),
        ("नमस्ते दुनिया", "hi"),
        ("我爱你 New York", "zh"),
        ("東京に行きました", "ja"),
        ("I love 東京 very much indeed", "fr"),
        ("naïve café", "fr"),
        ("1234 !?", "fr"),
        ("", "fr"),
    ],
)
def test_the_script_of_most_letters_names_the_language(text: str, language: str) -> None:
    assert language_of(text, "fr") == language


@pytest.mark.parametrize("language", PROSE)
def test_each_language_of_the_model_is_recognised_or_left_to_the_default(language: str) -> None:
    assert language_of(PROSE[language], language) == language


@pytest.mark.parametrize(
    ("text", "language", "low", "high"),
    [
        ("word " * 155, "en", 45, 65),  # a minute at 155 words
        ("字" * 270, "zh", 55, 65),
        ("한" * 360, "ko", 55, 65),
        ("字" * 45, "en", 9, 11),  # the script decides, whatever language is said
        ("1984", "en", 0.6, 1.2),
        ("", "en", 0, 0),
    ],
)
def test_speaking_time_is_that_of_a_narrator(text: str, language: str, low: float, high: float) -> None:
    assert low <= speech_seconds(text, language) <= high


def test_times_add_up() -> None:
    parts = [*PROSE.values()]
    assert speech_seconds("".join(parts), "en") == pytest.approx(sum(speech_seconds(part, "en") for part in parts))
