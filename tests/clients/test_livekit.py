"""LiveKit's text to speech plugin, which reads events from every model but tts-1, and decodes by Content-Type."""

import threading
from collections.abc import AsyncIterator

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIError
from livekit.plugins import openai as livekit

from tests.clients.heard import FORMATS
from tests.support import tiny_snac
from tests.support.app_server import AppServer
from tests.support.fake_inference import FakeInference
from tests.support.fake_script import Done, ErrorEvent, Finish, Tokens, Until, frames_to_tokens, speech

CODES = tiny_snac.random_codes(24)
SECONDS = 24 * 2048 / 24000
ONCE = APIConnectOptions(max_retry=0, timeout=10)
SHORTER_S = {"flac": 0.12, "opus": 0.03}
"""Its low-delay decoder loses the last frames of these (1.8.9): what is left of a whole clip may lack so much."""

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["tts-1", "gpt-4o-mini-tts"])
async def plugin(request: pytest.FixtureRequest, server: AppServer) -> AsyncIterator[livekit.TTS]:
    tts = livekit.TTS(model=request.param, base_url=f"{server.url}/v1", api_key="none")
    yield tts
    await tts.aclose()


@pytest.mark.parametrize("format", FORMATS)
async def test_every_format_is_heard_as_long_as_it_is(plugin: livekit.TTS, fake: FakeInference, format: str) -> None:
    plugin._opts.response_format = format
    fake.enqueue(*speech(CODES))
    audio = await plugin.synthesize("Hello there.", conn_options=ONCE).collect()
    assert (audio.sample_rate, audio.num_channels) == (24000, 1)
    assert -SHORTER_S.get(format, 0.01) < audio.duration - SECONDS < 0.1


@pytest.mark.parametrize("format", FORMATS)
async def test_it_is_heard_while_the_model_still_speaks(plugin: livekit.TTS, fake: FakeInference, format: str) -> None:
    plugin._opts.response_format = format
    go_on, tokens = threading.Event(), frames_to_tokens(CODES)
    fake.enqueue(Tokens(tokens[: 7 * 20]), Until(go_on), Tokens(tokens[7 * 20 :]), Finish(), Done())
    early = 0.0
    async with plugin.synthesize("Hello there.", conn_options=ONCE) as stream:
        async for heard in stream:
            if not go_on.is_set():
                early += heard.frame.duration
                go_on.set()
    assert early > 0


async def test_usage_is_counted_where_events_are_read(plugin: livekit.TTS, fake: FakeInference) -> None:
    fake.enqueue(*speech(CODES))
    counted: list[int] = []
    plugin.on("metrics_collected", lambda metrics: counted.append(metrics.output_tokens))
    async with plugin.synthesize("Hello there.", conn_options=ONCE) as stream:
        async for _ in stream:
            pass
    assert counted == [24 * 7 if plugin.model != "tts-1" else 0]


async def test_a_cut_clip_is_an_error(plugin: livekit.TTS, fake: FakeInference) -> None:
    fake.enqueue(Tokens(frames_to_tokens(CODES)), ErrorEvent())
    with pytest.raises((APIConnectionError, APIError)):
        await plugin.synthesize("Hello there.", conn_options=ONCE).collect()
