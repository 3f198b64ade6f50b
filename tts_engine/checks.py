"""Everything that speech needs, looked at one by one, with what to do about what is wrong. For `check` and the page."""

from dataclasses import dataclass

from tts_engine.engine import NO_INFERENCE_SERVER, Engine
from tts_engine.llm.client import InferenceClient
from tts_engine.llm.probe import ServerInfo
from tts_engine.llm.vocabulary import unknown_tokens

PROMPT_TOKENS = 400
"""Room that the longest usual prompt takes in the context."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool | None
    """None: it could not be looked at."""
    message: str
    """What was found, and what to do where it is wrong."""


async def run_checks(engine: Engine) -> list[Check]:
    """All checks, in the order in which a beginner meets them. Takes seconds at most; never raises."""
    if engine.client is None:
        checks = [Check("inference server", False, NO_INFERENCE_SERVER)]
    else:
        server = await engine.client.server()
        checks = [_reachable(engine.client, server)]
        if server.reachable and server.problem is None:
            checks += [
                _model(server),
                await _vocabulary(engine.client, server),
                _context(server, engine.settings.max_tokens),
                _slots(server, engine.plan.workers),
            ]
    return [*checks, _codec(engine)]


def _reachable(client: InferenceClient, server: ServerInfo) -> Check:
    if server.problem is not None:
        return Check("inference server", False, server.problem)
    return Check("inference server", True, f"{client.url} answers as {server.dialect}.")


def _model(server: ServerInfo) -> Check:
    listed = f" It lists: {', '.join(server.models)}." if server.models else ""
    known = not server.models or server.model in server.models
    # llama.cpp speaks with the model it was started with, whatever a request names.
    ok = True if known else (None if server.dialect == "llama.cpp" else False)
    return Check("model", ok, f"Requests name {server.model}.{listed}")


async def _vocabulary(client: InferenceClient, server: ServerInfo) -> Check:
    unknown = await unknown_tokens(client.http, client.url) if server.dialect == "llama.cpp" else None
    if unknown is None:
        return Check("vocabulary", None, "This server cannot be asked how it reads tokens.")
    if unknown:
        tokens = ", ".join(unknown)
        return Check(
            "vocabulary", False, f"The model does not know {tokens}: it is no Orpheus model. Load another one."
        )
    return Check("vocabulary", True, "The model has Orpheus's tokens.")


def _context(server: ServerInfo, max_tokens: int) -> Check:
    if server.n_ctx is None:
        return Check("context", None, "This server does not tell the size of its context.")
    seconds = (server.n_ctx - PROMPT_TOKENS) / 82
    if server.n_ctx < 2048 + PROMPT_TOKENS:
        return Check(
            "context",
            False,
            f"{server.n_ctx} tokens a request are {seconds:.0f} s of speech: too little for a long sentence. "
            "Start the inference server with a context of 8192 tokens for every slot (llama.cpp: --ctx-size 8192 times "
            "--parallel).",
        )
    if server.n_ctx < max_tokens:
        note = f" That is less than ORPHEUS_MAX_TOKENS ({max_tokens}); segments are far shorter, so it does no harm."
        return Check("context", True, f"{server.n_ctx} tokens a request, {seconds:.0f} s of speech.{note}")
    return Check("context", True, f"{server.n_ctx} tokens a request.")


def _slots(server: ServerInfo, workers: int) -> Check:
    if server.slots is None:
        return Check("parallel requests", None, "This server does not tell how many requests it speaks at once.")
    if server.slots < workers:
        return Check(
            "parallel requests",
            False,
            f"It speaks {server.slots} at once, and {workers} segments of a text are asked for together: start it with "
            f"--parallel {workers}, or set ORPHEUS_WORKERS={server.slots}.",
        )
    return Check(
        "parallel requests", True, f"It speaks {server.slots} at once; {workers} segments are asked for together."
    )


def _codec(engine: Engine) -> Check:
    if engine.batcher is None:
        return Check("SNAC", False, engine.codec_problem)
    decoder = engine.batcher.decoder
    return Check("SNAC", True, f"{engine.settings.snac_model} with {decoder.name} on {decoder.device}.")
