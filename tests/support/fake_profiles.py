"""How the inference servers answer what is not a completion: probe paths, refusals, their forms of error.

llama.cpp was seen; the others are from their source or documents: vLLM and SGLang protocol.py and http_server.py,
TensorRT-LLM serve/openai_server.py and openai_protocol.py, GPUStack routes/, LM Studio's bug tracker #618.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.fake_script import Reply

ProfileName = Literal["llama.cpp", "vllm", "sglang", "trtllm", "lmstudio", "gpustack", "ollama", "bare"]
CREATED = 1_760_000_000


@dataclass(frozen=True, slots=True)
class Profile:
    """What makes a server recognisable, and what it refuses."""

    answers: Mapping[str, Reply]
    """Path -> answer to GET."""
    missing: Callable[[str, str], Reply]
    """(method, path) -> answer where nothing is."""
    unauthorized: Reply
    """Answer to a wrong or missing key."""
    open_paths: frozenset[str] = frozenset({"/health"})
    """Paths that need no key."""
    completions: frozenset[str] = frozenset({"/v1/completions"})
    """Paths that complete."""
    refuse: Callable[[dict[str, Any]], Reply | None] = lambda _: None
    """Body of a completion request -> the refusal, if the server would refuse it."""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Server": "uvicorn"})
    """On every answer."""
    default_max_tokens: int | None = None
    """What a request without max_tokens gets; None: no limit."""
    closes_after_stream: bool = False
    """Whether it closes the connection after a stream although it promised to keep it."""
    usage_in_finish: bool = False
    """Usage always comes with finish_reason; otherwise in an event without choices, when asked for."""
    tokenize: bool = False
    """Whether it answers llama.cpp's /tokenize."""


def profile(name: ProfileName, model: str) -> Profile:
    """The server `name` serving the model `model`."""
    return _PROFILES[name](model)


def tokenize(text: str) -> list[int]:
    """llama.cpp's /tokenize with the Orpheus vocabulary; text is spelled in bytes, with their values as ids."""
    ids: list[int] = []
    for special, number, plain in re.findall(r"(<custom_token_(\d+)>|<\|audio\|>|<\|eot_id\|>)|(.)", text, re.DOTALL):
        if number:
            ids.append(128_256 + int(number))
        elif special:
            ids.append({"<|audio|>": 156_939, "<|eot_id|>": 128_009}[special])
        else:
            ids.extend(plain.encode())
    return ids


def _models(model: str, owner: str, **more: Any) -> Reply:
    card = {"id": model, "object": "model", "created": CREATED, "owned_by": owner, **more}
    return Reply(200, {"object": "list", "data": [card]})


def _openai_error(status: int, message: str, kind: str) -> Reply:
    return Reply(status, {"error": {"message": message, "type": kind, "param": None, "code": status}})


def _fastapi_missing(_method: str, _path: str) -> Reply:
    return Reply(404, {"detail": "Not Found"})


def _is_prompt(prompt: object, *, mixed: bool) -> bool:
    if isinstance(prompt, str):
        return True
    if not isinstance(prompt, list) or not prompt:
        return False
    kinds = {type(item) for item in prompt}
    return kinds <= {int, str} if mixed else kinds in ({int}, {str}, {list})


def _refuse_mixed_prompt(body: dict[str, Any]) -> Reply | None:
    if _is_prompt(body.get("prompt"), mixed=False):
        return None
    return _openai_error(400, "prompt: Input should be a valid string or a list of one type", "BadRequestError")


