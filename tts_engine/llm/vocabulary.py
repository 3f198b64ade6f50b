"""Asks a llama.cpp server how it reads Orpheus's special tokens: the one sure sign of the right model."""

import httpx

from tts_engine.llm.urls import root_url

LAYOUT = {"<custom_token_10>": 128266, "<custom_token_2>": 128258, "<|audio|>": 156939, "<|eot_id|>": 128009}
"""Tokens whose ids every Orpheus vocabulary has. The first is code 0 of slot 0."""
TIMEOUT_S = 5.0


async def unknown_tokens(http: httpx.AsyncClient, url: str) -> list[str] | None:
    """Which of LAYOUT the server at this completions URL does not know; None where it cannot be asked."""
    body = {"content": "".join(LAYOUT), "add_special": False, "parse_special": True}
    try:
        answer = await http.post(root_url(url, "/tokenize"), json=body, timeout=TIMEOUT_S)
        ids = answer.json()["tokens"] if answer.status_code == 200 else None
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(ids, list):
        return None
    return [token for token, number in LAYOUT.items() if number not in ids]
