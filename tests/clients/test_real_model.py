"""Each client once with the real llama.cpp server behind the server: what it hears is whole frames of real speech."""

import openai
import pytest
from livekit.plugins import openai as livekit

from tests.clients import node
from tests.support.app_server import AppServer

FRAME = 2048
TEXT = "The quick brown fox jumps over the lazy dog."


def test_openai_python(real_server: AppServer) -> None:
    with openai.OpenAI(base_url=f"{real_server.url}/v1", api_key="none", max_retries=0) as client:
        audio = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="pcm").read()
    assert len(audio) >= 5 * FRAME * 2
    assert len(audio) % (FRAME * 2) == 0


def test_openai_and_ai_sdk_of_node(real_server: AppServer) -> None:
    heard = node.run("real.mjs", f"{real_server.url}/v1", folder=node.packages())
    assert heard["openai"] >= 5 * FRAME * 2
    assert heard["openai"] % (FRAME * 2) == 0
    assert (heard["ai"] - 44) % (FRAME * 2) == 0


@pytest.mark.anyio
async def test_livekit(real_server: AppServer) -> None:
    plugin = livekit.TTS(
        model="gpt-4o-mini-tts", base_url=f"{real_server.url}/v1", api_key="none", response_format="pcm"
    )
    audio = await plugin.synthesize(TEXT).collect()
    await plugin.aclose()
    assert audio.duration >= 5 * FRAME / 24000