def _llama_cpp(model: str) -> Profile:
    def error(status: int, message: str, kind: str) -> Reply:
        return Reply(status, {"error": {"message": message, "type": kind, "code": status}})

    def refuse(body: dict[str, Any]) -> Reply | None:
        if _is_prompt(body.get("prompt"), mixed=True):
            return None
        return error(400, '"prompt" must be a string, an array of token ids or a mixed array', "invalid_request_error")

    meta = {"vocab_type": 2, "n_vocab": 156_940, "n_ctx": 8192, "n_ctx_train": 131_072, "n_embd": 3072}
    models = _models(model, "llamacpp", aliases=[model], meta=meta)
    props = {
        "default_generation_settings": {"params": {"temperature": 0.8, "top_k": 40}, "n_ctx": 8192},
        "total_slots": 4,
        "model_path": f"/models/{model}",
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "build_info": "b0-unknown",
        "is_sleeping": False,
    }
    answers = {
        "/health": Reply(200, {"status": "ok"}),
        "/v1/health": Reply(200, {"status": "ok"}),
        "/v1/models": Reply(200, {**models.body, "models": [{"name": model, "model": model, "type": "model"}]}),
        "/props": Reply(200, props),
        "/slots": Reply(200, [{"id": number, "n_ctx": 8192, "is_processing": False} for number in range(4)]),
    }
    return Profile(
        answers=answers,
        missing=lambda _method, _path: error(404, "File Not Found", "not_found_error"),
        unauthorized=error(401, "Invalid API Key", "authentication_error"),
        open_paths=frozenset({"/", "/health", "/v1/health"}),
        refuse=refuse,
        headers={"Server": "llama.cpp", "Keep-Alive": "timeout=5, max=100"},
        closes_after_stream=True,
        usage_in_finish=True,
        tokenize=True,
    )


def _vllm(model: str) -> Profile:
    card: dict[str, Any] = {"root": model, "parent": None, "max_model_len": 8192, "permission": []}
    return Profile(
        answers={
            "/health": Reply(200),
            "/ping": Reply(200),
            "/version": Reply(200, {"version": "0.11.0"}),
            "/v1/models": _models(model, "vllm", **card),
        },
        missing=_fastapi_missing,
        unauthorized=Reply(401, {"error": "Unauthorized"}),
        open_paths=frozenset({"/health", "/ping", "/version"}),
        refuse=_refuse_mixed_prompt,
        default_max_tokens=16,
    )


def _sglang(model: str) -> Profile:
    info = {
        "model_path": model,
        "tokenizer_path": model,
        "is_generation": True,
        "preferred_sampling_params": None,
        "weight_version": "default",
    }
    return Profile(
        answers={
            "/health": Reply(200),
            "/health_generate": Reply(200),
            "/model_info": Reply(200, info),
            "/get_model_info": Reply(200, info),
            "/server_info": Reply(200, {"version": "0.5.9", "internal_states": [{}]}),
            "/get_server_info": Reply(200, {"version": "0.5.9", "internal_states": [{}]}),
            "/v1/models": _models(model, "sglang", root=model, parent=None, max_model_len=8192),
        },
        missing=_fastapi_missing,
        unauthorized=Reply(401, {"error": "Unauthorized"}),
        open_paths=frozenset({"/health", "/health_generate"}),
        refuse=_refuse_mixed_prompt,
        default_max_tokens=16,
    )


_TRTLLM_FIELDS = frozenset(
    re.findall(
        r"\w+",
        """
        model prompt best_of echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed stop stream
        stream_options suffix temperature top_p user lora_request prompt_ignore_length use_beam_search top_k top_p_min
        min_p repetition_penalty length_penalty early_stopping stop_token_ids include_stop_str_in_output ignore_eos
        min_tokens skip_special_tokens spaces_between_special_tokens truncate_prompt_tokens return_context_logits
        detokenize add_special_tokens response_format disaggregated_params
        """,
    )
)


def _trtllm(model: str) -> Profile:
    def refuse(body: dict[str, Any]) -> Reply | None:
        faults: list[dict[str, Any]] = [
            {"type": "extra_forbidden", "loc": ("body", name), "msg": "Extra inputs are not permitted"}
            for name in sorted(body.keys() - _TRTLLM_FIELDS)
        ]
        if "model" not in body:
            faults.append({"type": "missing", "loc": ("body", "model"), "msg": "Field required"})
        if not _is_prompt(body.get("prompt"), mixed=False):
            faults.append({"type": "string_type", "loc": ("body", "prompt", "str"), "msg": "Input should be a string"})
        return Reply(400, {"error": str(faults)}) if faults else None

    return Profile(
        answers={
            "/health": Reply(200),
            "/version": Reply(200, {"version": "1.2.0"}),
            "/v1/models": _models(model, "tensorrt_llm"),
        },
        missing=_fastapi_missing,
        unauthorized=Reply(401, {"error": "Unauthorized"}),
        refuse=refuse,
    )


