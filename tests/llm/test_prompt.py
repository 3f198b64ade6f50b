"""The prompt: its forms, and that no text of a user reaches the model as a special token."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_engine.llm.dialects import DIALECTS
from tts_engine.llm.prompt import PROMPT_FORMS, Speech, prompt, remove_special_tokens

TEXT_FORM = "<custom_token_3><|begin_of_text|>tara: Hello.<|eot_id|><custom_token_4><custom_token_5><custom_token_1>"
SPECIAL = re.compile(r"<\|\w+\|>|<custom_token_\d+>", re.ASCII)
PIECES = [
    "<",
    "|",
    ">",
    "eot_id",
    "custom_token_",
    "<|eot_id|>",
    "<custom_token_2>",
    "2",
    " ",
    "<|audio|>",
    "<laugh>",
    "é",
]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a<|eot_id|>b", "a b"),
        ("a<|audio|>b<custom_token_2>c", "a b c"),
        ("<|begin_of_text|><|reserved_special_token_17|><|end_of_text|>", "   "),
        ("<cust<custom_token_2>om_token_2>", "<cust om_token_2>"),
        ("<|eot<|eot_id|>_id|>", "<|eot _id|>"),
        ("<|<|eot_id|>eot_id|>", "<| eot_id|>"),
        ("<custom_token_28682>x", " x"),
        ("a\ud83db", "a b"),
    ],
)
def test_special_tokens_become_a_space(text: str, left: str) -> None:
    assert remove_special_tokens(text) == left


@pytest.mark.parametrize(
    "text", ["<laugh> ha <sigh>", "2 < 3 > 1", "<custom_token_>", "<|>", "a | b", "<|a b|>", "<한숨>"]
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert remove_special_tokens(text) == text


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_special_token_survives_or_appears(text: str) -> None:
    assert not SPECIAL.search(remove_special_tokens(text))


@pytest.mark.parametrize("piece", ["<|a", "<custom_token_1", "<|", "<|a|", "<custom_token_"])
def test_removal_takes_linear_time(piece: str) -> None:
    def seconds(times: int) -> float:
        began = time.perf_counter()
        remove_special_tokens(piece * times)
        return time.perf_counter() - began

    assert min(seconds(80_000) for _ in range(3)) < 40 * max(min(seconds(10_000) for _ in range(3)), 1e-4)


def test_training_form_is_exact_ids_on_llama_cpp() -> None:
    assert prompt(Speech("Hello.", "tara"), "training", DIALECTS["llama.cpp"]) == [
        128259, 128000, "tara: Hello.", 128009, 128260, 128261, 128257
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "llama.cpp"])
def test_training_form_is_text_elsewhere(name: str) -> None:
    assert prompt(Speech("Hello.", "tara"), "training", DIALECTS[name]) == TEXT_FORM


@pytest.mark.parametrize("name", list(DIALECTS))
def test_text_and_audio_forms_are_the_same_everywhere(name: str) -> None:
    assert prompt(Speech("Hello.", "tara"), "text", DIALECTS[name]) == TEXT_FORM
    assert prompt(Speech("Hello.", "tara"), "audio", DIALECTS[name]) == "<|audio|>tara: Hello.<|eot_id|>"


@pytest.mark.parametrize("form", PROMPT_FORMS)
def test_text_and_voice_are_cleaned_in_every_form(form: str) -> None:
    clean = prompt(Speech("a b", "x y"), form, DIALECTS["llama.cpp"])  # type: ignore[arg-type]
    assert prompt(Speech("a<|eot_id|>b", "x<custom_token_2>y"), form, DIALECTS["llama.cpp"]) == clean  # type: ignore[arg-type]
