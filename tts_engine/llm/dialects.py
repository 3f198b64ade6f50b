"""What each inference server reads: one table, and the request body made from it. Pure.

Facts: each server's own request model (llama.cpp tools/server, vllm/entrypoints/openai, tensorrt_llm/serve,
sglang/srt/entrypoints/openai), and llama.cpp's server as run in the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

REPETITION_PENALTY = 1.1
"""Orpheus needs at least this for stable speech (its model card); nothing may change it."""

TOP_K = 40
"""Without it llama.cpp sorts all 156,940 candidates for every token: 7 ms each, over all slots in turn."""

END_OF_SPEECH = "<custom_token_2>"
END_OF_SPEECH_ID = 128258


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of server is spoken to."""

    name: str
    """The value of ORPHEUS_API_DIALECT."""
    title: str
    """The server's name for people."""
    penalty_fields: tuple[str, ...]
    """Names under which it reads the repetition penalty; both where it is not known which."""
    stop_string: bool = False
    """Takes end of speech as text. vLLM's family holds back as many characters as a stop string has."""
    stop_token_ids: bool = False
    """Takes end of speech as a token id."""
    usage: bool = False
    """Must be asked for the token counts (`stream_options`)."""
    mixed_prompt: bool = False
    """Takes an array of token ids and text as the prompt."""
    add_special_tokens: bool = False
    """Can be told not to put <|begin_of_text|> before a text prompt."""
    keep_alive: bool = True
    """False: closes the connection after every stream, so a reused one breaks now and then."""
    caches_prompts: bool = False
    """Goes on from an earlier prompt's cache unless told not to, which rounds otherwise: a seed would not repeat."""
    one_model: bool = False
    """Speaks with the model it was started with, whatever the request names."""
    refusal: str | None = None
    """Why speech cannot come from it, and what to do instead."""


_OLLAMA = (
    "This is Ollama. Its /v1/completions wraps every prompt in a chat template and has no repetition penalty, so "
    "Orpheus answers with text instead of speech. Serve the same GGUF file with llama.cpp "
    "(llama-server -m Orpheus-3b-FT-Q8_0.gguf) or LM Studio, and set ORPHEUS_API_URL to that server."
)

_ROWS = (
    Dialect("llama.cpp", "llama.cpp server", ("repeat_penalty",), stop_string=True, mixed_prompt=True,
            keep_alive=False, caches_prompts=True, one_model=True),
    Dialect("lmstudio", "LM Studio", ("repeat_penalty",), stop_string=True, keep_alive=False),
    Dialect("gpustack", "GPUStack", ("repeat_penalty", "repetition_penalty"), stop_string=True, stop_token_ids=True,
            usage=True),
    Dialect("vllm", "vLLM", ("repetition_penalty",), stop_token_ids=True, usage=True, add_special_tokens=True),
    Dialect("trtllm", "TensorRT-LLM", ("repetition_penalty",), stop_token_ids=True, add_special_tokens=True),
    Dialect("sglang", "SGLang", ("repetition_penalty",), stop_token_ids=True, usage=True),
    Dialect("ollama", "Ollama", ("repeat_penalty",), stop_string=True, refusal=_OLLAMA),
    Dialect("openai", "an OpenAI-compatible server", ("repeat_penalty", "repetition_penalty"), stop_string=True,
            stop_token_ids=True, usage=True),
)  # fmt: skip

DIALECTS: Mapping[str, Dialect] = MappingProxyType({row.name: row for row in _ROWS})

_OWN_BEGIN_OF_TEXT = "<|begin_of_text|>"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the tokens of one completion are drawn."""

    temperature: float
    """0 and up; 0 always takes the likeliest token."""
    top_p: float
    """Above 0, up to 1."""
    max_tokens: int
    """1 and up."""
    seed: int | None = None
    """The same seed gives the same tokens, where the server honours it."""


def body(dialect: Dialect, model: str, prompt: str | list[str | int], sampling: Sampling) -> dict[str, object]:
    """The JSON of one request to /v1/completions. Holds no field that the server is known to refuse."""
    fields: dict[str, object] = {
        "model": model,
        "prompt": prompt,
        "stream": True,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": TOP_K,
    }
    if sampling.seed is not None:
        fields["seed"] = sampling.seed
        if dialect.caches_prompts:
            fields["cache_prompt"] = False
    if dialect.stop_string:
        fields["stop"] = [END_OF_SPEECH]
    if dialect.stop_token_ids:
        fields["stop_token_ids"] = [END_OF_SPEECH_ID]
    if dialect.usage:
        fields["stream_options"] = {"include_usage": True}
    if dialect.add_special_tokens and isinstance(prompt, str) and _OWN_BEGIN_OF_TEXT in prompt:
        fields["add_special_tokens"] = False
    return fields | dict.fromkeys(dialect.penalty_fields, REPETITION_PENALTY)