def _lmstudio(model: str) -> Profile:
    card = {"type": "llm", "publisher": "", "arch": "llama", "compatibility_type": "gguf", "quantization": "Q8_0"}
    v0 = {"id": model, "object": "model", **card, "state": "loaded", "max_context_length": 131_072}
    v1 = {"type": "llm", "key": model, "loaded_instances": [{"id": model, "config": {"context_length": 8192}}]}
    return Profile(
        answers={
            "/v1/models": Reply(
                200, {"data": [{"id": model, "object": "model", "owned_by": "organization_owner"}], "object": "list"}
            ),
            "/api/v0/models": Reply(200, {"object": "list", "data": [v0]}),
            "/api/v1/models": Reply(200, {"models": [v1]}),
        },
        # Status 200 for what is not there (lmstudio-bug-tracker#618).
        missing=lambda method, path: Reply(200, {"error": f"Unexpected endpoint or method. ({method} {path})"}),
        unauthorized=_openai_error(401, "Invalid API token", "invalid_request_error"),
        open_paths=frozenset(),
        headers={"X-Powered-By": "Express"},
    )


def _gpustack(model: str) -> Profile:
    def error(status: int, message: str, kind: str) -> Reply:
        return Reply(status, {"error": {"code": status, "message": message, "type": kind}})

    def refuse(body: dict[str, Any]) -> Reply | None:
        if not body.get("model"):
            return error(400, "Missing 'model' field", "BadRequest")
        return None if body["model"] == model else error(404, "Model not found", "NotFound")

    models = _models(model, "gpustack", meta=None)
    unauthorized = {"code": 401, "reason": "Unauthorized", "message": "Invalid authentication credentials"}
    return Profile(
        answers={
            "/healthz": Reply(200, "ok"),
            "/readyz": Reply(200, "ok"),
            "/version": Reply(200, {"version": "v2.0.0", "git_commit": "0000000"}),
            "/v1/models": models,
            "/v1-openai/models": models,
        },
        missing=_fastapi_missing,
        unauthorized=Reply(401, unauthorized),
        open_paths=frozenset({"/healthz", "/readyz", "/version"}),
        completions=frozenset({"/v1/completions", "/v1-openai/completions"}),
        refuse=refuse,
    )


def _ollama(model: str) -> Profile:
    def refuse(body: dict[str, Any]) -> Reply | None:
        if isinstance(body.get("prompt"), str):
            return None
        message = "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type string"
        return Reply(400, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}})

    return Profile(
        answers={
            "/": Reply(200, "Ollama is running"),
            "/api/version": Reply(200, {"version": "0.12.6"}),
            "/api/tags": Reply(200, {"models": [{"name": model, "model": model, "details": {"format": "gguf"}}]}),
            "/v1/models": _models(model, "library"),
        },
        missing=lambda _method, _path: Reply(404, "404 page not found"),
        unauthorized=_openai_error(401, "unauthorized", "invalid_request_error"),
        refuse=refuse,
        headers={},
    )


def _bare(_model: str) -> Profile:
    return Profile(
        answers={},
        missing=_fastapi_missing,
        unauthorized=_openai_error(401, "Incorrect API key provided", "invalid_request_error"),
        headers={},
    )


_PROFILES: Mapping[ProfileName, Callable[[str], Profile]] = {
    "llama.cpp": _llama_cpp,
    "vllm": _vllm,
    "sglang": _sglang,
    "trtllm": _trtllm,
    "lmstudio": _lmstudio,
    "gpustack": _gpustack,
    "ollama": _ollama,
    "bare": _bare,
}
