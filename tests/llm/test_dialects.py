"""What is sent to each server, field for field; and that the repetition penalty is 1.1 whatever is asked for."""

import dataclasses
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_engine.config import Settings
from tts_engine.llm.client import InferenceClient
from tts_engine.llm.dialects import DIALECTS, REPETITION_PENALTY, Sampling, body
from tts_engine.llm.prompt import PROMPT_FORMS, Speech, prompt

COMMON = {"model": "m", "stream": True, "max_tokens": 8192, "temperature": 0.6, "top_p": 0.9, "top_k": 40, "seed": 7}
STRING = {"stop": ["<custom_token_2>"]}
IDS = {"stop_token_ids": [128258]}
USAGE = {"stream_options": {"include_usage": True}}
LLAMA = {"repeat_penalty": 1.1}
NO_CACHE = {"cache_prompt": False}
VLLM = {"repetition_penalty": 1.1}
OWN_BOS = {"add_special_tokens": False}

BODIES = {
    "llama.cpp": COMMON | STRING | LLAMA | NO_CACHE,
    "lmstudio": COMMON | STRING | LLAMA,
    "gpustack": COMMON | STRING | IDS | USAGE | LLAMA | VLLM,
    "vllm": COMMON | IDS | USAGE | VLLM | OWN_BOS,
    "trtllm": COMMON | IDS | VLLM | OWN_BOS,
    "sglang": COMMON | IDS | USAGE | VLLM,
    "ollama": COMMON | STRING | LLAMA,
    "openai": COMMON | STRING | IDS | USAGE | LLAMA | VLLM,
}
TRTLLM_KNOWS = {
    "model", "prompt", "max_tokens", "seed", "stop", "stream", "stream_options", "temperature", "top_p", "top_k",
    "min_p", "repetition_penalty", "stop_token_ids", "add_special_tokens", "skip_special_tokens",
    "include_stop_str_in_output",
}  # fmt: skip
SPEECH = Speech("Hello.", "tara")


def test_every_dialect_has_its_body_here() -> None:
    assert BODIES.keys() == DIALECTS.keys()


@pytest.mark.parametrize("name", list(DIALECTS))
def test_body_is_exactly_this(name: str) -> None:
    said = prompt(SPEECH, "training", DIALECTS[name])
    assert body(DIALECTS[name], "m", said, Sampling(0.6, 0.9, 8192, 7)) == BODIES[name] | {"prompt": said}


def test_no_seed_is_sent_unless_one_is_asked_for() -> None:
    assert "seed" not in body(DIALECTS["llama.cpp"], "m", "p", Sampling(0.6, 0.9, 10))
    assert body(DIALECTS["llama.cpp"], "m", "p", Sampling(0.6, 0.9, 10, 0))["seed"] == 0


@pytest.mark.parametrize("name", ["vllm", "trtllm"])
def test_server_adds_its_begin_of_text_to_the_short_form_only(name: str) -> None:
    sampling = Sampling(0.6, 0.9, 10)
    assert "add_special_tokens" not in body(DIALECTS[name], "m", prompt(SPEECH, "audio", DIALECTS[name]), sampling)
    assert body(DIALECTS[name], "m", prompt(SPEECH, "text", DIALECTS[name]), sampling)["add_special_tokens"] is False


@pytest.mark.parametrize("name", ["llama.cpp", "lmstudio", "vllm", "trtllm", "sglang"])
def test_a_known_server_gets_one_name_for_the_penalty(name: str) -> None:
    assert len(DIALECTS[name].penalty_fields) == 1


def test_trtllm_gets_no_field_that_it_does_not_know() -> None:
    fields = body(DIALECTS["trtllm"], "m", "p", Sampling(0.6, 0.9, 10, 1))
    assert fields.keys() <= TRTLLM_KNOWS


@given(
    name=st.sampled_from(list(DIALECTS)),
    form=st.sampled_from(PROMPT_FORMS),
    text=st.text(),
    model=st.text(),
    sampling=st.builds(Sampling, st.floats(), st.floats(), st.integers(), st.none() | st.integers()),
)
def test_nothing_changes_the_penalty(name: str, form: str, text: str, model: str, sampling: Sampling) -> None:
    dialect = DIALECTS[name]
    fields = body(dialect, model, prompt(Speech(text, text), form, dialect), sampling)  # type: ignore[arg-type]
    sent = {field: value for field, value in fields.items() if "penalty" in field}
    assert sent == dict.fromkeys(dialect.penalty_fields, 1.1)
    assert sent
    assert fields["stream"] is True
    assert "stop" in fields or "stop_token_ids" in fields


def test_no_setting_or_parameter_is_a_penalty() -> None:
    assert REPETITION_PENALTY == 1.1
    names = [
        *Settings.model_fields,
        *(field.name for field in dataclasses.fields(Sampling)),
        *(field.name for field in dataclasses.fields(Speech)),
        *inspect.signature(InferenceClient).parameters,
        *inspect.signature(body).parameters,
    ]
    assert not [name for name in names if "penalt" in name.casefold()]
